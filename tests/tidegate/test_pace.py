"""How long nodes take, and what is said of what waits for too long."""

import dataclasses
from datetime import timedelta

from structlog.testing import capture_logs

from lbaas.model.enums import LbMethod, NodeState, ResourceState
from lbaas.store import members, pools, vips
from tests.store import make
from tests.tidegate.world import POOL, VIP, World, clusters, listener

NODE = "fleets/edge/nodes/n1"
WARNING = "not confirmed, and nothing is sent by time alone"


def method(lb_method: LbMethod):
    return lambda tx: pools.update(
        tx, POOL, lambda pool: dataclasses.replace(pool, lb_method=lb_method)
    )


def lag(world: World) -> timedelta | None:
    (view,) = world.view.nodes("fleets/edge")
    return view.lag


def warned(logs: list) -> list[tuple[str, int]]:
    return [(each["node"], each["seconds"]) for each in logs if each["event"] == WARNING]


async def test_a_nodes_lag_is_from_the_publication_to_its_last_answer(world: World):
    node = await world.ready("member", "vip")
    assert lag(world) is not None
    node.held_back = True
    await world.write(method(LbMethod.SOURCE_IP))
    await world.catch_up()
    world.talk()
    world.now += 7.0
    # A pass that reaches no fleet is nothing to be in step with.
    await world.write(
        lambda tx: pools.update(tx, POOL, lambda pool: dataclasses.replace(pool, description="x"))
    )
    await world.catch_up()
    node.held_back = False
    world.talk()
    assert lag(world) == timedelta(seconds=7)
    world.now += 100.0
    await world.settle()
    assert lag(world) == timedelta(seconds=7)


async def test_what_was_published_before_a_node_came_is_not_its_lag(world: World):
    await world.ready("member", "vip")
    world.now += 500.0
    late = world.node("n2")
    world.connect(late)
    await world.settle()
    views = {view.name: view for view in world.view.nodes("fleets/edge")}
    assert views["fleets/edge/nodes/n2"].state is NodeState.SYNCED
    assert views["fleets/edge/nodes/n2"].lag is None
    await world.write(lambda tx: members.create(tx, make.member(2)))
    await world.settle()
    views = {view.name: view for view in world.view.nodes("fleets/edge")}
    assert views["fleets/edge/nodes/n2"].lag is not None


async def test_what_waits_is_warned_of_after_ten_seconds_and_overdue_after_sixty(world: World):
    node = await world.ready("member", "vip")
    node.held_back = True
    await world.write(method(LbMethod.SOURCE_IP))
    await world.catch_up()
    world.talk()
    with capture_logs() as logs:
        world.pace.look()
        assert warned(logs) == []
        for seconds in range(2, 80, 2):
            world.now += 2.0
            world.pace.look()
            (view,) = world.view.nodes("fleets/edge")
            assert bool(view.overdue) is (seconds >= 60)
    assert warned(logs) == [(NODE, 10), (NODE, 60)]
    assert view.overdue.startswith("for 78 s: ")
    assert POOL in view.overdue
    assert "sent, unanswered for" in view.overdue
    (reason,) = {each["resource"] for each in logs if each["event"] == WARNING}
    assert reason == POOL

    node.held_back = False
    await world.settle()
    with capture_logs() as logs:
        world.pace.look()
    assert warned(logs) == []
    (view,) = world.view.nodes("fleets/edge")
    assert view.overdue == ""


async def test_a_newer_change_waits_from_its_own_beginning(world: World):
    node = await world.ready("member", "vip")
    with capture_logs() as logs:
        for lb_method in (LbMethod.SOURCE_IP, LbMethod.LEAST_CONNECTIONS):
            node.held_back = True
            await world.write(method(lb_method))
            await world.catch_up()
            world.talk()
            for _ in range(4):
                world.now += 2.0
                world.pace.look()
            assert POOL in {key.name for key in node.stream.pending}
            node.held_back = False
            world.talk()  # all is answered, and something new waits before anybody looks
            assert not node.stream.pending
    assert warned(logs) == []


async def test_what_was_refused_is_not_waited_for(world: World):
    await world.ready("member")
    await world.write(lambda tx: vips.create(tx, make.vip()))
    await world.catch_up()
    world.refuse(listener())
    await world.settle()
    with capture_logs() as logs:
        for _ in range(50):
            world.now += 2.0
            world.pace.look()
    assert warned(logs) == []
    (view,) = world.view.nodes("fleets/edge")
    assert view.state is NodeState.REJECTED
    assert view.overdue == ""


async def test_what_a_node_lacks_is_listed_with_versions_and_why(world: World):
    node = await world.ready("member", "vip")
    assert world.view.unsettled(NODE) == []
    held = world.wanted(clusters()).version
    await world.write(method(LbMethod.LEAST_CONNECTIONS))
    await world.catch_up()
    world.refuse(clusters())
    await world.settle()
    node.held_back = True
    await world.write(lambda tx: vips.create(tx, make.vip("w")))
    await world.catch_up()
    world.talk()
    found = world.view.unsettled(NODE)
    first = found[0]
    assert (first.state, first.name) == (ResourceState.REJECTED, POOL)
    assert first.wanted == world.wanted(clusters()).version
    assert first.held == held
    assert POOL in first.message
    others = {each.name: each for each in found[1:] if each.type_url.endswith("Listener")}
    (waiting,) = others.values()
    assert waiting.held == ""
    assert waiting.state in (ResourceState.SENT, ResourceState.NOT_SENT)
    assert (waiting.sent_at is not None) is (waiting.state is ResourceState.SENT)
    assert waiting.message
    assert world.view.unsettled("fleets/edge/nodes/unheard-of") == []


async def test_a_verdict_tells_what_is_sent_from_what_is_not(world: World):
    node = await world.ready("member", "vip")
    before = world.wanted(clusters()).version
    node.held_back = True
    await world.write(method(LbMethod.LEAST_CONNECTIONS))
    await world.catch_up()

    def verdict():
        (cluster,) = [
            each
            for each in world.view.resources(POOL)
            if "Cluster" in each.type_url and "Load" not in each.type_url
        ]
        (found,) = cluster.nodes
        return found

    unsent = verdict()
    assert (unsent.state, unsent.version) == (NodeState.PENDING, before)
    world.talk()
    sent = verdict()
    assert (sent.state, sent.version) == (NodeState.PENDING, before)
    assert sent.sent == world.wanted(clusters()).version
    assert sent.sent_at is not None
    node.held_back = False
    await world.settle()
    done = verdict()
    assert (done.state, done.version) == (NodeState.SYNCED, world.wanted(clusters()).version)
    assert (done.sent, done.sent_at) == ("", None)
    assert VIP

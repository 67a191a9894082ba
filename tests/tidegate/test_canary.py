"""A change goes to the canary first: which node that is, what the others say, what is stored."""

import dataclasses

import pytest
from structlog.testing import capture_logs

from lbaas.model.enums import LbMethod, SessionPersistenceType
from lbaas.model.objects import SessionPersistence
from lbaas.store import fleets, nodes, pools, rejections, vips
from lbaas.store.transaction import Transaction
from tests.store import make
from tests.tidegate.world import POOL, VIP, Node, World, clusters, listener, route

COOKIE, APP = SessionPersistenceType.HTTP_COOKIE, SessionPersistenceType.APP_COOKIE


def switch(*, on: bool):
    def work(tx: Transaction) -> None:
        fleets.update(tx, make.EDGE, lambda fleet: dataclasses.replace(fleet, canary=on))

    return work


def method(lb_method: LbMethod, pool: str = POOL):
    change = lambda old: dataclasses.replace(old, lb_method=lb_method)  # noqa: E731
    return lambda tx: pools.update(tx, pool, change)


def persistence(kind: SessionPersistenceType):
    change = lambda vip: dataclasses.replace(  # noqa: E731
        vip, session_persistence=SessionPersistence(type=kind, cookie_name="c" * (kind == APP))
    )
    return lambda tx: vips.update(tx, VIP, change)


async def three(world: World) -> tuple[Node, Node, Node]:
    """A fleet of three with a canary, `n1`, and a pool with a member and a VIP, live on all."""
    first = await world.ready("member")
    others = world.node("n2"), world.node("n3")
    for node in others:
        world.connect(node)
    await world.write(lambda tx: vips.create(tx, make.vip()))
    await world.write(switch(on=True))
    await world.settle()
    assert await world.live(VIP)
    assert world.view.trial(make.EDGE).node == f"{make.EDGE}/nodes/n1"
    return first, *others


def version(node: Node, key) -> str | None:
    return node.envoy.version(key)


def held(world: World) -> tuple[str, ...]:
    return world.view.trial(make.EDGE).held


async def test_a_change_is_live_when_all_have_it_the_canary_first(world: World):
    first, second, third = await three(world)
    before = version(second, clusters())
    await world.write(method(LbMethod.LEAST_CONNECTIONS))
    await world.catch_up()
    wanted = world.wanted(clusters()).version
    world.talk(second, third)
    await world.feedback.flush()
    assert {version(second, clusters()), version(third, clusters())} == {before}
    assert not await world.live(POOL)
    waiting = world.view.progress(POOL, 0).waiting
    assert waiting.reason == "HELD_BY_CANARY"
    assert waiting.resource == POOL
    assert "the canary, fleets/edge/nodes/n1" in waiting.message
    shown = world.view.nodes(make.EDGE)[1:]
    assert [node.state for node in shown] == ["PENDING"] * 2
    assert [node.pending for node in shown] == [(POOL,)] * 2
    (unsettled,) = world.view.unsettled(f"{make.EDGE}/nodes/n2")
    assert (unsettled.state, unsettled.wanted) == ("NOT_SENT", wanted)
    assert "held back until the canary" in unsettled.message
    shown = next(each for each in world.view.resources(POOL) if each.version == wanted)
    assert [each.state for each in shown.nodes] == ["PENDING"] * 3
    assert "held back until the canary" in shown.nodes[1].message
    world.talk(first)
    await world.feedback.flush()
    assert version(first, clusters()) == wanted
    assert not await world.live(POOL)  # two have yet to confirm it
    assert held(world) == ()
    world.talk()
    await world.feedback.flush()
    assert version(third, clusters()) == wanted
    assert await world.live(POOL)


async def refused_at_the_canary(world: World) -> tuple[Node, Node, Node]:
    some = await three(world)
    await world.write(persistence(COOKIE))
    await world.catch_up()
    world.refuse(route())
    await world.settle()
    return some


async def test_what_the_canary_refuses_goes_no_further(world: World):
    first, second, third = await refused_at_the_canary(world)
    bad = world.wanted(route()).version
    assert await world.refused(VIP)
    assert not await world.live(VIP)
    assert held(world) == (VIP,)
    (lacks,) = world.view.unsettled(f"{make.EDGE}/nodes/n2")
    assert (lacks.name, lacks.state) == (VIP, "NOT_SENT")
    assert "held back until the canary" in lacks.message
    assert bad not in {version(node, route()) for node in (first, second, third)}
    assert [each.node for each in await world.store.read(rejections.all)] == [
        f"{make.EDGE}/nodes/n1"
    ]
    await world.write(method(LbMethod.LEAST_CONNECTIONS))
    await world.settle()
    assert await world.live(POOL)
    await world.write(persistence(APP))
    await world.settle()
    assert await world.live(VIP)
    assert not await world.refused(VIP)
    assert version(third, route()) == world.wanted(route()).version
    assert held(world) == ()


async def test_the_others_are_spared_over_a_restart(world: World):
    some = await refused_at_the_canary(world)
    bad = world.wanted(route()).version
    before = version(some[2], route())
    await world.restart()
    assert held(world) == (VIP,)
    for node in reversed(some):  # the canary comes back last
        world.connect(node)
        world.talk(node)
    await world.settle()
    assert {version(node, route()) for node in some} == {before}
    assert before != bad
    late = world.node("n0")
    world.connect(late)
    await world.settle()
    assert version(late, route()) == before
    assert world.register.find(f"{make.EDGE}/nodes/n0").counted


async def test_switched_off_it_goes_to_all_and_is_remembered_as_that(world: World):
    first, second, _ = await refused_at_the_canary(world)
    bad = world.wanted(route()).version
    world.poison.clear()
    world.poison[f"n1/{bad}"] = "named"
    await world.write(switch(on=False))
    await world.settle()
    assert version(second, route()) == bad
    assert version(first, route()) != bad
    assert world.view.trial(make.EDGE).node == ""
    await world.write(switch(on=True))
    await world.settle()
    await world.restart()
    assert held(world) == ()


async def test_the_canary_stays_the_same_until_it_is_lost(world: World):
    first, *_ = await three(world)
    early = world.node("n0")
    world.connect(early)
    await world.settle()
    assert world.view.trial(make.EDGE).node.endswith("/n1")
    world.disconnect(first)
    await world.write(method(LbMethod.LEAST_CONNECTIONS))
    await world.settle()
    assert held(world) == (POOL,)
    waiting = world.view.progress(POOL, 0).waiting
    assert waiting.reason == "HELD_BY_CANARY"
    assert "not connected" in waiting.message
    world.pass_time(31)
    assert world.view.trial(make.EDGE).node.endswith("/n0")
    await world.settle()
    assert await world.live(POOL)
    assert held(world) == ()
    world.connect(first)
    await world.settle()
    assert world.view.trial(make.EDGE).node.endswith("/n0")
    assert [node.name for node in await world.store.read(nodes.all) if node.canary] == [
        f"{make.EDGE}/nodes/n0"
    ]
    await world.restart()
    assert world.view.trial(make.EDGE).node.endswith("/n0")


async def test_a_fleet_without_a_counted_node_has_none_and_one_of_one_is_all(world: World):
    node = await world.ready()
    await world.write(switch(on=True))
    await world.settle()
    assert world.view.trial(make.EDGE).node.endswith("/n1")
    await world.write(method(LbMethod.LEAST_CONNECTIONS))
    await world.settle()
    assert await world.live(POOL)
    world.disconnect(node)
    world.pass_time(31)
    assert world.view.trial(make.EDGE).node == ""


async def test_a_silent_canary_is_warned_of_once_for_each_change(world: World):
    first, *_ = await three(world)
    first.held_back = True
    await world.write(method(LbMethod.LEAST_CONNECTIONS))
    await world.settle()
    with capture_logs() as logs:
        world.canaries.sweep()
        world.now += 11
        world.canaries.sweep()
        world.canaries.sweep()
    (warning,) = [each for each in logs if each["log_level"] == "warning"]
    assert warning["resource"] == POOL
    assert "unanswered" in warning["why"]
    first.held_back = False
    await world.settle()
    assert await world.live(POOL)


async def test_what_is_deleted_is_gone_when_the_others_are_rid_of_it(world: World):
    first, second, third = await three(world)
    first.held_back = True
    await world.write(lambda tx: vips.delete(tx, VIP))
    await world.catch_up()
    world.talk()
    await world.feedback.flush()
    assert version(second, listener()) is not None
    assert await world.get(VIP) is not None
    first.held_back = False
    await world.settle()
    assert version(second, listener()) is None
    assert version(third, listener()) is None
    assert await world.get(VIP) is None


@pytest.mark.parametrize("delta", [True, False])
async def test_a_node_that_joins_counts_while_something_is_held_back(world: World, delta: bool):
    await refused_at_the_canary(world)
    late = world.node("n9", delta=delta)
    world.connect(late)
    await world.settle()
    assert world.register.find(f"{make.EDGE}/nodes/n9").counted

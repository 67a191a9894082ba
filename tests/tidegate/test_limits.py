"""Connection limits over a fleet: shares that add up on every way, and are live when all know."""

import asyncio
import dataclasses
from collections.abc import Callable

import pytest

from lbaas.store import members, pools, vips
from tests.cache.messages import limits
from tests.harness.waiting import until
from tests.store import make
from tests.tidegate.test_moves import drain, move_on
from tests.tidegate.world import LOST_AFTER, VIP, Node, World, add_fleet
from tidegate import limits as tidegate_limits
from tidegate.rendering import Place
from xds.cache import LISTENER
from xds.translate.limits import LIMITS

KEY = f"envoy.resource_limits.listener.{VIP}.connection_limit"


def share(node: Node, vip: str = VIP) -> float | None:
    """What an Envoy allows; None: any number."""
    return node.envoy.layer().get(KEY.replace(VIP, vip))


def changed(name: str = VIP, **fields: object) -> Callable:
    return lambda tx: vips.update(tx, name, lambda vip: dataclasses.replace(vip, **fields))


def limited(limit: int) -> Callable:
    return changed(connection_limit=limit)


async def fleet_of(world: World, count: int, limit: int = 10) -> list[Node]:
    """A VIP with a limit on some nodes, all live."""
    await world.ready("member")
    await world.write(lambda tx: vips.create(tx, make.vip(connection_limit=limit)))
    await world.settle()
    for number in range(2, count + 1):
        world.connect(world.node(f"n{number}"))
        await world.settle()
    return world.nodes


def allowed(world: World) -> float:
    """What the nodes that listen allow together."""
    serving = [node for node in world.nodes if VIP in node.envoy.held[LISTENER]]
    return sum(float("inf") if share(node) is None else share(node) for node in serving)


def careful_talk(world: World, limit: float) -> None:
    """Lets all talk, one message at a time, and looks at what they allow after each."""
    for _ in range(500):
        moved = False
        for node in world.nodes:
            moved |= world.exchange(node)
            assert allowed(world) <= limit
        if not moved:
            return
    raise AssertionError("it never comes to rest")


async def test_shares_add_up_and_are_shown(world: World):
    first, second, third = await fleet_of(world, 3)
    assert sorted(map(share, world.nodes)) == [3, 3, 4]
    assert sum(world.view.connection_limits(VIP).values()) == 10
    assert world.view.connection_limits(VIP) == {
        f"fleets/edge/nodes/{node.envoy.name}": share(node) for node in (first, second, third)
    }
    assert world.view.connection_limits("projects/acme/vips/other") == {}


async def test_a_node_that_comes_takes_over_and_the_sum_is_never_too_much(world: World):
    (first,) = await fleet_of(world, 1)
    assert share(first) == 10
    second = world.node("n2")
    world.connect(second)
    first.held_back = True  # it is lowered, and nobody knows whether it has heard
    careful_talk(world, 10)
    await world.settle()
    assert share(second) == 0
    first.held_back = False
    careful_talk(world, 10)
    assert (share(first), share(second)) == (5, 5)


async def test_a_limit_is_live_only_when_all_confirmed_what_they_were_granted_in_the_end(
    world: World,
):
    (first,) = await fleet_of(world, 1)
    second = world.node("n2")
    world.connect(second)
    world.talk(second)
    await world.write(limited(12))
    await world.catch_up()
    world.talk(second)
    assert (share(first), share(second)) == (10, 2)
    second.held_back = True
    world.talk(first)
    await world.feedback.flush()
    assert share(first) == 6
    assert not await world.live(VIP)  # though nobody waits for anything that was sent
    world.talk(second)
    await world.feedback.flush()
    assert (share(second), await world.live(VIP)) == (6, False)
    second.held_back = False
    world.talk(second)
    await world.feedback.flush()
    assert await world.live(VIP)


async def test_another_limit_that_changes_and_changes_does_not_put_a_vip_off(world: World):
    first, second = await fleet_of(world, 2)
    other = make.vip("v2", port=81, connection_limit=100)
    await world.write(lambda tx: vips.create(tx, other))
    await world.settle()
    await world.write(limited(20))
    await world.catch_up()
    world.exchange(first)  # it is sent both changes, one after the other
    for number in range(200, 205):
        await world.write(changed(other.name, connection_limit=number))
        await world.catch_up()
        world.exchange(first)
        world.exchange(second)
    await world.feedback.flush()
    assert await world.live(VIP)
    assert not await world.live(other.name)
    await world.settle()
    assert await world.live(other.name)
    assert (share(first, other.name), share(first)) == (102, 10)


async def test_unlimited_again_is_live_when_all_know(world: World):
    first, second = await fleet_of(world, 2)
    second.held_back = True
    await world.write(limited(-1))
    await world.settle()
    assert (share(first), await world.live(VIP)) == (None, False)
    second.held_back = False
    await world.settle()
    assert (share(second), await world.live(VIP)) == (None, True)
    assert world.view.connection_limits(VIP) == {}


async def test_a_limit_on_a_vip_that_had_none_is_there_at_once_on_every_node(world: World):
    first, second = await fleet_of(world, 2, limit=-1)
    assert share(first) is None
    world.disconnect(second)
    await world.write(limited(10))
    await world.settle()
    assert (share(first), await world.live(VIP)) == (5, False)
    third = world.node("n3")
    world.connect(third)
    await world.settle()
    assert min(share(first), share(third)) == 0  # the second may take any number
    world.connect(second)
    await world.settle()
    assert sorted(map(share, world.nodes)) == [3, 3, 4]
    assert await world.live(VIP)


async def test_a_lost_node_gives_its_share_and_gets_one_when_it_is_back(world: World):
    first, second = await fleet_of(world, 2)
    world.disconnect(second)
    await world.settle()
    assert share(first) == 5
    world.pass_time(LOST_AFTER)
    await world.settle()
    assert (share(first), set(world.view.connection_limits(VIP))) == (10, {"fleets/edge/nodes/n1"})
    world.connect(second)
    await world.settle()
    assert (share(first), share(second)) == (5, 5)


async def test_a_node_that_is_new_never_listens_without_its_limit(world: World):
    await fleet_of(world, 1)
    for number in range(5):
        fresh = world.node(f"f{number}", delta=number % 2 == 0)
        world.connect(fresh)
        for _ in range(30):
            world.exchange(fresh)
            assert VIP not in fresh.envoy.held[LISTENER] or share(fresh) is not None
        careful_talk(world, 10)


async def test_after_a_restart_everybody_has_what_he_had_and_is_sent_nothing(world: World):
    nodes = await fleet_of(world, 3)
    before = [share(node) for node in nodes]
    await world.restart()
    for node in nodes:
        world.connect(node)
    await world.settle()
    assert [node.envoy.received for node in nodes] == [0, 0, 0]
    assert [share(node) for node in nodes] == before
    # And it is known again what they hold: raising waits for lowering.
    fourth = world.node("n4")
    world.connect(fourth)
    careful_talk(world, 10)
    await world.settle()
    assert sorted(map(share, world.nodes)) == [2, 2, 3, 3]


async def test_a_restart_in_which_the_limit_was_changed(world: World):
    nodes = await fleet_of(world, 2)
    for node in nodes:
        world.disconnect(node)
    await world.write(limited(4))
    await world.restart()
    world.connect(nodes[0])
    await world.settle()
    assert (share(nodes[0]), await world.live(VIP)) == (2, False)
    world.connect(nodes[1])
    await world.settle()
    assert (share(nodes[1]), await world.live(VIP)) == (2, True)


async def test_the_limit_stays_until_the_listener_is_gone(world: World):
    first, second = await fleet_of(world, 2)
    second.held_back = True
    await world.write(lambda tx: vips.delete(tx, VIP))
    await world.catch_up()
    while VIP in second.envoy.held[LISTENER]:
        assert share(second) == 5
        assert world.exchange(second)
    world.talk()
    assert (share(first), share(second)) == (None, 5)
    second.held_back = False
    await world.settle()
    assert share(second) is None
    assert await world.get(VIP) is None
    assert not world.limits._fleets["edge"].limits
    assert not any(world.limits._fleets["edge"].told.values())


async def test_a_vip_that_is_switched_off_and_on_keeps_its_limit(world: World):
    await fleet_of(world, 2)
    for up in (False, True):
        await world.write(changed(admin_state_up=up))
        await world.settle()
        assert await world.live(VIP)
        assert [share(node) for node in world.nodes] == ([5, 5] if up else [None, None])


async def test_a_vip_that_goes_to_another_pool_keeps_its_limit(world: World):
    await fleet_of(world, 2)
    other = "projects/acme/pools/aaa"
    await world.write(lambda tx: pools.create(tx, make.pool(other)))
    await world.settle()
    before = [node.envoy.layer() for node in world.nodes]
    await world.write(changed(pool=other))
    await world.settle()
    assert await world.live(VIP)
    assert [node.envoy.layer() for node in world.nodes] == before


async def test_while_a_pool_moves_both_fleets_have_the_whole_limit(world: World):
    same = {"vip_ranges": ("10.0.0.0/24",)}
    old, new = world.node("n1"), world.node("n2", fleet="spare")
    await world.write(add_fleet("edge", **same))
    await world.catch_up()
    world.connect(old)
    await world.write(lambda tx: pools.create(tx, make.pool()))
    await world.write(lambda tx: members.create(tx, make.member()))
    await world.write(lambda tx: vips.create(tx, make.vip(connection_limit=10)))
    await world.settle()
    await world.write(add_fleet("spare", **same))
    await world.catch_up()
    world.connect(new)
    await world.settle()
    await drain(world, "edge")
    await move_on(world)
    assert (share(old), share(new)) == (10, 10)
    assert set(world.view.connection_limits(VIP)) == {
        "fleets/edge/nodes/n1",
        "fleets/spare/nodes/n2",
    }
    await move_on(world, 100)
    await move_on(world, 100)
    assert VIP not in old.envoy.held[LISTENER]
    assert (share(old), share(new)) == (None, 10)


async def test_a_node_that_refuses_its_limits_keeps_the_vip_pending_and_the_others_lowered(
    world: World,
):
    first, second = await fleet_of(world, 2)
    await world.write(limited(4))
    await world.catch_up()
    refused = world.cache.snapshot("edge", "n1").get(LIMITS)
    assert limits(refused) == {KEY: 2}
    world.poison[f"*/{refused.version}"] = "named"
    await world.settle()
    assert (share(first), share(second)) == (5, 5)
    assert not await world.live(VIP)
    entry = world.feedback.unsettled(VIP)
    assert Place("edge", LIMITS) in entry.watched
    await world.write(limited(6))
    await world.settle()
    assert (share(first), share(second), await world.live(VIP)) == (3, 3, True)


async def test_where_splitting_takes_long_it_is_done_once_for_many_nodes(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    await fleet_of(world, 1)
    monkeypatch.setattr(tidegate_limits, "LONG", -1.0)
    world.limits.nodes_changed("edge")
    monkeypatch.setattr(tidegate_limits, "REST", 1000)
    state = world.limits._fleets["edge"]
    state.rest_until = asyncio.get_running_loop().time() + 0.05
    second = world.node("n2")
    world.connect(second)
    world.talk()
    assert (share(world.nodes[0]), share(second)) == (10, 0)

    async def split() -> bool:
        return not state.waits

    await until(split, within=5, what="the limits are split anew")
    world.talk()
    assert (share(world.nodes[0]), share(second)) == (5, 5)


async def test_nothing_is_kept_of_a_node_that_is_gone(world: World):
    _, second = await fleet_of(world, 2)
    world.disconnect(second)
    world.pass_time(LOST_AFTER)
    await world.settle()
    assert set(world.limits._fleets["edge"].told) == {"n1"}
    assert world.cache.snapshot("edge", "n2").get(LIMITS) is None


async def test_a_share_that_is_there_and_back_before_it_was_sent_is_given_to_others(world: World):
    (first,) = await fleet_of(world, 1, limit=7)
    second = world.node("n2")
    await world.write(limited(13))
    await world.catch_up()  # the first is granted 13, and has not been told yet
    world.connect(second)
    world.talk(second)  # it counts, so the first goes back to 7
    await world.settle()
    assert {share(first), share(second)} == {6, 7}

"""Pools that leave their fleet: drained or dead, served all the while, never to and fro."""

import pytest

from lbaas.model.objects import Fleet
from lbaas.store import fleets, members, placements, pools, trees, vips
from tests.store import make
from tests.tidegate.world import (
    DEAD_AFTER,
    DRAIN,
    OVERLAP,
    POOL,
    VIP,
    Node,
    World,
    add_fleet,
    clusters,
    endpoints,
    listener,
    route,
)

RANGE = {"vip_ranges": ("10.0.0.0/24",)}
MEMBER = make.member().name


async def two_fleets(world: World) -> tuple[Node, Node]:
    """A pool live on fleet `edge`, and fleet `spare` with a node that would fit."""
    old = world.node("n1")
    new = world.node("n2", fleet="spare")
    await world.write(add_fleet("edge", **RANGE))
    await world.catch_up()
    world.connect(old)
    await world.write(lambda tx: pools.create(tx, make.pool()))
    await world.write(lambda tx: members.create(tx, make.member()))
    await world.write(lambda tx: vips.create(tx, make.vip()))
    await world.settle()
    await world.write(add_fleet("spare", **RANGE))
    await world.catch_up()
    world.connect(new)
    await world.settle()
    assert await world.live(VIP)
    return old, new


def serves(node: Node) -> bool:
    return VIP in node.envoy.held[listener().type_url]


async def placement(world: World):
    return (await world.get(POOL)).placement


async def drain(world: World, fleet: str, *, draining: bool = True) -> None:
    await world.write(lambda tx: fleets.set_draining(tx, f"fleets/{fleet}", draining=draining))
    await world.catch_up()


async def move_on(world: World, seconds: float = 0.0) -> None:
    world.pass_time(seconds)
    await world.moves.step()
    await world.settle()


async def finish(world: World) -> None:
    """Lets a move whose new fleet is live come to its end."""
    await move_on(world)
    await move_on(world, OVERLAP.total_seconds() + 1)
    await move_on(world)
    await move_on(world, DRAIN.total_seconds() + 1)


async def test_a_drained_fleet_lets_go_only_after_the_new_one_was_live_for_the_overlap(
    world: World,
):
    old, new = await two_fleets(world)
    new.held_back = True
    await drain(world, "edge")
    await move_on(world)
    now = await placement(world)
    assert (now.fleet, now.leaving) == ("fleets/spare", "fleets/edge")
    assert "draining" in now.reason
    assert not await world.live(VIP)  # the new node has not said so
    assert (await world.get(VIP)).record.live_rev  # a latch
    await move_on(world, 3 * OVERLAP.total_seconds())
    assert serves(old)
    new.held_back = False
    await world.settle()
    assert await world.live(VIP)
    await move_on(world)
    assert serves(old)
    assert serves(new)
    await move_on(world, OVERLAP.total_seconds() + 1)
    assert not serves(old)
    assert serves(new)
    # What is asked on connections that drain there still finds its members.
    assert POOL in old.envoy.held[clusters().type_url]
    assert world.wanted(route()) is not None
    now = await placement(world)
    assert (now.fleet, now.leaving, now.closing) == ("fleets/spare", "fleets/edge", True)
    await move_on(world)
    await move_on(world, DRAIN.total_seconds() / 2)
    assert POOL in old.envoy.held[clusters().type_url]
    await move_on(world, DRAIN.total_seconds())
    assert POOL not in old.envoy.held[clusters().type_url]
    now = await placement(world)
    assert (now.fleet, now.leaving, now.closing) == ("fleets/spare", "", False)
    assert (await world.get("fleets/edge")).pools == 0
    assert (await world.get("fleets/spare")).pools == 1


async def test_a_dead_fleet_gives_its_pools_away_and_gets_none_back(world: World):
    old, new = await two_fleets(world)
    world.disconnect(old)
    await move_on(world, 31)  # it is lost, and its fleet has no node from now on
    await move_on(world, DEAD_AFTER.total_seconds() - 60)
    assert (await placement(world)).fleet == "fleets/edge"
    await move_on(world, 60)
    now = await placement(world)
    assert (now.fleet, now.leaving) == ("fleets/spare", "fleets/edge")
    assert "no node since" in now.reason
    assert await world.live(VIP)
    await finish(world)
    assert (await placement(world)).leaving == ""
    world.connect(old)
    await world.settle()
    for _ in range(3):
        await move_on(world, DEAD_AFTER.total_seconds())
        assert (await placement(world)).fleet == "fleets/spare"
    assert serves(new)
    assert not serves(old)


async def test_a_pool_without_a_refuge_stays_and_moves_when_one_appears(world: World):
    node = await world.ready("member", "vip")
    await drain(world, "edge")
    await move_on(world)
    assert (await placement(world)).fleet == "fleets/edge"
    await world.write(add_fleet("narrow", vip_ranges=("10.9.0.0/24",)))
    await world.catch_up()
    world.connect(world.node("n3", fleet="narrow"))
    await move_on(world)
    assert (await placement(world)).fleet == "fleets/edge"  # it cannot hold the VIP's address
    await world.write(add_fleet("spare", **RANGE))
    await world.catch_up()
    await move_on(world)
    assert (await placement(world)).fleet == "fleets/edge"  # nobody is there to serve it
    world.connect(world.node("n2", fleet="spare"))
    await move_on(world)
    assert (await placement(world)).fleet == "fleets/spare"
    assert serves(node)


async def test_what_changes_or_goes_during_the_move_does_so_on_both_fleets(world: World):
    old, new = await two_fleets(world)
    await drain(world, "edge")
    await move_on(world)
    second = make.member(2)
    await world.write(lambda tx: members.create(tx, second))
    await world.settle()
    for node in (old, new):
        held = node.envoy.held[endpoints().type_url][POOL]
        assert held.version == world.wanted(endpoints(), node.fleet).version
    assert world.wanted(endpoints()).version == world.wanted(endpoints(), "spare").version
    old.held_back = True
    await world.write(lambda tx: vips.delete(tx, VIP))
    await world.settle()
    assert await world.get(VIP) is not None  # the old fleet has not confirmed
    old.held_back = False
    await world.settle()
    assert await world.get(VIP) is None
    await world.write(lambda tx: trees.delete(tx, POOL))
    await world.settle()
    assert await world.get(POOL) is None
    for fleet in ("fleets/edge", "fleets/spare"):
        counted = await world.get(fleet)
        assert isinstance(counted, Fleet)
        assert counted.pools == 0


async def test_a_fleet_that_refuses_the_vip_does_not_end_the_move(world: World):
    old, new = await two_fleets(world)
    await drain(world, "edge")
    await world.moves.step()
    await world.catch_up()
    world.refuse(listener(), "spare")
    await world.settle()
    assert await world.refused(VIP)
    assert not serves(new)
    await move_on(world, 5 * OVERLAP.total_seconds())
    assert serves(old)
    assert (await placement(world)).leaving == "fleets/edge"


@pytest.mark.parametrize("live", [False, True])
async def test_a_move_goes_on_after_a_restart(world: World, live: bool):
    old, new = await two_fleets(world)
    new.held_back = not live
    await drain(world, "edge")
    await move_on(world)
    await world.restart()
    for node in (old, new):
        node.held_back = False
        world.connect(node)
    await world.settle()
    assert serves(old)
    assert serves(new)
    await finish(world)
    assert not serves(old)
    assert serves(new)
    assert (await placement(world)).leaving == ""


async def test_a_new_home_that_dies_gives_the_pool_back_to_the_fleet_it_is_leaving(world: World):
    old, new = await two_fleets(world)
    new.held_back = True
    await drain(world, "edge")
    await move_on(world)
    await drain(world, "edge", draining=False)
    world.disconnect(new)
    await move_on(world, 31)
    await move_on(world, DEAD_AFTER.total_seconds() + 1)
    now = await placement(world)
    assert (now.fleet, now.leaving) == ("fleets/edge", "fleets/spare")
    assert serves(old)
    await finish(world)
    assert (await placement(world)).leaving == ""
    assert await world.live(VIP)
    assert serves(old)


async def test_a_fleet_that_had_closed_serves_again_when_its_successor_dies(world: World):
    old, new = await two_fleets(world)
    await drain(world, "edge")
    await move_on(world)
    await move_on(world)
    await move_on(world, OVERLAP.total_seconds() + 1)
    assert not serves(old)
    await drain(world, "edge", draining=False)
    world.disconnect(new)
    await move_on(world, 31)
    if (await placement(world)).leaving:
        await move_on(world, DEAD_AFTER.total_seconds() + 1)
    await world.settle()
    now = await placement(world)
    assert now.fleet == "fleets/edge"
    assert not now.closing
    assert serves(old)
    assert await world.live(VIP)


async def test_who_is_deleted_after_a_move_is_gone_when_the_fleet_it_left_has_let_go(world: World):
    old, _new = await two_fleets(world)
    await drain(world, "edge")
    await move_on(world)
    await move_on(world)
    old.held_back = True
    await move_on(world, OVERLAP.total_seconds() + 1)
    await move_on(world)
    await move_on(world, DRAIN.total_seconds() + 1)
    assert (await placement(world)).leaving == ""
    await world.write(lambda tx: trees.delete(tx, POOL))
    await world.settle()
    assert await world.get(POOL) is not None  # the old node has not said that it let go
    assert await world.get(VIP) is not None
    old.held_back = False
    await world.settle()
    assert await world.get(POOL) is None
    assert await world.get(VIP) is None


async def test_a_pool_that_had_to_be_placed_anew_leaves_nothing_behind_when_it_is_deleted(
    world: World,
):
    node = world.node()
    await world.write(add_fleet("edge", max_pools=1, **RANGE))
    await world.catch_up()
    world.connect(node)
    await world.write(lambda tx: pools.create(tx, make.pool()))
    await world.settle()
    node.held_back = True
    await world.write(lambda tx: placements.drop(tx, POOL))
    await world.write(add_fleet("other", **RANGE))
    await world.write(lambda tx: placements.place(tx, POOL, fleet="fleets/other", reason="test"))
    await world.catch_up()
    world.connect(world.node("n2", fleet="other"))
    await world.settle()
    await world.write(lambda tx: trees.delete(tx, POOL))
    await world.settle()
    assert await world.get(POOL) is not None
    node.held_back = False
    await world.settle()
    assert await world.get(POOL) is None

"""Moves that meet trouble: the new home dies, an address is taken, somebody never becomes live."""

from dataclasses import replace
from datetime import timedelta

from lbaas.store import health_monitors, placements, pools, vips
from tests.store import make
from tests.tidegate.test_moves import (
    RANGE,
    drain,
    move_on,
    placement,
    serves,
    two_fleets,
)
from tests.tidegate.world import DEAD_AFTER, OVERLAP, POOL, VIP, Node, World, add_fleet, listener

OTHER = "projects/acme/pools/other"
MONITOR = make.monitor().name


async def third_fleet(world: World) -> Node:
    await world.write(add_fleet("third", **RANGE))
    await world.catch_up()
    node = world.node("n3", fleet="third")
    world.connect(node)
    await world.settle()
    return node


async def put(world: World, pool: str, fleet: str, **fields: object) -> None:
    """A pool on a fleet, whatever the scheduler would say."""
    await world.write(lambda tx: pools.create(tx, make.pool(pool, **fields)))
    await world.write(lambda tx: placements.place(tx, pool, fleet=fleet, reason="by hand"))
    await world.settle()


async def slower(world: World) -> None:
    await world.write(
        lambda tx: health_monitors.update(
            tx, MONITOR, lambda was: replace(was, delay=timedelta(seconds=7))
        )
    )
    await world.settle()


async def left(world: World) -> bool:
    """Whether the move ends, given all the time it needs."""
    for _ in range(6):
        await move_on(world, OVERLAP.total_seconds() + 1)
    return not (await placement(world)).leaving


async def test_the_old_fleet_stays_when_the_new_one_dies_before_the_move_ends(world: World):
    old, new = await two_fleets(world)
    await drain(world, "edge")
    await move_on(world)
    await move_on(world)
    assert await world.live(VIP)  # and that never falls
    world.disconnect(new)
    for seconds in (31, OVERLAP.total_seconds() + 1, 1):
        await move_on(world, seconds)
        assert serves(old)
    world.connect(new)
    assert await left(world)
    assert not serves(old)


async def test_a_pool_that_moves_back_has_its_overlap_anew(world: World):
    await two_fleets(world)
    await drain(world, "edge")
    await move_on(world)
    await move_on(world)
    await drain(world, "edge", draining=False)
    await drain(world, "spare")
    await move_on(world)
    began = world.now
    now = await placement(world)
    assert (now.fleet, now.leaving) == ("fleets/edge", "fleets/spare")
    while (await placement(world)).leaving:
        await move_on(world, 1)
    assert world.now - began >= OVERLAP.total_seconds()


async def test_a_vip_that_never_was_live_keeps_no_pool_on_two_fleets(world: World):
    old, _ = await two_fleets(world)
    bad = make.vip("bad", port=999)
    old.held_back = True
    await world.write(lambda tx: vips.create(tx, bad))
    await world.catch_up()
    world.refuse(listener(bad.name))
    old.held_back = False
    await world.settle()
    assert await world.refused(bad.name)
    await drain(world, "edge")
    await world.moves.step()
    await world.catch_up()
    world.refuse(listener(bad.name), "spare")
    await world.settle()
    assert await left(world)


async def test_a_monitor_that_waits_for_another_fleet_holds_no_move_open(world: World):
    await two_fleets(world)
    await world.write(lambda tx: health_monitors.create(tx, make.monitor()))
    await world.write(lambda tx: pools.associate(tx, POOL, MONITOR))
    far = await third_fleet(world)
    await put(world, OTHER, "fleets/third", health_monitors=(MONITOR,))
    far.held_back = True
    await slower(world)
    assert not await world.live(MONITOR)
    await drain(world, "edge")
    await move_on(world)
    assert await left(world)


async def test_a_monitor_still_waits_for_the_pool_that_stays_when_another_moves(world: World):
    old, _ = await two_fleets(world)
    await world.write(lambda tx: health_monitors.create(tx, make.monitor()))
    await world.write(lambda tx: pools.associate(tx, POOL, MONITOR))
    await put(world, OTHER, "fleets/edge", health_monitors=(MONITOR,))
    assert await world.live(MONITOR)
    old.held_back = True
    await slower(world)
    assert not await world.live(MONITOR)
    await world.write(
        lambda tx: placements.place(tx, POOL, fleet="fleets/spare", reason="", overlap=True)
    )
    await world.settle()
    assert not await world.live(MONITOR)  # the other pool's cluster is not confirmed
    old.held_back = False
    await world.settle()
    assert await world.live(MONITOR)


async def test_a_vip_deleted_in_a_move_waits_for_both_fleets_after_a_restart(world: World):
    old, new = await two_fleets(world)
    await drain(world, "edge")
    await move_on(world)
    old.held_back = True
    await world.write(lambda tx: vips.delete(tx, VIP))
    await world.restart()
    world.connect(new)
    await world.settle()
    assert serves(old)
    assert await world.get(VIP) is not None
    old.held_back = False
    world.connect(old)
    await world.settle()
    assert not serves(old)
    assert await world.get(VIP) is None


async def test_a_refuge_where_the_address_is_taken_is_passed_over(world: World):
    await two_fleets(world)
    await put(world, OTHER, "fleets/spare")
    taken = make.vip("taken", pool=OTHER, address=(await world.get(VIP)).address)
    await world.write(lambda tx: vips.create(tx, taken))
    await third_fleet(world)
    for number in (1, 2):  # so that the scheduler prefers `spare`
        await put(world, f"{OTHER}{number}", "fleets/third")
    await drain(world, "edge")
    await move_on(world)
    assert (await placement(world)).fleet == "fleets/third"
    assert world.placing.fleets["fleets/spare"].pools == 1


async def test_who_is_back_first_after_an_outage_of_all_is_not_given_everything(world: World):
    old, new = await two_fleets(world)
    world.disconnect(old)
    world.disconnect(new)
    await move_on(world, 31)
    await move_on(world, DEAD_AFTER.total_seconds() + 1)
    world.connect(new)
    await move_on(world)
    await move_on(world, 1)
    assert (await placement(world)).fleet == "fleets/edge"
    await move_on(world, DEAD_AFTER.total_seconds() + 1)
    assert (await placement(world)).fleet == "fleets/spare"


async def test_a_pool_goes_on_when_its_new_home_dies_before_it_was_live_there(world: World):
    old, new = await two_fleets(world)
    new.held_back = True
    await drain(world, "edge")
    await move_on(world)
    world.disconnect(new)
    await move_on(world, 31)
    third = await third_fleet(world)
    await move_on(world, DEAD_AFTER.total_seconds() + 1)
    now = await placement(world)
    assert (now.fleet, now.leaving) == ("fleets/third", "fleets/edge")
    assert serves(old)
    assert await left(world)
    assert serves(third)

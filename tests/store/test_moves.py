"""Pools that move between fleets: two carry them until the old one lets go."""

import dataclasses

import pytest
from sqlalchemy import select

from lbaas.model.errors import AlreadyExists, FailedPrecondition
from lbaas.model.objects import Fleet, Placement
from lbaas.store import (
    changes,
    fleets,
    members,
    placements,
    pools,
    tables,
    trees,
    verdicts,
    vips,
)
from lbaas.store.store import Store
from tests.store import make
from tests.store.make import EDGE, POOL

OTHER = "fleets/other"
THIRD = "fleets/third"
MINE = "projects/acme/pools/mine"
RANGE = ("10.0.0.0/28",)
GIVEN, OWN, MEMBER = make.vip("given").name, make.vip("own").name, make.member().name


def prepare(tx):
    """A live pool on `edge` with a VIP that got its address and one that names it; two fleets."""
    make.placed_pool(tx, on=make.fleet(vip_ranges=RANGE))
    for name in (OTHER, THIRD):
        fleets.create(tx, make.fleet(name, vip_ranges=RANGE))
    members.create(tx, make.member())
    vips.create(tx, make.vip("given"))
    vips.create(tx, make.vip("own", address="10.0.0.5"))
    go_live(tx)


def go_live(tx):
    verdicts.record(tx, live=dict.fromkeys([POOL, MEMBER, GIVEN, OWN], tx.revision))


def other_pool(tx, *addresses: str, on: str = OTHER):
    """Another pool, on another fleet, whose VIPs hold addresses there."""
    pools.create(tx, make.pool(MINE))
    placements.place(tx, MINE, fleet=on, reason="fits")
    for number, address in enumerate(addresses):
        vips.create(tx, make.vip(f"other{number}", pool=MINE, address=address))


@pytest.fixture
async def live(store: Store) -> Store:
    await store.write(prepare)
    return store


def move(store: Store, fleet: str = OTHER, *, overlap: bool = True):
    return store.write(
        lambda tx: placements.place(tx, POOL, fleet=fleet, reason="moved", overlap=overlap)
    )


def release(store: Store):
    return store.write(lambda tx: placements.release(tx, POOL))


def carried(store: Store):
    def read(tx):
        counts = {fleet.name: fleet.pools for fleet in fleets.every(tx)}
        names = {name: placements.carried(tx, name) for name in counts}
        assert {name: len(pools) for name, pools in names.items()} == counts
        return {name for name, pools in names.items() if POOL in pools}

    return store.read(read)


def held(store: Store):
    """Gives what each VIP of the pool holds: its fleets, address, and whether that was chosen."""
    at = tables.addresses.c

    def read(tx):
        found: dict[str, set[tuple[str, str, bool]]] = {}
        for row in tx.connection.execute(select(at.vip, at.fleet, at.address, at.allocated)):
            found.setdefault(row.vip, set()).add((row.fleet, row.address, row.allocated))
        return found

    return store.read(read)


def both(address: str, *, allocated: bool, on: tuple[str, ...] = (EDGE, OTHER)):
    return {(fleet, address, allocated) for fleet in on}


async def test_a_moving_pool_is_carried_by_both_fleets_until_the_old_one_lets_go(live: Store):
    before = await live.read(lambda tx: trees.read(tx, [POOL])[0])
    subscription = live.feed.subscribe()
    placement = await move(live)
    notice = await subscription.get()
    assert (placement.fleet, placement.leaving, placement.reason) == (OTHER, EDGE, "moved")
    assert placement.rev == notice.revision
    assert [(each.name, each.action) for each in notice.changes] == [(POOL, "MOVED")]
    assert notice.statuses == {MEMBER, GIVEN, OWN}
    assert await carried(live) == {EDGE, OTHER}
    assert await held(live) == {
        GIVEN: both("10.0.0.1", allocated=True),
        OWN: both("10.0.0.5", allocated=False),
    }
    (tree,) = await live.read(lambda tx: trees.read(tx, [POOL]))
    assert tree.pool.placement == placement
    assert [vip.address for vip in tree.vips] == ["10.0.0.1", "10.0.0.5"]
    moved = (tree.pool, *tree.members, *tree.vips)
    for obj, old in zip(moved, (before.pool, *before.members, *before.vips), strict=True):
        assert obj.record.spec_rev == placement.rev
        assert obj.record.live_rev == old.record.live_rev > 0
        assert obj.record.etag == old.record.etag

    await live.write(go_live)
    await subscription.get()
    released = await release(live)
    notice = await subscription.get()
    assert released == dataclasses.replace(placement, leaving="")
    assert [(each.name, each.action) for each in notice.changes] == [(POOL, "MOVED")]
    assert notice.statuses == {MEMBER, GIVEN, OWN}
    assert await carried(live) == {OTHER}
    assert await held(live) == {
        GIVEN: both("10.0.0.1", allocated=True, on=(OTHER,)),
        OWN: both("10.0.0.5", allocated=False, on=(OTHER,)),
    }
    (tree,) = await live.read(lambda tx: trees.read(tx, [POOL]))
    assert all(it.record.live_rev >= it.record.spec_rev for it in (*tree.members, *tree.vips))


async def test_a_release_without_a_move_is_no_write(live: Store):
    before = await live.read(lambda tx: tx.revision)
    placed = await release(live)
    assert placed is not None
    assert placed.fleet == EDGE
    assert await live.write(lambda tx: placements.release(tx, "projects/acme/pools/none")) is None
    assert await live.read(lambda tx: tx.revision) == before
    assert await carried(live) == {EDGE}


async def test_the_same_move_again_is_no_write(live: Store):
    first = await move(live)
    revision = await live.read(lambda tx: tx.revision)
    assert await move(live) == first
    assert await live.read(lambda tx: tx.revision) == revision
    again = await live.write(
        lambda tx: placements.place(tx, POOL, fleet=OTHER, reason="another", overlap=True)
    )
    assert (again.leaving, again.reason) == (EDGE, "another")
    assert await carried(live) == {EDGE, OTHER}


async def test_a_pool_may_come_back_before_its_old_fleet_let_go(live: Store):
    await move(live)
    back = await move(live, EDGE)
    assert (back.fleet, back.leaving) == (EDGE, OTHER)
    assert await carried(live) == {EDGE, OTHER}
    await release(live)
    assert await carried(live) == {EDGE}
    assert (await held(live))[GIVEN] == both("10.0.0.1", allocated=True, on=(EDGE,))


@pytest.mark.parametrize(("is_live", "stays"), [(False, EDGE), (True, OTHER)])
async def test_a_pool_that_moves_on_keeps_the_fleet_that_serves_it(live: Store, is_live, stays):
    await move(live)
    if is_live:
        await live.write(go_live)
    on = await move(live, THIRD)
    assert (on.fleet, on.leaving) == (THIRD, stays)
    assert await carried(live) == {THIRD, stays}
    assert (await held(live))[GIVEN] == both("10.0.0.1", allocated=True, on=(THIRD, stays))


@pytest.mark.parametrize("fleet", ["", EDGE, OTHER, THIRD])
async def test_a_move_can_be_ended_by_a_placement_without_an_overlap(live: Store, fleet: str):
    await move(live)
    await live.write(
        lambda tx: placements.place(tx, POOL, fleet=fleet, reason="at once", overlap=False)
    )
    # Where it was going already it goes on as it was.
    expected = {EDGE, OTHER} if fleet == OTHER else {fleet} - {""}
    assert await carried(live) == expected
    mine = (await held(live)).get(OWN, set())
    assert mine == both("10.0.0.5", allocated=False, on=tuple(expected))
    vip = await live.read(lambda tx: vips.get(tx, GIVEN))
    assert vip.address == ("10.0.0.1" if fleet else "")


async def test_an_address_that_is_taken_where_it_goes_stops_a_move(live: Store):
    await live.write(lambda tx: other_pool(tx, "10.0.0.1"))
    with pytest.raises(FailedPrecondition) as refused:
        await move(live)
    assert (refused.value.reason, refused.value.subject) == ("ADDRESS_IN_USE", GIVEN)
    assert await carried(live) == {EDGE}
    assert (await held(live))[GIVEN] == both("10.0.0.1", allocated=True, on=(EDGE,))
    assert (await move(live, THIRD)).leaving == EDGE


async def test_a_fleet_without_the_address_or_room_stops_a_move(live: Store):
    far = make.fleet(OTHER + "1", vip_ranges=("10.7.0.0/24",))
    full = make.fleet(OTHER + "2", vip_ranges=RANGE, max_pools=1)

    def fill(tx):
        fleets.create(tx, far)
        fleets.create(tx, full)
        other_pool(tx, on=full.name)

    await live.write(fill)
    for fleet, reason in ((far, "ADDRESS_NOT_ON_FLEET"), (full, "FLEET_FULL")):
        with pytest.raises(FailedPrecondition) as refused:
            await move(live, fleet.name)
        assert refused.value.reason == reason
    assert await carried(live) == {EDGE}


async def test_while_a_pool_moves_nobody_takes_its_addresses_on_either_fleet(live: Store):
    await move(live)
    await live.write(other_pool)
    for pool, fleet in ((MINE, OTHER), (MINE, EDGE)):
        await live.write(lambda tx, fleet=fleet: placements.place(tx, MINE, fleet=fleet, reason=""))
        clash = make.vip("clash", pool=pool, address="10.0.0.5")
        with pytest.raises(AlreadyExists) as refused:
            await live.write(lambda tx, clash=clash: vips.create(tx, clash))
        assert refused.value.reason == "ADDRESS_IN_USE"
    await release(live)
    await live.write(lambda tx: vips.create(tx, clash))


async def test_a_vip_that_comes_to_a_moving_pool_holds_its_address_on_both_fleets(live: Store):
    await live.write(lambda tx: other_pool(tx, "10.0.0.2", on=EDGE))
    await move(live)
    new = await live.write(lambda tx: vips.create(tx, make.vip("new")))
    assert new.address == "10.0.0.3"
    # Free where the pool goes, but the fleet that it leaves serves it too.
    with pytest.raises(AlreadyExists):
        await live.write(lambda tx: vips.create(tx, make.vip("x", address="10.0.0.2")))
    brought = await live.write(
        lambda tx: vips.update(
            tx, make.vip("other0").name, lambda it: dataclasses.replace(it, pool=POOL)
        )
    )
    on_both = await held(live)
    assert on_both[new.name] == both("10.0.0.3", allocated=True)
    assert on_both[brought.name] == both("10.0.0.2", allocated=False)
    with pytest.raises(AlreadyExists):
        await live.write(lambda tx: vips.create(tx, make.vip("x", address="10.0.0.3")))


async def test_a_vip_without_an_address_gets_one_where_its_pool_goes(store: Store):
    def fill(tx):
        make.placed_pool(tx, on=make.fleet(vip_ranges=("10.0.0.1/32",)))
        fleets.create(tx, make.fleet(OTHER, vip_ranges=RANGE))
        vips.create(tx, make.vip("given"))
        assert not vips.create(tx, make.vip("waits")).address

    await store.write(fill)
    await move(store)
    waited = await store.read(lambda tx: vips.get(tx, make.vip("waits").name))
    assert (waited.address, waited.address_in_use_by) == ("10.0.0.2", "")
    assert (await held(store))[waited.name] == both("10.0.0.2", allocated=True)


async def test_a_marked_vip_waits_for_the_end_of_the_move(store: Store):
    def fill(tx):
        make.placed_pool(tx, on=make.fleet(vip_ranges=RANGE))
        fleets.create(tx, make.fleet(OTHER, vip_ranges=RANGE))
        pools.create(tx, make.pool(MINE))
        placements.place(tx, MINE, fleet=EDGE, reason="fits")
        vips.create(tx, make.vip("first", pool=MINE, address="10.0.0.5"))
        # Its pool is brought to the fleet with an address that is taken there.
        pools.create(tx, make.pool("projects/acme/pools/late"))
        vips.create(tx, make.vip("own", pool="projects/acme/pools/late", address="10.0.0.5"))
        placements.place(tx, "projects/acme/pools/late", fleet=EDGE, reason="fits")

    def marked(tx):
        return bool(vips.get(tx, OWN).address_in_use_by)

    await store.write(fill)
    late = "projects/acme/pools/late"
    assert await store.read(marked)
    await store.write(
        lambda tx: placements.place(tx, late, fleet=OTHER, reason="moved", overlap=True)
    )
    assert await store.read(marked)
    # Though it would be free on the new fleet now: the old one serves the pool too.
    await store.write(lambda tx: fleets.update(tx, OTHER, _wider))
    assert await store.read(marked)
    revision = await store.read(lambda tx: tx.revision)
    await store.write(lambda tx: placements.release(tx, late))
    assert not await store.read(marked)
    assert (await held(store))[OWN] == {(OTHER, "10.0.0.5", False)}
    news = await store.read(lambda tx: changes.since(tx, revision))
    assert {(each.name, str(each.action)) for each in news} == {(late, "MOVED"), (OWN, "UPDATED")}


def _wider(fleet: Fleet) -> Fleet:
    return dataclasses.replace(fleet, vip_ranges=("10.0.0.0/27",))


async def test_a_moving_pool_that_is_deleted_frees_both_fleets(live: Store):
    await move(live)
    await live.write(lambda tx: trees.delete(tx, POOL))
    assert await carried(live) == {EDGE, OTHER}
    await live.write(lambda tx: verdicts.record(tx, live={}, gone=[POOL]))
    assert await carried(live) == set()
    assert await held(live) == {}


async def test_a_vip_that_is_deleted_while_its_pool_moves_frees_both_fleets(live: Store):
    await move(live)
    await live.write(lambda tx: vips.delete(tx, GIVEN))
    await live.write(lambda tx: verdicts.record(tx, live={}, gone=[GIVEN]))
    assert set(await held(live)) == {OWN}


async def test_a_dropped_placement_frees_both_fleets_and_tells_all_that_live_there(store: Store):
    def fill(tx):
        make.placed_pool(tx, on=make.fleet(vip_ranges=RANGE))
        fleets.create(tx, make.fleet(OTHER, vip_ranges=RANGE))
        members.create(tx, make.member())
        vips.create(tx, make.vip("given"))
        placements.place(tx, POOL, fleet=OTHER, reason="moved", overlap=True)

    await store.write(fill)
    subscription = store.feed.subscribe()
    await store.write(lambda tx: vips.create(tx, make.vip("far", address="192.0.2.1")))
    notice = await subscription.get()
    assert {MEMBER, GIVEN} <= notice.statuses
    assert await carried(store) == set()
    assert await held(store) == {}
    assert (await store.read(lambda tx: vips.get(tx, GIVEN))).address == ""
    assert (await store.read(lambda tx: pools.get(tx, POOL))).placement is None


async def test_a_moving_pool_survives_the_store_being_read_anew(live: Store):
    placement: Placement = await move(live)
    (tree,) = await live.read(trees.read_all)
    assert tree.pool.placement == placement
    assert (await live.read(lambda tx: pools.carried_by(tx, EDGE)))[0].placement == placement

"""Placements: what a fleet carries, which VIP holds which address, when a pool moves."""

import asyncio
import dataclasses

import pytest

from lbaas.model.capabilities import EVERYTHING
from lbaas.model.enums import FleetKind, HealthMonitorType, LbMethod, ProvisioningStatus
from lbaas.model.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from lbaas.model.status import Progress, status_of
from lbaas.store import (
    addresses,
    changes,
    fleets,
    health_monitors,
    members,
    placements,
    pools,
    verdicts,
    vips,
)
from lbaas.store.store import Store
from tests.store import make
from tests.store.make import EDGE, POOL

LIMITED = dataclasses.replace(
    EVERYTHING, lb_methods=frozenset({LbMethod.ROUND_ROBIN}), health_monitor_types=frozenset()
)
OTHER = "fleets/other"
OTHERS = "projects/zeta/pools/web"


def place(store: Store, pool: str = POOL, *, fleet: str = EDGE, reason: str = "fits"):
    return store.write(lambda tx: placements.place(tx, pool, fleet=fleet, reason=reason))


async def carried(store: Store, fleet: str = EDGE) -> int:
    return (await store.read(lambda tx: fleets.get(tx, fleet))).pools


async def test_a_placement_takes_a_revision_and_is_counted(store: Store):
    await store.write(lambda tx: fleets.create(tx, make.fleet()))
    created = await store.write(lambda tx: pools.create(tx, make.pool()))
    assert [pool.name for pool in await store.read(pools.unplaced)] == [POOL]
    subscription = store.feed.subscribe()
    placement = await place(store)
    notice = await subscription.get()
    assert placement.rev == created.record.rev + 1 == notice.revision
    assert [(each.name, each.pool, each.action) for each in notice.changes] == [
        (POOL, POOL, "PLACED")
    ]
    pool = await store.read(lambda tx: pools.get(tx, POOL))
    assert pool.placement == placement
    # Whoever created it may update it with the etag that was given then.
    assert pool.record.etag == created.record.etag
    assert await store.read(pools.unplaced) == ()
    assert [it.name for it in await store.read(lambda tx: pools.carried_by(tx, EDGE))] == [POOL]
    assert await carried(store) == 1


async def test_the_same_decision_again_is_no_write(store: Store):
    await store.write(make.placed_pool)
    first = await place(store)
    revision = await store.read(lambda tx: tx.revision)
    assert await place(store) == first
    assert await store.read(lambda tx: tx.revision) == revision
    assert await carried(store) == 1


async def test_an_unplaceable_pool_keeps_the_reason_and_is_tried_again(store: Store):
    await store.write(lambda tx: pools.create(tx, make.pool()))
    await place(store, fleet="", reason="fleets/edge: draining")
    (pool,) = await store.read(pools.unplaced)
    assert pool.placement is not None
    assert pool.placement.reason == "fleets/edge: draining"
    status = status_of(pool, rejections=(), pool=pool, progress=Progress())
    assert status.provisioning is ProvisioningStatus.ERROR


async def test_a_full_fleet_takes_no_more(store: Store):
    await store.write(lambda tx: make.placed_pool(tx, on=make.fleet(max_pools=1)))
    await store.write(lambda tx: pools.create(tx, make.pool("projects/zeta/pools/p")))
    with pytest.raises(FailedPrecondition) as refused:
        await place(store, "projects/zeta/pools/p")
    assert refused.value.reason == "FLEET_FULL"
    assert await carried(store) == 1


async def test_addresses_are_allocated_lowest_first_and_once(store: Store):
    await store.write(make.placed_pool)
    created = await asyncio.gather(
        *(store.write(lambda tx, n=n: vips.create(tx, make.vip(f"v{n}"))) for n in range(5))
    )
    assert sorted(vip.address for vip in created) == [f"10.0.0.{n}" for n in range(1, 6)]
    sixth = await store.write(lambda tx: vips.create(tx, make.vip("v6", port=443)))
    assert sixth.address == "10.0.0.6"
    seventh = await store.write(lambda tx: vips.create(tx, make.vip("v7")))
    assert seventh.address == ""
    pool = await store.read(lambda tx: pools.get(tx, POOL))
    status = status_of(seventh, rejections=(), pool=pool, progress=Progress())
    assert status.detail is not None
    assert status.detail.reason == "ADDRESS_RANGE_EXHAUSTED"


async def test_an_address_and_port_are_one_vips_until_it_is_purged(store: Store):
    def prepare(tx):
        make.placed_pool(tx)
        pools.create(tx, make.pool(OTHERS))
        placements.place(tx, OTHERS, fleet=EDGE, reason="the only one")

    other = make.vip("c", project="zeta", pool=OTHERS, address="10.0.0.3")
    await store.write(prepare)
    await store.write(lambda tx: vips.create(tx, make.vip("a", address="10.0.0.3")))
    await store.write(lambda tx: vips.create(tx, make.vip("b", address="10.0.0.3", port=443)))
    with pytest.raises(AlreadyExists) as refused:
        await store.write(lambda tx: vips.create(tx, make.vip("c", address="10.0.0.3")))
    assert refused.value.reason == "ADDRESS_IN_USE"
    name = make.vip("a").name
    await store.write(lambda tx: vips.delete(tx, name))
    with pytest.raises(AlreadyExists) as refused:
        await store.write(lambda tx: vips.create(tx, other))
    assert refused.value.reason == "ADDRESS_IN_USE"
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[name]))
    await store.write(lambda tx: vips.create(tx, other))
    await store.write(lambda tx: vips.create(tx, make.vip("a", address="10.0.0.2")))


async def test_a_vip_takes_over_the_address_of_one_of_its_project_that_is_being_deleted(
    store: Store,
):
    def prepare(tx):
        make.placed_pool(tx)
        vips.create(tx, make.vip("a", address="10.0.0.3"))
        vips.delete(tx, make.vip("a").name)
        return vips.create(tx, make.vip("b", address="10.0.0.3"))

    heir = await store.write(prepare)
    assert (heir.address, heir.address_in_use_by) == ("10.0.0.3", "")
    # What was deleted holds nothing any more, so its end frees nothing.
    name = make.vip("a").name
    assert await store.read(lambda tx: addresses.held_on(tx, [name])) == frozenset()
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[name]))
    assert await store.read(lambda tx: addresses.held_on(tx, [heir.name])) == {EDGE}
    with pytest.raises(AlreadyExists) as refused:
        await store.write(lambda tx: vips.create(tx, make.vip("c", address="10.0.0.3")))
    assert refused.value.reason == "ADDRESS_IN_USE"


async def test_a_clash_at_placement_marks_the_vip_and_a_purge_heals_it(store: Store):
    late = "projects/zeta/pools/late"

    def prepare(tx):
        make.placed_pool(tx)
        vips.create(tx, make.vip("first", address="10.0.0.1"))
        pools.create(tx, make.pool(late))
        vips.create(tx, make.vip("v", project="zeta", pool=late, address="10.0.0.1"))

    await store.write(prepare)
    name = "projects/zeta/vips/v"
    await place(store, late)
    vip = await store.read(lambda tx: vips.get(tx, name))
    assert vip.address_in_use_by
    pool = await store.read(lambda tx: pools.get(tx, late))
    status = status_of(vip, rejections=(), pool=pool, progress=Progress())
    assert status.detail is not None
    assert status.detail.reason == "ADDRESS_IN_USE"
    assert "acme" not in status.detail.message
    first = make.vip("first").name
    await store.write(lambda tx: vips.delete(tx, first))
    subscription = store.feed.subscribe()
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[first]))
    notice = await subscription.get()
    assert [(each.name, each.action) for each in notice.changes] == [
        (first, "PURGED"),
        (name, "UPDATED"),
    ]
    healed = await store.read(lambda tx: vips.get(tx, name))
    assert healed.address_in_use_by == ""
    assert healed.record.spec_rev == notice.revision
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: vips.create(tx, make.vip("x", address="10.0.0.1")))


async def test_wider_ranges_serve_who_waited(store: Store):
    await store.write(lambda tx: make.placed_pool(tx, on=make.fleet(vip_ranges=("10.0.0.1/32",))))
    await store.write(lambda tx: vips.create(tx, make.vip("a")))
    waiting = await store.write(lambda tx: vips.create(tx, make.vip("b")))
    assert waiting.address == ""
    wide = ("10.0.0.1/32", "10.0.1.0/24")
    await store.write(
        lambda tx: fleets.update(tx, EDGE, lambda it: dataclasses.replace(it, vip_ranges=wide))
    )
    served = await store.read(lambda tx: vips.get(tx, waiting.name))
    assert (served.address, served.address_in_use_by) == ("10.0.1.1", "")


async def test_a_pool_that_moves_is_pending_again_with_all_of_it(store: Store):
    def prepare(tx):
        make.placed_pool(tx)
        fleets.create(tx, make.fleet(OTHER, vip_ranges=("10.0.0.4/30", "10.7.0.0/24")))
        member = members.create(tx, make.member())
        own = vips.create(tx, make.vip("own", address="10.0.0.5"))
        given = vips.create(tx, make.vip("given"))
        names = [POOL, member.name, own.name, given.name]
        verdicts.record(tx, live=dict.fromkeys(names, tx.revision))

    await store.write(prepare)
    placement = await place(store, fleet=OTHER)
    assert (await carried(store), await carried(store, OTHER)) == (0, 1)
    pool = await store.read(lambda tx: pools.get(tx, POOL))
    member = await store.read(lambda tx: members.get(tx, make.member().name))
    own = await store.read(lambda tx: vips.get(tx, make.vip("own").name))
    given = await store.read(lambda tx: vips.get(tx, make.vip("given").name))
    for obj in (pool, member, own, given):
        assert obj.record.live_rev < obj.record.spec_rev == placement.rev
    assert (own.address, given.address) == ("10.0.0.5", "10.0.0.6")
    (change,) = [
        each
        for each in (await store.read(lambda tx: _since(tx, placement.rev)))
        if each.name == POOL
    ]
    assert change.action == "MOVED"


def _since(tx, rev):
    return changes.since(tx, rev - 1)


async def test_what_a_fleet_cannot_serve_drops_the_placement_or_is_refused(store: Store):
    await store.write(lambda tx: make.placed_pool(tx, on=make.fleet(capabilities=LIMITED)))

    def by_source(tx):
        return pools.update(
            tx, POOL, lambda it: dataclasses.replace(it, lb_method=LbMethod.SOURCE_IP)
        )

    dropped = await store.write(by_source)
    assert dropped.placement is None
    assert await carried(store) == 0
    assert [pool.name for pool in await store.read(pools.unplaced)] == [POOL]

    def back(tx):
        pools.update(tx, POOL, lambda it: dataclasses.replace(it, lb_method=LbMethod.ROUND_ROBIN))
        placements.place(tx, POOL, fleet=EDGE, reason="again")
        vip = vips.create(tx, make.vip())
        verdicts.record(tx, live={vip.name: tx.revision})

    await store.write(back)
    with pytest.raises(FailedPrecondition) as refused:
        await store.write(by_source)
    assert refused.value.reason == "CAPABILITY_MISSING"
    assert refused.value.metadata["missing"] == "lb_method=SOURCE_IP"
    await store.write(lambda tx: health_monitors.create(tx, make.monitor()))
    with pytest.raises(FailedPrecondition) as refused:
        await store.write(lambda tx: pools.associate(tx, POOL, make.monitor().name))
    assert refused.value.metadata["missing"] == "health_monitor_type=TCP"
    pool = await store.read(lambda tx: pools.get(tx, POOL))
    assert pool.placement is not None
    assert pool.lb_method is LbMethod.ROUND_ROBIN


async def test_a_monitor_switched_on_is_a_need_of_its_pools(store: Store):
    def prepare(tx):
        make.placed_pool(tx, on=make.fleet(capabilities=LIMITED))
        health_monitors.create(tx, make.monitor(admin_state_up=False))
        pools.associate(tx, POOL, make.monitor().name)
        vip = vips.create(tx, make.vip())
        verdicts.record(tx, live={vip.name: tx.revision})

    await store.write(prepare)
    assert make.monitor().type is HealthMonitorType.TCP
    with pytest.raises(FailedPrecondition):
        await store.write(
            lambda tx: health_monitors.update(
                tx, make.monitor().name, lambda it: dataclasses.replace(it, admin_state_up=True)
            )
        )


async def test_what_is_built_limits_every_fleet(store: Store):
    store._writer._built = LIMITED
    await store.write(make.placed_pool)
    dropped = await store.write(
        lambda tx: pools.update(
            tx, POOL, lambda it: dataclasses.replace(it, lb_method=LbMethod.LEAST_CONNECTIONS)
        )
    )
    assert dropped.placement is None


async def test_an_address_off_the_fleets_ranges_drops_the_placement(store: Store):
    await store.write(make.placed_pool)
    allocated = await store.write(lambda tx: vips.create(tx, make.vip("given")))
    assert allocated.address == "10.0.0.1"
    await store.write(lambda tx: vips.create(tx, make.vip("far", address="192.0.2.1")))
    (pool,) = await store.read(pools.unplaced)
    assert pool.name == POOL
    # What the fleet had chosen is the fleet's; the next one chooses anew.
    assert (await store.read(lambda tx: vips.get(tx, allocated.name))).address == ""
    with pytest.raises(FailedPrecondition) as refused:
        await place(store)
    assert refused.value.reason == "ADDRESS_NOT_ON_FLEET"
    assert await carried(store) == 0


async def test_a_sidecars_vip_is_on_loopback(store: Store):
    sidecar = make.fleet(kind=FleetKind.SIDECAR, vip_ranges=("127.0.0.0/29",))
    await store.write(lambda tx: make.placed_pool(tx, on=sidecar))
    vip = await store.write(lambda tx: vips.create(tx, make.vip()))
    assert vip.address == "127.0.0.1"
    await store.write(lambda tx: verdicts.record(tx, live={vip.name: tx.revision}))
    with pytest.raises(FailedPrecondition):
        await store.write(lambda tx: vips.create(tx, make.vip("far", address="192.0.2.1")))


async def test_a_vip_goes_to_another_pool_and_fleet_with_its_address(store: Store):
    two = "projects/acme/pools/two"

    def prepare(tx):
        make.placed_pool(tx)
        make.placed_pool(tx, two, on=make.fleet(OTHER, vip_ranges=("10.0.0.0/29",)))
        vips.create(tx, make.vip("taken", pool=two, address="10.0.0.2"))
        vips.create(tx, make.vip("bad", address="10.0.0.2"))
        return vips.create(tx, make.vip())

    vip = await store.write(prepare)
    subscription = store.feed.subscribe()
    moved = await store.write(
        lambda tx: vips.update(tx, vip.name, lambda it: dataclasses.replace(it, pool=two))
    )
    assert (moved.pool, moved.address) == (two, vip.address)
    assert {each.pool for each in (await subscription.get()).changes} == {POOL, two}
    with pytest.raises(AlreadyExists):
        await store.write(
            lambda tx: vips.update(
                tx, make.vip("bad").name, lambda it: dataclasses.replace(it, pool=two)
            )
        )
    # The refused one still holds its own.
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: vips.create(tx, make.vip("x", address="10.0.0.2")))
    free = await store.write(lambda tx: vips.create(tx, make.vip("y", address=vip.address)))
    assert free.address == vip.address


async def test_a_vips_address_is_not_changed_but_may_be_left_out(store: Store):
    await store.write(make.placed_pool)
    vip = await store.write(lambda tx: vips.create(tx, make.vip()))
    kept = await store.write(
        lambda tx: vips.update(
            tx, vip.name, lambda it: dataclasses.replace(it, address="", description="x")
        )
    )
    assert kept.address == vip.address
    with pytest.raises(InvalidArgument):
        await store.write(
            lambda tx: vips.update(
                tx, vip.name, lambda it: dataclasses.replace(it, address="10.0.0.4")
            )
        )

"""Quotas: v1's defaults, and a count that is exact whatever is written at once."""

import asyncio
import dataclasses
import random
from collections import Counter

import pytest

from lbaas.model.capabilities import EVERYTHING
from lbaas.model.errors import InvalidArgument, LbaasError, QuotaExceeded
from lbaas.model.objects import PoolTree, Quota
from lbaas.store import (
    addresses,
    fleets,
    health_monitors,
    members,
    placements,
    pools,
    quotas,
    trees,
    verdicts,
    vips,
)
from lbaas.store.store import Store
from tests.store import make

QUOTA = "projects/acme/quota"
ACME = "projects/acme"
EDGE, OTHER = make.EDGE, "fleets/other"
MAKE = {
    "pools": (pools.create, lambda n: make.pool(f"{ACME}/pools/p{n}")),
    "members": (members.create, make.member),
    "health_monitors": (health_monitors.create, lambda n: make.monitor(f"h{n}")),
    "vips": (vips.create, lambda n: make.vip(f"v{n}", port=n + 1)),
}
"""How one object of each resource is made, by number; members and VIPs live in one pool."""
DELETE = {
    "pools": lambda tx, name: pools.delete(tx, name, force=True),
    "members": members.delete,
    "health_monitors": health_monitors.delete,
    "vips": vips.delete,
}


def limit(store: Store, **most: int):
    return store.write(
        lambda tx: quotas.update(tx, QUOTA, lambda it: dataclasses.replace(it, **most))
    )


def used(store: Store):
    return store.read(lambda tx: quotas.used(tx, QUOTA))


def living(tx) -> Quota:
    """Counts what there is, the slow way."""
    every = {
        "pools": pools.page(tx, ACME, limit=5000),
        "members": members.page(tx, f"{ACME}/pools/-", limit=5000),
        "health_monitors": health_monitors.page(tx, ACME, limit=5000),
        "vips": vips.page(tx, ACME, limit=5000),
    }
    counts = {
        resource: sum(not each.record.deleted_rev for each in found)
        for resource, found in every.items()
    }
    return Quota(name=QUOTA, **counts)


def check_placements(tx):
    """Sees that fleets count what they carry, and VIPs hold their addresses where they serve."""
    for fleet in fleets.every(tx):
        assert fleet.pools == len(placements.carried(tx, fleet.name))
    served = vips.vips_of(tx, [pool.name for pool in pools.page(tx, ACME, limit=99)])
    for name, those in served.items():
        carrying = placements.serving(pools.get(tx, name).placement)
        for vip in those:
            held = addresses.held_on(tx, [vip.name])
            serves = vip.address and not vip.address_in_use_by
            assert held == (set(carrying) if serves else set()), vip


async def test_the_defaults_are_v1s(store: Store):
    assert await store.read(lambda tx: quotas.get(tx, QUOTA)) == Quota(
        name=QUOTA, vips=10, pools=10, members=-1, health_monitors=-1
    )


@pytest.mark.parametrize("resource", MAKE)
async def test_of_many_at_once_exactly_as_many_are_made_as_may_be(store: Store, resource: str):
    create, make_one = MAKE[resource]
    await store.write(lambda tx: pools.create(tx, make.pool()))
    # The pool that members and VIPs live in counts itself.
    most = 8 if resource == "pools" else 7
    await limit(store, **{resource: most})
    outcomes = await asyncio.gather(
        *(store.write(lambda tx, n=n: create(tx, make_one(n))) for n in range(40)),
        return_exceptions=True,
    )
    made = [each for each in outcomes if not isinstance(each, BaseException)]
    refused = [each for each in outcomes if isinstance(each, QuotaExceeded)]
    assert (len(made), len(refused)) == (7, 33)
    assert refused[0].metadata == {"resource": resource.replace("_", " "), "limit": str(most)}
    assert await used(store) == await store.read(living)
    # Each one that goes makes room for one, at once and for one only.
    await store.write(lambda tx: DELETE[resource](tx, made[0].name))
    outcomes = await asyncio.gather(
        *(store.write(lambda tx, n=n: create(tx, make_one(n))) for n in range(100, 110)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, QuotaExceeded) for each in outcomes) == 9
    assert await used(store) == await store.read(living)


async def test_several_processes_count_together(store_url: str):
    stores = await asyncio.gather(*(Store.open(store_url, built=EVERYTHING) for _ in range(3)))
    try:
        outcomes = await asyncio.gather(
            *(
                each.write(
                    lambda tx, n=n, s=s: pools.create(tx, make.pool(f"{ACME}/pools/p{s}-{n}"))
                )
                for s, each in enumerate(stores)
                for n in range(12)
            ),
            return_exceptions=True,
        )
        refused = [each for each in outcomes if isinstance(each, BaseException)]
        assert {type(each) for each in refused} == {QuotaExceeded}
        assert len(outcomes) - len(refused) == 10
        assert (await used(stores[0])).pools == 10
        assert await stores[1].read(living) == await used(stores[2])
    finally:
        for each in stores:
            await each.close()


@pytest.mark.parametrize("seed", range(4))
async def test_the_count_is_right_after_anything_at_once(store: Store, seed: int):
    """Random work on few names, so that most of it meets other work, and much is refused."""
    dice = random.Random(seed)
    names = [f"{ACME}/pools/p{number}" for number in range(4)]

    def prepare(tx):
        fleets.create(tx, make.fleet(vip_ranges=("10.0.0.0/24",)))
        fleets.create(tx, make.fleet(OTHER, vip_ranges=("10.0.0.0/24",)))
        quotas.update(tx, QUOTA, lambda it: dataclasses.replace(it, **most))

    most = {"pools": 3, "members": 12, "vips": 4, "health_monitors": 2}
    await store.write(prepare)
    peak: Counter[str] = Counter()
    outcomes: list[object] = []
    for _ in range(6):
        works = [_random_work(dice, names) for _ in range(40)]
        outcomes += await asyncio.gather(
            *(store.write(work, dry_run=dice.random() < 0.1) for work in works),
            return_exceptions=True,
        )
        counted = await used(store)
        assert counted == await store.read(living)
        await store.read(check_placements)
        for resource, bound in most.items():
            assert getattr(counted, resource) <= bound
            peak[resource] = max(peak[resource], getattr(counted, resource))
    failures = [each for each in outcomes if isinstance(each, BaseException)]
    assert all(isinstance(each, LbaasError) for each in failures), failures
    assert any(isinstance(each, QuotaExceeded) for each in failures)
    assert len(failures) < len(outcomes)
    assert all(peak.values())


def _random_work(dice: random.Random, names: list[str]):
    pool, other = dice.sample(names, 2)
    member = make.member(dice.randrange(8), pool=pool)
    fleet, overlap = dice.choice((EDGE, OTHER)), dice.random() < 0.8
    vip = make.vip(f"v{dice.randrange(6)}", pool=pool, port=1 + dice.randrange(99))
    monitor = make.monitor(f"h{dice.randrange(4)}")
    some = [make.member(number, pool=pool) for number in dice.sample(range(8), 3)]

    def clear(tx):
        """What the Envoys have let go of goes; its count went before."""
        gone = [each.name for each in pools.page(tx, ACME, limit=99) if each.record.deleted_rev]
        gone += [
            each.name
            for each in members.page(tx, f"{ACME}/pools/-", limit=99)
            if each.record.deleted_rev
        ]
        gone += [each.name for each in vips.page(tx, ACME, limit=99) if each.record.deleted_rev]
        gone += [
            each.name
            for each in health_monitors.page(tx, ACME, limit=99)
            if each.record.deleted_rev
        ]
        verdicts.record(tx, live={}, gone=gone)

    def several(tx):
        """A batch is one work: what it did before it failed is undone, its count too."""
        members.create_many(tx, some)
        vips.create(tx, vip)

    def twice(tx):
        """What is deleted already is not given back again."""
        members.delete(tx, member.name)
        members.delete(tx, member.name)

    def move(tx):
        """All there are, to one fleet: those that move already may come back."""
        for each in pools.page(tx, ACME, limit=99):
            if not each.record.deleted_rev:
                placements.place(tx, each.name, fleet=fleet, reason="", overlap=overlap)

    tree = PoolTree(
        pool=make.pool(pool), members=tuple(some), health_monitors=(monitor,), vips=(vip,)
    )
    return dice.choice(
        (
            lambda tx: pools.create(tx, make.pool(pool)),
            lambda tx: members.create(tx, member),
            lambda tx: vips.create(tx, vip),
            lambda tx: health_monitors.create(tx, monitor),
            several,
            twice,
            clear,
            clear,
            move,
            move,
            lambda tx: trees.apply(tx, tree),
            lambda tx: trees.delete(tx, pool),
            lambda tx: pools.delete(tx, pool, force=True),
            lambda tx: vips.delete(tx, vip.name),
            lambda tx: health_monitors.delete(tx, monitor.name),
            lambda tx: members.move(tx, member.name, other),
            lambda tx: vips.update(tx, vip.name, lambda it: dataclasses.replace(it, pool=other)),
            lambda tx: placements.release(tx, pool),
            lambda tx: placements.release(tx, pool),
        )
    )


async def test_a_batch_that_does_not_fit_counts_for_nothing(store: Store):
    await limit(store, members=5)
    await store.write(lambda tx: pools.create(tx, make.pool()))
    await store.write(
        lambda tx: members.create_many(tx, [make.member(number) for number in range(4)])
    )
    with pytest.raises(QuotaExceeded):
        await store.write(
            lambda tx: members.create_many(tx, [make.member(number) for number in (8, 9)])
        )
    assert await used(store) == await store.read(living)
    assert (await used(store)).members == 4


async def test_a_smaller_quota_takes_nothing_away_and_lets_nothing_in(store: Store):
    await store.write(lambda tx: pools.create(tx, make.pool()))
    for number in range(4):
        await store.write(lambda tx, n=number: pools.create(tx, make.pool(f"{ACME}/pools/p{n}")))
    await limit(store, pools=2)
    for number in range(4):
        with pytest.raises(QuotaExceeded):
            await store.write(lambda tx: pools.create(tx, make.pool(f"{ACME}/pools/new")))
        name = f"{ACME}/pools/p{number}"
        await store.write(lambda tx, name=name: pools.delete(tx, name))
    await store.write(lambda tx: pools.create(tx, make.pool(f"{ACME}/pools/new")))
    await limit(store, pools=0, vips=-1)
    with pytest.raises(QuotaExceeded):
        await store.write(lambda tx: pools.create(tx, make.pool(f"{ACME}/pools/newer")))
    many = [make.vip(f"v{number}", port=number + 1) for number in range(15)]
    await store.write(lambda tx: [vips.create(tx, vip) for vip in many])
    assert await used(store) == await store.read(living)
    with pytest.raises(InvalidArgument):
        await limit(store, pools=-2)

"""PING verdicts: who is taken for reachable, and what a verdict makes known."""

import dataclasses

import pytest
from sqlalchemy import func, select

from lbaas.model.enums import HealthMonitorType
from lbaas.model.objects import PoolTree
from lbaas.store import (
    health_monitors,
    members,
    nodes,
    pings,
    placements,
    pools,
    tables,
    trees,
    verdicts,
)
from lbaas.store.store import Store
from tests.store import make
from tests.store.make import EDGE, POOL

OTHER = "projects/acme/pools/other"
ONE, TWO, THREE = (make.member(number).name for number in (1, 2, 3))
PING = make.monitor("ping", type=HealthMonitorType.PING)
SECOND = make.monitor("second", type=HealthMonitorType.PING)


def prepare(tx):
    """A placed pool with two members, and monitors that are on no pool yet."""
    make.placed_pool(tx)
    nodes.save(tx, [make.node()])
    members.create_many(tx, [make.member(1), make.member(2)])
    for monitor in (PING, SECOND, make.monitor("tcp")):
        health_monitors.create(tx, monitor)


@pytest.fixture
async def watched(store: Store) -> Store:
    """A store where PING watches the pool."""
    await store.write(prepare)
    await store.write(lambda tx: pools.associate(tx, POOL, PING.name))
    return store


def record(store: Store, found: dict[tuple[str, str], bool]):
    return store.write(lambda tx: pings.record(tx, found))


def unreachable(store: Store, pool: str = POOL):
    def read(tx):
        (tree,) = trees.read(tx, [pool])
        assert tree in trees.read_all(tx)
        return tree.unreachable

    return store.read(read)


def stored(store: Store):
    count = select(func.count()).select_from(tables.ping_verdicts)
    return store.read(lambda tx: tx.connection.execute(count).scalar_one())


def revision(store: Store):
    return store.read(lambda tx: tx.revision)


def switch(store: Store, *, up: bool):
    return store.write(
        lambda tx: health_monitors.update(
            tx, PING.name, lambda it: dataclasses.replace(it, admin_state_up=up)
        )
    )


async def test_a_verdict_that_differs_is_a_change_of_the_member(watched: Store):
    assert await unreachable(watched) == set()
    before = await watched.read(lambda tx: members.get(tx, ONE))
    subscription = watched.feed.subscribe()
    down = {(ONE, PING.name): False, (TWO, PING.name): True}
    assert await record(watched, down) == (ONE,)
    notice = await subscription.get()
    assert [(each.name, each.pool, each.action) for each in notice.changes] == [
        (ONE, POOL, "UPDATED")
    ]
    assert await unreachable(watched) == {ONE}
    # Nobody wrote the member: it does not become pending, and its etag holds.
    assert await watched.read(lambda tx: members.get(tx, ONE)) == before
    known = await revision(watched)
    assert await record(watched, down) == ()
    assert await revision(watched) == known
    assert await record(watched, {(ONE, PING.name): True}) == (ONE,)
    assert await unreachable(watched) == set()


async def test_a_new_member_takes_no_traffic_before_it_was_reached(watched: Store):
    await watched.write(lambda tx: members.create(tx, make.member(3)))
    assert await unreachable(watched) == {THREE}
    assert await record(watched, {(THREE, PING.name): True}) == (THREE,)
    assert await unreachable(watched) == set()
    await watched.write(lambda tx: members.create(tx, make.member(4)))
    assert await record(watched, {(make.member(4).name, PING.name): False})
    assert await unreachable(watched) == {make.member(4).name}


async def test_every_ping_monitor_of_a_pool_must_reach_a_member(watched: Store):
    await record(watched, {(ONE, PING.name): False})
    await watched.write(lambda tx: pools.associate(tx, POOL, SECOND.name))
    assert await unreachable(watched) == {ONE}
    await record(watched, {(ONE, PING.name): True, (TWO, SECOND.name): False})
    assert await unreachable(watched) == {TWO}
    await watched.write(lambda tx: pools.disassociate(tx, POOL, SECOND.name))
    assert await unreachable(watched) == set()


async def test_to_associate_or_switch_on_takes_who_serves_for_reachable(watched: Store):
    await record(watched, {(ONE, PING.name): False})
    off = await switch(watched, up=False)
    assert await unreachable(watched) == set()
    # Off, or off the pool, it is not asked, and what it found is forgotten.
    assert await record(watched, {(ONE, off.name): False}) == ()
    await watched.write(lambda tx: members.create(tx, make.member(3)))
    await switch(watched, up=True)
    assert await unreachable(watched) == set()
    await record(watched, {(ONE, PING.name): False})
    await watched.write(lambda tx: pools.disassociate(tx, POOL, PING.name))
    assert await unreachable(watched) == set()
    assert await stored(watched) == 0
    await watched.write(lambda tx: pools.associate(tx, POOL, PING.name))
    assert await unreachable(watched) == set()


async def test_where_nobody_serves_all_are_yet_to_be_reached(store: Store):
    def fill(tx):
        prepare(tx)
        pools.create(tx, make.pool(OTHER))
        members.create(tx, make.member(1, pool=OTHER))
        placements.place(tx, OTHER, fleet="", reason="nowhere")
        pools.associate(tx, OTHER, PING.name)
        placements.place(tx, OTHER, fleet=EDGE, reason="fits")

    await store.write(fill)
    assert await unreachable(store, OTHER) == {make.member(1, pool=OTHER).name}
    assert await unreachable(store) == set()


async def test_a_tree_that_is_applied_whole_waits_for_its_first_pings(store: Store):
    wanted = PoolTree(pool=make.pool(), members=(make.member(1),), health_monitors=(PING,))
    made = await store.write(lambda tx: trees.apply(tx, wanted))
    assert made.unreachable == {ONE}


async def test_a_member_that_moves_is_reached_anew(watched: Store):
    def move(tx):
        pools.create(tx, make.pool(OTHER, health_monitors=(PING.name,)))
        return members.move(tx, ONE, OTHER)

    moved = await watched.write(move)
    assert await unreachable(watched, OTHER) == {moved.name}


async def test_verdicts_of_what_is_not_watched_are_passed_over(watched: Store):
    known = await revision(watched)
    tcp = make.monitor("tcp").name
    strange = [(ONE, tcp), (ONE, SECOND.name), (THREE, PING.name), ("x", "y")]
    assert await record(watched, dict.fromkeys(strange, False)) == ()
    assert await revision(watched) == known


async def test_verdicts_go_with_the_member(watched: Store):
    await record(watched, {(ONE, PING.name): False})
    await watched.write(lambda tx: members.delete(tx, ONE))
    assert await unreachable(watched) == set()
    await watched.write(lambda tx: verdicts.record(tx, live={}, gone=[ONE]))
    assert await stored(watched) == 1

"""Drains: who leaves serves on until its time is over, and what cuts that short."""

import dataclasses
from datetime import timedelta

import pytest

from lbaas.model.errors import AlreadyExists
from lbaas.model.objects import Member, PoolTree
from lbaas.store import changes, members, placements, pools, quotas, trees, verdicts, vips
from lbaas.store.store import Store
from tests.store import make
from tests.store.make import POOL

TIMEOUT = timedelta(seconds=30)
ONE, TWO, BRISK = (make.member(number).name for number in (1, 2, 3))


def members_of_the_tree(store: Store):
    def read(tx):
        (one,), (every,) = trees.read(tx, [POOL]), trees.read_all(tx)
        assert one == every
        return {member.name: member for member in one.members}

    return store.read(read)


def prepare(tx):
    """A placed pool with two members that drain, and one that does not."""
    make.placed_pool(tx)
    for number in (1, 2):
        members.create(tx, make.member(number, drain_timeout=TIMEOUT))
    members.create(tx, make.member(3))


def switch(store: Store, name: str, *, up: bool):
    return change(store, name, admin_state_up=up)


def change(store: Store, name: str, **fields: object):
    return store.write(
        lambda tx: members.update(tx, name, lambda it: dataclasses.replace(it, **fields))
    )


def end(store: Store, *names: str):
    return store.write(lambda tx: members.end_drains(tx, names))


def draining(store: Store):
    return store.read(members.draining)


async def test_a_deleted_member_drains_in_its_tree_until_its_time_is_over(store: Store):
    await store.write(prepare)
    gone = await store.write(lambda tx: members.delete(tx, ONE))
    assert gone.drain_end == gone.record.update_time + TIMEOUT
    assert (await members_of_the_tree(store))[ONE] == gone
    assert await draining(store) == (gone,)
    # Its quota is free, its name and address are not; no Envoy's word makes it go before.
    used = await store.read(lambda tx: quotas.used(tx, "projects/acme/quota"))
    assert used.members == 2
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[ONE]))
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: members.create(tx, make.member(1)))

    subscription = store.feed.subscribe()
    (ended,) = await end(store, ONE)
    notice = await subscription.get()
    assert [(each.name, each.pool, each.action) for each in notice.changes] == [
        (ONE, POOL, "UPDATED")
    ]
    assert ended == dataclasses.replace(gone, drained=True)
    assert await store.read(lambda tx: members.get(tx, ONE)) == ended
    assert set(await members_of_the_tree(store)) == {TWO, BRISK}
    assert await draining(store) == ()
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[ONE]))
    await store.write(lambda tx: members.create(tx, make.member(1)))


async def test_without_a_timeout_or_a_fleet_a_member_goes_at_once(store: Store):
    await store.write(prepare)
    await store.write(lambda tx: members.delete(tx, BRISK))
    assert set(await members_of_the_tree(store)) == {ONE, TWO}
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[BRISK]))
    await store.write(lambda tx: placements.place(tx, POOL, fleet="", reason="nowhere"))
    gone = await store.write(lambda tx: members.delete(tx, ONE))
    assert (gone.drain_end, gone.drained) == (None, True)
    assert set(await members_of_the_tree(store)) == {TWO}
    assert await draining(store) == ()


async def test_a_member_switched_off_drains_and_takes_part_again_when_it_is_on(store: Store):
    await store.write(prepare)
    before = await store.read(lambda tx: members.get(tx, ONE))
    off = await switch(store, ONE, up=False)
    assert off.drain_end == off.record.update_time + TIMEOUT
    assert off.record.spec_rev == off.record.rev > before.record.spec_rev
    assert await draining(store) == (off,)
    on = await switch(store, ONE, up=True)
    assert (on.drain_end, on.drained) == (None, False)
    assert await draining(store) == ()

    await switch(store, ONE, up=False)
    (out,) = await end(store, ONE)
    assert out.drained
    assert (await members_of_the_tree(store))[ONE] == out
    assert await end(store, ONE, "projects/acme/pools/web/members/none") == ()
    on = await switch(store, ONE, up=True)
    assert (on.drain_end, on.drained) == (None, False)


async def test_switched_off_without_a_timeout_a_member_is_out_at_once(store: Store):
    await store.write(prepare)
    off = await switch(store, BRISK, up=False)
    born_off = make.member(4, admin_state_up=False, drain_timeout=TIMEOUT)
    born = await store.write(lambda tx: members.create(tx, born_off))
    for member in (off, born):
        assert (member.drain_end, member.drained) == (None, True)
    gone = await store.write(lambda tx: members.delete(tx, born.name))
    assert gone.drain_end is None
    assert set(await members_of_the_tree(store)) == {ONE, TWO, BRISK}


async def test_the_end_of_a_drain_makes_nothing_pending(store: Store):
    await store.write(prepare)
    off = await switch(store, ONE, up=False)
    revision = await store.read(lambda tx: tx.revision)
    (ended,) = await end(store, ONE)
    assert ended.record == off.record
    assert await store.read(lambda tx: tx.revision) == revision + 1
    await end(store, ONE, TWO)
    assert await store.read(lambda tx: tx.revision) == revision + 1


async def test_drain_fields_are_the_stores_own(store: Store):
    await store.write(prepare)
    revision = await store.read(lambda tx: tx.revision)
    assert (await change(store, ONE, drained=True, drain_end=make.NOON)).drain_end is None
    off = await switch(store, TWO, up=False)
    assert await change(store, TWO, drained=True, drain_end=None) == off
    assert await store.read(lambda tx: tx.revision) == revision + 1
    given = make.member(4, drained=True, drain_end=make.NOON)
    born = await store.write(lambda tx: members.create(tx, given))
    assert (born.drain_end, born.drained) == (None, False)
    await store.write(lambda tx: pools.create(tx, make.pool("projects/acme/pools/other")))
    renamed = await store.write(lambda tx: members.move(tx, TWO, "projects/acme/pools/other"))
    assert (renamed.drain_end, renamed.drained) == (off.drain_end, False)


async def test_a_drain_goes_on_when_the_member_is_deleted_too(store: Store):
    await store.write(prepare)
    off = await switch(store, ONE, up=False)
    gone = await store.write(lambda tx: members.delete(tx, ONE))
    assert gone.drain_end == off.drain_end
    assert await draining(store) == (gone,)
    await switch(store, TWO, up=False)
    await end(store, TWO)
    gone = await store.write(lambda tx: members.delete(tx, TWO))
    assert set(await members_of_the_tree(store)) == {ONE, BRISK}


async def test_another_timeout_moves_the_end_of_a_drain_under_way(store: Store):
    await store.write(prepare)
    off = await switch(store, ONE, up=False)
    begun = off.record.update_time
    longer = await change(store, ONE, drain_timeout=timedelta(minutes=5))
    assert longer.drain_end == begun + timedelta(minutes=5)
    over = await change(store, ONE, drain_timeout=timedelta(0))
    assert over.drain_end == begun
    assert await draining(store) == (over,)


async def test_apply_drains_whom_it_leaves_out_and_lists_them_no_more(store: Store):
    await store.write(prepare)
    kept: tuple[Member, ...] = (make.member(2, drain_timeout=TIMEOUT), make.member(3))
    wanted = PoolTree(pool=make.pool(), members=kept)
    made = await store.write(lambda tx: trees.apply(tx, wanted))
    assert [member.name for member in made.members] == [TWO, BRISK]
    (gone,) = await draining(store)
    assert (gone.name, bool(gone.record.deleted_rev)) == (ONE, True)
    revision = await store.read(lambda tx: tx.revision)
    assert await store.write(lambda tx: trees.apply(tx, wanted)) == made
    assert await store.read(lambda tx: tx.revision) == revision


@pytest.mark.parametrize(
    "delete",
    [
        pytest.param(lambda tx: pools.delete(tx, POOL, force=True), id="pool"),
        pytest.param(lambda tx: trees.delete(tx, POOL), id="tree"),
    ],
)
async def test_nothing_drains_of_a_pool_that_is_deleted(store: Store, delete):
    await store.write(prepare)
    await store.write(lambda tx: members.delete(tx, ONE))
    await switch(store, TWO, up=False)
    revision = await store.read(lambda tx: tx.revision)
    await store.write(delete)
    assert await draining(store) == ()
    told = {each.name for each in await store.read(lambda tx: changes.since(tx, revision))}
    assert told == {POOL, ONE, TWO, BRISK}
    names = [ONE, TWO, BRISK]
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=names))
    assert await store.read(lambda tx: members.page(tx, POOL, limit=9)) == ()


async def test_nothing_drains_of_a_pool_that_lost_its_fleet(store: Store):
    await store.write(prepare)
    await store.write(lambda tx: members.delete(tx, ONE))
    # No fleet here has this address: the pool, of which nothing is live yet, is placed anew.
    await store.write(lambda tx: vips.create(tx, make.vip(address="192.0.2.1")))
    assert await draining(store) == ()
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[ONE]))
    assert set(await members_of_the_tree(store)) == {TWO, BRISK}

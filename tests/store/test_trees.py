"""Trees in bulk, Apply, and what the Envoys' verdicts do to the rows."""

import dataclasses

import pytest
from sqlalchemy import event

from lbaas.model.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from lbaas.model.objects import Node, PoolTree
from lbaas.store import (
    changes,
    fleets,
    health_monitors,
    members,
    nodes,
    objects,
    pools,
    quotas,
    rejections,
    trees,
    verdicts,
    vips,
)
from lbaas.store.store import Store
from tests.store import make
from tests.store.make import EDGE, NOON, POOL


def tree(**fields: object) -> PoolTree:
    given = {
        "pool": make.pool(),
        "members": (make.member(1), make.member(2)),
        "health_monitors": (make.monitor(),),
        "vips": (make.vip("a"), make.vip("b", port=81)),
        **fields,
    }
    return PoolTree(**given)


def apply(store: Store, wanted: PoolTree, **options: str):
    return store.write(lambda tx: trees.apply(tx, wanted, **options))


async def test_apply_makes_a_whole_tree_at_one_revision(store: Store):
    start = await store.read(lambda tx: tx.revision)
    made = await apply(store, tree())
    assert made.pool.health_monitors == (make.monitor().name,)
    assert [member.name for member in made.members] == [make.member(n).name for n in (1, 2)]
    assert [vip.name for vip in made.vips] == [make.vip("a").name, make.vip("b").name]
    rows = await store.read(lambda tx: changes.since(tx, start))
    assert {row.rev for row in rows} == {start + 1}
    assert await store.read(trees.read_all) == (made,)
    assert await store.read(lambda tx: trees.read(tx, [POOL])) == (made,)


async def test_apply_of_the_same_is_no_write(store: Store):
    made = await apply(store, tree())
    revision = await store.read(lambda tx: tx.revision)
    assert await apply(store, tree()) == made
    assert await store.read(lambda tx: tx.revision) == revision


async def test_what_apply_lists_is_the_whole_truth(store: Store):
    before = await apply(store, tree())
    heavier = dataclasses.replace(make.member(2), weight=9)
    after = await apply(
        store,
        tree(
            pool=make.pool(description="new"),
            members=(heavier, make.member(3)),
            health_monitors=(),
            vips=(make.vip("b", port=81), make.vip("c", port=82)),
        ),
        etag=before.pool.record.etag,
    )
    assert [(member.name[-2:], member.weight) for member in after.members] == [
        ("m2", 9),
        ("m3", 1),
    ]
    assert after.members[0].record.uid == before.members[1].record.uid
    assert [vip.name[-1] for vip in after.vips] == ["b", "c"]
    assert after.health_monitors == ()
    # Monitors are never deleted by Apply.
    found = await store.read(lambda tx: health_monitors.get(tx, make.monitor().name))
    assert found.record.deleted_rev == 0
    unlisted = await store.read(lambda tx: members.get(tx, make.member(1).name))
    assert unlisted.record.deleted_rev == after.pool.record.rev
    with pytest.raises(Aborted):
        await apply(store, tree(), etag=before.pool.record.etag)


async def test_apply_gives_the_address_of_a_vip_it_drops_to_one_that_it_brings(store: Store):
    def prepare(tx):
        make.placed_pool(tx)
        return trees.apply(tx, tree(vips=(make.vip("a", address="10.0.0.3"),)))

    await store.write(prepare)
    after = await apply(store, tree(vips=(make.vip("b", address="10.0.0.3"),)))
    assert [(vip.name[-1], vip.address) for vip in after.vips] == [("b", "10.0.0.3")]
    assert after.leaving == ()
    # The one that goes is rendered with its pool until it is gone.
    (whole,) = await store.read(trees.read_all)
    assert [vip.name for vip in whole.leaving] == [make.vip("a").name]
    assert await store.read(lambda tx: trees.read(tx, [POOL])) == (whole,)
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[make.vip("a").name]))
    (whole,) = await store.read(trees.read_all)
    assert (whole.leaving, [vip.name[-1] for vip in whole.vips]) == ((), ["b"])


async def test_apply_says_all_that_is_wrong_and_stores_nothing(store: Store):
    bad = tree(
        members=(make.member(1, port=0), make.member(2, weight=999)),
        vips=(make.vip("a", port=70000),),
    )
    start = await store.read(lambda tx: tx.revision)
    with pytest.raises(InvalidArgument) as refused:
        await apply(store, bad)
    fields = {violation.field for violation in refused.value.violations}
    assert {"members[0].port", "members[1].weight", "vips[0].port"} <= fields
    assert await store.read(lambda tx: tx.revision) == start
    with pytest.raises(FailedPrecondition):
        await apply(store, tree(), etag='"x"')


async def test_apply_is_all_or_nothing(store: Store):
    await store.write(lambda tx: pools.create(tx, make.pool("projects/acme/pools/p2")))
    twelve = tuple(make.vip(f"v{n}", port=n + 1) for n in range(12))
    with pytest.raises(Exception, match="may have 10"):
        await apply(store, tree(vips=twelve))
    with pytest.raises(NotFound):
        await store.read(lambda tx: pools.get(tx, POOL))
    used = await store.read(lambda tx: quotas.used(tx, "projects/acme/quota"))
    assert (used.pools, used.members, used.vips, used.health_monitors) == (1, 0, 0, 0)


async def test_reading_trees_takes_as_many_queries_for_many_pools_as_for_few(store: Store):
    def fill(tx):
        for number in range(40):
            name = f"projects/p{number}/pools/web"
            pools.create(tx, make.pool(name))
            members.create_many(tx, [make.member(n, pool=name) for n in range(3)])

    await store.write(fill)
    queries = []

    def count(work):
        queries.clear()
        return store.read(work)

    def note(_connection, _cursor, statement, *_):
        if statement.startswith("SELECT"):
            queries.append(statement)

    event.listen(store._reading, "before_cursor_execute", note)
    names = [f"projects/p{number}/pools/web" for number in range(40)]
    few = await count(lambda tx: trees.read(tx, names[:2]))
    small = len(queries)
    many = await count(lambda tx: trees.read(tx, names))
    assert len(queries) == small <= 6
    every = await count(trees.read_all)
    assert len(queries) <= 6
    assert (len(few), every) == (2, many)


async def test_deleting_a_tree_frees_the_quota_at_once_and_names_when_gone(store: Store):
    await apply(store, tree())
    gone = await store.write(lambda tx: trees.delete(tx, POOL))
    assert gone.record.deleted_rev
    assert await store.read(trees.read_all) == ()
    used = await store.read(lambda tx: quotas.used(tx, "projects/acme/quota"))
    assert (used.pools, used.members, used.vips) == (0, 0, 0)
    unsettled = await store.read(objects.unsettled)
    leaving = [obj.name for obj in unsettled if obj.record.deleted_rev]
    assert len(leaving) == 5
    await store.write(lambda tx: health_monitors.delete(tx, make.monitor().name))
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[*leaving, make.monitor().name]))
    assert await store.read(objects.unsettled) == ()
    assert (await apply(store, tree())).pool.record.live_rev == 0


async def test_a_pool_that_is_gone_takes_the_rest_of_its_tree_along(store: Store):
    def prepare(tx):
        make.placed_pool(tx)
        members.create(tx, make.member())
        vips.create(tx, make.vip(address="10.0.0.1"))

    await store.write(prepare)
    await store.write(lambda tx: trees.delete(tx, POOL))
    assert (await store.read(lambda tx: fleets.get(tx, EDGE))).pools == 1
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[POOL]))
    assert (await store.read(lambda tx: fleets.get(tx, EDGE))).pools == 0
    names = [POOL, make.member().name, make.vip().name]
    assert await store.read(lambda tx: objects.get_many(tx, names)) == {}


async def test_what_is_not_deleted_is_never_purged(store: Store):
    await apply(store, tree())
    revision = await store.read(lambda tx: tx.revision)
    names = [POOL, make.member().name, make.vip("a").name, make.monitor().name, "projects/x"]
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=names))
    assert await store.read(lambda tx: tx.revision) == revision
    assert len(await store.read(lambda tx: objects.get_many(tx, names))) == 4


async def test_live_is_a_latch_and_takes_no_revision(store: Store):
    made = await apply(store, tree())
    names = [POOL, make.member().name, make.vip("a").name, make.monitor().name]
    rev = made.pool.record.rev
    subscription = store.feed.subscribe()
    await store.write(lambda tx: verdicts.record(tx, live=dict.fromkeys(names, rev)))
    notice = await subscription.get()
    assert (notice.revision, notice.changes, notice.statuses) == (rev, (), frozenset(names))
    await store.write(lambda tx: verdicts.record(tx, live=dict.fromkeys(names, rev - 1)))
    found = await store.read(lambda tx: objects.get_many(tx, names))
    assert {obj.record.live_rev for obj in found.values()} == {rev}
    unsettled = {obj.name for obj in await store.read(objects.unsettled)}
    assert unsettled == {make.member(2).name, make.vip("b").name}


async def test_rejections_are_kept_with_their_words_and_last_good_bytes(store: Store):
    made = await apply(store, tree())
    name = make.vip("a").name
    refused = make.rejection(
        name, (name, made.vips[0].record.spec_rev), last_good=b"\x00\xff", last_good_version="v"
    )
    subscription = store.feed.subscribe()
    await store.write(lambda tx: verdicts.record(tx, live={}, rejected=[refused]))
    assert (await subscription.get()).statuses == {name}
    assert await store.read(rejections.all) == (refused,)
    assert await store.read(lambda tx: rejections.of(tx, [name, POOL])) == {name: (refused,)}
    newer = dataclasses.replace(refused, version="def", message="again", objects=((POOL, 1),))
    await store.write(lambda tx: verdicts.record(tx, live={}, rejected=[newer]))
    assert await store.read(rejections.all) == (newer,)
    assert (await subscription.get()).statuses == {name, POOL}
    key = rejections.key_of(newer)
    await store.write(lambda tx: verdicts.record(tx, live={}, cleared=[key, key]))
    assert await store.read(rejections.all) == ()
    assert (await subscription.get()).statuses == {POOL}


async def test_a_purged_objects_rejections_go_with_it(store: Store):
    await apply(store, tree())
    name = make.vip("a").name
    shared = make.rejection("runtime", (name, 1), (POOL, 1))
    own = make.rejection(name, (name, 1))
    await store.write(lambda tx: verdicts.record(tx, live={}, rejected=[shared, own]))
    await store.write(lambda tx: vips.delete(tx, name))
    await store.write(lambda tx: verdicts.record(tx, live={}, gone=[name]))
    (left,) = await store.read(rejections.all)
    assert left.objects == ((POOL, 1),)


async def test_nodes_are_kept_as_last_seen(store: Store):
    one = Node(name=f"{EDGE}/nodes/n1", envoy_version="1.40", joined_rev=3, last_seen=NOON)
    two = Node(name=f"{EDGE}/nodes/n2")
    await store.write(lambda tx: nodes.save(tx, [two, one]))
    counted = dataclasses.replace(one, counted=True)
    await store.write(lambda tx: nodes.save(tx, [counted]))
    assert await store.read(nodes.all) == (counted, two)

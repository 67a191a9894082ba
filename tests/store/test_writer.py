"""One writer: revisions without gaps, commits together, works that do not harm each other."""

import asyncio
import threading

import pytest

from lbaas.model.errors import NotFound, QuotaExceeded, Unavailable
from lbaas.model.objects import Quota
from lbaas.store import changes, members, pools, quotas, requests
from lbaas.store.feed import Subscription
from lbaas.store.store import Store
from lbaas.store.writer import LARGEST_BATCH
from tests.store import make
from tests.store.make import POOL


async def held(store: Store) -> threading.Event:
    """Stops the writer inside a work until the event is set, so that works pile up behind it."""
    entered, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def stand_still(_tx):
        loop.call_soon_threadsafe(entered.set)
        go.wait(30)

    store.hold = asyncio.create_task(store.write(stand_still))
    await entered.wait()
    return go


async def unlimited(store: Store) -> None:
    name = "projects/acme/quota"
    await store.write(lambda tx: quotas.update(tx, name, lambda _: Quota(name=name, pools=-1)))


async def collect(subscription: Subscription, until: int):
    found = []
    while not found or found[-1].rev < until:
        found += (await subscription.get()).changes
    return found


async def test_many_writers_get_revisions_without_gap_in_the_feeds_order(store: Store):
    await unlimited(store)
    start = await store.read(lambda tx: tx.revision)
    subscription = store.feed.subscribe()
    names = [f"projects/acme/pools/p{number}" for number in range(300)]
    created = await asyncio.gather(
        *(store.write(lambda tx, name=name: pools.create(tx, make.pool(name))) for name in names)
    )
    revisions = [pool.record.rev for pool in created]
    assert sorted(revisions) == list(range(start + 1, start + 301))
    seen = await collect(subscription, start + 300)
    assert [each.rev for each in seen] == sorted(revisions)
    by_name = {pool.name: pool.record.rev for pool in created}
    assert all(by_name[each.name] == each.rev for each in seen)
    assert tuple(seen) == await store.read(lambda tx: changes.since(tx, start))


async def test_what_waits_together_commits_together_and_fails_alone(store: Store):
    await unlimited(store)
    go = await held(store)
    subscription = store.feed.subscribe()
    start = store.feed.revision

    def broken(tx):
        pools.create(tx, make.pool("projects/acme/pools/broken"))
        raise ValueError("mine alone")

    works = [
        asyncio.create_task(
            store.write(lambda tx, n=n: pools.create(tx, make.pool(f"projects/acme/pools/p{n}")))
        )
        for n in range(3)
    ]
    bad = asyncio.create_task(store.write(broken))
    works += [
        asyncio.create_task(
            store.write(lambda tx, n=n: pools.create(tx, make.pool(f"projects/acme/pools/p{n}")))
        )
        for n in range(3, 6)
    ]
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(ValueError, match="mine alone"):
        await bad
    created = await asyncio.gather(*works)
    assert [pool.record.rev for pool in created] == list(range(start + 1, start + 7))
    # One notice: they were one commit.
    notice = await subscription.get()
    assert [each.rev for each in notice.changes] == list(range(start + 1, start + 7))
    with pytest.raises(NotFound):
        await store.read(lambda tx: pools.get(tx, "projects/acme/pools/broken"))


async def test_a_driver_error_of_one_work_harms_no_other(store: Store):
    go = await held(store)

    def doubled(tx):
        tx.connection.exec_driver_sql("INSERT INTO revision VALUES (1, 0, 0)")

    bad = asyncio.create_task(store.write(doubled))
    good = asyncio.create_task(store.write(lambda tx: pools.create(tx, make.pool())))
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        await bad
    await good
    assert (await store.read(lambda tx: pools.get(tx, POOL))).name == POOL


@pytest.mark.parametrize("together", [False, True])
async def test_a_dry_run_leaves_nothing(store: Store, together: bool):
    go = await held(store) if together else threading.Event()
    start = store.feed.revision
    dry = asyncio.create_task(store.write(lambda tx: pools.create(tx, make.pool()), dry_run=True))
    name = "projects/acme/pools/real"
    real = asyncio.create_task(store.write(lambda tx: pools.create(tx, make.pool(name))))
    await asyncio.sleep(0)
    go.set()
    assert (await dry).name == POOL
    assert (await real).record.rev == start + 1
    with pytest.raises(NotFound):
        await store.read(lambda tx: pools.get(tx, POOL))
    assert (await store.read(lambda tx: quotas.used(tx, "projects/acme/quota"))).pools == 1
    assert [each.name for each in await store.read(lambda tx: changes.since(tx, start))] == [name]


async def test_a_quota_is_exact_under_many_writers(store: Store):
    name = "projects/acme/quota"
    await store.write(lambda tx: quotas.update(tx, name, lambda _: Quota(name=name, pools=25)))
    works = [
        store.write(lambda tx, n=n: pools.create(tx, make.pool(f"projects/acme/pools/p{n}")))
        for n in range(100)
    ]
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, QuotaExceeded)]
    assert len(refused) == 75
    assert refused[0].metadata == {"resource": "pools", "limit": "25"}
    assert len(await store.read(lambda tx: pools.page(tx, "projects/acme", limit=200))) == 25
    await store.write(lambda tx: pools.delete(tx, "projects/acme/pools/p0"))
    await store.write(lambda tx: pools.create(tx, make.pool("projects/acme/pools/again")))
    with pytest.raises(QuotaExceeded):
        await store.write(lambda tx: pools.create(tx, make.pool("projects/acme/pools/more")))


async def test_defaults_of_quotas_are_v1s(store: Store):
    name = "projects/acme/quota"
    assert await store.read(lambda tx: quotas.get(tx, name)) == Quota(name=name)
    for number in range(10):
        pool = make.pool(f"projects/acme/pools/p{number}")
        await store.write(lambda tx, pool=pool: pools.create(tx, pool))
    with pytest.raises(QuotaExceeded):
        await store.write(lambda tx: pools.create(tx, make.pool("projects/acme/pools/p10")))
    await store.write(lambda tx: pools.create(tx, make.pool("projects/zeta/pools/p10")))
    many = [make.member(n, pool="projects/acme/pools/p0") for n in range(600)]
    await store.write(lambda tx: members.create_many(tx, many))
    assert (await store.read(lambda tx: quotas.used(tx, name))).members == 600


async def test_more_than_a_batch_waits_and_all_is_done(store: Store):
    go = await held(store)
    works = [
        asyncio.create_task(store.write(lambda tx: tx.next_revision()))
        for _ in range(LARGEST_BATCH * 2 + 10)
    ]
    await asyncio.sleep(0)
    go.set()
    revisions = await asyncio.gather(*works)
    assert revisions == list(range(revisions[0], revisions[0] + len(works)))


async def test_the_loop_runs_while_the_writer_works(store: Store):
    go = await held(store)
    # Were the loop blocked, neither of these would come back before the writer goes on.
    assert await store.read(lambda tx: tx.revision) == 1
    await asyncio.sleep(0)
    go.set()
    await store.hold


async def test_a_caller_that_goes_away_undoes_nothing(store: Store):
    go = await held(store)
    gone = asyncio.create_task(store.write(lambda tx: pools.create(tx, make.pool())))
    await asyncio.sleep(0)
    gone.cancel()
    go.set()
    await store.write(lambda _tx: None)
    assert (await store.read(lambda tx: pools.get(tx, POOL))).name == POOL


async def test_a_read_sees_one_state_throughout(store: Store):
    loop = asyncio.get_running_loop()
    entered, go = asyncio.Event(), threading.Event()

    def look_twice(tx):
        first = (tx.revision, pools.count(tx))
        loop.call_soon_threadsafe(entered.set)
        go.wait(30)
        return first, (tx.revision, pools.count(tx))

    reading = asyncio.create_task(store.read(look_twice))
    await entered.wait()
    await store.write(lambda tx: pools.create(tx, make.pool()))
    go.set()
    first, second = await reading
    assert first == second


async def test_a_reader_cannot_write(store: Store):
    with pytest.raises(RuntimeError):
        await store.read(lambda tx: tx.next_revision())
    with pytest.raises(Unavailable, match="read only"):
        await store.read(lambda tx: tx.connection.exec_driver_sql("DELETE FROM changes"))


async def test_closing_finishes_what_waits_and_then_refuses(store: Store):
    works = [
        asyncio.create_task(
            store.write(lambda tx, n=n: pools.create(tx, make.pool(f"projects/a{n}/pools/p")))
        )
        for n in range(20)
    ]
    subscription = store.feed.subscribe()
    await asyncio.sleep(0)
    await store.close()
    assert all(task.done() for task in works)
    assert len([task.result() for task in works]) == 20
    assert len([each async for notice in subscription for each in notice.changes]) == 20
    with pytest.raises(Unavailable):
        await store.write(lambda tx: tx.revision)
    with pytest.raises(Unavailable):
        await store.read(lambda tx: tx.revision)


async def test_a_slow_listener_is_told_that_it_missed_something(store: Store, monkeypatch):
    monkeypatch.setattr(Subscription, "MOST", 5)
    subscription = store.feed.subscribe()
    await unlimited(store)
    for number in range(6):
        pool = make.pool(f"projects/acme/pools/p{number}")
        await store.write(lambda tx, pool=pool: pools.create(tx, pool))
    notice = await subscription.get()
    assert not notice.complete
    assert notice.revision == store.feed.revision
    await store.write(lambda tx: pools.delete(tx, "projects/acme/pools/p0"))
    notice = await subscription.get()
    assert notice.complete
    assert [each.action for each in notice.changes] == ["DELETED"]


async def test_a_repeated_request_gets_its_first_answer_for_a_day(store: Store):
    await store.write(lambda tx: requests.keep(tx, "acme", "id-1", "print", b"answer"))

    def ask(project="acme", fingerprint="print"):
        return store.read(lambda tx: requests.replay(tx, project, "id-1", fingerprint))

    assert await ask() == b"answer"
    assert await ask(project="zeta") is None
    with pytest.raises(Exception, match="another request"):
        await ask(fingerprint="other")
    tomorrow = store._clock() + requests.KEPT
    store._clock = lambda: tomorrow
    assert await ask() is None
    store._writer._clock = store._clock
    await store.write(lambda tx: requests.keep(tx, "acme", "id-1", "other", b"new"))
    assert await ask(fingerprint="other") == b"new"


async def test_old_changes_are_forgotten_whole_revisions_at_a_time(store: Store):
    store._writer._keep_changes = 20
    await unlimited(store)
    for number in range(30):
        pool = make.pool(f"projects/acme/pools/p{number}")
        await store.write(lambda tx, pool=pool: pools.create(tx, pool))
    with pytest.raises(Exception, match="no longer kept") as refused:
        await store.read(lambda tx: changes.since(tx, 1))
    oldest = int(refused.value.metadata["compacted_revision"])
    kept = await store.read(lambda tx: changes.since(tx, oldest))
    newest = await store.read(lambda tx: tx.revision)
    assert [each.rev for each in kept] == list(range(oldest + 1, newest + 1))
    assert 20 <= len(kept) <= 22

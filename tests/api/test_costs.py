"""What must not grow: queries with a list's length, a slow watch's memory, other waits' work."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from api.paging import Pager
from api.serving import Serving
from api.watching import Watch
from lbaas.model.rules import STRICT
from lbaas.store import objects, verdicts
from lbaas.store.feed import Subscription
from lbaas.store.store import Store
from lbaas.v1.load_balancer_service_pb2 import WaitForAppliedRequest, WaitOutcome
from lbaas.v1.member_service_pb2 import ListMembersRequest
from lbaas.v1.pool_service_pb2 import ListPoolsRequest, UpdatePoolRequest
from lbaas.v1.vip_service_pb2 import ListVipsRequest
from tests.api import make
from tests.api.client import Client
from tests.api.fleet_side import FleetSide


@contextmanager
def counted(store: Store) -> Iterator[list[str]]:
    """Collects the statements that readers execute."""
    statements: list[str] = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        statements.append(statement)

    event.listen(store._reading, "before_cursor_execute", note)
    yield statements
    event.remove(store._reading, "before_cursor_execute", note)


async def test_a_lists_queries_do_not_grow_with_it(client: Client, store: Store) -> None:
    await client.pools.CreatePool(make.create_pool())
    counts = []
    for first, last in ((0, 2), (2, 9)):
        for n in range(first, last):
            await client.pools.CreatePool(make.create_pool(f"p{n}"))
            await client.members.CreateMember(make.create_member(n))
            await client.vips.CreateVip(
                make.create_vip(f"v{n}", port=1000 + n, pool=f"{make.ACME}/pools/p{n}")
            )
        with counted(store) as statements:
            await client.pools.ListPools(ListPoolsRequest(parent=make.ACME))
            await client.members.ListMembers(ListMembersRequest(parent=make.WEB))
            vips = await client.vips.ListVips(ListVipsRequest(parent=make.ACME))
        assert len(vips.vips) == last
        counts.append(len(statements))

    assert counts[0] == counts[1]


@pytest.fixture
def serving(store: Store, fleet_side: FleetSide) -> Serving:
    return Serving(store=store, view=fleet_side, pager=Pager(b"secret"), policy=STRICT)


async def test_a_slow_watch_finds_each_object_once(
    client: Client, store: Store, serving: Serving
) -> None:
    await client.pools.CreatePool(make.create_pool())
    events = Watch(serving, make.ACME).events(0)
    first = [await anext(events), await anext(events)]
    assert first[1].HasField("heartbeat")
    for number in range(50):
        await client.pools.UpdatePool(
            UpdatePoolRequest(pool=make.Pool(name=make.WEB, description=str(number)))
        )

    change = await anext(events)

    assert change.change.pool.description == "49"
    serving.stop()
    assert (await anext(events)).end.reason == "SERVER_STOPPING"
    with pytest.raises(StopAsyncIteration):
        await anext(events)
    assert not store.feed._subscriptions


async def test_a_watch_that_lost_notices_reads_the_change_rows(
    client: Client, store: Store, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Subscription, "MOST", 3)
    made = await client.pools.CreatePool(make.create_pool())
    events = Watch(serving, make.ACME).events(0)
    await anext(events)
    await anext(events)
    await store.write(lambda tx: verdicts.record(tx, live={make.WEB: made.revision}))
    names = [f"p{n}" for n in range(6)]
    for name in names:
        await client.pools.CreatePool(make.create_pool(name))

    changes = [await anext(events) for _ in names]
    statuses = [await anext(events)]

    assert [each.change.pool.name.rsplit("/", 1)[-1] for each in changes] == names
    # Whose status moved is forgotten with the notices, so every status is told.
    assert [each.status.name for each in statuses] == [make.WEB]
    await events.aclose()


async def test_a_verdict_reads_only_for_the_waits_that_it_concerns(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    get_many = objects.get_many

    def noting(tx, names):
        asked.extend(names)
        return get_many(tx, names)

    made = [await client.pools.CreatePool(make.create_pool(f"p{n}")) for n in range(10)]
    monkeypatch.setattr(objects, "get_many", noting)
    waits = [
        asyncio.ensure_future(client.trees.WaitForApplied(WaitForAppliedRequest(name=each.name)))
        for each in made
    ]
    while set(asked) < {each.name for each in made}:
        await store.read(lambda tx: tx.revision)
    asked.clear()
    one = made[3]

    await store.write(lambda tx: verdicts.record(tx, live={one.name: one.revision}))

    assert (await waits[3]).outcome == WaitOutcome.APPLIED
    assert set(asked) == {one.name}
    for each in waits:
        each.cancel()


async def test_waits_and_verdicts_in_any_order(client: Client, store: Store) -> None:
    made = [await client.pools.CreatePool(make.create_pool(f"p{n}")) for n in range(10)]
    waits, writes = [], []
    for each in made:
        wait = WaitForAppliedRequest(name=each.name, revision=each.revision)
        wait.timeout.FromSeconds(10)
        waits.append(asyncio.ensure_future(client.trees.WaitForApplied(wait)))
        verdict = {each.name: each.revision}
        writes.append(
            asyncio.ensure_future(
                store.write(lambda tx, verdict=verdict: verdicts.record(tx, live=verdict))
            )
        )

    answers = await asyncio.gather(*waits)

    assert {answer.outcome for answer in answers} == {WaitOutcome.APPLIED}
    await asyncio.gather(*writes)

"""The same server on PostgreSQL: what depends on the database."""

import uuid
from collections.abc import AsyncIterator

import pytest

from lbaas.model.capabilities import EVERYTHING
from lbaas.store import verdicts
from lbaas.store.store import Store
from lbaas.v1.load_balancer_service_pb2 import (
    ApplyRequest,
    WaitForAppliedRequest,
    WaitOutcome,
    WatchRequest,
)
from lbaas.v1.pool_service_pb2 import ListPoolsRequest
from tests.api import make
from tests.api.client import Client, Code, refused
from tests.api.test_trees import tree


@pytest.fixture
async def store(postgresql_url: str) -> AsyncIterator[Store]:
    store = await Store.open(postgresql_url, built=EVERYTHING)
    yield store
    await store.close()


async def test_pages_follow_the_databases_order(client: Client) -> None:
    ids = sorted(["a", "a-b", "ab", "a1", "b", "a-1"])
    for each in ids:
        await client.pools.CreatePool(make.create_pool(each))
    found, token = [], ""
    while True:
        page = await client.pools.ListPools(
            ListPoolsRequest(parent=make.ACME, page_size=1, page_token=token)
        )
        found += [pool.name.rsplit("/", 1)[-1] for pool in page.pools]
        token = page.next_page_token
        if not token:
            break

    assert sorted(found) == ids


async def test_a_tree_is_applied_waited_for_and_watched(client: Client, store: Store) -> None:
    watch = client.trees.Watch(WatchRequest(parent=make.ACME))
    made = await client.trees.Apply(ApplyRequest(load_balancer=tree(1, 2)))
    names = [made.pool.name, *(member.name for member in made.members), made.vips[0].name]
    seen: set[str] = set()
    while not seen.issuperset(names):
        event = await watch.read()
        if event.HasField("change"):
            seen.add(getattr(event.change, event.change.WhichOneof("object")).name)
    watch.cancel()
    waiting = client.trees.WaitForApplied(WaitForAppliedRequest(name=made.vips[0].name))
    await store.write(lambda tx: verdicts.record(tx, live=dict.fromkeys(names, made.revision)))

    assert (await waiting).outcome == WaitOutcome.APPLIED


async def test_a_request_is_answered_once(client: Client) -> None:
    request = make.create_pool("")
    request.request_id = str(uuid.uuid4())

    assert await client.pools.CreatePool(request) == await client.pools.CreatePool(request)

    request.pool.description = "else"
    await refused(client.pools.CreatePool(request), Code.INVALID_ARGUMENT)
    request.request_id = ""
    request.pool.description = "a\0b"
    await refused(client.pools.CreatePool(request), Code.INVALID_ARGUMENT)

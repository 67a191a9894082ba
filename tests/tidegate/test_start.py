"""The start: nobody is answered before all is there, and a store that is not there is said."""

import asyncio
import contextlib

import psycopg
import pytest

from lbaas.model.errors import Unavailable
from tests.features.world import client_of, settings
from tests.harness.ads_client import CDS, DeltaClient, SotwClient
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tidegate.plane import running_plane


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


@pytest.mark.parametrize("form", [DeltaClient, SotwClient])
async def test_while_the_store_is_slow_no_node_is_answered_and_then_with_everything(
    form, postgresql_url, tmp_path
):
    chosen = settings(tmp_path, database=postgresql_url, xds_address=f"127.0.0.1:{free_port()}")
    port = int(chosen.xds_address.rpartition(":")[2])
    async with running_plane(chosen) as plane, client_of(plane.api_port) as client:
        await client.fleet("edge")
        await client.pool("acme", "web")

        async def placed():
            snapshot = plane.cache.snapshot("edge")
            return snapshot and list(snapshot.of_type(CDS))

        before = await until(placed, within=20, what="the pool's cluster")
    async with contextlib.AsyncExitStack() as stack:
        url = postgresql_url.replace("+psycopg", "")
        holding = stack.enter_context(psycopg.connect(url))
        holding.execute("LOCK TABLE pools IN ACCESS EXCLUSIVE MODE")
        starting = asyncio.create_task(stack.enter_async_context(running_plane(chosen)))

        async def reads():
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            return not starting.done() and holding.execute(waiting).fetchone()[0]

        await until(reads, within=20, what="the new process waiting for the table")
        assert not await listens(port)
        holding.rollback()
        await starting
        async with form(f"127.0.0.1:{port}", fleet="edge") as stream:
            await stream.send(CDS)
            answer = await stream.receive(CDS, within=20)
            assert len(answer.resources) == len(before) == 1


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("sqlite:///{folder}/absent/store.db", "cannot be opened; see its folder and permissions"),
        ("sqlite:///{folder}/text", "is not a SQLite database"),
        ("postgresql+psycopg://nobody@127.0.0.1:{port}/none", "the store cannot be reached"),
    ],
)
async def test_a_store_that_cannot_be_opened_is_said_and_nothing_listens(database, words, tmp_path):
    (tmp_path / "text").write_text("this is text, and more of it than a header is long " * 9)
    port = free_port()
    where = database.format(folder=tmp_path, port=free_port())
    chosen = settings(tmp_path, database=where, xds_address=f"127.0.0.1:{port}")
    with pytest.raises(Unavailable, match=words):
        async with running_plane(chosen):
            pass
    assert not await listens(port)

from collections.abc import AsyncIterator

import pytest

from xds.cache import SnapshotCache
from xds.server import Server, serve


@pytest.fixture
def cache() -> SnapshotCache:
    return SnapshotCache()


@pytest.fixture
async def server(cache: SnapshotCache) -> AsyncIterator[Server]:
    running = await serve(cache, "127.0.0.1:0")
    yield running
    await running.stop()


@pytest.fixture
def address(server: Server) -> str:
    return f"127.0.0.1:{server.port}"

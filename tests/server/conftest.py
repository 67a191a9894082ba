from collections.abc import AsyncIterator

import pytest

from xds.cache import SnapshotCache
from xds.server import Server, serve


@pytest.fixture
def cache() -> SnapshotCache:
    return SnapshotCache()


@pytest.fixture
async def server(cache: SnapshotCache) -> AsyncIterator[Server]:
    async with await serve(cache, "127.0.0.1:0") as running:
        yield running


@pytest.fixture
def address(server: Server) -> str:
    return f"127.0.0.1:{server.port}"

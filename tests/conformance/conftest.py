import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conformance.node import ALL, PATIENCE, Node, Wire
from tests.harness.waiting import until
from xds.cache import Key, SnapshotCache
from xds.server import Server, serve


def pytest_make_parametrize_id(val: object) -> str | None:
    """Types by their last word."""
    return val.rpartition(".")[2] if isinstance(val, str) and "/" in val else None


class Heard:
    """An observer that keeps what the server learned from its clients."""

    def __init__(self) -> None:
        self.confirmed_names: list[tuple[str, str]] = []
        self.rejections = []
        self.ended = asyncio.Event()

    def opened(self, stream): ...

    def closed(self, stream):
        self.ended.set()

    def confirmed(self, stream, keys):
        self.confirmed_names.extend(keys)

    def rejected(self, stream, rejection):
        self.rejections.append(rejection)

    async def confirms(self, type_url: str, *names: str) -> None:
        """Waits until all of `names` were confirmed at least once."""

        async def all_there() -> bool:
            return all(Key(type_url, name) in self.confirmed_names for name in names)

        await until(all_there, within=PATIENCE, what=f"{names} confirmed")

    def has(self, type_url: str, name: str) -> bool:
        return Key(type_url, name) in self.confirmed_names

    async def refuses(self, *names: str) -> None:
        """Waits until exactly `names` were refused."""

        async def all_there() -> bool:
            return len(self.rejections) >= len(names)

        await until(all_there, within=PATIENCE, what=f"{names} refused")
        assert [rejection.key.name for rejection in self.rejections] == list(names)


@pytest.fixture(params=ALL, ids=str)
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def cache(heard: Heard) -> SnapshotCache:
    """A cache whose fleet is loaded, and empty."""
    cache = SnapshotCache(heard)
    cache.publish("fleet", [])
    return cache


@pytest.fixture
async def server(cache: SnapshotCache) -> AsyncIterator[Server]:
    async with await serve(cache, "127.0.0.1:0") as running:
        yield running


@pytest.fixture
async def node(server: Server, wire: Wire) -> AsyncIterator[Node]:
    async with Node(server, wire) as made:
        yield made

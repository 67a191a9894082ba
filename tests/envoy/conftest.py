from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.harness.bootstrap import ads_bootstrap
from tests.harness.envoy_process import EnvoyProcess
from xds.cache import SnapshotCache
from xds.server import Server, serve


@dataclass
class Heard:
    """An observer that keeps what it hears."""

    rejections: list = field(default_factory=list)

    def opened(self, stream): ...
    def closed(self, stream): ...
    def confirmed(self, stream, keys): ...
    def rejected(self, stream, rejection):
        self.rejections.append(rejection)


@dataclass
class Plane:
    """A cache, its server, a real Envoy that follows it, and what was heard of it."""

    cache: SnapshotCache
    server: Server
    envoy: EnvoyProcess
    heard: Heard


@pytest.fixture(params=[True, False], ids=["delta", "sotw"])
def delta(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def plane(delta: bool) -> Callable[..., AbstractAsyncContextManager[Plane]]:
    @asynccontextmanager
    async def start(messages=()) -> AsyncIterator[Plane]:
        cache, heard = SnapshotCache(), Heard()
        cache.observer = heard
        cache.publish("fleet", messages)
        server = await serve(cache, "127.0.0.1:0")
        envoy = EnvoyProcess(ads_bootstrap(server.port, delta=delta))
        plane = Plane(cache, server, envoy, heard)
        try:
            async with envoy:
                # An unanswered runtime layer would cost 15 s.
                await envoy.wait_ready(within=5)
                yield plane
        finally:
            await plane.server.stop()  # a test may have put another in its place

    return start

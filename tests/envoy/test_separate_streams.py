"""A real Envoy without ADS, on the services of a single type."""

import pytest

from tests.harness.envoy_process import EnvoyProcess
from tests.harness.http_client import fetch
from tests.harness.members import Member
from tests.harness.ports import free_port
from tests.harness.separate import separate_bootstrap, separate_vip
from tests.harness.waiting import until
from xds.cache import CLUSTER, ENDPOINT, LISTENER, ROUTE, Key, SnapshotCache
from xds.server import serve


async def serving(port: int, name: str) -> None:
    async def answers() -> bool:
        return (await fetch(f"127.0.0.1:{port}")).text == name

    await until(answers, within=20, what=f"{name} is served")


async def confirmed(cache: SnapshotCache, key: Key) -> None:
    async def holds() -> bool:
        snapshot = cache.snapshot("fleet")
        assert snapshot is not None
        return any(
            stream.types == {key.type_url} and stream.confirmed(key, snapshot.revision)
            for stream in cache.streams("fleet")
        )

    await until(holds, within=20, what=f"{key} confirmed on the stream of its type")


@pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])
async def test_each_type_comes_over_its_own_service(delta):
    cache, port = SnapshotCache(), free_port()
    cache.publish("fleet", [])
    async with (
        await Member.start("a") as a,
        await Member.start("b") as b,
        await serve(cache, "127.0.0.1:0") as server,
        EnvoyProcess(separate_bootstrap(server.port, delta=delta)) as envoy,
    ):
        await envoy.wait_ready(within=10)
        cache.publish("fleet", separate_vip("web", port, [a.address], delta=delta))
        await serving(port, "a")
        for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE):
            await confirmed(cache, Key(type_url, "web"))
        assert all(stream.types is not None for stream in cache.streams("fleet"))
        # Another member, and with it another version of the cluster.
        cache.publish("fleet", separate_vip("web", port, [b.address], delta=delta, tag=1))
        await serving(port, "b")
        for type_url in (CLUSTER, ENDPOINT):
            await confirmed(cache, Key(type_url, "web"))
        cache.publish("fleet", [])

        async def gone() -> bool:
            return not await envoy.listeners() and "web" not in await envoy.clusters()

        await until(gone, within=20, what="listener and cluster are gone")

"""A VIP's connection limit on real Envoys: exact over the fleet, live, and never a cut.

Two Envoys of one machine share a VIP's port, and the kernel deals the connections out: each is
offered as many as the test wants by opening connections until each has been.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest

from lbaas.v1 import vip_service_pb2
from tests.features.control_plane import ControlPlane
from tests.features.world import Client, client_of, node_bootstrap, world
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.http_client import Connection
from tests.harness.load import Load
from tests.harness.members import Echo, Member
from tests.harness.ports import free_port
from tests.harness.waiting import until

VIP = "projects/acme/vips/front"
PATIENCE = 5.0


class Crowd:
    """Clients that open connections and hold those that are served.

    Attributes:
        held: the connections that were served and are open.
        refused: how many were accepted and closed at once.
    """

    def __init__(self, port: int, *, http: bool = False) -> None:
        self.address = f"127.0.0.1:{port}"
        self.held: list[Connection] = []
        self.refused = 0
        self._http = http

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.leave()

    async def come(self, count: int = 1) -> int:
        """Opens connections one after the other; gives how many were served."""
        served = 0
        for _ in range(count):
            connection = await Connection.open(self.address)
            if await self._is_served(connection):
                self.held.append(connection)
                served += 1
            else:
                self.refused += 1
                await connection.close()
        return served

    async def leave(self, count: int | None = None) -> None:
        """Closes connections: some, or all."""
        count = len(self.held) if count is None else count
        for _ in range(count):
            await self.held.pop().close()

    async def all_live(self) -> bool:
        """Whether every connection that is held still carries traffic."""
        return all([await self._is_served(each, again=True) for each in self.held])

    async def _is_served(self, connection: Connection, *, again: bool = False) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                if self._http:
                    return (await connection.request("/")).status == 200
                if not again:
                    return await connection._reader.readline() != b""
                connection._writer.write(b"still here\n")
                return await connection._reader.readline() == b"still here\n"
        except (EOFError, ConnectionError):
            return False


async def counts(envoy: EnvoyProcess, vip: str = VIP) -> dict[str, int]:
    """What an Envoy counts of the VIP: active, total and refused (overflow) connections."""
    found = await envoy.stats(f"^listener.{vip}.downstream_cx_(active|total|overflow)$")
    return {name.rpartition("_")[2]: value for name, value in found.items()}


async def offer(crowd: Crowd, envoys: Sequence[EnvoyProcess], each: int = 15) -> None:
    """Opens connections until each Envoy was offered so many, from now on."""
    before = [await counts(envoy) for envoy in envoys]
    for _ in range(100):
        await crowd.come(5)
        now = [await counts(envoy) for envoy in envoys]
        offered = [
            after["total"] + after["overflow"] - was.get("total", 0) - was.get("overflow", 0)
            for after, was in zip(now, before, strict=True)
        ]
        if min(offered) >= each:
            return
    raise AssertionError(f"the kernel dealt out no more than {offered}")


async def shares(client: Client) -> list[int]:
    """What each node is allowed, as the tenant sees it."""
    vip = await client.vips.GetVip(vip_service_pb2.GetVipRequest(name=VIP))
    return [each.connection_limit for each in vip.node_connection_limits]


async def become(client: Client, expected: list[int]) -> None:
    async def are() -> bool:
        return sorted(await shares(client)) == expected

    await until(are, within=10, what=f"the shares are {expected}")


async def change(client: Client, limit: int) -> None:
    """Sets the limit, and waits until it is live."""
    update = vip_service_pb2.UpdateVipRequest()
    update.vip.name = VIP
    update.vip.connection_limit = limit
    vip = await client.vips.UpdateVip(update)
    await client.applied(VIP, revision=vip.revision)


@contextlib.asynccontextmanager
async def limited(
    folder: Path, limit: int, *, nodes: int = 2, protocol: str = "TCP", **more: object
) -> AsyncIterator[tuple[Client, list[EnvoyProcess], Crowd]]:
    """A VIP with a limit on real Envoys, with a member behind it, and its clients."""
    kind = Member if protocol == "HTTP" else Echo
    async with (
        world(folder, nodes=nodes, **more) as (_, client, envoys),
        await kind.start("echo") as server,
    ):
        pool = await client.pool("acme", "web", protocol=protocol)
        await client.member(pool.name, "one", server.address)
        port = free_port()
        await client.vip(
            "acme", "front", pool=pool.name, port=port, protocol=protocol, connection_limit=limit
        )
        await client.applied(VIP)
        await client.applied(f"{pool.name}/members/one")
        async with Crowd(port, http=protocol == "HTTP") as crowd:
            yield client, envoys, crowd


@pytest.mark.parametrize("protocol", ["TCP", "HTTP"])
async def test_ten_in_all_on_two_nodes_however_many_come(tmp_path, protocol):
    async with limited(tmp_path, 10, protocol=protocol) as (client, envoys, crowd):
        await offer(crowd, envoys)
        assert len(crowd.held) == 10
        counted = [await counts(envoy) for envoy in envoys]
        assert [each["active"] for each in counted] == [5, 5] == await shares(client)
        assert sum(each["overflow"] for each in counted) == crowd.refused
        await crowd.leave(4)
        await offer(crowd, envoys)
        assert len(crowd.held) == 10  # who leaves makes room, on his own node
        assert await crowd.all_live()


async def test_one_in_all_on_two_nodes(tmp_path):
    async with limited(tmp_path, 1) as (client, envoys, crowd):
        await offer(crowd, envoys)
        assert len(crowd.held) == 1
        assert sorted(await shares(client)) == [0, 1]


async def test_raised_and_lowered_under_load_nobody_is_dropped(tmp_path):
    async with limited(tmp_path, 30, protocol="HTTP") as (client, envoys, crowd):
        load = Load(crowd.address, keep_alive=4, per_request=0)
        async with load:
            await load.more(20)
            await offer(crowd, envoys, 25)
            assert len(crowd.held) == 30 - 4
            for limit in (50, 40, 10, 2, 20, 60):
                await change(client, limit)
                assert await crowd.all_live()
                assert sum(await shares(client)) == limit
                await load.more(20)
            await offer(crowd, envoys, 40)
            assert len(crowd.held) == 60 - 4
            await change(client, 10)
            refused = crowd.refused
            assert await crowd.come(10) == 0
            assert crowd.refused == refused + 10
            assert await crowd.all_live()
            await load.more(50)
        assert load.failed == 0, load.failures
        assert sum([(await counts(envoy))["active"] for envoy in envoys]) == 60 - 4


async def test_a_killed_nodes_share_goes_to_the_other_and_comes_back_with_it(tmp_path):
    soon = timedelta(seconds=1)
    async with limited(tmp_path, 10, lost_after=soon) as (client, envoys, crowd):
        first, second = envoys
        await second.kill()
        await become(client, [10])
        await offer(crowd, [first])
        assert len(crowd.held) == 10
        await second.start()
        await second.wait_ready()
        await become(client, [5, 5])
        assert await crowd.all_live()  # ten, where five may be: they end by themselves
        await crowd.leave()
        await offer(crowd, envoys)
        assert len(crowd.held) == 10
        assert [(await counts(envoy))["active"] for envoy in envoys] == [5, 5]


async def test_without_a_limit_there_is_none(tmp_path):
    async with limited(tmp_path, -1, nodes=1, protocol="HTTP") as (client, envoys, crowd):
        await crowd.come(1100)
        assert (len(crowd.held), crowd.refused) == (1100, 0)
        assert (await counts(envoys[0]))["active"] == 1100
        assert await shares(client) == []
        await change(client, 5)
        assert await crowd.come(2) == 0
        await change(client, -1)
        assert await crowd.come(2) == 2
        assert await crowd.all_live()


class Hammer:
    """Clients that try all the time, and hold what they get until it is taken from them.

    Attributes:
        most: how many connections were held at one time at most.
    """

    def __init__(self, crowd: Crowd) -> None:
        self.most = 0
        self._crowd = crowd
        self._held: set[Connection] = set()
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._try()) for _ in range(12)]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._stopping = True
        for connection in self._held:
            connection._writer.close()
        await asyncio.gather(*self._tasks)

    async def _try(self) -> None:
        while not self._stopping:
            try:
                connection = await Connection.open(self._crowd.address)
            except OSError:
                await asyncio.sleep(0)
                continue
            if await self._crowd._is_served(connection) and not self._stopping:
                self._held.add(connection)
                self.most = max(self.most, len(self._held))
                with contextlib.suppress(OSError):
                    await connection._reader.read()
                self._held.discard(connection)
            await connection.close()


async def test_a_fresh_envoy_takes_no_more_than_its_share_from_its_first_moment(tmp_path):
    async with limited(tmp_path, 3, nodes=1) as (_, (envoy,), crowd):
        async with Hammer(crowd) as hammer:
            for _ in range(5):
                await envoy.kill()
                await envoy.start()
                await envoy.wait_ready()
                await full([envoy], 3)
        assert hammer.most == 3


async def full(envoys: Sequence[EnvoyProcess], limit: int, vip: str = VIP) -> None:
    """Waits until the Envoys have refused many, and sees that they took no more than `limit`."""

    async def refusing() -> bool:
        counted = [await counts(envoy, vip) for envoy in envoys]
        assert sum(each.get("total", 0) for each in counted) <= limit
        return all(each.get("overflow", 0) > 10 for each in counted)

    await until(refusing, within=20, what="they are full, and refuse")
    assert sum([(await counts(envoy, vip))["total"] for envoy in envoys]) == limit


async def test_a_new_vip_has_its_limit_before_its_first_connection(tmp_path):
    async with limited(tmp_path, 10) as (client, envoys, _):
        for number in range(8):
            port, name = free_port(), f"new-{number}"
            new = {"pool": "projects/acme/pools/web", "port": port, "protocol": "TCP"}
            async with Crowd(port) as eager, Hammer(eager) as hammer:
                # Its limit follows another limit's change, and has to be there all the same.
                await asyncio.gather(
                    change(client, 12 + 2 * number),
                    client.vip("acme", name, **new, connection_limit=4),
                )
                await full(envoys, 4, f"projects/acme/vips/{name}")
            assert hammer.most == 4


async def test_a_limit_set_while_the_control_plane_was_away_is_there_before_the_listener(tmp_path):
    async with ControlPlane(tmp_path) as plane, await Echo.start("echo") as server:
        bootstrap = node_bootstrap("edge", "node-0", plane.xds_port)
        async with client_of(plane.api_port) as client, EnvoyProcess(bootstrap) as envoy:
            await client.fleet("edge")
            pool = await client.pool("acme", "web", protocol="TCP")
            await client.member(pool.name, "one", server.address)
            port = free_port()
            await client.vip(
                "acme", "front", pool=pool.name, port=port, protocol="TCP", connection_limit=3
            )
            await client.applied(VIP)
            async with Crowd(port) as crowd:
                await offer(crowd, [envoy])
                updates = await envoy.stat("runtime.update_success")
                await plane.kill()
                await plane.start()

                async def connected() -> bool:
                    return await envoy.stat("control_plane.connected_state") == 1

                await until(connected, within=15, what="Envoy is connected again")
                async with client_of(plane.api_port) as again:
                    await again.applied(VIP)
                    assert await shares(again) == [3]
                    assert await envoy.stat("runtime.update_success") == updates
                    await change(again, 5)
                assert await crowd.come(10) == 2
                assert await crowd.all_live()

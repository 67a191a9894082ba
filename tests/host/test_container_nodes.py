"""Nodes as containers: what `tidegate agent --driver container` makes of a container engine.

Issue: two Envoys started as containers through a Docker-compatible API serve a VIP; one is killed
and comes back.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from docker.models.containers import Container

from lbaas.v1 import vip_pb2, vip_service_pb2
from tests.features.world import Client
from tests.harness.http_client import Connection, fetch
from tests.harness.load import Load
from tests.harness.members import Member
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tests.host.podman import PodmanService
from tests.host.product import NodeProcess, control_plane, joined, node_of
from tidegate.agents.traffic import SAME_START


@dataclass(frozen=True, slots=True, kw_only=True)
class Yard:
    """Two containers of one fleet that serve a VIP on this host's loopback."""

    client: Client
    engine: PodmanService
    nodes: list[NodeProcess]
    vip: str
    address: str

    async def containers(self) -> dict[str, Container]:
        """The engine's containers that run, by name."""

        def found() -> dict[str, Container]:
            with self.engine.client() as client:
                return {each.name: each for each in client.containers.list()}

        return await asyncio.to_thread(found)

    async def stats(self) -> vip_pb2.VipStats:
        """What the agents have counted."""
        request = vip_service_pb2.GetVipStatsRequest(name=self.vip)
        found: vip_pb2.VipStats = await self.client.vips.GetVipStats(request)
        return found

    async def requests(self, node: NodeProcess) -> int:
        """How many requests of clients a node's Envoy has taken since it started."""
        name = f"http.{self.vip}.downstream_rq_total"
        found = (await node.admin(f"/stats?format=json&filter={name}")).json()
        return next((each["value"] for each in found["stats"] if each.get("name") == name), 0)


@pytest.fixture
async def yard(podman: PodmanService, tmp_path: Path) -> AsyncIterator[Yard]:
    async with AsyncExitStack() as stack:
        # Its folder is all that a container sees of the host's: not the control plane's sockets.
        plane, client = await stack.enter_async_context(
            control_plane(tmp_path, xds_address="127.0.0.1:0")
        )
        await client.fleet("edge")
        driver = ("--driver", "container", "--engine", podman.address, "--open-files", "0")
        nodes = [
            await stack.enter_async_context(
                NodeProcess.running(
                    tmp_path,
                    fleet="edge",
                    node=node,
                    xds=f"127.0.0.1:{plane.xds_port}",
                    options=(*driver, "--drain-time", "10s"),
                )
            )
            for node in ("e1", "e2")
        ]
        await joined(client, *(node.name for node in nodes))
        pool = await client.pool("acme", "web")
        members = [
            await stack.enter_async_context(await Member.start(f"m{number}")) for number in (1, 2)
        ]
        for member in members:
            await client.member(pool.name, member.name, member.address)
        monitor = await client.monitor("acme", "check")
        await client.associate(pool.name, monitor.name)
        port = free_port()
        vip = await client.vip("acme", "web", pool=pool.name, port=port)
        await client.applied(vip.name)
        yield Yard(
            client=client,
            engine=podman,
            nodes=nodes,
            vip=vip.name,
            address=f"127.0.0.1:{port}",
        )


async def test_two_containers_serve_a_vip_and_a_killed_one_comes_back(yard: Yard) -> None:
    """Two Envoys started as containers serve a VIP; one is killed and comes back."""
    first, second = yard.nodes
    began = await yard.containers()
    assert set(began) == {"tidegate-edge-e1", "tidegate-edge-e2"}

    async def both_serve() -> bool:
        assert (await fetch(yard.address)).status == 200
        return bool(await yard.requests(first) and await yard.requests(second))

    await until(both_serve, within=10, what="both containers serve")
    made = await yard.requests(first) + await yard.requests(second)

    async def counted() -> bool:
        stats = await yard.stats()
        return (stats.nodes_reporting, stats.nodes_total, stats.requests) == (2, 2, made)

    await until(counted, within=5, what=f"the agents have told of {made} requests")

    async def is_known_to_be_itself() -> bool:
        info = (await first.admin("/server_info")).json()
        return int(info["uptime_current_epoch"].removesuffix("s")) > SAME_START.total_seconds()

    await until(is_known_to_be_itself, within=6, what="its start differs from the next one's")
    await asyncio.to_thread(began["tidegate-edge-e1"].kill, "SIGKILL")

    async def noticed() -> bool:
        node = await node_of(yard.client, first.name)
        return node is not None and not (node.connected or node.agent.envoy_running)

    await until(noticed, within=5, what="it is noticed that it has ended")
    async with Load(yard.address) as load:
        await load.more(50)
        await joined(yard.client, first.name)

        async def serves_again() -> bool:
            return bool(await yard.requests(first))

        await until(serves_again, within=10, what="it serves again")
        await load.more(100)
    assert not load.failures
    now = await yard.containers()
    assert set(now) == set(began)
    assert now["tidegate-edge-e1"].id != began["tidegate-edge-e1"].id
    assert now["tidegate-edge-e2"].id == began["tidegate-edge-e2"].id
    # What it had counted before it was killed is not lost.
    made += load.total
    await until(counted, within=5, what=f"the agents have told of {made} requests")


async def test_an_agent_that_stops_drains_its_container_and_removes_it(yard: Yard) -> None:
    """The driver drains Envoy on stop: open connections end by themselves, then it is gone."""
    first, second = yard.nodes
    connection = await Connection.open(yard.address)
    while not (await connection.request("/")).text or not await yard.requests(first):
        await connection.close()
        connection = await Connection.open(yard.address)
    stopping = asyncio.create_task(first.stop())
    for _ in range(500):
        reply = await connection.request("/")
        assert reply.status == 200
        if reply.closes:
            break
        await asyncio.sleep(0.01)
    assert reply.closes
    await connection.close()
    assert await stopping == 0
    assert set(await yard.containers()) == {"tidegate-edge-e2"}
    async with Load(yard.address) as load:
        await load.more(50)
    assert not load.failures
    assert await yard.requests(second) >= load.total

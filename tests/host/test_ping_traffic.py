"""PING through the whole product: agents in namespaces, the quorum, and what Envoys do with it.

Issue: real ICMP from each node's agent; verdicts per node are kept and shown, their quorum reaches
traffic; missing privilege is a clear refusal. Down within max_retries x (delay + timeout) + 1 s,
up again within rise x delay + timeout + 1 s.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from lbaas.v1.status_pb2 import OperatingStatus
from tests.features.world import Client
from tests.harness.waiting import until
from tests.host.fabric import PORT, Fabric, FarMember, Site
from tests.host.product import NodeProcess, control_plane, joined, member_of, told

DELAY, TIMEOUT, MAX_RETRIES, RISE = 0.3, 0.2, 3, 2
DOWN_WITHIN = MAX_RETRIES * (DELAY + TIMEOUT) + 1
UP_WITHIN = RISE * DELAY + TIMEOUT + 1
MONITOR = {
    "type": "PING",
    "delay": f"{DELAY}s",
    "timeout": f"{TIMEOUT}s",
    "max_retries": MAX_RETRIES,
    "rise": RISE,
}
VIPS, VIP, VIP_PORT = "10.99.0.0/28", "10.99.0.1", 80
STATUS = OperatingStatus
PATIENCE = 0.4
"""How long a client waits, in seconds: a member that is not there answers nobody."""


@dataclass(slots=True, kw_only=True)
class Town:
    """Two nodes that serve one VIP, and members that each have a namespace of their own."""

    client: Client
    fabric: Fabric
    nodes: list[NodeProcess]
    sites: list[Site]
    members: dict[str, FarMember]
    pool: str = ""
    monitor: str = ""

    async def arrive(self, name: str, *, silent: bool = False) -> FarMember:
        """One more member's server; a silent one answers no echo requests."""
        site = self.fabric.site()
        site.answers_pings(not silent)
        made = self.members[name] = await FarMember.at(site, name)
        return made

    async def ask(self, site: Site) -> str:
        """Who answers one request of a client at a node; "" if nobody does."""
        try:
            async with asyncio.timeout(PATIENCE), await site.connect(f"{VIP}:{VIP_PORT}") as link:
                reply = await link.request("/", close=True)
        except (OSError, EOFError):
            return ""
        return reply.text if reply.status == 200 else ""

    async def served(self, count: int = 8) -> set[str]:
        """Who answers this many requests at each node, all at once."""
        return set(
            await asyncio.gather(*(self.ask(site) for site in self.sites for _ in range(count)))
        )

    async def becomes(self, wanted: set[str], *, within: float) -> None:
        """Waits until just these answer, at both nodes."""

        async def so() -> bool:
            # Asked before the bound, answered a moment after it: that is within it.
            return await self.served() == wanted

        await until(so, within=within, what=f"traffic goes to {wanted} alone")

    async def status(self, name: str, wanted: "OperatingStatus.Code") -> None:
        """Waits until a member has an operating status."""

        async def so() -> bool:
            found = await member_of(self.client, f"{self.pool}/members/{name}")
            return found.operating_status == wanted

        await until(so, within=5, what=f"{name} is {STATUS.Code.Name(wanted)}")

    async def endpoints(self, node: NodeProcess) -> dict[str, str]:
        """The health that a node's Envoy was told of each member, by address."""
        found = (await node.admin("/clusters?format=json")).json()
        hosts = [
            host
            for each in found["cluster_statuses"]
            if each["name"] == self.pool
            for host in each.get("host_statuses", [])
        ]
        return {
            host["address"]["socket_address"]["address"]: host["health_status"]["eds_health_status"]
            for host in hosts
        }


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    with Fabric.made() as made:
        yield made


@pytest.fixture
async def town(fabric: Fabric, tmp_path: Path) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        _, client = await stack.enter_async_context(control_plane(tmp_path))
        await client.fleet("edge", vip_ranges=[VIPS])
        sites = [fabric.site() for _ in range(2)]
        nodes = []
        for number, site in enumerate(sites, 1):
            site.holds(VIPS)
            node = NodeProcess.running(
                tmp_path, fleet="edge", node=f"e{number}", namespace=site.namespace
            )
            nodes.append(await stack.enter_async_context(node))
        made = Town(client=client, fabric=fabric, nodes=nodes, sites=sites, members={})
        try:
            await joined(client, *(node.name for node in nodes))
            pool = await client.pool("acme", "web")
            made.pool = pool.name
            for name in ("m1", "m2"):
                server = await made.arrive(name)
                await client.member(pool.name, name, server.address)
            monitor = await client.monitor("acme", "alive", **MONITOR)
            made.monitor = monitor.name
            await client.associate(pool.name, monitor.name)
            vip = await client.vip("acme", "web", pool=pool.name, address=VIP, port=VIP_PORT)
            await client.applied(vip.name)
            await made.becomes({"m1", "m2"}, within=10)
            for name in ("m1", "m2"):
                await made.status(name, STATUS.ONLINE)
            yield made
        finally:
            for server in made.members.values():
                await server.close()


async def test_traffic_leaves_an_unreachable_member_in_time_and_comes_back(town: Town) -> None:
    """A PING monitor takes a member out, and in again, within the product's bounds."""
    m2 = town.members["m2"]

    m2.site.leave()
    await town.becomes({"m1"}, within=DOWN_WITHIN)
    await town.status("m2", STATUS.OFFLINE)
    m2.site.come_back()
    await town.becomes({"m1", "m2"}, within=UP_WITHIN)
    await town.status("m2", STATUS.ONLINE)

    # TCP goes on: nothing but PING can keep traffic away.
    m2.site.answers_pings(False)
    await town.becomes({"m1"}, within=DOWN_WITHIN)
    taken = m2.requests
    for _ in range(5):
        assert await town.served() == {"m1"}
    assert m2.requests == taken
    m2.site.answers_pings(True)
    await town.becomes({"m1", "m2"}, within=UP_WITHIN)


async def test_one_nodes_broken_path_takes_no_member_out(town: Town) -> None:
    """Verdicts are kept and shown per node; only their quorum reaches traffic."""
    m2 = town.members["m2"]
    broken = ("from", town.sites[0].address, "to", m2.host, "blackhole")
    town.fabric.router.ip("rule", "add", *broken)
    await town.status("m2", STATUS.DEGRADED)

    found = await member_of(town.client, f"{town.pool}/members/m2")
    first, second = found.verdicts
    assert (first.node, first.operating_status) == (town.nodes[0].name, STATUS.OFFLINE), told(found)
    assert first.failed_health_monitor == town.monitor
    assert first.cause == f"no answer in {TIMEOUT:g} s"
    assert (second.node, second.operating_status) == (town.nodes[1].name, STATUS.ONLINE)
    assert not second.failed_health_monitor
    assert "fails alive on e1: no answer in 0.2 s; passes on e2" in told(found.status_detail)
    for node in town.nodes:
        assert (await town.endpoints(node))[m2.host] == "HEALTHY"
    answers = [await town.ask(town.sites[1]) for _ in range(8)]
    assert set(answers) == {"m1", "m2"}

    # The other node's too: now most of them say so.
    also = ("from", town.sites[1].address, "to", m2.host, "blackhole")
    town.fabric.router.ip("rule", "add", *also)
    await town.becomes({"m1"}, within=DOWN_WITHIN)
    await town.status("m2", STATUS.OFFLINE)
    for each in (broken, also):
        town.fabric.router.ip("rule", "del", *each)
    await town.becomes({"m1", "m2"}, within=UP_WITHIN)


async def test_a_new_member_takes_no_traffic_before_it_was_first_reached(town: Town) -> None:
    """A new member gets no traffic before its first passed check; PING's too."""
    m3 = await town.arrive("m3", silent=True)
    made = await town.client.member(town.pool, "m3", m3.address)
    await town.client.applied(made.name)
    began = time.monotonic()
    while time.monotonic() - began < DOWN_WITHIN:
        assert await town.served() == {"m1", "m2"}
    assert m3.requests == 0
    await town.status("m3", STATUS.OFFLINE)
    m3.site.answers_pings(True)
    await town.becomes({"m1", "m2", "m3"}, within=UP_WITHIN)


async def test_without_the_privilege_the_fleet_refuses_ping(fabric: Fabric, tmp_path: Path) -> None:
    """Missing privilege means that the fleet lacks PING: a clear refusal, no silent success."""
    sites = [fabric.site() for _ in range(2)]
    for site in sites:
        site.holds(VIPS)
    async with (
        control_plane(tmp_path) as (_, client),
        NodeProcess.running(tmp_path, fleet="edge", node="e1", namespace=sites[0].namespace) as e1,
        NodeProcess.running(
            tmp_path, fleet="edge", node="e2", namespace=sites[1].namespace, privileged=False
        ) as e2,
    ):
        await client.fleet("edge", vip_ranges=[VIPS])
        await joined(client, e1.name, e2.name)
        pool = await client.pool("acme", "web")
        await client.member(pool.name, "m1", f"10.77.9.2:{PORT}")
        # Port 80 would take a privilege too.
        vip = await client.vip("acme", "web", pool=pool.name, address=VIP, port=PORT)
        await client.applied(vip.name)
        monitor = await client.monitor("acme", "alive", **MONITOR)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.associate(pool.name, monitor.name)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        words = caught.value.details() or ""
        assert "PING" in words
        assert "the agent of node e2 may not send ICMP echo requests" in words

"""A pool that leaves its fleet for one in another namespace; the route to its VIP follows.

Issue: pool moved between fleets under load, two fleets whose ranges hold the VIP's address, each
in a network namespace of its own, the route moved as an operator's anycast would when the new
fleet is live: 0 failed. A dead fleet that returns does not flap.

The router sends connections that exist where they went before, as one that tracks connections
does, and new ones to the new fleet: they are told apart by the clients' ports, of which new
connections take others once the route has moved. Packets of an old connection that came to the
other fleet would be reset there; no load balancer behind the router can help that.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.features.fleets import drain_fleet, placed, pool_of
from tests.features.world import Client
from tests.harness.http_client import Reply
from tests.harness.load import Load
from tests.harness.waiting import until
from tests.host.fabric import Fabric, FarMember, Site
from tests.host.product import NodeProcess, control_plane, joined

OVERLAP = 2.0
"""How long both fleets take connections, in seconds: the time for the route to follow."""
ENVOYS_DRAIN = 600.0
"""How long the agents' Envoys drain a listener that is removed, in seconds (`--drain-time-s`)."""
VIPS, PORT = "10.99.0.0/28", 80
BEFORE, AFTER = "20000 39999", "40000 60000"
"""Ports of the clients' connections, before and after the route moves."""
COOKIE = {"session_persistence": {"type": "HTTP_COOKIE", "cookie_name": "LB"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """Two fleets of one node each, members and clients, all in namespaces of their own."""

    client: Client
    fabric: Fabric
    clients: Site
    sites: dict[str, Site]
    nodes: dict[str, NodeProcess]
    members: list[FarMember]
    pool: str
    vip: str
    address: str

    async def fleets(self) -> tuple[str, str]:
        """Where the pool is, and the other one."""
        home = (await pool_of(self.client, self.pool)).placement.fleet.rpartition("/")[2]
        return home, next(fleet for fleet in self.sites if fleet != home)

    async def fetch(self, **headers: str) -> Reply:
        """One request of a client on a connection of its own."""
        async with asyncio.timeout(5), await self.clients.connect(self.address) as connection:
            return await connection.request("/", headers=headers, close=True)

    async def requests(self, fleet: str) -> int:
        """How many requests a fleet's Envoy has taken for the pool."""
        return await self._stat(fleet, f"cluster.{self.pool}.upstream_rq_total")

    async def connections(self, fleet: str) -> int:
        """How many connections of clients a fleet's Envoy has taken on the VIP."""
        return await self._stat(fleet, f"http.{self.vip}.downstream_cx_total")

    async def _stat(self, fleet: str, name: str) -> int:
        found = (await self.nodes[fleet].admin(f"/stats?format=json&filter={name}")).json()
        return next((each["value"] for each in found["stats"] if each.get("name") == name), 0)

    async def listens(self, fleet: str, wanted: bool) -> None:
        """Waits until a fleet's Envoy listens on the VIP, or no more."""

        async def so() -> bool:
            found = (await self.nodes[fleet].admin("/listeners")).text
            return (self.address in found) is wanted

        await until(so, within=10, what=f"{fleet} {'takes' if wanted else 'has let go of'} the VIP")

    def move_route(self, fleet: str) -> None:
        """Routes new connections to another fleet; those that exist stay where they are."""
        first, last = AFTER.split()
        new = ("ipproto", "tcp", "sport", f"{first}-{last}", "lookup", "100")
        self.fabric.send(VIPS, self.sites[fleet], table="100")
        self.fabric.router.ip("rule", "add", *new)
        self.clients.namespace.sysctl("net/ipv4/ip_local_port_range", AFTER)


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    with Fabric.made() as made:
        yield made


@pytest.fixture
def listener_drain() -> float:
    """How long the control plane takes listeners to drain; a test may have it otherwise."""
    return 0.5


@pytest.fixture
async def country(fabric: Fabric, tmp_path: Path, listener_drain: float) -> AsyncIterator[Country]:
    async with AsyncExitStack() as stack:
        times = {
            "lost_after": 0.5,
            "fleet_dead_after": 0.5,
            "move_overlap": OVERLAP,
            "listener_drain": listener_drain,
        }
        _, client = await stack.enter_async_context(control_plane(tmp_path, **times))
        sites, nodes = {}, {}
        for fleet in ("east", "west"):
            await client.fleet(fleet, vip_ranges=[VIPS])
            sites[fleet] = fabric.site()
            sites[fleet].holds(VIPS)
            node = NodeProcess.running(
                tmp_path, fleet=fleet, node="e1", namespace=sites[fleet].namespace
            )
            nodes[fleet] = await stack.enter_async_context(node)
        members = [await FarMember.at(fabric.site(), f"m{number}") for number in range(3)]
        clients = fabric.site()
        clients.namespace.sysctl("net/ipv4/ip_local_port_range", BEFORE)
        try:
            await joined(client, *(node.name for node in nodes.values()))
            pool = await client.pool("acme", "web")
            for member in members:
                await client.member(pool.name, member.name, member.address)
            monitor = await client.monitor("acme", "check")
            await client.associate(pool.name, monitor.name)
            vip = await client.vip("acme", "web", pool=pool.name, port=PORT, address="", **COOKIE)
            await client.applied(vip.name)
            yield Country(
                client=client,
                fabric=fabric,
                clients=clients,
                sites=sites,
                nodes=nodes,
                members=members,
                pool=pool.name,
                vip=vip.name,
                address=f"{vip.address}:{PORT}",
            )
        finally:
            for member in members:
                await member.close()


@asynccontextmanager
async def session(country: Country) -> AsyncIterator[list[str]]:
    """A client that sends its cookie and counts who answers; all of it in the list, in order."""
    first = await country.fetch()
    cookie = first.set_cookies[0].partition(";")[0]
    told = [first.text]
    ending = asyncio.Event()

    async def work() -> None:
        while not ending.is_set():
            reply = await country.fetch(cookie=cookie)
            told.append(reply.text if reply.status == 200 else str(reply.status))
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work())
        yield told
        ending.set()


@pytest.mark.parametrize("listener_drain", [ENVOYS_DRAIN])
async def test_a_pool_moves_and_no_request_fails(country: Country) -> None:
    """The new fleet is live before the old one lets go; cookies stay valid; 0 requests fail.

    Nor on connections that stay where they are for longer than both fleets take new ones.
    """
    old, new = await country.fleets()
    country.fabric.send(VIPS, country.sites[old])
    load = Load(country.address, connect=country.clients.connect)
    async with load, session(country) as told:
        await load.more(200)
        assert not await country.requests(new)
        await drain_fleet(country.client, old)
        moving = await placed(country.client, country.pool, new, leaving=old)
        assert f"moved from fleets/{old}, which is draining" in moving.reason
        for name in (country.pool, country.vip):
            await country.client.applied(name)
        assert not await country.requests(new)
        country.move_route(new)
        await load.more(200)
        opened = await country.connections(old)
        assert await country.requests(new)

        await country.listens(old, False)
        kept = await country.requests(old)
        await load.more(400)
        assert await country.requests(old) > kept
        assert await country.connections(old) == opened
        moved = (await pool_of(country.client, country.pool)).placement
        assert (moved.fleet, moved.reason) == (moving.fleet, moving.reason)
    assert not load.failures
    assert len(told) > 100
    assert set(told) == {told[0]}
    assert set(load.served) == {member.name for member in country.members}


async def test_a_fleet_that_was_cut_off_is_replaced_and_takes_nothing_back(
    country: Country,
) -> None:
    """A fleet that dies has its pools moved; the dead one returns and nothing flaps."""
    old, new = await country.fleets()
    country.fabric.send(VIPS, country.sites[old])
    first = await country.fetch()
    cookie = first.set_cookies[0].partition(";")[0]

    # Silence, as of a host without its network: nobody says goodbye, nothing is refused.
    country.nodes[old].signal(signal.SIGSTOP)
    country.sites[old].cable.down()
    moving = await placed(country.client, country.pool, new, leaving=old, within=30)
    assert f"moved from fleets/{old}, which has had no node since" in moving.reason
    await country.client.applied(country.vip)
    country.move_route(new)
    assert (await country.fetch(cookie=cookie)).text == first.text

    async with Load(country.address, connect=country.clients.connect) as load:
        await placed(country.client, country.pool, new)
        country.sites[old].cable.up()
        country.sites[old].way_home()
        country.nodes[old].signal(signal.SIGCONT)
        await joined(country.client, country.nodes[old].name)
        await country.listens(old, False)
        # Longer than it took to be called dead.
        await load.more(400)
    assert not load.failures
    placement = (await pool_of(country.client, country.pool)).placement
    assert (placement.fleet, placement.leaving_fleet) == (f"fleets/{new}", "")
    assert placement.time == moving.time
    assert await country.requests(new) > 400

"""PING over real ICMP, to addresses in namespaces that become unreachable and come back."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import pytest
from google.protobuf.json_format import MessageToJson, Parse

from lbaas.v1.agent_service_pb2 import AgentSpec, PingVerdict
from lbaas.v1.enums_pb2 import HealthMonitorType
from tests.host.netns import Link, Namespace, join, namespace
from tests.host.product import WITHOUT_PRIVILEGES

ADDRESSES = {"four": "10.77.0.2", "six": "fd77::2"}
DELAY, TIMEOUT, MAX_RETRIES, RISE = 0.5, 0.4, 3, 2
PINGER = (sys.executable, "-m", "tests.host.pinger")
REFUSAL = (sys.executable, "-c", "from agent.echo import refusal; print(refusal())")
DOWN_WITHIN = MAX_RETRIES * (DELAY + TIMEOUT) + 1
UP_WITHIN = RISE * DELAY + TIMEOUT + 1


@dataclass(frozen=True, slots=True)
class Site:
    """A node and a member, each in a namespace of its own, joined by a cable."""

    node: Namespace
    members: Namespace
    cable: Link

    def restore(self) -> None:
        """Makes the member answer as it did at first."""
        for address in ADDRESSES.values():
            self.cable.add(f"{address}/{64 if ':' in address else 24}")


@pytest.fixture
def site() -> Iterator[Site]:
    with namespace() as node, namespace() as members:
        near, far = join(node, members)
        near.add("10.77.0.1/24")
        near.add("fd77::1/64")
        made = Site(node, members, far)
        made.restore()
        yield made


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a Pinger in a namespace says, as it says it."""

    lines: asyncio.StreamReader

    async def next(self, *, within: float) -> PingVerdict:
        async with asyncio.timeout(within):
            line = await self.lines.readline()
        assert line, "the pinger ended"
        return Parse(line, PingVerdict())

    async def all(self, *, within: float, count: int = 2) -> dict[str, PingVerdict]:
        """The next verdict of every member."""
        found: dict[str, PingVerdict] = {}
        deadline = time.monotonic() + within
        while len(found) < count:
            verdict = await self.next(within=deadline - time.monotonic())
            found[verdict.member] = verdict
        return found


def watching(addresses: Mapping[str, str]) -> AgentSpec:
    """One pool with a member for each address, under one PING monitor."""
    spec = AgentSpec()
    pool = spec.pools.add(pool="web")
    for name, address in addresses.items():
        pool.members.add(member=name, address=address, port=80)
    monitor = pool.health_monitors.add(
        name="alive", type=HealthMonitorType.PING, max_retries=MAX_RETRIES, rise=RISE
    )
    monitor.delay.FromTimedelta(timedelta(seconds=DELAY))
    monitor.timeout.FromTimedelta(timedelta(seconds=TIMEOUT))
    return spec


@asynccontextmanager
async def pinging(
    node: Namespace, spec: AgentSpec, *, privileged: bool = True
) -> AsyncIterator[Verdicts]:
    """A Pinger in the node's namespace."""
    words = (*node.enter, *(() if privileged else WITHOUT_PRIVILEGES), *PINGER)
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(MessageToJson(spec).encode())
    process.stdin.close()
    assert process.stdout is not None
    try:
        yield Verdicts(process.stdout)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def address_gone(site: Site) -> Callable[[], None]:
    for address in ADDRESSES.values():
        site.cable.remove(f"{address}/{64 if ':' in address else 24}")
    return site.restore


def cable_cut(site: Site) -> Callable[[], None]:
    site.cable.down()

    def mend() -> None:
        site.cable.up()
        # An interface that goes down loses its addresses of IPv6.
        site.cable.add("fd77::2/64")

    return mend


def mute(site: Site) -> Callable[[], None]:
    def switch(value: int) -> None:
        for name in ("ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"):
            site.members.run("sh", "-c", f"echo {value} > /proc/sys/net/{name}")

    switch(1)
    return lambda: switch(0)


@pytest.mark.parametrize("fault", [address_gone, cable_cut, mute])
async def test_down_and_up_again_in_time(
    site: Site, fault: Callable[[Site], Callable[[], None]]
) -> None:
    async with pinging(site.node, watching(ADDRESSES)) as verdicts:
        first = await verdicts.all(within=10)
        assert {verdict.up for verdict in first.values()} == {True}

        mend = fault(site)
        down = await verdicts.all(within=DOWN_WITHIN)
        assert {verdict.up for verdict in down.values()} == {False}
        for verdict in down.values():
            assert verdict.cause in (
                f"no answer in {TIMEOUT:g} s",
                "host unreachable",
                "address unreachable",
                "network is unreachable",
                "no route to host",
            )

        mend()
        up = await verdicts.all(within=UP_WITHIN)
        assert {verdict.up for verdict in up.values()} == {True}
        assert {verdict.cause for verdict in up.values()} == {""}


async def test_what_never_answered_is_down_after_max_retries(site: Site) -> None:
    address_gone(site)
    async with pinging(site.node, watching(ADDRESSES)) as verdicts:
        first = await verdicts.all(within=DOWN_WITHIN + 5)  # and the start of a Python
        assert {verdict.up for verdict in first.values()} == {False}


async def test_without_privileges_it_says_so_until_its_group_may(site: Site) -> None:
    def refusal() -> str:
        return site.node.run(*WITHOUT_PRIVILEGES, *REFUSAL).strip()

    refused = refusal()
    assert "CAP_NET_RAW" in refused
    assert "net.ipv4.ping_group_range" in refused
    assert site.node.run(*REFUSAL).strip() == ""

    site.node.run("sh", "-c", "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range")
    assert refusal() == ""
    async with pinging(site.node, watching(ADDRESSES), privileged=False) as verdicts:
        first = await verdicts.all(within=10)
        assert {verdict.up for verdict in first.values()} == {True}
        address_gone(site)
        down = await verdicts.all(within=DOWN_WITHIN)
        assert {verdict.up for verdict in down.values()} == {False}


async def test_a_thousand_addresses_and_two_sockets(site: Site) -> None:
    many = {f"m{n}": f"10.78.{n // 250}.{n % 250 + 1}" for n in range(1000)}
    # Every address of the network answers as the member's own would.
    site.members.ip("route", "add", "local", "10.78.0.0/16", "dev", "lo")
    site.node.ip("route", "add", "10.78.0.0/16", "via", ADDRESSES["four"])
    async with pinging(site.node, watching(many)) as verdicts:
        first = await verdicts.all(within=15, count=1000)
        assert {verdict.up for verdict in first.values()} == {True}
        site.members.ip("route", "del", "local", "10.78.0.0/16", "dev", "lo")
        down = await verdicts.all(within=DOWN_WITHIN, count=1000)
        assert {verdict.up for verdict in down.values()} == {False}

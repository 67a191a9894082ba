"""Health monitors through real Envoys: what each takes for healthy, and how soon it is noticed.

The bounds are the product's promise: down within max_retries x (delay + timeout) + 1 s, up again
within rise x delay + timeout + 1 s. PING needs privileges and is in tests/host.
"""

import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trustme

from tests.features.world import Client, world
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.http_client import fetch
from tests.harness.members import Echo, Member, Mode
from tests.harness.ports import free_port
from tests.harness.waiting import until

DELAY, TIMEOUT, RETRIES, RISE = 0.4, 0.3, 3, 2
DOWN = RETRIES * (DELAY + TIMEOUT) + 1
UP = RISE * DELAY + TIMEOUT + 1
TIMES = {
    "delay": f"{DELAY}s",
    "timeout": f"{TIMEOUT}s",
    "max_retries": RETRIES,
    "rise": RISE,
}


class Watched:
    """A pool with monitors and members on one real Envoy, and how that finds each member."""

    def __init__(self, client: Client, envoy: EnvoyProcess) -> None:
        self.client = client
        self.envoy = envoy
        self.pool = ""

    async def make(
        self, servers: list[Any], monitors: list[dict[str, Any]], *, protocol: str = "HTTP"
    ) -> None:
        pool = await self.client.pool("acme", "web", protocol=protocol)
        self.pool = pool.name
        for number, fields in enumerate(monitors):
            made = await self.client.monitor("acme", f"check-{number}", **{**TIMES, **fields})
            await self.client.associate(pool.name, made.name)
        for server in servers:
            await self.client.member(pool.name, server.name, server.address)
        await self.client.applied(pool.name)
        for server in servers:
            await self.client.applied(f"{pool.name}/members/{server.name}")

    async def up(self, server: Any) -> bool:
        found = (await self.envoy.members(self.pool)).get(server.address)
        return found is not None and "failed_active_health_check" not in found

    async def becomes(self, server: Any, *, up: bool, within: float) -> float:
        """Waits until a member is found up, or down; gives how long that took."""
        began = time.monotonic()

        async def so() -> bool:
            return await self.up(server) is up

        await until(so, within=within, what=f"{server.name} is {'up' if up else 'down'}")
        return time.monotonic() - began


@pytest.fixture
async def watched(tmp_path):
    async with world(tmp_path) as (_, client, (envoy,)):
        yield Watched(client, envoy)


async def test_http_codes_method_and_host_are_the_monitors(watched: Watched):
    server = await Member.start("m0")
    asked = {
        "http_method": "HEAD",
        "host": "shop.example.com",
        "url_path": "/healthz",
        "expected_codes": "200,202-204",
    }
    await watched.make([server], [asked])
    await watched.becomes(server, up=True, within=UP)
    head = server.last_check.decode().lower()
    assert head.startswith("head /healthz ")
    assert "host: shop.example.com\r\n" in head
    for code in (201, 205, 302, 404, 500):
        server.check_status = code
        await watched.becomes(server, up=False, within=DOWN)
        server.check_status = 202 + code % 2
        await watched.becomes(server, up=True, within=UP)
    await server.close()


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        *(
            (kind, fault)
            for kind in ("HTTP", "HTTPS")
            for fault in Mode
            if fault is not Mode.HEALTHY
        ),
        ("TCP", Mode.CLOSED),  # it connects and asks nothing: no other fault shows
    ],
)
async def test_each_is_down_and_up_again_in_its_bound(watched: Watched, kind: str, fault: Mode):
    context = None
    if kind == "HTTPS":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("member.test").configure_cert(context)
    server = await Member.start("m0", tls=context)
    protocol = "HTTPS" if kind == "HTTPS" else "HTTP"
    await watched.make([server], [{"type": kind}], protocol=protocol)
    await watched.becomes(server, up=True, within=UP)
    await server.become(fault)
    await watched.becomes(server, up=False, within=DOWN)
    await server.become(Mode.HEALTHY)
    await watched.becomes(server, up=True, within=UP)
    await server.close()


async def test_it_takes_max_retries_failures_and_not_one(watched: Watched):
    server = await Member.start("m0")
    await watched.make([server], [{}])
    await watched.becomes(server, up=True, within=UP)
    failed = await _fail_next(server, 2)
    await until(_passed(server, failed + 2), within=DOWN, what="two failed and two passed")
    assert await watched.up(server)
    assert await watched.envoy.stat(f"cluster.{watched.pool}.health_check.failure") == 2
    checks = server.checks
    await _fail_next(server, 1000)
    await watched.becomes(server, up=False, within=DOWN)
    assert server.checks - checks >= RETRIES
    await server.close()


async def _fail_next(server: Member, count: int) -> int:
    """Fails the next checks, `count` of them, and then no more; gives the number of the last."""
    last = server.checks + count

    def counted(head: bytes) -> bytes:
        server.check_status = 503 if server.checks < last else 200
        return Member.answer(server, head)

    server.answer = counted  # type: ignore[method-assign]
    return last


def _passed(server: Member, checks: int) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return server.checks >= checks

    return so


async def test_any_of_three_monitors_takes_the_member_out(watched: Watched):
    servers = [await Member.start(f"m{number}") for number in range(2)]
    paths = ["/a", "/b"]
    monitors = [{"url_path": path} for path in paths] + [{"type": "TCP"}]
    await watched.make(servers, monitors)
    port = free_port()
    vip = await watched.client.vip("acme", "web", pool=watched.pool, port=port)
    await watched.client.applied(vip.name)
    bad, good = servers
    answer = bad.answer
    failing = ""

    def partly(head: bytes) -> bytes:
        bad.check_status = 503 if failing and head.startswith(f"GET {failing} ".encode()) else 200
        return answer(head)

    bad.answer = partly  # type: ignore[method-assign]
    for server in servers:
        await watched.becomes(server, up=True, within=UP)
    for path in paths:
        failing = path
        await watched.becomes(bad, up=False, within=DOWN)
        assert {(await fetch(f"127.0.0.1:{port}")).text for _ in range(10)} == {good.name}
        failing = ""
        await watched.becomes(bad, up=True, within=UP)
    await bad.become(Mode.CLOSED)
    await watched.becomes(bad, up=False, within=DOWN)
    for server in servers:
        await server.close()


async def test_a_tcp_pool_is_watched_too(watched: Watched):
    server = await Echo.start("m0")
    await watched.make([server], [{"type": "TCP"}], protocol="TCP")
    await watched.becomes(server, up=True, within=UP)
    await server.become(Mode.CLOSED)
    await watched.becomes(server, up=False, within=DOWN)
    await server.become(Mode.HEALTHY)
    await watched.becomes(server, up=True, within=UP)
    await server.close()

"""What a repeated check says, against real members."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import trustme

from agent.diagnose import Finding, cause
from lbaas.v1.enums_pb2 import HealthMonitorType
from lbaas.v1.health_monitor_pb2 import HealthMonitor
from tests.harness.members import Echo, Member, Mode
from tests.harness.ports import free_port
from tests.harness.waiting import until

TCP, HTTP, HTTPS = HealthMonitorType.TCP, HealthMonitorType.HTTP, HealthMonitorType.HTTPS
PASSED = Finding(passed=True)


def monitor(
    kind: HealthMonitorType.Code.ValueType, *, timeout: float = 5.0, **fields: str
) -> HealthMonitor:
    made = HealthMonitor(name="projects/p/healthMonitors/check", type=kind, **fields)
    made.timeout.FromTimedelta(timedelta(seconds=timeout))
    return made


def failed(words: str) -> Finding:
    return Finding(passed=False, cause=words)


class Server:
    """A server that keeps what it was asked and answers what it is told, over TLS if given one.

    Without an answer (None) it closes before it reads.
    """

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.asked = b""
        self.server_names: list[str | None] = []
        self.port = 0

    @asynccontextmanager
    async def running(
        self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> "AsyncIterator[Server]":
        if tls is not None:
            tls.sni_callback = lambda _sock, name, _context: self.server_names.append(name)
        server = await asyncio.start_server(self._serve, host, 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.answer is not None:
            self.asked = await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
        writer.close()


def status(code: int) -> bytes:
    return f"HTTP/1.1 {code} X\r\ncontent-length: 0\r\n\r\n".encode()


def tls(*, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("nobody.test").configure_cert(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


async def test_a_member_that_serves_passes() -> None:
    async with await Member.start("m") as member:
        for kind in (TCP, HTTP):
            assert await cause(monitor(kind), "127.0.0.1", member.port) == PASSED


async def test_an_address_of_ipv6() -> None:
    async with Server(status(200)).running(host="::1") as server:
        assert await cause(monitor(HTTP), "::1", server.port) == PASSED


@pytest.mark.parametrize(
    ("code", "codes", "wanted"),
    [
        (200, "", PASSED),
        (503, "", failed("HTTP 503, wanted 200")),
        (203, "200,202-204", PASSED),
        (204, "200, 202-204", PASSED),
        (201, "200,202-204", failed("HTTP 201, wanted 200,202-204")),
        (205, "200,202-204", failed("HTTP 205, wanted 200,202-204")),
        (302, "200", failed("HTTP 302, wanted 200")),  # not followed
    ],
)
async def test_codes(code: int, codes: str, wanted: Finding) -> None:
    async with Server(status(code)).running() as server:
        check = monitor(HTTP, expected_codes=codes)
        assert await cause(check, "127.0.0.1", server.port) == wanted


async def test_the_request_is_the_monitors() -> None:
    async with Server(status(200)).running() as server:
        check = monitor(HTTP, http_method="HEAD", url_path="/a%7Eb?x=[1]&y", host="shop.test:81")
        assert await cause(check, "127.0.0.1", server.port) == PASSED
        head = server.asked.decode().lower().split("\r\n")
        assert server.asked.startswith(b"HEAD /a%7Eb?x=[1]&y HTTP/1.1\r\n")
        assert [line for line in head if line.startswith(("host:", "user-agent:"))] == [
            "host: shop.test:81",
            "user-agent: tidegate/diagnose",
        ]

        await cause(monitor(HTTP), "127.0.0.1", server.port)
        assert server.asked.startswith(b"GET / HTTP/1.1\r\n")
        assert b"host: localhost\r\n" in server.asked.lower()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_any_certificate_passes(version: ssl.TLSVersion) -> None:
    async with Server(status(200)).running(tls=tls(version=version)) as server:
        assert await cause(monitor(HTTPS), "127.0.0.1", server.port) == PASSED
        assert await cause(monitor(TCP), "127.0.0.1", server.port) == PASSED


@pytest.mark.parametrize(
    ("host", "name"),
    [("", None), ("shop.test", "shop.test"), ("shop.test:81", "shop.test"), ("10.0.0.1", None)],
)
async def test_the_server_name_is_the_host_unless_it_is_an_address(
    host: str, name: str | None
) -> None:
    async with Server(status(503)).running(tls=tls()) as server:
        found = await cause(monitor(HTTPS, host=host), "127.0.0.1", server.port)
        assert found == failed("HTTP 503, wanted 200")
        assert server.server_names == [name]


async def test_nobody_listens() -> None:
    port = free_port()
    for kind in (TCP, HTTP, HTTPS):
        found = await cause(monitor(kind), "127.0.0.1", port)
        assert found == failed("connection refused"), kind


async def test_a_mute_member() -> None:
    async with await Member.start("m", mode=Mode.MUTE) as member:
        found = await cause(monitor(HTTP, timeout=0.1), "127.0.0.1", member.port)
        assert found == failed("timeout after 0.1 s")
        found = await cause(monitor(HTTPS, timeout=0.1), "127.0.0.1", member.port)
        assert found == failed("timeout after 0.1 s")


async def test_a_connection_that_is_not_accepted() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.socket() as first:
            # It takes the queue's one place, so the kernel drops what comes.
            first.connect(("127.0.0.1", port))
            found = await cause(monitor(TCP, timeout=0.1), "127.0.0.1", port)
            assert found == failed("timeout after 0.1 s")


async def test_what_is_no_http() -> None:
    async with Server(b"SSH-2.0-x\r\n\r\n").running() as server:
        found = await cause(monitor(HTTP), "127.0.0.1", server.port)
        assert found.cause.startswith("not an answer of HTTP: ")


async def test_an_end_without_an_answer() -> None:
    async with Server(b"").running() as server:
        found = await cause(monitor(HTTP), "127.0.0.1", server.port)
        assert found == failed("connection closed without an answer")


async def test_a_reset() -> None:
    async with await Member.start("m", mode=Mode.MUTE) as member:
        asking = asyncio.create_task(cause(monitor(HTTP), "127.0.0.1", member.port))

        async def asked() -> bool:
            return member.requests == 1

        await until(asked, within=5, what="the request is there")
        for connection in member.connections:
            # Closed without lingering, a connection is reset.
            end = connection.get_extra_info("socket")
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await member.become(Mode.CLOSED)
        assert await asking == failed("connection reset")


async def test_tls_that_fails() -> None:
    async with Server(None).running() as server:
        found = await cause(monitor(HTTPS), "127.0.0.1", server.port)
        assert found == failed("TLS handshake failed: connection closed")
    async with await Echo.start("no TLS") as member:
        found = await cause(monitor(HTTPS), "127.0.0.1", member.port)
        assert found == failed("TLS handshake failed: wrong version number")


async def test_ping_is_not_envoys() -> None:
    with pytest.raises(ValueError, match="no check of Envoy's"):
        await cause(monitor(HealthMonitorType.PING), "127.0.0.1", 80)

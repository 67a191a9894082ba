"""HTTPS: traffic passes through untouched, checks speak TLS themselves."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta

import trustme

from lbaas.model.enums import HealthMonitorType, Protocol
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tests.translate.node import TranslatedNode
from tests.translate.trees import POOL, member, monitor, pool, tree, vip


class TlsMember:
    """Speaks TLS 1.3 alone, with a certificate that nobody signed."""

    def __init__(self) -> None:
        self.server_names: list[str | None] = []
        self.hosts: list[str] = []
        self.port = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["TlsMember"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("member.test").configure_cert(context)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.hosts.append(head.lower().split("host: ")[1].split("\r\n")[0])
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()


async def test_checks_ask_for_their_host_over_tls_and_traffic_keeps_the_clients() -> None:
    front = vip(protocol=Protocol.HTTPS, address="127.0.0.1", port=free_port())
    checks = tuple(
        monitor(
            name,
            type=HealthMonitorType.HTTPS,
            host=host,
            delay=timedelta(seconds=0.3),
            timeout=timedelta(seconds=0.3),
        )
        for name, host in (("named", "a.example.com"), ("nameless", ""))
    )
    async with TlsMember().listening() as there, TranslatedNode() as node:
        mine = member(1, address="127.0.0.1", port=there.port)
        passing = pool(protocol=Protocol.HTTPS)
        wanted = tree(pool=passing, members=(mine,), health_monitors=checks, vips=(front,))
        await node.apply(wanted)

        async def healthy() -> bool:
            (health,) = (await node.envoy.members(POOL)).values()
            return health == {"eds_health_status": "HEALTHY"}

        await until(healthy, within=5, what="both checks pass")
        assert set(there.server_names) == {"a.example.com", None}
        assert set(there.hosts) == {"a.example.com", "localhost"}

        client = ssl.create_default_context()
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", front.port, ssl=client, server_hostname="shop.example.com"
        )
        writer.write(b"GET / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert "shop.example.com" in there.server_names
        writer.close()

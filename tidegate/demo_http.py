"""The demo's HTTP: members that name themselves, and a client that sends requests."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

_LOOPBACK = "127.0.0.1"
_HEAD_END = b"\r\n\r\n"


@dataclass
class DemoMember:
    """A small HTTP/1.1 server that answers every request with its own name."""

    name: str
    port: int = 0
    requests: int = 0
    _server: asyncio.Server | None = None
    _clients: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def address(self) -> str:
        """Gives `host:port`."""
        return f"{_LOOPBACK}:{self.port}"

    async def start(self) -> None:
        """Listens on a free port; again on the same one after a stop."""
        self._server = await asyncio.start_server(self._serve, _LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listens no more and cuts its connections, as a crash would."""
        if self._server is None:
            return
        self._server.close()
        for client in self._clients:
            client.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while True:
                head = await reader.readuntil(_HEAD_END)
                if not head.startswith(b"GET /healthz "):
                    self.requests += 1
                body = f"{self.name}\n".encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
                    + f"content-length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # the client has gone
        finally:
            self._clients.discard(writer)
            writer.close()


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; status 0: there was none, and `body` says why."""

    status: int
    body: str

    @property
    def ok(self) -> bool:
        """Tells whether it is 200."""
        return self.status == HTTPStatus.OK

    def __str__(self) -> str:
        """Gives the status and what was said with it."""
        return f"{self.status or 'no answer:'} {self.body.strip()}"


async def fetch(address: str, path: str = "/", *, within: float = 5.0) -> Reply:
    """Sends one GET over a connection of its own; `within` in seconds, for all of it."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                request = f"GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
                writer.write(request.encode())
                answer = await reader.read()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        return Reply(0, f"no answer within {within:g} s")
    except OSError as error:
        return Reply(0, str(error))
    head, _, body = answer.partition(_HEAD_END)
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) < 2 or not words[1].isdecimal():  # noqa: PLR2004 - "HTTP/1.1 200 ..."
        return Reply(0, "the connection was closed without an answer")
    if "transfer-encoding: chunked" in (line.lower() for line in lines):
        body = _unchunked(body)
    return Reply(int(words[1]), body.decode("utf-8", "replace"))


async def send(address: str, count: int) -> Sequence[Reply]:
    """Sends requests one after another."""
    return [await fetch(address) for _ in range(count)]


def _unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    while True:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if length == 0:
            return b"".join(parts)
        parts.append(rest[:length])
        body = rest[length + 2 :]

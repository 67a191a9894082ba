"""The demo's HTTP: members that name themselves, and clients with and without a cookie jar."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx

_LOOPBACK = "127.0.0.1"
_HEAD_END = b"\r\n\r\n"
_WITHIN = 5.0


@dataclass
class DemoMember:
    """A small HTTP/1.1 server that answers every request with its own name."""

    name: str
    port: int = 0
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
        """Listens no more and cuts its connections, as a crash would; then all of them are cut."""
        if self._server is None:
            return
        self._server.close()
        clients = tuple(self._clients)
        for client in clients:
            client.transport.abort()
        for client in clients:
            with suppress(OSError):
                await client.wait_closed()
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        body = f"{self.name}\n".encode()
        try:
            while await reader.readuntil(_HEAD_END):
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
    """An HTTP answer; status 0: there was none, and `body` says why.

    `cookie`: it gave the client a cookie.
    """

    status: int
    body: str
    cookie: bool = False

    @property
    def ok(self) -> bool:
        """Tells whether it is 200."""
        return self.status == HTTPStatus.OK

    @property
    def member(self) -> str:
        """Gives which member answered, "" if none did."""
        return self.body.strip() if self.ok else ""

    def __str__(self) -> str:
        """Gives the status and what was said with it."""
        return f"{self.status or 'no answer:'} {self.body.strip()}"


class DemoClient:
    """Asks a VIP (`host:port`), each time over a connection of its own; close it at the end.

    `name` is what the demo calls it. With `keeps_cookies` it has a jar, as a browser has.
    """

    def __init__(self, name: str, address: str, *, keeps_cookies: bool) -> None:
        """Takes what it is called, whom it asks, and whether it has a jar."""
        self.name = name
        self.sent = 0
        """How many requests it has sent."""
        self._url = f"http://{address}/"
        self._keeps = keeps_cookies
        # No proxy of the environment stands between, and no connection is used twice.
        self._http = httpx.AsyncClient(
            timeout=_WITHIN, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def close(self) -> None:
        """Closes what is open."""
        await self._http.aclose()

    @property
    def cookies(self) -> dict[str, str]:
        """Gives what is in its jar."""
        return dict(self._http.cookies)

    def forget(self) -> None:
        """Empties its jar."""
        self._http.cookies.clear()

    async def ask(self, count: int = 1) -> Sequence[Reply]:
        """Sends requests one after another and gives the answers."""
        return [await self._ask() for _ in range(count)]

    async def _ask(self) -> Reply:
        if not self._keeps:
            self.forget()
        self.sent += 1
        try:
            answer = await self._http.get(self._url)
        except httpx.TransportError as error:
            return Reply(0, str(error) or type(error).__name__)
        return Reply(answer.status_code, answer.text, cookie="set-cookie" in answer.headers)

"""Members: small servers that name themselves, hundreds in one process, and fail on demand."""

import asyncio
import enum
import ssl
from typing import Self


class Mode(enum.Enum):
    """How a member behaves."""

    HEALTHY = "answers 200 with its name"
    FAILING = "answers 503 to everything"
    MUTE = "accepts connections and requests and never answers"
    CLOSED = "does not listen; its connections are cut"


class _Listening:
    """A TCP server on one address that can be closed and opened again on the same port."""

    def __init__(self, name: str, host: str) -> None:
        self.name = name
        self.host = host
        self.port = 0
        self.mode = Mode.HEALTHY
        self.connections: set[asyncio.Transport] = set()
        self.accepted = 0
        self.tls: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None

    def protocol(self) -> asyncio.Protocol:
        raise NotImplementedError

    async def open(self, port: int = 0) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self.protocol, self.host, port, reuse_address=True, backlog=512, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        """Stops listening and cuts its connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in tuple(self.connections):
            transport.abort()

    async def become(self, mode: Mode) -> None:
        """Switches its behaviour, for connections that exist too."""
        was, self.mode = self.mode, mode
        if mode is Mode.CLOSED:
            await self.close()
        elif was is Mode.CLOSED:
            await self.open(self.port)

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()


class Member(_Listening):
    """An HTTP/1.1 server whose body is its name.

    Attributes:
        requests: requests of traffic that were answered or swallowed.
        checks: requests of Envoy's health checker (by its user agent).
        last_check: the head of the newest of them.
        check_status: what the health checker is answered; traffic gets 200 (FAILING: both 503).
        delay: how many seconds an answer to traffic takes.
        check_delay: how many an answer to the health checker takes.
    """

    def __init__(self, name: str, host: str = "127.0.0.1") -> None:
        super().__init__(name, host)
        self.requests = 0
        self.checks = 0
        self.last_check = b""
        self.check_status = 200
        self.delay = 0.0
        self.check_delay = 0.0

    @classmethod
    async def start(
        cls,
        name: str,
        *,
        host: str = "127.0.0.1",
        mode: Mode = Mode.HEALTHY,
        tls: ssl.SSLContext | None = None,
    ) -> "Member":
        """A member that listens on a free port of `host`; with `tls` it speaks HTTPS."""
        member = cls(name, host)
        member.tls = tls
        await member.open()
        await member.become(mode)
        return member

    def protocol(self) -> asyncio.Protocol:
        return _Http(self)

    def answer(self, head: bytes) -> bytes:
        """The whole answer to one request; empty when it stays mute."""
        check = b"user-agent: envoy/hc" in head.lower()
        if check:
            self.checks += 1
            self.last_check = head
        else:
            self.requests += 1
        if self.mode is Mode.MUTE:
            return b""
        status = self.check_status if check else 200
        if self.mode is Mode.FAILING:
            status = 503
        body = b"" if head.startswith(b"HEAD") else self.name.encode()
        return f"HTTP/1.1 {status} X\r\ncontent-length: {len(self.name)}\r\n\r\n".encode() + body


class Echo(_Listening):
    """A TCP server that sends its name once, then everything back."""

    @classmethod
    async def start(cls, name: str, *, host: str = "127.0.0.1") -> "Echo":
        """An echo server that listens on a free port of `host`."""
        return await cls(name, host).open()

    def protocol(self) -> asyncio.Protocol:
        return _Echo(self)


class _Tracked(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, owner: _Listening) -> None:
        self._owner = owner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._owner.accepted += 1
        self._owner.connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.connections.discard(self.transport)


class _Http(_Tracked):
    def __init__(self, owner: Member) -> None:
        super().__init__(owner)
        self._member = owner
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head, self._read = self._read[: end + 2], self._read[end + 4 :]
            # Tests send no bodies; a content-length other than 0 would be read as a request.
            checks = self._member.checks
            if answer := self._member.answer(head):
                traffic = checks == self._member.checks
                late = self._member.delay if traffic else self._member.check_delay
                asyncio.get_running_loop().call_later(late, self._write, answer)

    def _write(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)


class _Echo(_Tracked):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(self._owner.name.encode() + b"\n")

    def data_received(self, data: bytes) -> None:
        if self._owner.mode is not Mode.MUTE:
            self.transport.write(data)

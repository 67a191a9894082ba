"""A small HTTP/1.1 client on asyncio streams: no retries, no pool, nothing hidden."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: status, headers (lower case), body, and its head as it came."""

    status: int
    headers: dict[str, str]
    body: bytes
    head: bytes = b""

    @property
    def set_cookies(self) -> list[str]:
        """The values of its Set-Cookie headers, in order."""
        lines = [line.partition(":") for line in self.head.decode("latin-1").split("\r\n")]
        return [value.strip() for name, _, value in lines if name.lower() == "set-cookie"]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def closes(self) -> bool:
        """Whether the server said that it closes the connection after this answer."""
        return self.headers.get("connection", "").lower() == "close"


class Connection:
    """One client connection that carries one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str) -> "Connection":
        """Connects to `host:port` or to the path of a unix socket.

        Raises:
            OSError: nobody listens there.
        """
        if address.startswith("/"):
            return cls(*await asyncio.open_unix_connection(address))
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host.strip("[]"), int(port)))

    @property
    def local_address(self) -> tuple[str, int]:
        """The client's own address and port."""
        name = self._writer.get_extra_info("sockname")
        return name[0], name[1]

    async def request(
        self,
        path: str,
        *,
        method: str = "GET",
        host: str = "test",
        headers: dict[str, str] | None = None,
        close: bool = False,
    ) -> Reply:
        """Sends one request and reads its whole answer.

        Raises:
            EOFError: the server closed before a whole answer came.
            OSError: the connection broke.
        """
        lines = [f"{method} {path} HTTP/1.1", f"host: {host}"]
        lines += [f"{key}: {value}" for key, value in (headers or {}).items()]
        if close:
            lines.append("connection: close")
        if method == "POST":
            lines.append("content-length: 0")
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        raw = await self._reader.readuntil(b"\r\n\r\n")
        head = raw.decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        received = {}
        for line in head[1:]:
            key, _, value = line.partition(":")
            if key:
                received[key.strip().lower()] = value.strip()
        return Reply(status, received, await self._body(received, method), raw)

    async def _body(self, headers: dict[str, str], method: str) -> bytes:
        if method == "HEAD":
            return b""
        if "content-length" in headers:
            return await self._reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            return await self._reader.read()
        chunks = []
        while size := int((await self._reader.readline()).split(b";")[0], 16):
            chunks.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readline()
        return b"".join(chunks)

    async def close(self) -> None:
        """Closes, and forgives a connection that was broken already."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()


async def fetch(
    address: str, path: str = "/", *, method: str = "GET", within: float = 5.0, **headers: str
) -> Reply:
    """One request on a connection of its own.

    Raises:
        OSError: refused or broken, and `TimeoutError` when nothing came in time.
        EOFError: closed before a whole answer came.
    """
    async with asyncio.timeout(within), await Connection.open(address) as connection:
        return await connection.request(path, method=method, headers=headers, close=True)

"""A TCP gate between an Envoy and its control plane: open, closed, or deaf to the Envoy."""

import asyncio
from typing import Self


class Gate:
    """Listens on a port of its own and passes bytes on, until it is told otherwise.

    Attributes:
        port: where the Envoy connects.
        upstream: the control plane's port; may change while the gate is closed.
        deaf: what the Envoy says is swallowed; what it is sent goes through.
    """

    def __init__(self, upstream: int) -> None:
        self.port = 0
        self.upstream = upstream
        self.deaf = False
        self._closed = False
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.close()
        self._server.close()
        await self._server.wait_closed()

    def close(self) -> None:
        """Cuts what is open, and refuses what comes."""
        self._closed = True
        for writer in self._writers:
            writer.close()

    def open(self) -> None:
        """Lets everything through again."""
        self._closed = self.deaf = False

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
            writer.close()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.close()
            return
        pair = {writer, up_writer}
        self._writers |= pair
        try:
            await asyncio.gather(
                self._pump(reader, up_writer, hears=True), self._pump(up_reader, writer)
            )
        finally:
            self._writers -= pair

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, hears: bool = False
    ) -> None:
        try:
            while data := await reader.read(65536):
                if not (hears and self.deaf):
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            pass  # cut at either end, which is what a gate is for
        finally:
            writer.close()

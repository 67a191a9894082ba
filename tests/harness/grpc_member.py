"""A real gRPC server as a member, behind a door that can be shut to newcomers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc

from tests.harness.grpc_caller import STAY, WHO


class _Who(grpc.GenericRpcHandler):
    """Answers with a name: once, or each time that it is asked on a stream."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method == WHO:
            return grpc.unary_unary_rpc_method_handler(self._ask)
        if details.method == STAY:
            return grpc.stream_stream_rpc_method_handler(self._stay)
        return None

    async def _ask(self, _request: bytes, _context: object) -> bytes:
        return self._name

    async def _stay(self, requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
        async for _ in requests:
            yield self._name


class GrpcMember:
    """A member that answers with its name. Clients reach it through a forwarding port.

    A shut door refuses new connections; those that are open stay: who checks finds the member
    down, and a client that is connected finds nothing.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = ""
        self._door: asyncio.Server | None = None
        self._behind = 0
        self._copying: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Lets clients in, at the address of before."""
        port = int(self.address.rpartition(":")[2] or 0)
        self._door = await asyncio.start_server(self._enter, "127.0.0.1", port)
        self.address = f"127.0.0.1:{self._door.sockets[0].getsockname()[1]}"

    def shut(self) -> None:
        """Lets nobody in who is not in."""
        if self._door is not None:
            self._door.close()
            self._door = None

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", self._behind)
        for source, target in ((reader, behind[1]), (behind[0], writer)):
            task = asyncio.create_task(_copy(source, target))
            self._copying.add(task)
            task.add_done_callback(self._copying.discard)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serves until it is left."""
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_Who(self.name),))
        self._behind = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        await self.open()
        try:
            yield
        finally:
            self.shut()
            await server.stop(None)
            for task in tuple(self._copying):
                task.cancel()
            await asyncio.gather(*self._copying, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass  # the other side is gone, which is what the end below says
    finally:
        target.close()


@contextlib.asynccontextmanager
async def grpc_members(*names: str) -> AsyncIterator[list[GrpcMember]]:
    """Members of these names, serving."""
    async with contextlib.AsyncExitStack() as stack:
        made = [GrpcMember(name) for name in names]
        for member in made:
            await stack.enter_async_context(member.serving())
        yield made

"""One change of 1 KB to 1,000 streams, each with a connection of its own: until all have it.

The floors, in turn with it: a grpc.aio server that writes the same bytes to all its streams and
parses the ACKs, and an asyncio server that writes frames made before to bare sockets.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from google.protobuf.message import Message

from benchmarks.figures import Figure, middle
from benchmarks.raw_streams import RawStreams, more_files
from tests.harness import resources
from tests.harness.stuck_client import frame
from xds.cache import SnapshotCache
from xds.server import serve

STREAMS = 1_000
ROUNDS = 30
WARM_UP = 3
MEMBERS = 24
"""Endpoints of 1 KB."""


def _endpoints(version: int) -> Message:
    made = resources.endpoints("web", [f"10.0.0.{n}:{9000 + n}" for n in range(MEMBERS)])
    for endpoint in made.endpoints[0].lb_endpoints:
        endpoint.load_balancing_weight.value = 1 + version % 100
        endpoint.metadata.filter_metadata["envoy.lb"]["member"] = "0123456789"
    return made


def _response(message: Message, nonce: int) -> bytes:
    type_url = f"type.googleapis.com/{message.DESCRIPTOR.full_name}"
    response = DeltaDiscoveryResponse(type_url=type_url, nonce=str(nonce))
    entry = response.resources.add(name="web", version=str(nonce))
    entry.resource.Pack(message)
    return response.SerializeToString()


FIRST = (_response(resources.cluster("web"), 0), _response(_endpoints(0), 0))


class _Product:
    """The cache and its server."""

    async def start(self, stack: AsyncExitStack) -> int:
        self._cache = SnapshotCache()
        self._cache.publish("fleet", [resources.cluster("web"), _endpoints(0)])
        server = await stack.enter_async_context(await serve(self._cache, "127.0.0.1:0"))
        return server.port

    async def push(self, version: int) -> None:
        self._cache.publish("fleet", [resources.cluster("web"), _endpoints(version)])


class _Aio:
    """Streams of grpc.aio, each with a slot for what is to be written."""

    async def start(self, stack: AsyncExitStack) -> int:
        self._slots: set[asyncio.Event] = set()
        self._data = b""
        server = grpc.aio.server(
            options=[
                ("grpc.server.max_pending_requests", 100_000),
                ("grpc.server.max_pending_requests_hard_limit", 200_000),
            ]
        )
        handler = grpc.stream_stream_rpc_method_handler(self._serve)
        name = "envoy.service.discovery.v3.AggregatedDiscoveryService"
        methods = {"DeltaAggregatedResources": handler}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, None)
        return port

    async def push(self, version: int) -> None:
        self._data = _response(_endpoints(version), version)
        for slot in self._slots:
            slot.set()

    async def _serve(self, _requests: object, context: Any) -> None:
        slot = asyncio.Event()
        reading = asyncio.create_task(self._read(context))
        try:
            for data in FIRST:
                await context.write(data)
            self._slots.add(slot)
            while True:
                await slot.wait()
                slot.clear()
                await context.write(self._data)
        finally:
            self._slots.discard(slot)
            reading.cancel()

    @staticmethod
    async def _read(context: Any) -> None:
        while isinstance(data := await context.read(), bytes):
            DeltaDiscoveryRequest.FromString(data)


class _Raw(asyncio.Protocol):
    """Bare sockets; what comes is not looked at."""

    open: "set[asyncio.Transport]"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(frame(0x4, b"") + b"".join(map(_data, FIRST)))
        self.open.add(transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self.open.discard(self._transport)


def _data(message: bytes) -> bytes:
    return frame(0x0, b"\0" + len(message).to_bytes(4) + message, stream=1)


class _Sockets:
    """The server of bare sockets."""

    async def start(self, stack: AsyncExitStack) -> int:
        _Raw.open = set()
        server = await asyncio.get_running_loop().create_server(_Raw, "127.0.0.1", 0, backlog=4096)
        stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])

    async def push(self, version: int) -> None:
        data = _data(_response(_endpoints(version), version))
        for transport in tuple(_Raw.open):
            transport.write(data)


@asynccontextmanager
async def bare_process() -> AsyncIterator[tuple[int, int]]:
    """Gives the grpc.aio floor in a process of its own: its process id and its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.fan_out"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.pid, int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


async def _bare() -> None:
    more_files()
    async with AsyncExitStack() as stack:
        print(await _Aio().start(stack), flush=True)
        await asyncio.Event().wait()


async def measure() -> list[Figure]:
    """Milliseconds until the last stream has the change; medians."""
    more_files()
    servers = (_Product(), _Aio(), _Sockets())
    found: list[list[float]] = [[] for _ in servers]
    async with AsyncExitStack() as stack:
        clients = []
        for server in servers:
            port = await server.start(stack)
            clients.append(await stack.enter_async_context(RawStreams(port, STREAMS)))
        for number in range(WARM_UP + ROUNDS):
            for server, streams, samples in zip(servers, clients, found, strict=True):
                began = time.perf_counter()
                await server.push(number + 1)
                _, last = await streams.delivered()
                if number >= WARM_UP:
                    samples.append(1000 * (last - began))
                await asyncio.sleep(0.05)  # the ACKs
    product, aio, raw = found
    what = f"one change of 1 KB -> {STREAMS:,} streams"
    return [
        middle(f"{what}, all delivered; floor grpc.aio", product, budget="< 80 ms", floor=aio),
        middle(f"{what}, all delivered; floor sockets", product, budget="< 80 ms", floor=raw),
    ]


if __name__ == "__main__":
    asyncio.run(_bare())

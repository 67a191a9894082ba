"""Many delta streams that cost little: HTTP/2 by hand, from a process of their own.

`python -m benchmarks.raw_streams PORT STREAMS FLEET PREFIX`. Every stream has a connection of its
own and does what Envoy does: clusters, their endpoints, an ACK for every response. It prints
`ready` when all have all; from then on, whenever all have been sent one more response, when the
first and the last of them came, on the clock of `time.perf_counter`.
"""

import asyncio
import resource
import selectors
import socket
import struct
import sys
import time
from collections import deque
from typing import Self

from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from tests.harness.ads_client import CDS, EDS
from tests.harness.stuck_client import GREETING, frame

_DATA, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0x0, 0x4, 0x6, 0x7, 0x8
_RST_STREAM = 0x3
_ACK = 0x1
_FRAME = 16_384
"""The largest frame that every peer takes."""


class RawStreams:
    """The process, for a benchmark."""

    def __init__(
        self, port: int, streams: int, *, fleet: str = "fleet", prefix: str = "raw"
    ) -> None:
        self._arguments = (str(port), str(streams), fleet, prefix)

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.raw_streams", *self._arguments),
            stdout=asyncio.subprocess.PIPE,
        )
        assert await self._line() == "ready"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._process.kill()
        await self._process.wait()

    async def delivered(self) -> tuple[float, float]:
        """Gives when the first and the last stream was sent one more response."""
        first, last = (await self._line()).split()
        return float(first), float(last)

    async def _line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()


class _Stream:
    """One connection with one stream."""

    def __init__(self, port: int, node: Node) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(GREETING)
        self.socket.setblocking(False)
        self.ready = False
        self._frames = bytearray()
        self._messages = bytearray()
        self._windows = {0: 65_535, 1: 65_535}
        self._waiting: deque[bytes] = deque()
        self._wanted: set[str] = set()
        self._asked = False
        self._send(DeltaDiscoveryRequest(node=node, type_url=CDS))

    def readable(self) -> int:
        """Takes what came; gives how many responses were in it."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise EOFError("the server has closed a connection")
        self._frames += data
        responses = 0
        while len(self._frames) >= 9:
            length = int.from_bytes(self._frames[:3])
            if len(self._frames) < 9 + length:
                break
            kind, flags = self._frames[3:5]
            stream = int.from_bytes(self._frames[5:9])
            payload = bytes(self._frames[9 : 9 + length])
            del self._frames[: 9 + length]
            responses += self._take(kind, flags, stream, payload)
        return responses

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> int:
        if kind == _DATA:
            return self._data(payload)
        if kind == _SETTINGS and not flags & _ACK:
            for identifier, value in struct.iter_unpack(">HI", payload):
                if identifier == 4:
                    self._windows[1] += value - 65_535
            self.socket.sendall(frame(_SETTINGS, b"", flags=_ACK))
        elif kind == _PING and not flags & _ACK:
            self.socket.sendall(frame(_PING, payload, flags=_ACK))
        elif kind == _WINDOW_UPDATE:
            self._windows[stream] += int.from_bytes(payload)
            self._flush()
        elif kind in (_RST_STREAM, _GOAWAY):
            raise EOFError(f"the server has ended a stream: {payload!r}")
        return 0

    def _data(self, payload: bytes) -> int:
        self._messages += payload
        responses = 0
        while len(self._messages) >= 5:
            length = int.from_bytes(self._messages[1:5])
            if len(self._messages) < 5 + length:
                break
            message = bytes(self._messages[5 : 5 + length])
            del self._messages[: 5 + length]
            self._answer(DeltaDiscoveryResponse.FromString(message))
            responses += 1
        return responses

    def _answer(self, response: DeltaDiscoveryResponse) -> None:
        self._send(DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce))
        if self.ready:
            return
        names = [entry.name for entry in response.resources]
        if response.type_url == CDS:
            self._wanted.update(names)
            self._asked = True
            self._send(DeltaDiscoveryRequest(type_url=EDS, resource_names_subscribe=names))
        else:
            self._wanted.difference_update(names)
        self.ready = self._asked and not self._wanted

    def _send(self, request: DeltaDiscoveryRequest) -> None:
        message = request.SerializeToString()
        data = b"\0" + struct.pack(">I", len(message)) + message
        self._waiting += (data[at : at + _FRAME] for at in range(0, len(data), _FRAME))
        self._flush()

    def _flush(self) -> None:
        while self._waiting and min(self._windows.values()) >= len(self._waiting[0]):
            data = self._waiting.popleft()
            for window in self._windows:
                self._windows[window] -= len(data)
            self.socket.setblocking(True)
            self.socket.sendall(frame(_DATA, data, stream=1))
            self.socket.setblocking(False)


def main() -> None:
    """Opens the streams and serves them until killed."""
    port, count, (fleet, prefix) = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    more_files()
    selector = selectors.DefaultSelector()
    streams = []
    for number in range(count):
        stream = _Stream(port, Node(id=f"{prefix}-{number}", cluster=fleet))
        selector.register(stream.socket, selectors.EVENT_READ, stream)
        streams.append(stream)
    while not all(stream.ready for stream in streams):
        for key, _ in selector.select():
            key.data.readable()
    # What the server had to say yet: it is quiet now.
    while ready := selector.select(0.5):
        for key, _ in ready:
            key.data.readable()
    print("ready", flush=True)
    came, first = 0, 0.0
    while True:
        for key, _ in selector.select():
            responses = key.data.readable()
            if responses and not came:
                first = time.perf_counter()
            came += responses
        if came >= count:
            print(first, time.perf_counter(), flush=True)
            came -= count


def more_files() -> None:
    """Raises the number of files that this process may open as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()

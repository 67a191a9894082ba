"""What session persistence costs: Envoy's CPU time per request, beside none.

One Envoy, one pool of five members, one VIP of each kind, through the whole product. Rounds take
the kinds in a random order, and each kind is compared with none of the same round: on a noisy
machine differences below some 10 us mean nothing.
"""

import asyncio
import os
import random
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from tests.features.world import Client, world
from tests.harness.http_client import fetch
from tests.harness.members import Member
from tests.harness.ports import free_port

ROUNDS = 10
SECONDS = 1.5
CLIENTS = 24
MEMBERS = 5
BODY = b"0123456789abcdef"
NONE = "none"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A VIP's persistence, and the path of the requests that measure it."""

    what: str
    persistence: Mapping[str, str]
    path: str = "/"


_APP = {"type": "APP_COOKIE", "cookie_name": "SID"}
KINDS = (
    Kind(NONE, {}),
    Kind("SOURCE_IP", {"type": "SOURCE_IP"}),
    Kind("HTTP_COOKIE", {"type": "HTTP_COOKIE"}),
    Kind("APP_COOKIE", _APP),
    Kind("APP_COOKIE, set by every answer", _APP, "/set"),
)


class _Backend(Member):
    """Answers at once; `/set` sets the application's cookie."""

    def answer(self, head: bytes) -> bytes:
        cookie = b"set-cookie: SID=0123456789; Path=/\r\n" if b" /set " in head else b""
        return b"HTTP/1.1 200 OK\r\n%scontent-length: 16\r\n\r\n%s" % (cookie, BODY)


class _Worker(asyncio.Protocol):
    """Sends one request after the other on a connection of its own."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._read = b""
        self._transport: asyncio.Transport
        self.answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        if self._read.endswith(BODY):
            assert self._read.startswith(b"HTTP/1.1 200"), self._read
            self._read = b""
            self.answered += 1
            self._transport.write(self._request)

    def stop(self) -> None:
        self._transport.close()


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far, all threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def _request(port: int, path: str) -> bytes:
    """Gives the request of a client that has been here before: it brings its cookies."""
    lines = [f"GET {path} HTTP/1.1", "host: bench"]
    reply = await fetch(f"127.0.0.1:{port}", "/set")
    if reply.set_cookies:
        cookies = (cookie.partition(";")[0] for cookie in reply.set_cookies)
        lines.append(f"cookie: {'; '.join(cookies)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _cost(port: int, requests: Sequence[bytes], pid: int) -> float:
    """Gives microseconds of Envoy's CPU per request."""
    loop = asyncio.get_running_loop()
    workers = []
    for request in requests:
        _, worker = await loop.create_connection(
            lambda request=request: _Worker(request), "127.0.0.1", port
        )
        workers.append(worker)
    await asyncio.sleep(SECONDS / 10)
    before, count = cpu_seconds(pid), sum(worker.answered for worker in workers)
    await asyncio.sleep(SECONDS)
    used = cpu_seconds(pid) - before
    answered = sum(worker.answered for worker in workers) - count
    for worker in workers:
        worker.stop()
    return 1e6 * used / answered


async def measure() -> list[Figure]:
    """CPU time per request without persistence, and what each kind adds to it."""
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder)) as (_, client, (envoy,)):
            backends = [await _Backend(f"m{number}").open() for number in range(MEMBERS)]
            ports = await _vips(client, backends)
            requests = {
                kind: [await _request(ports[kind], kind.path) for _ in range(CLIENTS)]
                for kind in KINDS
            }
            found: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
            for _ in range(ROUNDS):
                for kind in random.sample(KINDS, len(KINDS)):
                    found[kind].append(await _cost(ports[kind], requests[kind], envoy.pid))
            for backend in backends:
                await backend.close()
    none = found[KINDS[0]]
    return [
        _figure("Envoy CPU per request without persistence", statistics.median(none)),
        *(
            _figure(
                f"  added by {kind.what}",
                statistics.median(cost - base for cost, base in zip(costs, none, strict=True)),
            )
            for kind, costs in found.items()
            if kind.what != NONE
        ),
    ]


async def _vips(client: Client, backends: Sequence[Member]) -> dict[Kind, int]:
    pool = await client.pool("bench", "web")
    for backend in backends:
        await client.member(pool.name, backend.name, backend.address)
    ports = {}
    for number, kind in enumerate(KINDS):
        ports[kind] = free_port()
        fields: dict[str, Any] = {}
        if kind.persistence:
            fields["session_persistence"] = dict(kind.persistence)
        vip = await client.vip("bench", f"v{number}", pool=pool.name, port=ports[kind], **fields)
        await client.applied(vip.name)
    return ports


def _figure(what: str, value: float) -> Figure:
    return Figure(what=what, value=value, unit="us", samples=ROUNDS)

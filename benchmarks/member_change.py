"""From the commit of a member's change to the ACK of one real Envoy, through the whole product.

The commit is taken when the store's feed says so, right behind COMMIT (SQLite, WAL, synchronous
FULL); the ACK when the stream confirms the pool's endpoints. Nothing is left out between: the
reader's thread, the translation, the snapshot, the stream, Envoy.

The floor, in turn with it: one bare row in SQLite, ten endpoints made by hand, and a server that
pushes them to another Envoy.
"""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from benchmarks.bare_server import BareServer
from benchmarks.commits import Commits
from benchmarks.figures import Figure, spread
from lbaas.v1 import member_service_pb2
from tests.features.world import Client, node_bootstrap, world
from tests.harness import resources
from tests.harness.envoy_process import EnvoyProcess
from tidegate.plane import Plane
from xds.cache.stream import NodeStream
from xds.cache.types import ENDPOINT, Key, Observer

ROUNDS = 12
CHANGES = 25
WARM_UP = 2
"""Rounds that are not counted."""
MEMBERS = 10

Samples = tuple[list[float], list[float]]
"""Milliseconds from the commit, and from the call."""


class _Ears:
    """Hears confirmations before it passes them on."""

    def __init__(self, behind: Observer) -> None:
        self._behind = behind
        self.acked: asyncio.Future[float] | None = None

    def confirmed(self, stream: NodeStream, keys: Collection[Key]) -> None:
        heard = any(key.type_url == ENDPOINT for key in keys)
        if heard and self.acked is not None and not self.acked.done():
            self.acked.set_result(time.perf_counter())
        self._behind.confirmed(stream, keys)

    def __getattr__(self, name: str) -> object:
        return getattr(self._behind, name)


class _Product:
    """A pool of the whole product, with one Envoy."""

    def __init__(self, plane: Plane, client: Client, commits: Commits) -> None:
        self._client = client
        self._commits = commits
        self._ears = _Ears(plane.cache.observer)
        plane.cache.observer = self._ears
        self._number = 0

    async def fill(self) -> None:
        self._pool = (await self._client.pool("bench", "web")).name
        for number in range(MEMBERS):
            await self._client.member(self._pool, f"m{number}", f"127.0.0.1:{9000 + number}")
            await self._client.applied(f"{self._pool}/members/m{number}")
        await self._client.applied(self._pool)

    async def round(self) -> Samples:
        from_commit, from_call = [], []
        for _ in range(CHANGES):
            self._number += 1
            update = member_service_pb2.UpdateMemberRequest()
            update.member.name = f"{self._pool}/members/m{self._number % MEMBERS}"
            update.member.weight = 2 + self._number % 200
            self._ears.acked = asyncio.get_running_loop().create_future()
            self._commits.forget()
            called = time.perf_counter()
            calling = asyncio.ensure_future(self._client.members.UpdateMember(update))
            acked = await asyncio.wait_for(self._ears.acked, 10)
            committed = await self._commits.next()
            changed = await calling
            await self._client.applied(changed.name, revision=changed.revision)
            from_commit.append(1000 * (acked - committed))
            from_call.append(1000 * (acked - called))
        return from_commit, from_call


class _Floor:
    """One row, ten endpoints, one push."""

    def __init__(self, server: BareServer, database: Path) -> None:
        self._server = server
        self._rows = sqlite3.connect(database, isolation_level=None)
        self._rows.execute("PRAGMA journal_mode=WAL")
        self._rows.execute("PRAGMA synchronous=FULL")
        self._rows.execute("CREATE TABLE members (id INTEGER PRIMARY KEY, weight INTEGER)")
        server.hold([resources.cluster("web")])
        server.hold([self._endpoints(1)])
        self._number = 0

    def close(self) -> None:
        self._rows.close()

    async def round(self) -> Samples:
        from_commit, from_call = [], []
        for _ in range(CHANGES):
            self._number += 1
            called = time.perf_counter()
            self._rows.execute("INSERT INTO members (weight) VALUES (?)", (self._number,))
            committed = time.perf_counter()
            acked = await self._server.push(self._endpoints(2 + self._number % 200))
            await asyncio.wait_for(acked, 10)
            done = time.perf_counter()
            from_commit.append(1000 * (done - committed))
            from_call.append(1000 * (done - called))
            await asyncio.sleep(0.002)
        return from_commit, from_call

    @staticmethod
    def _endpoints(weight: int) -> "resources.endpoint_pb2.ClusterLoadAssignment":
        made = resources.endpoints("web", [f"127.0.0.1:{9000 + n}" for n in range(MEMBERS)])
        for endpoint in made.endpoints[0].lb_endpoints:
            endpoint.load_balancing_weight.value = weight
        return made


async def measure() -> list[Figure]:
    """p50 and p99 of commit to ACK, and of call to ACK."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            world(Path(folder)) as (plane, client, _),
            Commits(plane.store) as commits,
            BareServer() as server,
        ):
            product = _Product(plane, client, commits)
            floor = _Floor(server, Path(folder) / "bare.db")
            await product.fill()
            async with EnvoyProcess(node_bootstrap("edge", "bare", server.port)) as envoy:
                await envoy.wait_ready()
                whole: Samples = ([], [])
                bare: Samples = ([], [])
                for number in range(WARM_UP + ROUNDS):
                    for one, samples in ((product, whole), (floor, bare)):
                        found = await one.round()
                        if number >= WARM_UP:
                            samples[0].extend(found[0])
                            samples[1].extend(found[1])
            floor.close()
    return [
        *spread(
            "commit -> ACK of a member change, one Envoy, 10 endpoints",
            whole[0],
            budget=("< 3 ms", "< 10 ms"),
            floor=bare[0],
        ),
        *spread("call -> ACK of the same (gRPC, rules, commit)", whole[1], floor=bare[1]),
    ]

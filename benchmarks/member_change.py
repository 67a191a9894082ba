"""From the commit of a member's change to the ACK of one real Envoy, through the whole product.

The commit is taken when the store's feed says so, right behind COMMIT (SQLite, WAL, synchronous
FULL); the ACK when the stream confirms the pool's endpoints. Nothing is left out between: the
reader's thread, the translation, the snapshot, the stream, Envoy.
"""

import asyncio
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from benchmarks.figures import Figure, spread
from lbaas.v1 import member_service_pb2
from tests.features.world import world
from tidegate.plane import Plane
from xds.cache.stream import NodeStream
from xds.cache.types import ENDPOINT, Key, Observer

CHANGES = 300
WARM_UP = 30
MEMBERS = 10


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


async def _committed(plane: Plane, moments: asyncio.Queue[float]) -> None:
    subscription = plane.store.feed.subscribe()
    while True:
        notice = await subscription.get()
        if notice.changes:
            moments.put_nowait(time.perf_counter())


async def measure() -> list[Figure]:
    """p50 and p99 of commit to ACK, and of call to ACK."""
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder)) as (plane, client, _):
            pool = await client.pool("bench", "web")
            for number in range(MEMBERS):
                await client.member(pool.name, f"m{number}", f"127.0.0.1:{9000 + number}")
                await client.applied(f"{pool.name}/members/m{number}")
            await client.applied(pool.name)
            ears = _Ears(plane.cache.observer)
            plane.cache.observer = ears
            moments: asyncio.Queue[float] = asyncio.Queue()
            listening = asyncio.create_task(_committed(plane, moments))
            await asyncio.sleep(0.3)
            from_commit, from_call = [], []
            for number in range(CHANGES + WARM_UP):
                update = member_service_pb2.UpdateMemberRequest()
                update.member.name = f"{pool.name}/members/m{number % MEMBERS}"
                update.member.weight = 2 + number % 200
                ears.acked = asyncio.get_running_loop().create_future()
                while not moments.empty():
                    moments.get_nowait()
                called = time.perf_counter()
                calling = asyncio.ensure_future(client.members.UpdateMember(update))
                acked = await asyncio.wait_for(ears.acked, 10)
                committed = await moments.get()
                changed = await calling
                await client.applied(changed.name, revision=changed.revision)
                if number >= WARM_UP:
                    from_commit.append(1000 * (acked - committed))
                    from_call.append(1000 * (acked - called))
            listening.cancel()
    return [
        *spread(
            "commit -> ACK of a member change, one Envoy, 10 endpoints",
            from_commit,
            budget=("< 3 ms", "< 10 ms"),
            floor="1.98 ms",
        ),
        *spread(
            "call -> ACK of the same (gRPC, rules, commit included)",
            from_call,
            budget=("-", "-"),
            floor="-",
        ),
    ]

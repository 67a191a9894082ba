"""The whole product with 10,000 pools of 10 members: its start, its memory, one change.

A store is filled, with all of it confirmed; `tidegate serve` runs on it in a process of its own;
raw delta streams subscribe to all of it. One with 100 pools runs beside it: one change there is
the floor of one change among 10,000.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import update

from benchmarks import fan_out
from benchmarks.figures import Figure, middle
from benchmarks.raw_streams import RawStreams
from lbaas.model.capabilities import EVERYTHING
from lbaas.model.enums import LbMethod, Protocol
from lbaas.model.objects import Fleet, Member, Pool
from lbaas.store import fleets, members, placements, pools, quotas, tables
from lbaas.store.store import Store
from lbaas.store.transaction import Transaction
from lbaas.v1 import member_service_pb2
from tests.features.control_plane import ControlPlane
from tests.features.world import Client, client_of

FEW, MANY = 100, 10_000
MEMBERS = 10
AT_ONCE = 100
"""Pools that are stored in one transaction."""

ROUNDS, CHANGES, WARM_UP = 8, 10, 1
WHOLE_STREAMS = 30
"""Streams that hold all 10,000 pools."""
IDLE_STREAMS = 1_000
"""Streams that hold 100 pools."""

_MIB = 1 << 20


def resident(pid: int) -> int:
    """Bytes of memory that a process has now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _name(number: int) -> str:
    return f"projects/bench/pools/p{number:05}"


async def _fill(folder: Path, count: int) -> None:
    """Stores a fleet and its pools, placed."""

    def begin(tx: Transaction) -> None:
        fleets.create(tx, Fleet(name="fleets/edge"))
        quotas.update(tx, "projects/bench/quota", _unlimited)

    def add(tx: Transaction, numbers: range) -> None:
        for number in numbers:
            name = _name(number)
            pool = Pool(name=name, protocol=Protocol.HTTP, lb_method=LbMethod.ROUND_ROBIN)
            pools.create(tx, pool)
            placements.place(tx, name, fleet="fleets/edge", reason="benchmark")
        new = [_member(number, which) for number in numbers for which in range(MEMBERS)]
        members.create_many(tx, new)

    store = await Store.open(f"sqlite:///{folder / 'tidegate.db'}", built=EVERYTHING)
    await store.write(begin)
    for start in range(0, count, AT_ONCE):
        numbers = range(start, min(count, start + AT_ONCE))
        await store.write(lambda tx, numbers=numbers: add(tx, numbers))
    await store.write(_settle)
    await store.close()


def _settle(tx: Transaction) -> None:
    """Notes that nodes have confirmed all, as in a store that has served."""
    for table in (tables.pools, tables.members):
        tx.connection.execute(update(table).values(live_rev=table.c.spec_rev))


def _member(number: int, which: int) -> Member:
    high, low = divmod(number, 250)
    address = f"10.{high}.{low}.{1 + which}"
    return Member(name=f"{_name(number)}/members/m{which}", address=address, port=80)


def _unlimited(quota: quotas.Quota) -> quotas.Quota:
    return quotas.Quota(name=quota.name, pools=-1, vips=-1, members=-1, health_monitors=-1)


@asynccontextmanager
async def _product(folder: Path, count: int) -> AsyncIterator[tuple[ControlPlane, Client, float]]:
    """Gives the product on a store of so many pools, and the seconds of its start."""
    await asyncio.to_thread(folder.mkdir)
    await _fill(folder, count)
    began = time.perf_counter()
    async with ControlPlane(folder, patience=120) as plane:
        seconds = time.perf_counter() - began
        async with client_of(plane.api_port) as client:
            yield plane, client, seconds


async def _change(client: Client, streams: RawStreams, number: int, weight: int) -> float:
    """Milliseconds from the call that changes a member to the endpoints on a stream."""
    request = member_service_pb2.UpdateMemberRequest()
    request.member.name = f"{_name(number)}/members/m0"
    request.member.weight = weight
    began = time.perf_counter()
    await client.members.UpdateMember(request)
    _, last = await streams.delivered()
    return 1000 * (last - began)


async def measure() -> list[Figure]:
    """Start, memory, and one change."""
    with tempfile.TemporaryDirectory(prefix="tg-bench-") as folder:
        async with (
            _product(Path(folder) / "few", FEW) as (few, few_client, _),
            _product(Path(folder) / "many", MANY) as (many, many_client, seconds),
        ):
            loaded = resident(many.pid)
            found = await _changes((few, few_client), (many, many_client))
            whole = await _per_stream(many.pid, many.xds_port, WHOLE_STREAMS, fleet="edge")
            idle = await _per_stream(few.pid, few.xds_port, IDLE_STREAMS, fleet="edge")
    async with fan_out.bare_process() as (pid, port):
        floor = await _per_stream(pid, port, IDLE_STREAMS, fleet="fleet")
    return [
        middle(
            f"call -> endpoints on a stream, among {MANY:,} pools; floor among {FEW}",
            found[1],
            budget="< 1.3x",
            floor=found[0],
        ),
        Figure(
            what=f"cold start with {MANY:,} pools of {MEMBERS} members (SQLite), until it serves",
            value=seconds,
            unit="s",
            budget="< 10 s",
        ),
        Figure(
            what=f"memory of the control plane at {MANY:,} pools",
            value=loaded / _MIB,
            unit="MiB",
            budget="< 300 MB",
        ),
        Figure(
            what=f"memory of a stream, {FEW} pools; floor grpc.aio",
            value=idle / 1024,
            unit="KiB",
            budget="< 60 KB",
            floor=floor / 1024,
            samples=IDLE_STREAMS,
        ),
        Figure(
            what=f"memory of a stream that holds {MANY:,} pools",
            value=whole / 1024,
            unit="KiB",
            samples=WHOLE_STREAMS,
        ),
    ]


async def _changes(*products: tuple[ControlPlane, Client]) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in products]
    weight = 1
    async with (
        RawStreams(products[0][0].xds_port, 1, fleet="edge") as few,
        RawStreams(products[1][0].xds_port, 1, fleet="edge") as many,
    ):
        for number in range(WARM_UP + ROUNDS):
            for (_, client), streams, samples in zip(products, (few, many), found, strict=True):
                for pool in range(CHANGES):
                    weight = 2 + (weight + 1) % 200
                    took = await _change(client, streams, pool, weight)
                    if number >= WARM_UP:
                        samples.append(took)
                    await asyncio.sleep(0.02)  # the verdict is stored
    return found


async def _per_stream(pid: int, port: int, streams: int, *, fleet: str) -> float:
    """Bytes that a stream adds to a process."""
    # The first ones pay for what all share.
    async with RawStreams(port, max(3, streams // 20), fleet=fleet, prefix="first"):
        before = resident(pid)
        async with RawStreams(port, streams, fleet=fleet, prefix="counted"):
            return (resident(pid) - before) / streams

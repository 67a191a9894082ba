"""Durable writes a second on SQLite: one by one, side by side, and in one call."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

from benchmarks.figures import Figure
from lbaas.model.capabilities import EVERYTHING
from lbaas.model.enums import LbMethod, Protocol
from lbaas.model.objects import Member, Pool
from lbaas.store import members, pools
from lbaas.store.store import Store

POOL = "projects/bench/pools/p"
ALONE, BESIDE, BULK = 1_500, 4_000, 10_000
BATCH = 1_000


def _member(number: int) -> Member:
    high, low = divmod(number, 250)
    address = f"10.{high // 250}.{high % 250}.{low + 1}"
    return Member(name=f"{POOL}/members/m{number}", address=address, port=80)


async def measure() -> list[Figure]:
    """Creates members through the store, each checked, counted and acknowledged after a flush."""
    with tempfile.TemporaryDirectory(prefix="tg-bench-") as folder:
        store = await Store.open(f"sqlite:///{Path(folder) / 'store.db'}", built=EVERYTHING)
        pool = Pool(name=POOL, protocol=Protocol.TCP, lb_method=LbMethod.ROUND_ROBIN)
        await store.write(lambda tx: pools.create(tx, pool))
        figures = [
            await _rate("one by one", _alone(store), count=ALONE, budget="> 1200", floor="1838"),
            await _rate(
                "those that wait, together", _beside(store), count=BESIDE, budget="-", floor="4845"
            ),
            await _rate(
                "1,000 in one call", _bulk(store), count=BULK, budget="> 8000", floor="14661"
            ),
        ]
        await store.close()
    return figures


async def _rate(
    how: str, running: Awaitable[None], *, count: int, budget: str, floor: str
) -> Figure:
    started = time.perf_counter()
    await running
    rate = count / (time.perf_counter() - started)
    what = f"members created in the store (SQLite, FULL), {how}"
    return Figure(what=what, value=rate, unit="1/s", budget=budget, floor=floor, samples=count)


async def _alone(store: Store) -> None:
    for number in range(ALONE):
        await store.write(lambda tx, number=number: members.create(tx, _member(number)))


async def _beside(store: Store) -> None:
    numbers = range(ALONE, ALONE + BESIDE)
    await asyncio.gather(
        *(store.write(lambda tx, n=n: members.create(tx, _member(n))) for n in numbers)
    )


async def _bulk(store: Store) -> None:
    first = ALONE + BESIDE
    for start in range(first, first + BULK, BATCH):
        new = [_member(number) for number in range(start, start + BATCH)]
        await store.write(lambda tx, new=new: members.create_many(tx, new))

"""Durable writes a second on SQLite: one by one, side by side, and in one call.

The floor, in turn with it: bare rows with the same flush of the disk, by Python's sqlite3 alone.
"""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure, middle
from lbaas.model.capabilities import EVERYTHING
from lbaas.model.enums import LbMethod, Protocol
from lbaas.model.objects import Member, Pool
from lbaas.store import members, pools
from lbaas.store.store import Store

POOL = "projects/bench/pools/p"
ROUNDS = 5
ALONE, BESIDE, BULK = 300, 800, 2_000
"""How many in a round."""
BATCH = 1_000


def _member(number: int) -> Member:
    high, low = divmod(number, 250)
    address = f"10.{high // 250}.{high % 250}.{low + 1}"
    return Member(name=f"{POOL}/members/m{number}", address=address, port=80)


class _Product:
    """Members created through the store: checked, counted, acknowledged after a flush."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = 0

    def _new(self, count: int) -> Sequence[Member]:
        self._next += count
        return [_member(number) for number in range(self._next - count, self._next)]

    async def alone(self) -> float:
        new = self._new(ALONE)
        began = time.perf_counter()
        for each in new:
            await self._store.write(lambda tx, each=each: members.create(tx, each))
        return ALONE / (time.perf_counter() - began)

    async def beside(self) -> float:
        new = self._new(BESIDE)
        began = time.perf_counter()
        await asyncio.gather(
            *(self._store.write(lambda tx, each=each: members.create(tx, each)) for each in new)
        )
        return BESIDE / (time.perf_counter() - began)

    async def bulk(self) -> float:
        new = self._new(BULK)
        began = time.perf_counter()
        for start in range(0, BULK, BATCH):
            part = new[start : start + BATCH]
            await self._store.write(lambda tx, part=part: members.create_many(tx, part))
        return BULK / (time.perf_counter() - began)


class _Floor:
    """Rows of a table with as many columns as are filled."""

    def __init__(self, database: Path) -> None:
        self._rows = sqlite3.connect(database, isolation_level=None)
        self._rows.execute("PRAGMA journal_mode=WAL")
        self._rows.execute("PRAGMA synchronous=FULL")
        self._rows.execute("CREATE TABLE members (name TEXT PRIMARY KEY, address TEXT, port INT)")
        self._next = 0

    def close(self) -> None:
        self._rows.close()

    def rate(self, count: int, together: int) -> float:
        """Gives rows a second, so many in a transaction."""
        began = time.perf_counter()
        for _ in range(0, count, together):
            self._rows.execute("BEGIN IMMEDIATE")
            for _ in range(together):
                self._next += 1
                row = (f"{POOL}/members/m{self._next}", "10.0.0.1", 80)
                self._rows.execute("INSERT INTO members VALUES (?, ?, ?)", row)
            self._rows.execute("COMMIT")
        return count / (time.perf_counter() - began)


async def measure() -> list[Figure]:
    """Members created a second; medians."""
    found: dict[str, tuple[list[float], list[float]]] = {
        how: ([], []) for how in ("one by one", "those that wait, together", "1,000 in one call")
    }
    with tempfile.TemporaryDirectory(prefix="tg-bench-") as folder:
        floor = _Floor(Path(folder) / "bare.db")
        store = await Store.open(f"sqlite:///{Path(folder) / 'store.db'}", built=EVERYTHING)
        pool = Pool(name=POOL, protocol=Protocol.TCP, lb_method=LbMethod.ROUND_ROBIN)
        await store.write(lambda tx: pools.create(tx, pool))
        product = _Product(store)
        for _ in range(ROUNDS):
            for (whole, bare), run, count, together in zip(
                found.values(),
                (product.alone, product.beside, product.bulk),
                (ALONE, BESIDE, BULK),
                (1, 100, BATCH),
                strict=True,
            ):
                whole.append(await run())
                bare.append(floor.rate(count, together))
        await store.close()
        floor.close()
    return [
        middle(
            f"members created in the store (SQLite, FULL), {how}",
            whole,
            unit="1/s",
            budget=budget,
            floor=bare,
        )
        for (how, (whole, bare)), budget in zip(
            found.items(), ("> 1200", "-", "> 8000"), strict=True
        )
    ]

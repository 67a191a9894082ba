"""The worst: a writer killed, a disk full, a database restarted. Nothing acknowledged is lost."""

import asyncio
import signal
import sys
from pathlib import Path

import psutil
import pytest

from lbaas.model.capabilities import EVERYTHING
from lbaas.model.errors import Unavailable
from lbaas.store import changes, pools, quotas
from lbaas.store.store import Store
from tests.store import make

ROOT = Path(__file__).parents[2]


async def test_kill_minus_nine_loses_no_acknowledged_write(sqlite_url: str):
    acknowledged: dict[str, int] = {}
    for round_ in range(4):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.store.scribe",
            sqlite_url,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        said = b"".join([await child.stdout.readline() for _ in range(20 + 7 * round_)])
        child.kill()
        said += await child.stdout.read()
        assert await child.wait() == -signal.SIGKILL
        store = await Store.open(sqlite_url, built=EVERYTHING)
        # What comes after the last line's end was cut off in the middle.
        for line in said.decode().split("\n")[:-1]:
            name, rev = line.split()
            acknowledged[name] = int(rev)
        found = await store.read(lambda tx: pools.page(tx, "projects/acme", limit=100_000))
        stored = {pool.name: pool.record.rev for pool in found}
        assert acknowledged.items() <= stored.items()
        used = await store.read(lambda tx: quotas.used(tx, "projects/acme/quota"))
        assert used.pools == len(stored)
        rows = await store.read(lambda tx: changes.since(tx, 0))
        assert [row.rev for row in rows] == list(range(1, len(rows) + 1))
        await store.close()
    assert len(acknowledged) >= 4 * 20


async def test_a_full_disk_is_said_and_is_over_when_there_is_room(sqlite_url: str):
    store = await Store.open(sqlite_url, built=EVERYTHING)

    def limit(pages: int):
        return store.write(
            lambda tx: tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").close()
        )

    await limit(1)  # SQLite takes the present size as the least

    def fill(tx):
        for number in range(2000):
            pools.create(tx, make.pool(f"projects/p{number}/pools/p", description="d" * 200))

    before = await store.read(lambda tx: tx.revision)
    with pytest.raises(Unavailable, match="disk is full"):
        await store.write(fill)
    assert await store.read(lambda tx: tx.revision) == before
    assert await store.read(pools.count) == 0
    # The connection was replaced, and its limit with it: there is room again.
    await store.write(fill)
    assert await store.read(pools.count) == 2000
    await store.close()


async def test_postgresql_restarted_needs_no_hands(postgresql, postgresql_url: str):
    store = await Store.open(postgresql_url, built=EVERYTHING)
    await store.write(lambda tx: pools.create(tx, make.pool("projects/a/pools/p")))
    await asyncio.gather(*(store.read(pools.count) for _ in range(8)))
    postmaster = psutil.Process(postgresql.get_pid())
    backends = postmaster.children(recursive=True)
    for process in (postmaster, *backends):
        process.kill()
    await asyncio.to_thread(psutil.wait_procs, [postmaster, *backends])
    with pytest.raises(Unavailable, match="cannot be reached"):
        await store.write(lambda tx: pools.create(tx, make.pool("projects/b/pools/p")))
    with pytest.raises(Unavailable):
        await store.read(pools.count)
    (postgresql.pgdata / "postmaster.pid").unlink(missing_ok=True)
    for stale in postgresql.get_postmaster_info().socket_dir.glob(".s.PGSQL.*.lock"):
        stale.unlink()
    await asyncio.to_thread(postgresql.ensure_postgres_running)
    assert await store.read(pools.count) == 1
    await store.write(lambda tx: pools.create(tx, make.pool("projects/b/pools/p")))
    assert await store.read(pools.count) == 2
    await store.close()


async def test_a_connection_cut_between_writes_is_not_noticed(postgresql_url: str):
    store = await Store.open(postgresql_url, built=EVERYTHING)
    await store.write(lambda tx: pools.create(tx, make.pool("projects/a/pools/p")))
    other = await Store.open(postgresql_url, built=EVERYTHING)
    cut = (
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    killed = await other.write(lambda tx: tx.connection.exec_driver_sql(cut).scalar_one())
    assert killed >= 2
    await store.write(lambda tx: pools.create(tx, make.pool("projects/b/pools/p")))
    assert await store.read(pools.count) == 2
    await store.close()
    await other.close()


async def test_a_connection_cut_within_a_work_loses_the_work_and_says_so(postgresql_url: str):
    store = await Store.open(postgresql_url, built=EVERYTHING)

    def suicide(tx):
        pools.create(tx, make.pool())
        tx.connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Unavailable):
        await store.write(suicide)
    assert await store.read(pools.count) == 0
    await store.write(lambda tx: pools.create(tx, make.pool()))
    await store.close()

"""The store: opened once, written through one thread, read through several."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar, cast

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from lbaas.model.errors import Unavailable
from lbaas.model.objects import Capabilities
from lbaas.model.rules import STRICT, AddressPolicy
from lbaas.store import engines, failures, migrate, service_types
from lbaas.store.feed import Feed, Notice
from lbaas.store.transaction import Transaction
from lbaas.store.writer import Work, Writer

T = TypeVar("T")

KEEP_CHANGES = 100_000
"""How many change rows are kept for watchers to resume from."""


def utc_now() -> datetime:
    """Gives the time of day, aware, in UTC."""
    return datetime.now(UTC)


class Store:
    """Where everything is kept. SQL runs in threads only: the event loop never waits for it.

    Commands are functions on a `Transaction`, one module per resource::

        pool = await store.write(lambda tx: pools.create(tx, pool))
        pool = await store.read(lambda tx: pools.get(tx, name))
    """

    def __init__(
        self, url: str, *, built: Capabilities, policy: AddressPolicy, clock: Callable[[], datetime]
    ) -> None:
        """Use `Store.open`."""
        parsed = engines.parse(url)
        self._built = built
        self._policy = policy
        self._clock = clock
        self._writing: Engine = engines.writer(parsed)
        self._reading: Engine = engines.readers(parsed)
        self._readers = ThreadPoolExecutor(engines.READERS, thread_name_prefix="tidegate-reader")
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Work[object], asyncio.Future[None]] = {}
        self._closed = False
        self.feed = Feed(0)
        self._writer = Writer(
            self._writing,
            built=built,
            policy=policy,
            clock=clock,
            deliver=self._deliver,
            keep_changes=KEEP_CHANGES,
        )

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        built: Capabilities,
        address_policy: AddressPolicy = STRICT,
        clock: Callable[[], datetime] = utc_now,
    ) -> "Store":
        """Opens the store, migrates it to this version, and makes the default service type.

        Args:
            url: `sqlite:///FILE` or `postgresql+psycopg://USER@HOST/NAME`.
            built: what this version of Tidegate can build; fleets offer no more.
            address_policy: which members' addresses are allowed beyond ordinary ones.
            clock: gives the time of day; times of objects come from it.

        Raises:
            InvalidArgument: the URL names no database that we know.
            FailedPrecondition: a newer Tidegate wrote the store.
            Unavailable: the database cannot be reached or opened.
        """
        store = cls(url, built=built, policy=address_policy, clock=clock)
        try:
            await asyncio.to_thread(migrate.upgrade, store._writing)
        except SQLAlchemyError as error:
            await store._dispose()
            raise failures.unavailable(error) from error
        except BaseException:
            await store._dispose()
            raise
        store._writer.start()
        try:
            await store.write(service_types.ensure_default)
            store.feed.revision = await store.read(lambda tx: tx.revision)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Finishes the writes that wait, then lets go of the database."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writer.stop)
        # The last results were handed to the loop before the thread ended: let them arrive.
        await asyncio.gather(*self._waiting.values(), return_exceptions=True)
        self.feed.close()
        await self._dispose()

    async def write(self, work: Callable[[Transaction], T], *, dry_run: bool = False) -> T:
        """Runs a work in a writing transaction and gives its result after the commit.

        Args:
            work: plain synchronous code; runs on the writer's thread, together with what else
                waits, each in a savepoint.
            dry_run: undone in any case (`validate_only`); takes no revision.

        Raises:
            LbaasError: what the work raised, or `Unavailable` if the commit failed.
        """
        self._check_open()
        todo = Work(work, dry_run=dry_run)
        key = cast("Work[object]", todo)
        done: asyncio.Future[None] = self._loop.create_future()
        self._waiting[key] = done
        self._writer.submit(key)
        # Shielded: a caller that goes away does not undo what is under way.
        await asyncio.shield(done)
        return todo.outcome()

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Runs a work on one consistent snapshot, beside other reads and the writer.

        Raises:
            LbaasError: what the work raised, or `Unavailable`.
        """
        self._check_open()
        return await self._loop.run_in_executor(self._readers, partial(self._read, work))

    def _read(self, work: Callable[[Transaction], T]) -> T:
        try:
            return self._read_once(work)
        except SQLAlchemyError as error:
            if not failures.is_outage(error):
                raise
            if not failures.is_disconnect(error):
                raise failures.unavailable(error) from error
        # The database was restarted under us: the pool has dropped its connections.
        try:
            return self._read_once(work)
        except SQLAlchemyError as error:
            if not failures.is_outage(error):
                raise
            raise failures.unavailable(error) from error

    def _read_once(self, work: Callable[[Transaction], T]) -> T:
        with self._reading.connect() as connection:
            return work(
                Transaction(connection, built=self._built, policy=self._policy, now=self._clock())
            )

    def _deliver(self, works: Sequence[Work[object]], notice: Notice | None) -> None:
        """Runs on the writer's thread: one wake of the loop per commit."""
        self._loop.call_soon_threadsafe(self._arrived, works, notice)

    def _arrived(self, works: Sequence[Work[object]], notice: Notice | None) -> None:
        if notice is not None:
            self.feed.post(notice)
        for work in works:
            self._waiting.pop(work).set_result(None)

    async def _dispose(self) -> None:
        await asyncio.to_thread(self._readers.shutdown)
        await asyncio.to_thread(self._writing.dispose)
        await asyncio.to_thread(self._reading.dispose)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")

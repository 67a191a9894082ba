"""The one writer thread: what waits together commits together.

A commit costs a flush of the disk, so all works that wait share one. Each work runs in a
savepoint of its own: one that raises undoes itself alone. Nobody hears of a result before the
commit; if the commit fails, everybody hears that.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from lbaas.model.errors import Unavailable
from lbaas.model.objects import Capabilities
from lbaas.model.rules import AddressPolicy
from lbaas.store import failures, tables
from lbaas.store.feed import Change, Notice
from lbaas.store.transaction import Transaction

T = TypeVar("T")

LARGEST_BATCH = 256
"""How many works share a commit at most, so that the first is not kept waiting."""

_LOCK = select(tables.revision.c.n).with_for_update()
_COUNT = update(tables.revision)
_CHANGES = insert(tables.changes)


class Work(Generic[T]):
    """One unit of work and what became of it."""

    def __init__(self, run: Callable[[Transaction], T], *, dry_run: bool) -> None:
        """Takes what to run; a dry run is always undone."""
        self._run = run
        self.dry_run = dry_run
        self.error: BaseException | None = None
        self._result: T | None = None

    def perform(self, tx: Transaction) -> None:
        """Runs the work and keeps its result; what it raises goes to the caller."""
        self._result = self._run(tx)

    def outcome(self) -> T:
        """Gives the result, or raises what the work or the commit raised."""
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]  # performed, so it is a T


@dataclass(slots=True)
class _Ledger:
    """What the works of one batch have done so far."""

    start: int
    revision: int
    changes: list[Change] = field(default_factory=list)
    statuses: set[str] = field(default_factory=set)

    def take(self, tx: Transaction) -> None:
        self.revision = tx.revision
        self.changes += tx.changes
        self.statuses |= tx.statuses

    def notice(self) -> Notice | None:
        if not self.changes and not self.statuses and self.revision == self.start:
            return None
        return Notice(self.revision, tuple(self.changes), frozenset(self.statuses))


class Writer:
    """Runs works on one thread, in batches, each batch one transaction."""

    def __init__(
        self,
        engine: Engine,
        *,
        built: Capabilities,
        policy: AddressPolicy,
        clock: Callable[[], datetime],
        deliver: Callable[[Sequence[Work[object]], Notice | None], None],
        keep_changes: int,
    ) -> None:
        """Takes the writing engine and `deliver`, which is called here after each commit."""
        self._engine = engine
        self._built = built
        self._policy = policy
        self._clock = clock
        self._deliver = deliver
        self._keep_changes = keep_changes
        self._since_compaction = keep_changes  # look once after the start
        self._works: queue.SimpleQueue[Work[object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="tidegate-writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def submit(self, work: Work[object]) -> None:
        """Puts a work in line; `deliver` gets it back."""
        self._works.put(work)

    def stop(self) -> None:
        """Lets what waits be done, then ends the thread; blocks until it has ended."""
        self._works.put(None)
        self._thread.join()

    def _loop(self) -> None:
        while (first := self._works.get()) is not None:
            batch = [first]
            more = True
            while len(batch) < LARGEST_BATCH and not self._works.empty():
                following = self._works.get()
                if following is None:
                    more = False
                    break
                batch.append(following)
            self._deliver(batch, self._commit(batch))
            if not more:
                return

    def _commit(self, batch: Sequence[Work[object]]) -> Notice | None:
        """Runs a batch in one transaction; gives what to tell, after the commit."""
        try:
            connection, start = self._begun()
        except SQLAlchemyError as error:
            _refuse(batch, failures.unavailable(error))
            return None
        with connection:
            try:
                ledger = _Ledger(start=start, revision=start)
                for work in batch:
                    self._perform(connection, work, ledger=ledger, alone=len(batch) == 1)
                self._flush(connection, ledger)
                connection.commit()
            except SQLAlchemyError as error:
                # Whatever state the connection is in, a new one is in none.
                connection.invalidate()
                _refuse(batch, failures.unavailable(error))
                return None
            except Exception as error:  # noqa: BLE001 - a defect of ours: told, and survived
                connection.invalidate()
                for work in batch:
                    work.error = error
                return None
        return ledger.notice()

    def _begun(self) -> tuple[Connection, int]:
        """Gives a connection that holds the counter, and its value; a lost one is replaced once."""
        try:
            return self._locked()
        except SQLAlchemyError as error:
            if not failures.is_disconnect(error):
                raise
        return self._locked()

    def _locked(self) -> tuple[Connection, int]:
        connection = self._engine.connect()
        try:
            return connection, int(connection.execute(_LOCK).scalar_one())
        except BaseException:
            connection.close()
            raise

    def _perform(
        self, connection: Connection, work: Work[object], *, ledger: _Ledger, alone: bool
    ) -> None:
        tx = Transaction(
            connection,
            built=self._built,
            policy=self._policy,
            now=self._clock(),
            revision=ledger.revision,
        )
        # Alone, the transaction itself is the savepoint.
        if not alone:
            connection.exec_driver_sql("SAVEPOINT work")
        try:
            work.perform(tx)
        except Exception as error:
            if failures.is_outage(error):
                raise
            work.error = error
        if work.error is not None or work.dry_run:
            if alone:
                connection.rollback()
                return
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT work")
        else:
            ledger.take(tx)
        if not alone:
            connection.exec_driver_sql("RELEASE SAVEPOINT work")

    def _flush(self, connection: Connection, ledger: _Ledger) -> None:
        if ledger.revision != ledger.start:
            connection.execute(_COUNT, {"n": ledger.revision})
        if not ledger.changes:
            return
        connection.execute(
            _CHANGES,
            [
                {"rev": each.rev, "name": each.name, "pool": each.pool, "action": each.action}
                for each in ledger.changes
            ],
        )
        self._since_compaction += len(ledger.changes)
        if self._since_compaction * 10 >= self._keep_changes:
            self._since_compaction = 0
            _compact(connection, self._keep_changes)


def _compact(connection: Connection, keep: int) -> None:
    """Forgets the oldest change rows, whole revisions at a time."""
    seq, rev = tables.changes.c.seq, tables.changes.c.rev
    newest = connection.execute(select(func.max(seq))).scalar_one()
    last = connection.execute(select(func.max(rev)).where(seq <= newest - keep)).scalar_one()
    if last is not None:
        connection.execute(delete(tables.changes).where(rev <= last))
        connection.execute(update(tables.revision).values(compacted_rev=last))


def _refuse(batch: Sequence[Work[object]], error: Unavailable) -> None:
    """Tells each work of a lost batch so; one error object each, for tracebacks grow."""
    for work in batch:
        work.error = Unavailable(error.message, retry_after=error.retry_after)

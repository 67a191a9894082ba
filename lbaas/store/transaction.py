"""One unit of work on the store: its connection, its revision, its clock."""

from datetime import datetime

from sqlalchemy import Connection, select

from lbaas.model.objects import Capabilities
from lbaas.model.rules import STRICT, AddressPolicy
from lbaas.store import tables
from lbaas.store.feed import Action, Change

_COUNTER = select(tables.revision.c.n)


class Transaction:
    """What a command works on. Handed to `work` by `Store.write` and `Store.read`.

    All changes of one work share one revision, taken at the first change. The writer holds the
    counter's row locked, so the revision is counted here and written once per commit.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        built: Capabilities,
        now: datetime,
        policy: AddressPolicy = STRICT,
        revision: int | None = None,
    ) -> None:
        """Takes the connection; `revision` is the counter as locked, None for a reader."""
        self.connection = connection
        self.built = built
        self.policy = policy
        self.now = now
        self.changes: list[Change] = []
        self.statuses: set[str] = set()
        self._writes = revision is not None
        self._revision = revision
        self._taken = False

    @property
    def revision(self) -> int:
        """Gives the store's revision as this transaction sees it."""
        if self._revision is None:
            self._revision = int(self.connection.execute(_COUNTER).scalar_one())
        return self._revision

    def next_revision(self) -> int:
        """Gives this work's own revision; the first call takes it."""
        if not self._writes:
            raise RuntimeError("a reading transaction takes no revision")
        if not self._taken:
            self._taken = True
            self._revision = self.revision + 1
        return self.revision

    def record(self, name: str, pool: str, action: Action) -> None:
        """Notes a change at this work's revision; it is stored with the commit.

        Args:
            name: the object that changed.
            pool: the pool it lives in, "" for monitors and operators' objects.
            action: what happened to it.
        """
        self.changes.append(Change(self.next_revision(), name, pool, action))

    def touch(self, name: str) -> None:
        """Notes that an object's status may have changed, without a revision."""
        self.statuses.add(name)

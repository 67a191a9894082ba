"""A shelf: one kind of object in its table. The reading and writing that every kind shares.

Columns are named as the object's fields are, so one class serves all; what a table has beyond the
object (its project, its pool) is worked out by `extra`.
"""

import dataclasses
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from sqlalchemy import ColumnElement, Row, Select, Table, bindparam, delete, insert, select, update

from lbaas.model.errors import Aborted, AlreadyExists, FailedPrecondition, NotFound
from lbaas.model.filter import Filter
from lbaas.model.names import Kind
from lbaas.model.objects import Fleet, HealthMonitor, Member, Pool, Record, ServiceType, Vip
from lbaas.store.tables import RECORD
from lbaas.store.transaction import Transaction

T = TypeVar("T", Pool, Member, HealthMonitor, Vip, ServiceType, Fleet)

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
"""A row of whatever columns; what is read from it goes straight into a typed value."""

CHUNK = 500
"""How many names one query asks for, below every database's limit of parameters."""


def chunks(names: Iterable[str]) -> Iterator[list[str]]:
    """Gives the names in lists that one query can take."""
    every = list(names)
    for start in range(0, len(every), CHUNK):
        yield every[start : start + CHUNK]


class Shelf(Generic[T]):
    """Where the objects of one kind are: rows in, objects out, sorted by name."""

    def __init__(
        self,
        kind: Kind,
        table: Table,
        make: type[T],
        *,
        elsewhere: frozenset[str] = frozenset(),
        extra: Callable[[T], Mapping[str, object]] = lambda _: {},
    ) -> None:
        """Takes the kind, its table and its class.

        Args:
            kind: for messages.
            table: its columns bear the names of the object's fields.
            make: the object's class.
            elsewhere: fields of the object that are not in this table.
            extra: the table's columns that are no field of the object.
        """
        self.kind = kind
        self.table = table
        self._make: Callable[..., T] = make
        self._extra: Callable[[T], Mapping[str, object]] = extra
        self._fields = tuple(
            field.name
            for field in dataclasses.fields(make)
            if field.name != "record" and field.name not in elsewhere
        )
        self.columns = tuple(table.c[name] for name in (*self._fields, *RECORD))
        self.select: Select[*tuple[Any, ...]] = select(*self.columns)
        name = table.c.name
        self._one = self.select.where(name == bindparam("key"))
        self._several = self.select.where(name.in_(bindparam("keys", expanding=True)))
        self._insert = insert(table)
        self._update = (
            update(table)
            .where(name == bindparam("key"))
            .values({column: bindparam(f"new_{column.name}") for column in table.columns})
        )
        self._delete = delete(table).where(name == bindparam("key"))

    def read(self, row: AnyRow) -> T:
        """Gives the object in a row of `columns`."""
        count = len(self._fields)
        values = dict(zip(self._fields, row[:count], strict=True))
        record = Record(**dict(zip(RECORD, row[count:], strict=True)))
        return self._make(record=record, **values)

    def find(self, tx: Transaction, name: str) -> T | None:
        """Gives the object or None; one that is being deleted is still here."""
        row = tx.connection.execute(self._one, {"key": name}).one_or_none()
        return None if row is None else self.read(row)

    def get(self, tx: Transaction, name: str) -> T:
        """Gives the object, or raises NotFound."""
        found = self.find(tx, name)
        if found is None:
            raise NotFound(self.kind.title, name)
        return found

    def living(self, tx: Transaction, name: str) -> T:
        """Gives the object if it is not being deleted.

        Raises:
            NotFound: there is none.
            FailedPrecondition: it is being deleted.
        """
        found = self.get(tx, name)
        if found.record.deleted_rev:
            raise FailedPrecondition(
                f"{self.kind.title} {name!r} is being deleted",
                reason="BEING_DELETED",
                subject=name,
            )
        return found

    def get_many(self, tx: Transaction, names: Iterable[str]) -> dict[str, T]:
        """Gives those that exist, by name, in a few queries."""
        found = {}
        for keys in chunks(names):
            for row in tx.connection.execute(self._several, {"keys": keys}):
                obj = self.read(row)
                found[obj.name] = obj
        return found

    def where(self, tx: Transaction, *conditions: ColumnElement[bool]) -> tuple[T, ...]:
        """Gives all that meet the conditions, sorted by name."""
        query = self.select.where(*conditions).order_by(self.table.c.name)
        return tuple(self.read(row) for row in tx.connection.execute(query))

    def within(self, tx: Transaction, column: str, values: Iterable[str]) -> tuple[T, ...]:
        """Gives all whose column has one of the values, in a few queries, sorted by name."""
        query = self.select.where(self.table.c[column].in_(bindparam("keys", expanding=True)))
        found = [
            self.read(row)
            for keys in chunks(values)
            for row in tx.connection.execute(query, {"keys": keys})
        ]
        return tuple(sorted(found, key=lambda obj: obj.name))

    def page(
        self,
        tx: Transaction,
        *conditions: ColumnElement[bool],
        filter: Filter,  # noqa: A002 - the API's word
        after: str,
        limit: int,
        complete: Callable[[Sequence[T]], Sequence[T]] = lambda found: found,
    ) -> tuple[T, ...]:
        """Gives up to `limit` objects after a name that match the filter, sorted by name.

        Reads in growing chunks until enough match, for filters are the model's, not SQL.
        """
        name = self.table.c.name
        found: list[T] = []
        size = limit
        while len(found) < limit:
            query = self.select.where(*conditions, name > after).order_by(name).limit(max(size, 1))
            rows = [self.read(row) for row in tx.connection.execute(query)]
            found += [obj for obj in complete(rows) if filter.matches(obj)]
            if len(rows) < size:
                break
            after, size = rows[-1].name, min(size * 2, 2_000)
        return tuple(found[:limit])

    def free(self, tx: Transaction, name: str) -> None:
        """Makes sure that a name is free, or raises AlreadyExists with how it is taken."""
        found = self.find(tx, name)
        if found is None:
            return
        if found.record.deleted_rev:
            raise AlreadyExists(
                self.kind.title,
                name,
                f"{self.kind.title} {name!r} is being deleted; its name is free once every Envoy"
                " has let go of it",
                reason="BEING_DELETED",
            )
        raise AlreadyExists(self.kind.title, name)

    def add(self, tx: Transaction, obj: T) -> T:
        """Stores a new object with a new record, and gives it."""
        return self.add_many(tx, [obj])[0]

    def add_many(self, tx: Transaction, objects: Sequence[T]) -> tuple[T, ...]:
        """Stores new objects, each with a new record: uid, times and this work's revision."""
        rev, now = tx.next_revision(), tx.now
        return self._insert_all(
            tx,
            [
                dataclasses.replace(
                    obj,
                    record=Record(
                        uid=str(uuid.uuid4()),
                        rev=rev,
                        spec_rev=rev,
                        create_time=now,
                        update_time=now,
                    ),
                )
                for obj in objects
            ],
        )

    def readd(self, tx: Transaction, obj: T) -> T:
        """Stores under its new name an object that was taken away under its old one."""
        rev = tx.next_revision()
        record = dataclasses.replace(obj.record, rev=rev, spec_rev=rev, update_time=tx.now)
        return self._insert_all(tx, [dataclasses.replace(obj, record=record)])[0]

    def _insert_all(self, tx: Transaction, stored: Sequence[T]) -> tuple[T, ...]:
        rows = [self._row(obj) for obj in stored]
        if rows:
            tx.connection.execute(self._insert, rows if len(rows) > 1 else rows[0])
        return tuple(stored)

    def put(self, tx: Transaction, obj: T) -> T:
        """Stores an object as it is, record and all, over the old one."""
        row = {f"new_{name}": value for name, value in self._row(obj).items()}
        tx.connection.execute(self._update, {"key": obj.name, **row})
        return obj

    def changed(self, tx: Transaction, obj: T, *, spec: bool) -> T:
        """Stores a changed object at this work's revision; `spec`: what is rendered changed."""
        rev = tx.next_revision()
        record = dataclasses.replace(
            obj.record,
            rev=rev,
            spec_rev=rev if spec else obj.record.spec_rev,
            update_time=tx.now,
        )
        return self.put(tx, dataclasses.replace(obj, record=record))

    def deleted(self, tx: Transaction, obj: T) -> T:
        """Marks an object deleted at this work's revision; its row stays until it is purged."""
        rev = tx.next_revision()
        record = dataclasses.replace(obj.record, rev=rev, deleted_rev=rev, update_time=tx.now)
        return self.put(tx, dataclasses.replace(obj, record=record))

    def unsettle(self, tx: Transaction, *conditions: ColumnElement[bool]) -> None:
        """Makes living objects pending at this work's revision: what is rendered moved.

        Their etags stay: it was not their owner who wrote.
        """
        statement = update(self.table).where(*conditions, self.table.c.deleted_rev == 0)
        tx.connection.execute(statement.values(spec_rev=tx.next_revision()))

    def remove(self, tx: Transaction, name: str) -> None:
        """Takes the row away for good."""
        tx.connection.execute(self._delete, {"key": name})

    def _row(self, obj: T) -> dict[str, object]:
        row: dict[str, object] = {name: getattr(obj, name) for name in self._fields}
        row.update((name, getattr(obj.record, name)) for name in RECORD)
        row.update(self._extra(obj))
        return row


def check_etag(name: str, record: Record, etag: str) -> None:
    """Makes sure that a caller's etag, if given, is the current one; raises Aborted."""
    if etag and etag != record.etag:
        raise Aborted(name, etag, record.etag)

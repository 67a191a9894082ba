"""Watch: what happened to a project's objects since a revision, then what happens.

The watch subscribes before it reads, so nothing falls between what was and what comes. What waits
for a slow client is one merged notice, never a queue: the client sees an object as it is now,
once, however often it changed meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from api import facts
from api.conversion.changes import show_change
from api.conversion.reading import Reading
from api.conversion.statuses import Facts, status_from, write_status
from api.explaining import home_of
from api.serving import Serving
from lbaas.model.errors import FailedPrecondition, InvalidArgument, Violation
from lbaas.model.filter import EVERY
from lbaas.model.names import PROJECT, check_name
from lbaas.model.objects import Pool, TenantObject
from lbaas.model.status import Status
from lbaas.store import changes, health_monitors, members, objects, pools, trees, vips
from lbaas.store.feed import Action, Change, Notice, Subscription
from lbaas.store.transaction import Transaction
from lbaas.v1 import load_balancer_service_pb2, watch_pb2

_ALL = "projects/-"
_AT_ONCE = 1000
_TENANT_COLLECTIONS = ("/pools/", "/healthMonitors/", "/vips/")


@dataclass(frozen=True, slots=True)
class _Found:
    """One consistent read: changes, what their objects are now, and whose status to tell."""

    revision: int
    changes: tuple[Change, ...]
    objects: dict[str, TenantObject]
    facts: Facts
    statuses: frozenset[str]


class Watch:
    """One client's watch of a project."""

    def __init__(self, serving: Serving, parent: str) -> None:
        """Takes the project, `projects/{project}` or `projects/-`."""
        self._serving = serving
        self._parent = parent
        self._prefix = "projects/" if parent == _ALL else f"{parent}/"

    async def events(self, from_revision: int) -> AsyncIterator[watch_pb2.WatchEvent]:
        """Gives the events, until the client goes or the server stops.

        Raises:
            InvalidArgument: The revision is not yet.
            FailedPrecondition: REVISION_COMPACTED: so old changes are not kept.
        """
        subscription = self._serving.store.feed.subscribe()
        undo = self._serving.on_stop(subscription.close)
        try:
            if self._serving.stopping:
                subscription.close()
            last = await self._serving.store.read(lambda tx: tx.revision)
            if from_revision > last:
                raise InvalidArgument(
                    [
                        Violation(
                            "from_revision",
                            f"{from_revision} is not yet: the newest is {last}",
                            "OUT_OF_RANGE",
                        )
                    ]
                )
            if from_revision:
                async for event in self._replay(from_revision):
                    yield event
            async for event in self._present(last, whole=not from_revision):
                yield event
            # Now the client has all up to here, and may go on from here after a break.
            yield _heartbeat(last)
            async for event in self._live(subscription, last):
                yield event
        finally:
            undo()
            subscription.close()

    # -- what was -------------------------------------------------------------------------

    async def _replay(self, since: int) -> AsyncIterator[watch_pb2.WatchEvent]:
        """Gives what changed since a revision, the oldest first."""
        found = await self._serving.store.read(
            lambda tx: self._look(tx, changes.since(tx, since), frozenset())
        )
        for event in self._events_of(found, found.revision):
            yield event

    async def _present(self, revision: int, *, whole: bool) -> AsyncIterator[watch_pb2.WatchEvent]:
        """Gives every object, or every object's status, as it is now.

        Whole objects bear no revision: until all were sent there is nothing to go on from.
        """
        for page in (self._pools, self._members, self._monitors, self._vips):
            after = ""
            while True:
                some, known = await self._serving.store.read(_with_facts(page, after))
                for obj in some:
                    if whole:
                        change = show_change(obj, known, self._serving.see(obj.name), "CURRENT")
                        yield watch_pb2.WatchEvent(change=change)
                    else:
                        yield _status_event(obj.name, self._status(obj, known), revision)
                if len(some) < _AT_ONCE:
                    break
                after = some[-1].name

    def _pools(self, tx: Transaction, after: str) -> Sequence[TenantObject]:
        return pools.page(tx, self._parent, filter=EVERY, after=after, limit=_AT_ONCE)

    def _members(self, tx: Transaction, after: str) -> Sequence[TenantObject]:
        parent = f"{self._parent}/pools/-"
        return members.page(tx, parent, filter=EVERY, after=after, limit=_AT_ONCE)

    def _monitors(self, tx: Transaction, after: str) -> Sequence[TenantObject]:
        return health_monitors.page(tx, self._parent, filter=EVERY, after=after, limit=_AT_ONCE)

    def _vips(self, tx: Transaction, after: str) -> Sequence[TenantObject]:
        return vips.page(tx, self._parent, filter=EVERY, after=after, limit=_AT_ONCE)

    # -- what comes -----------------------------------------------------------------------

    async def _live(
        self, subscription: Subscription, last: int
    ) -> AsyncIterator[watch_pb2.WatchEvent]:
        """Gives what happens after a revision, as it happens."""
        while True:
            try:
                async with asyncio.timeout(self._serving.heartbeat.total_seconds()):
                    notice = await subscription.get()
            except TimeoutError:
                yield _heartbeat(last)
                continue
            except StopAsyncIteration:
                yield _end(last, "SERVER_STOPPING", "the server is stopping; watch again")
                return
            try:
                found = await self._news(notice, last)
            except FailedPrecondition as error:
                yield _end(last, "TOO_SLOW", f"{error.message}; watch from 0")
                return
            last = max(last, notice.revision)
            for event in self._events_of(found, last) if found is not None else ():
                yield event

    async def _news(self, notice: Notice, last: int) -> _Found | None:
        """Reads what a notice is about, or None if it is about nothing of this project."""
        if not notice.complete:
            # So much waited that it was dropped: the change rows have the changes, and whose
            # status moved nobody knows any more.
            return await self._serving.store.read(
                lambda tx: self._look(tx, changes.since(tx, last), self._all_names(tx))
            )
        new = tuple(change for change in notice.changes if change.rev > last)
        statuses = frozenset(name for name in notice.statuses if self._mine(name))
        if not statuses and not any(self._mine(change.name) for change in new):
            return None
        return await self._serving.store.read(lambda tx: self._look(tx, new, statuses))

    def _look(
        self, tx: Transaction, happened: Iterable[Change], statuses: frozenset[str]
    ) -> _Found:
        mine = tuple(change for change in happened if self._mine(change.name))
        placed = [
            change.name
            for change in mine
            if change.action in {Action.PLACED, Action.MOVED} and change.name == change.pool
        ]
        for tree in trees.read(tx, placed) if placed else ():
            # A placement decides about all that lives in the pool.
            statuses |= {each.name for each in tree.members} | {each.name for each in tree.vips}
        names = {change.name for change in mine} | statuses
        found: dict[str, TenantObject] = {
            name: obj
            for name, obj in objects.get_many(tx, sorted(names)).items()
            if isinstance(obj, TenantObject)
        }
        known = facts.of_tenant_objects(tx, list(found.values()))
        return _Found(tx.revision, mine, found, known, statuses)

    def _all_names(self, tx: Transaction) -> frozenset[str]:
        found: set[str] = set()
        for page in (self._pools, self._members, self._monitors, self._vips):
            some = page(tx, "")
            while some:
                found.update(obj.name for obj in some)
                some = page(tx, some[-1].name)
        return frozenset(found)

    def _events_of(self, found: _Found, revision: int) -> Iterator[watch_pb2.WatchEvent]:
        """Gives each changed object once, by its last change, then statuses that moved alone."""
        merged: dict[str, list[Change]] = {}
        for change in found.changes:
            merged.setdefault(change.name, []).append(change)
        for name, those in sorted(merged.items(), key=lambda item: item[1][-1].rev):
            obj, last = found.objects.get(name), those[-1].rev
            if obj is None:
                yield watch_pb2.WatchEvent(revision=last, removal=watch_pb2.Removal(name=name))
                continue
            seen = self._serving.see(name)
            shown = show_change(obj, found.facts, seen, _what(obj, those))
            yield watch_pb2.WatchEvent(revision=last, change=shown)
        for name in sorted(found.statuses - merged.keys()):
            if name in found.objects:
                status = self._status(found.objects[name], found.facts)
                yield _status_event(name, status, revision)

    def _status(self, obj: TenantObject, known: Facts) -> Status:
        return status_from(obj, known, self._serving.see(obj.name), pool=home_of(obj))

    def _mine(self, name: str) -> bool:
        return name.startswith(self._prefix) and any(each in name for each in _TENANT_COLLECTIONS)


def watch(
    serving: Serving, request: load_balancer_service_pb2.WatchRequest
) -> AsyncIterator[watch_pb2.WatchEvent]:
    """Gives the events of the watch that a client asks for.

    Raises:
        InvalidArgument: The parent is no project, or the revision is negative.
    """
    reading = Reading()
    if request.parent != _ALL:
        reading.add(check_name(PROJECT, request.parent, field="parent"))
    if request.from_revision < 0:
        reading.wrong("from_revision", "must not be negative", "OUT_OF_RANGE")
    reading.finish()
    return Watch(serving, request.parent).events(request.from_revision)


def _with_facts(
    page: Callable[[Transaction, str], Sequence[TenantObject]], after: str
) -> Callable[[Transaction], tuple[Sequence[TenantObject], Facts]]:
    def read(tx: Transaction) -> tuple[Sequence[TenantObject], Facts]:
        some = page(tx, after)
        return some, facts.of_tenant_objects(tx, some)

    return read


def _what(obj: TenantObject, happened: Sequence[Change]) -> str:
    """Gives the one word for several changes of an object that is there."""
    actions = {change.action for change in happened}
    if obj.record.deleted_rev:
        return "DELETED"
    if isinstance(obj, Pool):
        # To another fleet, or away from one: of a pool both are placements.
        actions = (actions - {Action.MOVED}) or {Action.PLACED}
    if actions & {Action.CREATED, Action.MOVED}:
        return "CREATED"
    return "PLACED" if actions == {Action.PLACED} else "UPDATED"


def _status_event(name: str, status: Status, revision: int) -> watch_pb2.WatchEvent:
    event = watch_pb2.WatchEvent(revision=revision)
    event.status.name = name
    write_status(event.status, status)
    return event


def _heartbeat(revision: int) -> watch_pb2.WatchEvent:
    now = Timestamp()
    now.GetCurrentTime()
    return watch_pb2.WatchEvent(revision=revision, heartbeat=watch_pb2.Heartbeat(time=now))


def _end(revision: int, reason: str, message: str) -> watch_pb2.WatchEvent:
    end = watch_pb2.EndOfWatch(reason=reason, message=message)
    return watch_pb2.WatchEvent(revision=revision, end=end)

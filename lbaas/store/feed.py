"""What commits did, told on the event loop: one merged notice per subscriber, newest wins."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What happened to an object at a revision."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"
    PURGED = "PURGED"
    PLACED = "PLACED"
    MOVED = "MOVED"


@dataclass(frozen=True, slots=True)
class Change:
    """One change row: `pool` is the pool the object lives in, "" for an operator's or a monitor."""

    rev: int
    name: str
    pool: str
    action: Action


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened since the last notice, up to `revision`.

    `statuses` are the names whose `live_rev` or rejections changed, which takes no revision.
    `complete` False: so much waited that it was dropped; read `changes.since` what you last saw.
    """

    revision: int
    changes: tuple[Change, ...] = ()
    statuses: frozenset[str] = frozenset()
    complete: bool = True


class Subscription:
    """One listener's slot. A slow listener finds one merged notice, never a queue."""

    MOST = 20_000
    """How many changes and statuses may wait before the listener is sent to the change rows."""

    def __init__(self, forget: Callable[["Subscription"], None], revision: int) -> None:
        """Takes how to unsubscribe, and the revision that is already known."""
        self._forget = forget
        self._revision = revision
        self._changes: list[Change] = []
        self._statuses: set[str] = set()
        self._complete = True
        self._ready = asyncio.Event()
        self._closed = False

    def post(self, notice: Notice) -> None:
        """Merges a notice into what waits."""
        self._revision = max(self._revision, notice.revision)
        self._changes.extend(notice.changes)
        self._statuses |= notice.statuses
        self._complete = self._complete and notice.complete
        if len(self._changes) + len(self._statuses) > self.MOST:
            self._changes.clear()
            self._statuses.clear()
            self._complete = False
        self._ready.set()

    async def get(self) -> Notice:
        """Waits for something to happen and gives all that did.

        Raises:
            StopAsyncIteration: the subscription is closed and nothing waits.
        """
        await self._ready.wait()
        if self._closed and not self._waiting():
            raise StopAsyncIteration
        notice = Notice(
            revision=self._revision,
            changes=tuple(self._changes),
            statuses=frozenset(self._statuses),
            complete=self._complete,
        )
        self._changes.clear()
        self._statuses.clear()
        self._complete = True
        if not self._closed:
            self._ready.clear()
        return notice

    def close(self) -> None:
        """Ends the subscription; whoever waits in `get` is let go."""
        self._closed = True
        self._forget(self)
        self._ready.set()

    def __aiter__(self) -> AsyncIterator[Notice]:
        return self

    async def __anext__(self) -> Notice:
        return await self.get()

    def _waiting(self) -> bool:
        return bool(self._changes or self._statuses or not self._complete)


class Feed:
    """Posts each commit's notice to every subscription. Lives on the event loop alone."""

    def __init__(self, revision: int) -> None:
        """Takes the revision at which the store was opened."""
        self.revision = revision
        self._subscriptions: set[Subscription] = set()

    def subscribe(self) -> Subscription:
        """Gives a subscription to everything that is committed from now on."""
        subscription = Subscription(self._subscriptions.discard, self.revision)
        self._subscriptions.add(subscription)
        return subscription

    def post(self, notice: Notice) -> None:
        """Tells every subscriber; called once per commit."""
        self.revision = max(self.revision, notice.revision)
        for subscription in tuple(self._subscriptions):
            subscription.post(notice)

    def close(self) -> None:
        """Ends every subscription."""
        for subscription in tuple(self._subscriptions):
            subscription.close()

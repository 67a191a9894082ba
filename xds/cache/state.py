"""All that one stream knows; the rules that read it are in `gates`, `answers`, `compose`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from xds.cache.channel import Channel
from xds.cache.constraints import UNKEPT
from xds.cache.cursor import Cursor, States, merged
from xds.cache.rejections import Rejection
from xds.cache.resource import Resource, same
from xds.cache.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, RUNTIME, Key

SETTLING = 5.0
"""Seconds after which a client that is back has asked again for all types that it had.

Envoy asks for all of them at once. Until then what it may hold of the others keeps what it
refers to; a client that never asks for listeners is rid of a cluster so much later."""


@dataclass(slots=True)
class State:
    """What a stream knows of its client, and what it has still to look at.

    Attributes:
        cursor: what the client holds.
        rejected: what this node refused, shared by all its streams.
        delta: whether the stream is delta or state of the world.
        types: the types that the stream may carry; None: all (ADS).
        asked_at: when the client last asked for a type that it had not asked for.
        resumed: whether the client said that it holds something already.
        complete: whether it has asked for all types that it will ask for, as far as one can tell.
        channels: by type.
        waits: what each name waits for.
        later: names to be looked at again at a time.
        placeholders: ClusterLoadAssignments to be sent empty first.
        behind: ClusterLoadAssignments to be sent again because their cluster was sent.
        settled: names confirmed since the observer heard last.
        foreign: names that the client reported in a version of which nothing is known.
        caught: names that were refused before they were sent.
        strays: listeners that stay until an operator's word; the fleet's, shared by its streams.
        versions: state of the world: what the client may name as accepted on its stream before.
    """

    cursor: Cursor
    rejected: dict[Key, Rejection]
    delta: bool
    types: frozenset[str] | None
    asked_at: float
    resumed: bool = False
    complete: bool = False
    channels: dict[str, Channel] = field(default_factory=dict)
    waits: dict[Key, Key] = field(default_factory=dict)
    waiters: dict[Key, dict[Key, None]] = field(default_factory=dict)
    later: dict[Key, float] = field(default_factory=dict)
    placeholders: set[str] = field(default_factory=set)
    behind: set[str] = field(default_factory=set)
    settled: list[Key] = field(default_factory=list)
    foreign: set[Key] = field(default_factory=set)
    caught: set[Key] = field(default_factory=set)
    strays: AbstractSet[Key] = frozenset()
    versions: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def note_unknown(self, keys: Iterable[Key]) -> None:
        """Notes which of these pending names the client holds in versions that are not known."""
        for key in keys:
            if any(one is not None and not one.known for one in self.cursor.states(key)):
                self.foreign.add(key)

    def certain_of(self, type_url: str) -> bool:
        """Whether it is known what the client holds of a type, if only that it is nothing."""
        if self.cursor.opened(type_url) or self.complete:
            return True
        return self.carries(type_url) and bool(self.channels) and not self.resumed

    def give_back(self) -> None:
        """Frees what was grown for a first answer: 4 MiB a stream at 10,000 pools, kept for ever.

        Python's tables do not shrink when what is in them goes; cleared, though empty, they do.
        """
        self.cursor.give_back()
        for channel in self.channels.values():
            channel.give_back()
        for names in (self.placeholders, self.behind):
            if not names:
                names.clear()
        for keys in (self.waits, self.waiters, self.later, self.foreign):
            if not keys:
                keys.clear()

    def carries(self, type_url: str) -> bool:
        """Whether this stream may carry a type."""
        return self.types is None or type_url in self.types

    def covers(self, key: Key) -> bool:
        """Whether the client asks for a name."""
        channel = self.channels.get(key.type_url)
        return channel is not None and channel.subscription.covers(key.name)

    def unneeded(self, key: Key) -> bool:
        """Whether nobody asks for a wanted name: the client does not, nor what else is wanted."""
        base = self.cursor.base
        if key.type_url not in (ROUTE, ENDPOINT) or base.get(key) is None:
            return False
        return not self.covers(key) and not any(base.users(key))

    def refused(self, key: Key) -> Rejection | None:
        """Gives the rejection of what is wanted now, if this node refused exactly that."""
        rejection = self.rejected.get(key)
        if rejection is None:
            return None
        wanted = self.cursor.base.get(key)
        if rejection.version != (wanted.version if wanted else ""):
            return None
        if wanted is not None and not wanted.fault and rejection.message.startswith(UNKEPT):
            return None  # an earlier process knew other constraints; no client has seen it
        return rejection

    def last_good(self, key: Key, rejection: Rejection) -> Resource | None:
        """Gives what is served instead of a refused version, if that still has what it needs."""
        good = rejection.last_good
        if good is None or not good.known or self.cursor.base.get(key) is None:
            return None
        for target in good.references:
            if target.type_url in (CLUSTER, ROUTE) and self.cursor.base.get(target) is None:
                return None
        return good

    def nothing_for(self, key: Key) -> bool:
        """Whether who asks for a name is given nothing: it is not there, or was refused."""
        rejection = self.refused(key)
        if rejection is not None:
            return self.last_good(key, rejection) is None
        return self.cursor.base.get(key) is None

    def put(self, key: Key) -> None:
        """Notes that a name is to be looked at in the next run."""
        channel = self.channels.get(key.type_url)
        if channel is not None and self.cursor.opened(key.type_url):
            channel.put(key.name, wanted=self.cursor.base.get(key) is not None)

    def park(self, key: Key, on: Key) -> None:
        """Notes that a name waits for another."""
        self.unpark(key)
        self.waits[key] = on
        self.waiters.setdefault(on, {})[key] = None

    def unpark(self, key: Key) -> None:
        """Notes that a name waits for nothing."""
        on = self.waits.pop(key, None)
        if on is not None:
            waiting = self.waiters[on]
            del waiting[key]
            if not waiting:
                del self.waiters[on]

    def touch(self, key: Key) -> None:
        """What is known of `key` changed: what waits for it is looked at again."""
        todo = [key]
        while todo:
            for waiter in list(self.waiters.get(todo.pop(), ())):
                self.unpark(waiter)
                self.put(waiter)
                todo.append(waiter)

    def changed(self, keys: Collection[Key]) -> None:
        """What is wanted of `keys` changed."""
        names: dict[str, list[str]] = {}
        for key in keys:
            names.setdefault(key.type_url, []).append(key.name)
        for type_url, some in names.items():
            known = self.cursor.base.of_type(type_url)
            self.channels[type_url].subscription.names.follow(known, some)
        for key in keys:
            self.unpark(key)
            self.later.pop(key, None)
            self.channels[key.type_url].ungroup(key.name)
            self.put(key)
            self.touch(key)
            if key.type_url == ROUTE:
                for user in self.cursor.base.users(key):
                    if user in self.waits:
                        self.unpark(user)
                        self.put(user)

    def sent(self, key: Key, resource: Resource | None, nonce: str) -> None:
        """Notes that a name was sent."""
        self.later.pop(key, None)
        pending = self.cursor.pending.get(key)
        if pending is None:
            return
        pending.telling = not (pending.nonce and any(same(one, resource) for one in pending.states))
        pending.sent, pending.nonce, pending.then = resource, nonce, 0
        pending.exact = same(resource, self.cursor.base.get(key))
        self.cursor.hold(key, merged((*pending.states, resource)))
        if key.type_url == RUNTIME:
            self.touch(key)  # what waits for it waits until it is sent

    def learn(self, key: Key, states: States) -> None:
        """Notes what the client holds of a pending name, and settles it if that is as wanted."""
        self.cursor.hold(key, states)
        self.settle(key)
        self.touch(key)

    def settle(self, key: Key) -> bool:
        """Ends the exception of a name that the client certainly holds as wanted."""
        pending, wanted = self.cursor.pending[key], self.cursor.base.get(key)
        if len(pending.states) != 1 or not same(pending.states[0], wanted):
            return False
        if wanted is not None and key.type_url == ENDPOINT and key.name in self.placeholders:
            return False  # its cluster was sent meanwhile: it is still to follow, empty first
        self.cursor.settle(key)
        self.rejected.pop(key, None)
        self.later.pop(key, None)
        self.unpark(key)
        self.placeholders.discard(key.name) if key.type_url == ENDPOINT else None
        self.foreign.discard(key)
        self.settled.append(key)
        return True

    def as_wanted(self, type_url: str, *, except_for: Collection[Key]) -> None:
        """Notes that the client came with all of a type as wanted, but for some names."""
        for name in self.cursor.base.of_type(type_url):
            key = Key(type_url, name)
            if key not in except_for:
                self.rejected.pop(key, None)
                self.settled.append(key)

    def forget(self, key: Key) -> None:
        """The client does not ask for this name any more, and holds nothing of it."""
        self.channels[key.type_url].drop(key.name)
        if not self.cursor.opened(key.type_url):
            return
        if self.cursor.base.get(key) is None and key not in self.cursor.pending:
            return
        pending = self.cursor.except_for(key, self.cursor.base.revision)
        pending.nonce, pending.sent = "", None
        self.unpark(key)
        self.learn(key, (None,))

    def gated(self) -> bool:
        """Whether clusters must be there before what refers to them.

        Not for clients that ask for listeners by name (gRPC): they ask for a cluster only when
        a route names it; nor where the stream carries no clusters.
        """
        listeners = self.channels.get(LISTENER)
        by_name = listeners is not None and not listeners.subscription.wildcard
        return self.carries(CLUSTER) and not by_name

"""What is sent now, in which order: the one place that makes responses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from xds.cache.addresses import leaving_with
from xds.cache.channel import MOST_IN_FLIGHT, Channel, Flight, Queue
from xds.cache.full_set import full_set, would_lose
from xds.cache.gates import Verdict, step
from xds.cache.needs import awaited, surely_unused
from xds.cache.resource import Resource, empty_runtime
from xds.cache.snapshot import total
from xds.cache.state import State
from xds.cache.subscription import FULL_SETS
from xds.cache.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, RUNTIME, Key, Response

BYTES = 1 << 20
"""Bytes after which a response is closed, where it may be split."""

ORDER = (RUNTIME, CLUSTER, ENDPOINT, LISTENER, ROUTE)
"""Make before break: what is referred to first; removals run against it (rules 40, 41).

Runtime layers hold listeners' limits: they are there before, and go after them."""


@dataclass(slots=True)
class Batch:
    """What one response will hold.

    Attributes:
        entries: what it changes, by name; None is a removal.
        size: bytes.
        limit: bytes after which it is closed.
    """

    entries: dict[str, Resource | None] = field(default_factory=dict)
    size: int = 0
    limit: float = BYTES

    @property
    def full(self) -> bool:
        """Whether it is large enough."""
        return self.size >= self.limit

    def add(self, name: str, resource: Resource | None) -> None:
        """Adds a name."""
        self.entries[name] = resource
        self.size += len(resource.body) if resource else len(name)


class Composer:
    """Makes the responses of one stream.

    Its nonces begin with the stream's number: those of another stream mean nothing (rule 10).
    """

    def __init__(self, state: State, stream: int) -> None:
        self._state = state
        self._stream = stream
        self._nonce = 0

    def run(self, now: float) -> list[Response]:
        """Gives what is to be sent now, in order."""
        state = self._state
        for key in [key for key, at in state.later.items() if at <= now]:
            del state.later[key]
            state.put(key)
        responses: list[Response] = []
        if all(channel.idle for channel in state.channels.values()):
            return responses  # an answer came, and that was all
        extra = [type_url for type_url in state.channels if type_url not in ORDER]
        for type_url in (*ORDER, *extra):
            responses.extend(self._type(type_url, now, removals=False))
        for type_url in (*reversed(extra), LISTENER, ROUTE, CLUSTER, ENDPOINT, RUNTIME):
            responses.extend(self._type(type_url, now, removals=True))
        return responses

    def _type(self, type_url: str, now: float, *, removals: bool) -> Iterator[Response]:
        channel = self._state.channels.get(type_url)
        if channel is None or channel.greeting is not None or channel.idle:
            return iter(())
        if self._state.delta:
            return self._delta(channel, now, removals=removals)
        if type_url in FULL_SETS:
            return self._full_set(channel, now)
        return self._partial(channel, now)

    def _delta(self, channel: Channel, now: float, *, removals: bool) -> Iterator[Response]:
        # Asked for by name, or endpoints right behind their cluster: these wait for no answer.
        while channel.urgent and len(channel.flights) < MOST_IN_FLIGHT:
            batch = Batch()
            self._take(channel, channel.urgent, batch, now, again=True)
            if batch.entries:
                yield from self._send(channel, batch, now)
        while channel.window(now) == 0:
            batch = Batch()
            group = channel.next_group()
            if group:
                self._take(channel, Queue.fromkeys(group), batch, now, group=True)
            elif not removals:
                self._take(channel, channel.adds, batch, now)
            if (removals or channel.type_url == LISTENER) and not batch.full and not group:
                self._take(channel, channel.removals, batch, now)
            if not batch.entries:
                break
            yield from self._send(channel, batch, now)
        if channel.owed:
            yield from self._send(channel, Batch(), now)

    def _take(
        self,
        channel: Channel,
        queue: Queue,
        batch: Batch,
        now: float,
        *,
        again: bool = False,
        group: bool = False,
    ) -> None:
        """Moves names from a queue into a batch, those that may be sent now.

        Args:
            channel: their type.
            queue: the names.
            batch: what they are added to.
            now: the time.
            again: whether they are sent even if the client holds them.
            group: whether they are a group of suspects, which is not to be taken apart.
        """
        state = self._state
        while queue and not batch.full:
            if not group and self._apart(channel, next(iter(queue)), batch):
                break
            name, _ = queue.popitem(last=False)
            if name in batch.entries:
                continue
            if name in channel.grouped:
                if again:
                    channel.deferred.add(name)  # it is answered with its group
                continue
            key = Key(channel.type_url, name)
            asked = again or name in channel.deferred
            todo = step(state, key, now, again=asked)
            if asked and todo.verdict in (Verdict.WAIT, Verdict.LATER):
                channel.deferred.add(name)
            if todo.verdict is Verdict.SEND:
                channel.deferred.discard(name)
                self._include(channel, batch, key, todo.resource)
            elif todo.verdict is Verdict.WAIT and todo.on is not None:
                state.park(key, todo.on)
            elif todo.verdict is Verdict.LATER:
                state.later[key] = todo.at

    def _apart(self, channel: Channel, name: str, batch: Batch) -> bool:
        """Whether a name waits for a response of its own.

        What was refused without a name is not to be asked for among others again: endpoints go
        behind their cluster however often that is sent, and would be refused as often.
        """
        # By the keys' view: a set goes through all of a dict, once for each of 100,000 names.
        among = not batch.entries.keys().isdisjoint(channel.suspects)
        return (among or name in channel.suspects) and bool(batch.entries)

    def _include(self, channel: Channel, batch: Batch, key: Key, resource: Resource | None) -> None:
        batch.add(key.name, resource)
        if resource is None or key.type_url != LISTENER:
            return
        for leaving in leaving_with(self._state, resource):
            self._state.unpark(leaving)
            channel.removals.pop(leaving.name, None)
            batch.add(leaving.name, None)

    def _full_set(self, channel: Channel, now: float) -> Iterator[Response]:
        """Rule 47: in state of the world, clusters and listeners are always all of them."""
        if channel.flights:
            return
        batch = self._everything(channel, Batch(limit=math.inf), now)
        if not batch.entries and not channel.owed:
            return
        if channel.uncertain and would_lose(self._state, channel, batch.entries):
            for name in batch.entries:
                self._state.put(Key(channel.type_url, name))
            return
        channel.uncertain = False
        channel.deferred.clear()  # a full set answers every name, if only by leaving it out
        full, kept = full_set(self._state, channel, batch.entries)
        yield from self._send(channel, batch, now, full=full, kept=kept)

    def _everything(self, channel: Channel, batch: Batch, now: float) -> Batch:
        """Takes all that may be sent, or one group of what was refused without a name."""
        group = channel.next_group()
        if group:
            self._take(channel, Queue.fromkeys(group), batch, now, group=True)
        else:
            self._take(channel, channel.urgent, batch, now, again=True)
            if channel.suspects.isdisjoint(batch.entries):
                self._take(channel, channel.adds, batch, now)
                self._take(channel, channel.removals, batch, now)
        return batch

    def _partial(self, channel: Channel, now: float) -> Iterator[Response]:
        """Rule 48: the other types may be sent in part, and absence says nothing."""
        if channel.flights:
            return
        batch = self._everything(channel, Batch(), now)
        stand_ins: list[Resource] = []
        for name in [name for name, resource in batch.entries.items() if resource is None]:
            if channel.type_url == RUNTIME:
                stand_ins.append(empty_runtime(name))
                continue
            # There is no word for it: the client forgets it with what referred to it.
            del batch.entries[name]
            key = Key(channel.type_url, name)
            if key in self._state.cursor.pending:
                self._state.learn(key, (None,))
        if batch.entries or channel.owed:
            changed = [resource for resource in batch.entries.values() if resource is not None]
            yield from self._send(channel, batch, now, full=[*changed, *stand_ins])

    def _send(
        self,
        channel: Channel,
        batch: Batch,
        now: float,
        *,
        full: list[Resource] | None = None,
        kept: dict[str, Resource | None] | None = None,
    ) -> Iterator[Response]:
        state = self._state
        self._nonce += 1
        nonce = f"{self._stream:x}.{self._nonce:x}"
        channel.owed = False
        changed = [resource for resource in batch.entries.values() if resource is not None]
        for name, resource in batch.entries.items():
            state.sent(Key(channel.type_url, name), resource, nonce)
        resources = changed if full is None else full
        version = total(resources)
        channel.flights[nonce] = Flight(nonce, now, dict(batch.entries), kept or {}, version)
        yield Response(
            type_url=channel.type_url,
            nonce=nonce,
            resources=tuple(resources),
            removed=tuple(name for name, resource in batch.entries.items() if resource is None)
            if state.delta
            else (),
            version=version,
            missing=self._missing(channel, resources),
        )
        if channel.type_url == CLUSTER:
            again = [resource for resource in (kept or {}).values() if resource is not None]
            for cluster in (*changed, *again):
                self._endpoints_behind(cluster)
            yield from self._type(ENDPOINT, now, removals=False)
        elif channel.type_url == ENDPOINT:
            for resource in changed:
                state.placeholders.discard(resource.key.name)
                state.behind.discard(resource.key.name)
        elif channel.type_url == LISTENER:
            for listener in changed:
                self._promise_routes(listener)

    def _missing(self, channel: Channel, full: list[Resource]) -> tuple[str, ...]:
        """Gives the names of which a full set says that there is nothing of them.

        That a name is absent is no answer for a gRPC client: it waits 15 s for one (grpcio 1.85).
        """
        subscription = channel.subscription
        if self._state.delta or channel.type_url not in FULL_SETS or subscription.wildcard:
            return ()
        there = {resource.key.name for resource in full}
        return tuple(sorted(name for name in subscription.names if name not in there))

    def _endpoints_behind(self, cluster: Resource) -> None:
        """Rule 42: endpoints follow every cluster that is sent, changed themselves or not.

        Without, delta Envoy keeps the cluster warming for 15 s and holds back every CDS answer.
        """
        state = self._state
        channel = state.channels.get(ENDPOINT)
        for target in cluster.references:
            if target.type_url != ENDPOINT:
                continue
            state.behind.add(target.name)
            # Clusters may share endpoints: empty for the new one is empty for that which serves.
            unused = all(
                surely_unused(state, user) and not awaited(state, user)
                for user in state.cursor.users(target)
            )
            if not unused or state.cursor.base.get(target) is None:
                state.placeholders.discard(target.name)
            else:
                state.placeholders.add(target.name)
            if channel is None or channel.greeting is not None or not state.covers(target):
                continue
            if target.name in state.placeholders:
                pending = state.cursor.pending.get(cluster.key)
                since = pending.since if pending else state.cursor.base.revision
                state.cursor.except_for(target, since)
            channel.urgent[target.name] = None

    def _promise_routes(self, listener: Resource) -> None:
        state = self._state
        for target in listener.references:
            if target.type_url == ROUTE and target in state.cursor.pending:
                state.cursor.pending[target].promise = state.cursor.base.get(target)

"""One stream of one node: what comes in, what goes out, and what the node really holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING

from xds.cache import answers, evidence
from xds.cache.channel import Channel
from xds.cache.client_status import ResourceStatus, Standing, status_of, statuses
from xds.cache.compose import Composer
from xds.cache.cursor import Cursor, Left, Pending
from xds.cache.explain import HELD, blocked_by, explain, kind_of
from xds.cache.greeting import open_type
from xds.cache.needs import excused
from xds.cache.rejections import Rejection
from xds.cache.resource import Resource, same
from xds.cache.state import SETTLING, State
from xds.cache.subscription import Asked, Subscription
from xds.cache.types import ENDPOINT, LISTENER, Key, NodeInfo, RejectedVersion, Request, Response

if TYPE_CHECKING:
    from xds.cache.cache import SnapshotCache


class NodeStream:
    """One stream of one node. Pure: no I/O, no clock of its own.

    Made by `SnapshotCache.connect`. A server hands it each request (`receive`), and sends what
    `run` gives: after each request, when `on_dirty` is called, and when `next_timer` is due.

    Attributes:
        fleet: the fleet whose resources it is given.
        node: who the client says it is.
        delta: delta, or state of the world.
        variant: the variant of the fleet's snapshot that it is given.
        on_dirty: called when there may be something to send; set by the server.
        acked_at: when it last accepted a response, on the clock of the calls; None: never yet.
    """

    def __init__(
        self,
        cache: SnapshotCache,
        *,
        fleet: str,
        node: NodeInfo,
        delta: bool,
        types: frozenset[str] | None,
        left: Left | None,
        rejected: dict[Key, Rejection],
        now: float,
        number: int,
        variant: str = "",
        strays: AbstractSet[Key] = frozenset(),
    ) -> None:
        self.fleet = fleet
        self.node = node
        self.delta = delta
        self.variant = variant
        self.on_dirty: Callable[[], None] = _nothing
        self.acked_at: float | None = None
        self._cache = cache
        self._state = State(
            cursor=Cursor(left),
            rejected=rejected,
            delta=delta,
            types=types,
            asked_at=now,
            strays=strays,
            versions=left.versions if left else {},
        )
        self._state.note_unknown(self._state.cursor.pending)
        self._composer = Composer(self._state, number)
        self._loaded = False
        self._grown = False

    @property
    def revision(self) -> int:
        """The revision that it works towards; 0 before the fleet's first snapshot."""
        return self._state.cursor.base.revision if self._loaded else 0

    @property
    def loaded(self) -> bool:
        """Whether it has been given its fleet's first snapshot, and may answer its client."""
        return self._loaded

    @property
    def pending(self) -> Mapping[Key, Pending]:
        """The names that are not confirmed, of the types that the client asked for."""
        return self._state.cursor.pending

    @property
    def rejections(self) -> Mapping[Key, Rejection]:
        """What the node refused last of each name of which it has accepted nothing since."""
        return self._state.rejected

    @property
    def types(self) -> frozenset[str] | None:
        """The types that the stream may carry; None: all."""
        return self._state.types

    def receive(self, request: Request, now: float) -> None:
        """Takes a request: what it answers, then what it asks for."""
        state = self._state
        if not state.carries(request.type_url):
            return
        channel = state.channels.get(request.type_url)
        if channel is None:
            channel = Channel(Subscription(request.type_url), greeting=request)
            state.channels[request.type_url] = channel
            state.asked_at = now
            if request.initial_versions or request.version_info:
                state.resumed = True
        else:
            self._answer(channel, request, now)
        if self.delta:
            asked = channel.subscription.delta(request.subscribe, request.unsubscribe)
        else:
            asked = channel.subscription.state_of_the_world(request.names)
        self._apply(channel, asked)
        if asked.dropped:
            self._cache.reported(self, [Key(request.type_url, name) for name in asked.dropped])
        if self._loaded:
            open_type(self._cache, self.fleet, state, channel)
        self._report()

    def run(self, now: float) -> list[Response]:
        """Gives what is to be sent now; nothing before the fleet's first snapshot is loaded."""
        snapshot = self._cache.given(self)
        if snapshot is None:
            return []
        state = self._state
        self._loaded = True
        if snapshot.revision >= state.cursor.base.revision:
            state.changed(state.cursor.absorb(snapshot))
        for channel in list(state.channels.values()):
            open_type(self._cache, self.fleet, state, channel)
        if state.channels and not state.complete and now >= state.asked_at + SETTLING:
            state.complete = True
            for key in state.cursor.forget_left():
                state.touch(key)
                state.settled.append(key)
            self._cache.reported(self)
        answers.catch_faults(state, self._refusal)
        responses = self._composer.run(now)
        self._report()
        return responses

    @property
    def busy(self) -> bool:
        """Whether `run` may give something now, or `next_timer` another time than before."""
        state = self._state
        return bool(state.later) or any(
            channel.greeting is not None or not channel.idle for channel in state.channels.values()
        )

    def next_timer(self, now: float) -> float | None:
        """Gives when `run` should be called even if nothing happens; None: no need."""
        times = list(self._state.later.values())
        if self._loaded and self._state.channels and not self._state.complete:
            times.append(self._state.asked_at + SETTLING)
        for channel in self._state.channels.values():
            if channel.adds or channel.removals or channel.groups:
                at = channel.window(now)
                if 0.0 < at < float("inf"):
                    times.append(at)
        return min(times, default=None)

    def awaited_since(self) -> float | None:
        """Gives when the oldest unanswered EDS or LDS response was sent; None: there is none.

        CDS answers do not count: Envoy holds them back while a cluster warms.
        """
        times = [
            flight.sent_at
            for type_url in (ENDPOINT, LISTENER)
            if (channel := self._state.channels.get(type_url)) is not None
            for flight in channel.flights.values()
        ]
        return min(times, default=None)

    def confirmed(self, key: Key, revision: int) -> bool:
        """Whether the node holds `key` as it was at `revision` or newer, or is rid of it."""
        state = self._state
        if not self._loaded or state.cursor.base.revision < revision:
            return False
        if self._changed_unseen(key, revision):
            return False
        if not state.cursor.opened(key.type_url):
            # What is buried it may hold, whatever it has said so far of other types.
            return (
                (state.complete or key.name not in self._cache.buried(self.fleet, key.type_url))
                and state.certain_of(key.type_url)
                and (state.cursor.base.get(key) is None or state.unneeded(key))
                and state.cursor.states(key) == (None,)
            )
        pending = state.cursor.pending.get(key)
        return pending is None or pending.since > revision or state.unneeded(key)

    def holds(self, key: Key) -> tuple[Resource | None, ...]:
        """Gives the versions of a resource that the node may hold, None standing for nothing.

        One is certain. Of a version that this process has never made only the hash is known; it
        gives no version at all if the node has not said yet what it holds of this type.
        """
        state = self._state
        if not state.cursor.opened(key.type_url) and not state.complete:
            return ()
        return state.cursor.states(key)

    def tried(self, key: Key) -> bool:
        """Whether the node certainly holds what it is given of a name, or nobody asks for it."""
        state, given = self._state, self._cache.given(self)
        opened = state.cursor.opened(key.type_url) or state.complete
        if given is None or not self._loaded or not opened:
            return False
        states, wanted = state.cursor.states(key), given.get(key)
        if len(states) == 1 and same(states[0], wanted):
            return True
        unused = not any(True for _ in given.users(key))
        return wanted is not None and unused and not state.covers(key)

    def refused(self, key: Key) -> bool:
        """Whether the node lacks `key` only because it refused it, or all that refers to it.

        What is held back from it because its fleet's canary refused it counts as well.
        """
        held = self._cache.held_back(self, key) is not None
        if held and self._cache.refused_by_canary(self.fleet, key):
            return True
        return self._loaded and excused(self._state, key)

    def in_step(self, revision: int) -> bool:
        """Whether the node holds all as it was at `revision` or newer, but for what it refused."""
        state = self._state
        if not self._loaded or state.cursor.base.revision < revision:
            return False
        later = self._cache.changed_later(self, state.cursor.base)
        if later is None or any(at <= revision for at in later.values()):
            return False
        for type_url in state.cursor.base.types():
            if not state.carries(type_url) or state.cursor.opened(type_url):
                continue
            names = state.cursor.base.of_type(type_url)
            if not all(excused(state, Key(type_url, name)) for name in names):
                return False
        return all(
            pending.since > revision or excused(state, key)
            for key, pending in state.cursor.pending.items()
        )

    def waiting(self, key: Key, now: float) -> str:
        """Says why the node does not hold `key` as wanted yet; empty if it does."""
        if self._cache.held_back(self, key) is not None:
            return f"{kind_of(key)} {key.name}: {HELD}"
        return explain(self._state, key, now)

    def blocked_by(self, key: Key) -> Key | None:
        """Gives the resource that the node refuses and for which it lacks `key`; None: none."""
        return blocked_by(self._state, key)

    def evidence_wanted(self, now: float) -> tuple[str, ...]:
        """Gives the clusters of which the node's own word is wanted: its answers are withheld.

        Ask it then, and hand what it says to `evidence`; each call replaces the one before.
        """
        return evidence.wanted(self._state, now)

    def evidence(self, active: Mapping[str, str], warming: Mapping[str, str]) -> None:
        """Takes what the node runs of the clusters that were asked for, read after they were.

        Args:
            active: the version of each that it uses, by name; what is not there it does not use.
            warming: the version of each that it has and does not use yet.
        """
        evidence.taken(self._state, active, warming, self._refusal)
        self._report()
        self.on_dirty()

    def asked(self) -> frozenset[str]:
        """Gives the types that the client has asked for."""
        return frozenset(self._state.channels)

    @property
    def names_asked(self) -> int:
        """How many names the client asks for one by one, of all types."""
        return sum(len(one.subscription.names) for one in self._state.channels.values())

    def status(self, key: Key, now: float) -> ResourceStatus:
        """Gives what is known of one name: wanted, held, under way, refused, waited for."""
        return self._as_tried(status_of(self._state, key, now), now)

    def statuses(self, now: float) -> Iterator[ResourceStatus]:
        """Gives that of each name that the client asks for or may hold; see `client_status`."""
        return (self._as_tried(status, now) for status in statuses(self._state, now))

    def _as_tried(self, status: ResourceStatus, now: float) -> ResourceStatus:
        """Gives a status with what is wanted of the fleet, where the canary has to try it first."""
        snapshot = self._cache.snapshot(self.fleet)
        if snapshot is None or self._cache.held_back(self, status.key) is None:
            return status
        wanted, why = snapshot.get(status.key), self.waiting(status.key, now)
        return replace(status, standing=Standing.NOT_SENT, wanted=wanted, waiting=why)

    def look_again(self, keys: Iterable[Key]) -> None:
        """Looks at names again, though nothing changed that the stream could see."""
        for key in keys:
            if key in self._state.cursor.pending:
                self._state.put(key)
        self.on_dirty()

    def leave(self) -> Left:
        """Gives what the client holds, for its next stream."""
        channels = self._state.channels
        left = self._state.cursor.leave({kind: one.apart() for kind, one in channels.items()})
        if self.delta:
            return left
        opened = {kind: one.versions for kind, one in channels.items() if one.greeting is None}
        return replace(left, versions={**self._state.versions, **opened})

    def _changed_unseen(self, key: Key, revision: int) -> bool:
        """Whether a change that belongs to `revision` is held back, or came since it ran last."""
        held = self._cache.held_back(self, key)
        if held is not None and held.since <= revision:
            return True
        base = self._state.cursor.base
        later = self._cache.changed_later(self, base)
        if later is not None:
            return later.get(key, revision + 1) <= revision
        given = self._cache.given(self)
        return given is None or not same(given.get(key), base.get(key))

    def _answer(self, channel: Channel, request: Request, now: float) -> None:
        flight = channel.flights.get(request.nonce)
        if flight is None:
            return  # spontaneous, stale, or never sent: no answer to anything (rules 11, 19, 21)
        del channel.flights[request.nonce]
        if request.error is None:
            self.acked_at, channel.accepted = now, flight.version
            answers.accepted(self._state, channel, flight, self._refusal)
        else:
            answers.refused(self._state, channel, flight, request.error, now, self._refusal)

    def _apply(self, channel: Channel, asked: Asked) -> None:
        state, type_url = self._state, channel.type_url
        for name in asked.dropped:
            state.forget(Key(type_url, name))
        if asked.none_named and state.cursor.opened(type_url):
            names = {*state.cursor.base.of_type(type_url)}
            names.update(key.name for key in state.cursor.pending if key.type_url == type_url)
            for name in names:
                if not channel.subscription.covers(name):
                    state.forget(Key(type_url, name))
        if not state.cursor.opened(type_url):
            return
        if asked.all_named:
            for key in state.cursor.pending:
                if key.type_url == type_url:
                    state.put(key)
            channel.owed = True
        for name in asked.named:
            channel.urgent[name] = None

    def _refusal(self, rejection: RejectedVersion) -> None:
        if self._cache.observer is not None:
            self._cache.observer.rejected(self, rejection)

    def _report(self) -> None:
        settled, self._state.settled = self._state.settled, []
        self._grown = self._grown or bool(settled)
        if self._grown and all(channel.idle for channel in self._state.channels.values()):
            self._grown = False
            self._state.give_back()
        if settled:
            self._cache.reported(self, settled)
        if settled and self._cache.observer is not None:
            self._cache.observer.confirmed(self, settled)


def _nothing() -> None:
    """Stands for a server that is not there yet."""

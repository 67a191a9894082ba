"""One type on one stream: what is asked for, what is unanswered, what is to be looked at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from xds.cache.cursor import Groups
from xds.cache.resource import Resource
from xds.cache.subscription import Subscription
from xds.cache.types import CLUSTER, Request

CLUSTERS_IN_FLIGHT = 4
"""Unanswered delta CDS responses; Envoy withholds all CDS answers while one cluster warms."""

CLUSTERS_AFTER = 0.25
"""Seconds that a delta CDS response is unanswered before the next is sent."""

MOST_IN_FLIGHT = 64
"""Unanswered responses of one type, those sent at once because they were asked for included."""

Queue = OrderedDict[str, None]


@dataclass(slots=True)
class Flight:
    """A response that is not answered.

    Attributes:
        nonce: of the response.
        sent_at: when it was sent.
        entries: what it changes, by name; None is a removal.
        kept: state of the world: what it says of names of which it was not certain what the
            client holds, and that are not to be changed yet.
        version: of the response.
        processed: whether the client is known to have had it, though it has not answered.
        outdated: names of which the client is known to have had a later response too.
    """

    nonce: str
    sent_at: float
    entries: dict[str, Resource | None]
    kept: dict[str, Resource | None] = field(default_factory=dict)
    version: str = ""
    processed: bool = False
    outdated: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Channel:
    """One type on one stream.

    Attributes:
        subscription: what the client asks for.
        greeting: the first request, until the fleet's snapshot is loaded.
        flights: the responses not answered, oldest first, by nonce.
        urgent: names to be answered at once, whether they changed or not.
        deferred: names of these that could not be answered yet, and still are to be.
        adds: names to be looked at that are wanted.
        removals: names to be looked at that are not.
        groups: parts of responses that were refused without naming a culprit.
        grouped: names in them.
        suspects: names that were in such a response, and not yet in an accepted one.
        owed: whether the first answer is still due, even if it is empty.
        uncertain: state of the world: the client holds versions of which nothing is known.
        asked: names of which the client's own word was asked for, and the response each was in.
        accepted: the version of the response that the client accepted last.
    """

    subscription: Subscription
    greeting: Request | None = None
    flights: dict[str, Flight] = field(default_factory=dict)
    urgent: Queue = field(default_factory=OrderedDict)
    deferred: set[str] = field(default_factory=set)
    adds: Queue = field(default_factory=OrderedDict)
    removals: Queue = field(default_factory=OrderedDict)
    groups: list[tuple[str, ...]] = field(default_factory=list)
    grouped: set[str] = field(default_factory=set)
    suspects: set[str] = field(default_factory=set)
    owed: bool = False
    uncertain: bool = False
    asked: dict[str, str] = field(default_factory=dict)
    accepted: str = ""

    @property
    def type_url(self) -> str:
        """The type."""
        return self.subscription.type_url

    @property
    def idle(self) -> bool:
        """Whether there is nothing to look at."""
        return not (self.urgent or self.adds or self.removals or self.groups or self.owed)

    @property
    def versions(self) -> frozenset[str]:
        """Those that the client may name as accepted last, if it has been nowhere else."""
        return frozenset({self.accepted, *(one.version for one in self.flights.values())})

    def give_back(self) -> None:
        """Frees what was grown for many names and is empty now: Python keeps it otherwise."""
        for queue in (self.urgent, self.adds, self.removals):
            if not queue:
                queue.clear()
        for names in (self.grouped, self.suspects):
            if not names:
                names.clear()

    def window(self, now: float) -> float:
        """Gives when the next response may be sent: 0 now, infinity after an answer."""
        if not self.flights:
            return 0.0
        if self.type_url != CLUSTER or len(self.flights) >= MOST_IN_FLIGHT:
            return float("inf")
        waiting = [flight for flight in self.flights.values() if not flight.processed]
        if not waiting:
            return 0.0
        if len(waiting) >= CLUSTERS_IN_FLIGHT:
            return float("inf")
        at = waiting[-1].sent_at + CLUSTERS_AFTER
        return 0.0 if now >= at else at

    def put(self, name: str, *, wanted: bool) -> None:
        """Notes that a name is to be looked at."""
        (self.removals if wanted else self.adds).pop(name, None)
        (self.adds if wanted else self.removals)[name] = None

    def drop(self, name: str) -> None:
        """Forgets a name: nothing of it is to be sent, answers do not concern it."""
        for queue in (self.urgent, self.adds, self.removals):
            queue.pop(name, None)
        self.deferred.discard(name)
        self.ungroup(name)
        for flight in self.flights.values():
            flight.entries.pop(name, None)
            flight.kept.pop(name, None)

    def ungroup(self, name: str) -> None:
        """Takes a name out of its group: it changed, so it is innocent again."""
        self.grouped.discard(name)
        self.suspects.discard(name)

    def set_apart(self, names: Iterable[str]) -> None:
        """Takes a group in which something was refused that was not named."""
        group = tuple(names)
        self.suspects.update(group)
        self.grouped.update(group)
        self.groups.append(group)

    def apart(self) -> Groups:
        """Gives all suspects for a next stream: what is not answered is to be asked again."""
        left = dict.fromkeys(self.suspects)
        waiting = ([name for name in group if name in self.grouped] for group in self.groups)
        found = []
        for group in (*(flight.entries for flight in self.flights.values()), *waiting):
            found.append(tuple(name for name in group if name in left))
            for name in found[-1]:
                del left[name]
        return (*(group for group in found if group), *((name,) for name in left))

    def next_group(self) -> list[str]:
        """Takes the next group that still has names."""
        while self.groups:
            names = [name for name in self.groups.pop(0) if name in self.grouped]
            if names:
                self.grouped.difference_update(names)
                return names
        return []

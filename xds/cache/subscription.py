"""What one client asks for of one type: a value object, one for delta and state of the world.

Rule numbers are those of the project's list of xDS rules; "SPEC" is Envoy's `xds_protocol`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from xds.cache.names import Names
from xds.cache.types import CLUSTER, LISTENER, WILDCARD

FULL_SETS = frozenset({CLUSTER, LISTENER})
"""Types that have a wildcard, and whose state-of-the-world responses hold the full set."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request changed.

    Attributes:
        named: names to be answered now, held already or not (rules 33, 34, 35, 39).
        dropped: names that the client no longer wants, and forgets.
        all_named: the wildcard is new: everything is to be sent.
        none_named: the wildcard ended: all but the names still subscribed is forgotten.
    """

    named: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    all_named: bool = False
    none_named: bool = False


@dataclass(slots=True)
class Subscription:
    """The names that a client asks for, of one type on one stream.

    Attributes:
        type_url: the type.
        wildcard: whether all names are asked for.
        names: names asked for one by one.
    """

    type_url: str
    wildcard: bool = False
    names: Names = field(default_factory=Names)
    _legacy: bool = False
    _started: bool = False

    def covers(self, name: str) -> bool:
        """Whether the client asks for this name."""
        return self.wildcard or name in self.names

    def delta(self, subscribe: Iterable[str], unsubscribe: Iterable[str]) -> Asked:
        """Applies a delta request."""
        first, self._started = not self._started, True
        wanted = dict.fromkeys(subscribe)  # duplicates are tolerated (rule 36)
        dropped = dict.fromkeys(unsubscribe)
        began = False
        # SPEC: nothing subscribed in the first request means everything; that wildcard survives
        # names added later and ends only by unsubscribing '*' (rules 25, 29).
        if first and not wanted and self.type_url in FULL_SETS:
            self.wildcard = began = True
        if WILDCARD in wanted:
            del wanted[WILDCARD]
            began = began or not self.wildcard
            self.wildcard = True
        ended = False
        if WILDCARD in dropped:
            del dropped[WILDCARD]
            ended, self.wildcard = self.wildcard, False
            began = False
        self.names.update(wanted)
        known = [name for name in dropped if name in self.names]  # phantoms are ignored (rule 32)
        self.names.remove(known)
        if self.wildcard:
            # SPEC: a name dropped under a wildcard is still asked for: it is answered (rule 31).
            return Asked(named=(*wanted, *known), all_named=began)
        named = tuple(name for name in wanted if name in self.names)
        return Asked(named=named, dropped=tuple(known), none_named=ended)

    def state_of_the_world(self, names: Iterable[str]) -> Asked:
        """Applies a state-of-the-world request: its names are all that is asked for."""
        first, self._started = not self._started, True
        now = set(names)
        legacy = self.type_url in FULL_SETS and not now and (first or self._legacy)
        # SPEC: empty names are everything only as long as no name was ever given; later they
        # unsubscribe from all (rules 25, 28).
        self._legacy = legacy
        wildcard = legacy or WILDCARD in now
        now.discard(WILDCARD)
        added = tuple(sorted(name for name in now if name not in self.names))
        dropped = tuple(sorted(name for name in self.names if name not in now))
        self.names.update(added)
        self.names.remove(dropped)
        was_wildcard, self.wildcard = self.wildcard, wildcard
        if wildcard:
            return Asked(named=() if was_wildcard else added, all_named=not was_wildcard)
        if was_wildcard:
            return Asked(named=added, none_named=True)
        return Asked(named=added, dropped=dropped)

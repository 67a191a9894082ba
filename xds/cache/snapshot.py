"""Everything a fleet should hold at one revision, immutable, made from the one before it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from immutables import Map

from xds.cache.resource import Resource, same
from xds.cache.types import Key

_KEPT = 512
"""Changes that a snapshot remembers; a stream further behind is compared in full."""

_OWN_KEPT = 32
"""Changes of its own that a variant remembers one by one."""

_Edited = tuple[
    Map[str, Map[str, Resource]], Map[Key, Map[Key, None]], Map[str, int], frozenset[Key]
]

_NAMES: Map[str, Resource] = Map()
_KEYS: Map[Key, None] = Map()

_FAULTY = Key("fault", "")
"""Not a resource: what has a fault refers to it, so to speak."""


@dataclass(frozen=True, slots=True)
class Own:
    """What was changed in a variant of a snapshot, beside what changed in its base.

    Variants change on occasions that have no revision of their own (a node came, another one
    confirmed its part): each change has a turn, by which they are told apart, and the revision
    that it belongs to, which may be older than the base's.

    Attributes:
        turn: of the last change; 0 is the base, which has none.
        since: before this turn there was no such variant.
        log: turn, revision and keys of each change, oldest first.
    """

    turn: int = 0
    since: int = 0
    log: tuple[tuple[int, int, frozenset[Key]], ...] = ()

    def with_change(self, turn: int, revision: int, keys: frozenset[Key]) -> Own:
        """Gives it with one more change; of many the oldest are taken together."""
        log = (*self.log, (turn, revision, keys))
        if len(log) > _OWN_KEPT:
            (_, one, some), (later, other, more), *rest = log
            log = ((later, min(one, other), some | more), *rest)
        return Own(turn, self.since or turn, log)

    def after(self, old: Own) -> Mapping[Key, int] | None:
        """Gives what changed since `old`, each with the oldest revision; None: not known."""
        if old.turn == self.turn:
            return {}
        if old.turn > self.turn or 0 < old.turn < self.since:
            return None
        changed: dict[Key, int] = {}
        for turn, revision, keys in self.log:
            for key in keys if turn > old.turn else ():
                changed[key] = min(revision, changed.get(key, revision))
        return changed


NOTHING_OWN = Own()

Log = tuple[tuple[int, int, frozenset[Key]], ...]
"""Position, revision and keys of each change, oldest first.

The position of a change is its revision; in a line beside that of the fleet its turn, for there a
change may belong to a revision that is older than the one before it.
"""


class Snapshot:
    """An immutable set of resources with its revision, and a log of what changed when.

    Attributes:
        revision: what it is up to date with.
        own: what was changed in it as a variant (`xds.cache.variant`); a base has nothing.
        line: 0 for what a fleet should hold; else that of what most of it is given while a change
            is tried on one node (`xds.cache.canary`), which has a log of its own.
    """

    __slots__ = ("_log", "_position", "_sums", "_types", "_users", "line", "own", "revision")

    def __init__(
        self,
        revision: int,
        types: Map[str, Map[str, Resource]],
        users: Map[Key, Map[Key, None]],
        sums: Map[str, int],
        log: Log,
        *,
        own: Own = NOTHING_OWN,
        line: int = 0,
        position: int | None = None,
    ) -> None:
        self.revision = revision
        self.own = own
        self.line = line
        self._position = revision if position is None else position
        self._types = types
        self._users = users
        self._sums = sums
        self._log = log

    def get(self, key: Key) -> Resource | None:
        """Gives a resource, or None."""
        return self._types.get(key.type_url, _NAMES).get(key.name)

    def of_type(self, type_url: str) -> Mapping[str, Resource]:
        """Gives all resources of a type, by name."""
        return self._types.get(type_url, _NAMES)

    def types(self) -> Iterable[str]:
        """Gives the types of which it holds at least one resource."""
        return self._types.keys()

    def faulty(self) -> Iterable[Key]:
        """Gives the resources that break Envoy's constraints, which nobody is sent."""
        return self.users(_FAULTY)

    def users(self, key: Key) -> Iterable[Key]:
        """Gives the resources that refer to `key`."""
        return self._users.get(key, _KEYS)

    def version(self, type_url: str) -> str:
        """Gives the version of all resources of a type together: same content, same version."""
        return f"{self._sums.get(type_url, 0):024x}"

    def changes_from(self, old: Snapshot) -> Mapping[Key, int] | None:
        """Gives what may differ from an older snapshot, or another variant, of the same fleet.

        Returns:
            Each key with the oldest revision whose change `old` lacks; None if the logs do not
            reach back so far, or `old` is of another line: then compare with `differences`.
        """
        changed, own = self.line_changes_from(old), self.own.after(old.own)
        return None if changed is None or own is None else oldest(changed, own)

    def line_changes_from(self, old: Snapshot) -> Mapping[Key, int] | None:
        """Gives what `changes_from` does, but for what a variant has of its own.

        Costs what the change costs, not what the snapshot holds.
        """
        if old.line != self.line:
            return None
        position = old._position
        if position >= self._position:
            return {}
        if not self._log or position < self._log[0][0]:
            return None
        start = bisect_right(self._log, position, key=lambda entry: entry[0])
        changed: dict[Key, int] = {}
        for _, revision, keys in self._log[start:]:
            for key in keys:
                changed[key] = min(revision, changed.get(key, revision))
        return changed

    def differences(self, other: Snapshot) -> Iterator[Key]:
        """Gives the keys that are not the same in both, by comparing all of them."""
        for type_url in {*self._types, *other._types}:
            mine, theirs = self.of_type(type_url), other.of_type(type_url)
            for name in {*mine, *theirs}:
                if not same(mine.get(name), theirs.get(name)):
                    yield Key(type_url, name)

    def with_changes(self, revision: int, changes: Mapping[Key, Resource | None]) -> Snapshot:
        """Gives the next snapshot: `changes` applied, None meaning removed.

        What is not really different is not logged.
        """
        types, users, sums, changed = self._edited(changes)
        log = self._log or ((self.revision, self.revision, frozenset()),)
        if changed:
            log = (*log[-_KEPT:], (revision, revision, changed))
        return Snapshot(revision, types, users, sums, log)

    def _edited(self, changes: Mapping[Key, Resource | None]) -> _Edited:
        """Gives all resources, their users and sums with changes, and what really changed."""
        sums = dict(self._sums)
        touched: dict[str, dict[str, Resource | None]] = {}
        users: dict[Key, dict[Key, bool]] = {}
        changed = set()
        for key, new in changes.items():
            old = self.get(key)
            if same(old, new):
                continue
            changed.add(key)
            for one in (old, new):
                if one is not None and one.fault:
                    users.setdefault(_FAULTY, {})[key] = one is new
            touched.setdefault(key.type_url, {})[key.name] = new
            for gone in old.references if old else ():
                users.setdefault(gone, {})[key] = False
            for come in new.references if new else ():
                users.setdefault(come, {})[key] = True
            delta = (digest(new) if new else 0) - (digest(old) if old else 0)
            sums[key.type_url] = (sums.get(key.type_url, 0) + delta) % _MODULUS
        return (
            _replaced(self._types, touched),
            _edit(self._users, users),
            Map(sums),
            frozenset(changed),
        )

    def varied(self, revision: int, changes: Mapping[Key, Resource | None], own: Own) -> Snapshot:
        """Gives a variant of it: `changes` over it, with a log of its own beside this one's.

        Costs what the variant differs by, not what the base holds or how often it changed.

        Args:
            revision: what the variant is up to date with, if newer than the base.
            changes: in what it differs; None is left out.
            own: what was changed in the variant, and when.
        """
        types, users, sums, _ = self._edited(changes)
        return Snapshot(
            max(revision, self.revision),
            types,
            users,
            sums,
            self._log,
            own=own,
            line=self.line,
            position=self._position,
        )

    def forked(self, turn: int) -> Snapshot:
        """Gives the beginning of another line (named by its turn): the same, its log empty."""
        log: Log = ((turn, self.revision, frozenset()),)
        return Snapshot(
            self.revision, self._types, self._users, self._sums, log, line=turn, position=turn
        )

    def at(self, revision: int) -> Snapshot:
        """Gives the same at a newer revision, which changes nothing in this line. Costs nothing."""
        return Snapshot(
            revision,
            self._types,
            self._users,
            self._sums,
            self._log,
            line=self.line,
            position=self._position,
        )

    def with_turn(
        self, turn: int, changes: Mapping[Key, Resource | None], since: Mapping[Key, int]
    ) -> Snapshot:
        """Gives the next one of a line beside the fleet's: `changes` applied.

        Args:
            turn: later than all before.
            changes: what changed; None is removed.
            since: the revision that each change belongs to.
        """
        types, users, sums, changed = self._edited(changes)
        by_revision: dict[int, set[Key]] = {}
        for key in changed:
            by_revision.setdefault(since[key], set()).add(key)
        new = tuple((turn, revision, frozenset(keys)) for revision, keys in by_revision.items())
        return Snapshot(
            self.revision,
            types,
            users,
            sums,
            (*self._log[-_KEPT:], *new),
            line=self.line,
            position=turn,
        )


def oldest(one: Mapping[Key, int], other: Mapping[Key, int]) -> Mapping[Key, int]:
    """Gives the keys of both, each with the older of its revisions."""
    if not one or not other:
        return one or other
    merged = dict(one)
    for key, revision in other.items():
        merged[key] = min(revision, merged.get(key, revision))
    return merged


_MODULUS = 1 << 96


def digest(resource: Resource) -> int:
    """Gives a number for one version of one resource; sums of them stand for sets."""
    text = f"{resource.key.name}\0{resource.version}".encode()
    return int.from_bytes(blake2b(text, digest_size=12).digest())


def total(resources: Iterable[Resource]) -> str:
    """Gives the version of a set of resources; equal to `Snapshot.version` for all of a type."""
    return f"{sum(map(digest, resources)) % _MODULUS:024x}"


def _replaced(
    types: Map[str, Map[str, Resource]], changes: Mapping[str, Mapping[str, Resource | None]]
) -> Map[str, Map[str, Resource]]:
    for type_url, names in changes.items():
        edited = types.get(type_url, _NAMES).mutate()
        for name, resource in names.items():
            if resource is None:
                del edited[name]
            else:
                edited[name] = resource
        finished = edited.finish()
        types = types.set(type_url, finished) if finished else types.delete(type_url)
    return types


def _edit(
    users: Map[Key, Map[Key, None]], changes: Mapping[Key, Mapping[Key, bool]]
) -> Map[Key, Map[Key, None]]:
    if not changes:
        return users
    edited = users.mutate()
    for target, keys in changes.items():
        inner = users.get(target, _KEYS).mutate()
        for key, present in keys.items():
            if present:
                inner[key] = None
            else:
                inner.pop(key, None)
        finished = inner.finish()
        if finished:
            edited[target] = finished
        else:
            edited.pop(target, None)
    return edited.finish()


EMPTY = Snapshot(0, Map(), Map(), Map(), ())
"""Nothing, at revision 0: what a client that never connected holds."""

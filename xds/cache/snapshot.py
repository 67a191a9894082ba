"""Everything a fleet should hold at one revision, immutable, made from the one before it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b

from immutables import Map

from xds.cache.resource import Resource, same
from xds.cache.types import Key

_KEPT = 512
"""Changes that a snapshot remembers; a stream further behind is compared in full."""

_NAMES: Map[str, Resource] = Map()
_KEYS: Map[Key, None] = Map()


class Snapshot:
    """An immutable set of resources with its revision, and a log of what changed when."""

    __slots__ = ("_log", "_sums", "_types", "_users", "revision")

    def __init__(
        self,
        revision: int,
        types: Map[str, Map[str, Resource]],
        users: Map[Key, Map[Key, None]],
        sums: Map[str, int],
        log: tuple[tuple[int, frozenset[Key]], ...],
    ) -> None:
        self.revision = revision
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

    def users(self, key: Key) -> Iterable[Key]:
        """Gives the resources that refer to `key`."""
        return self._users.get(key, _KEYS)

    def version(self, type_url: str) -> str:
        """Gives the version of all resources of a type together: same content, same version."""
        return f"{self._sums.get(type_url, 0):024x}"

    def changed_since(self, revision: int) -> Mapping[Key, int] | None:
        """Gives what changed after `revision`, each with the first revision at which it did.

        Costs what the change costs, not what the snapshot holds.

        Returns:
            None if the log does not reach back so far; then compare with `differences`.
        """
        if revision >= self.revision:
            return {}
        if not self._log or revision < self._log[0][0]:
            return None
        start = bisect_right(self._log, revision, key=lambda entry: entry[0])
        changed: dict[Key, int] = {}
        for at, keys in self._log[start:]:
            for key in keys:
                changed.setdefault(key, at)
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
        sums = dict(self._sums)
        touched: dict[str, dict[str, Resource | None]] = {}
        users: dict[Key, dict[Key, bool]] = {}
        changed = set()
        for key, new in changes.items():
            old = self.get(key)
            if same(old, new):
                continue
            changed.add(key)
            touched.setdefault(key.type_url, {})[key.name] = new
            for gone in old.references if old else ():
                users.setdefault(gone, {})[key] = False
            for come in new.references if new else ():
                users.setdefault(come, {})[key] = True
            delta = (digest(new) if new else 0) - (digest(old) if old else 0)
            sums[key.type_url] = (sums.get(key.type_url, 0) + delta) % _MODULUS
        log = self._log or ((self.revision, frozenset()),)
        if changed:
            log = (*log[-_KEPT:], (revision, frozenset(changed)))
        return Snapshot(
            revision, _replaced(self._types, touched), _edit(self._users, users), Map(sums), log
        )


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

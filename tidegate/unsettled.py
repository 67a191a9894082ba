"""What is on its way: the objects whose newest revision is not live, or gone, everywhere yet."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tidegate.rendering import Place
from xds.cache.cache import SnapshotCache
from xds.cache.types import ADDRESS


@dataclass(slots=True, kw_only=True)
class Unsettled:
    """An object whose newest revision is not live (or, deleted, not gone) everywhere yet.

    `rev` is the object's, to be written when it is live. `impact` has the places its changes
    touched, each with the revision of the fleet's snapshot that brought the change, which the
    streams have to confirm; `watched` also what those places refer to.
    `placed` False: its pool has no fleet or it has no address, so nothing can confirm it.
    `drain_end`: a member that was deleted serves until then, so it cannot be gone before.
    `committed`: when `rev` was, until it was told how long that took; None: it is not measured.
    """

    name: str
    uid: str
    rev: int
    deleted: bool = False
    placed: bool = True
    drain_end: datetime | None = None
    committed: datetime | None = None
    impact: dict[Place, int] = field(default_factory=dict)
    watched: dict[Place, int] = field(default_factory=dict)


class Unsettleds:
    """All of them by name, and the way from a place to those that wait for it."""

    def __init__(self, cache: SnapshotCache) -> None:
        """Takes the snapshots, which know what a resource refers to."""
        self._cache = cache
        self._entries: dict[str, Unsettled] = {}
        self._at: dict[Place, set[str]] = {}

    def get(self, name: str) -> Unsettled | None:
        """Gives what an object still waits for, or None if it is settled."""
        return self._entries.get(name)

    def names(self) -> tuple[str, ...]:
        """Gives the names of all."""
        return tuple(self._entries)

    def all(self) -> Iterator[Unsettled]:
        """Gives all, as they are now."""
        return iter(tuple(self._entries.values()))

    def at(self, place: Place) -> list[Unsettled]:
        """Gives those that wait for a place."""
        return [self._entries[name] for name in self._at.get(place, ())]

    def on(self, fleet: str) -> list[Unsettled]:
        """Gives those that wait for a fleet, and those that wait for none."""
        return [
            entry
            for entry in self._entries.values()
            if not entry.watched or any(place.fleet == fleet for place in entry.watched)
        ]

    def add(self, entry: Unsettled) -> None:
        """Takes a new one."""
        self._entries[entry.name] = entry

    def drop(self, entry: Unsettled) -> None:
        """Takes that an object is settled."""
        del self._entries[entry.name]
        for place in entry.watched:
            self._unwatch(entry.name, place)

    def watch(self, entry: Unsettled) -> None:
        """Follows a change of an entry's impact: it and what it refers to is waited for."""
        wanted = dict(entry.impact) if entry.deleted else self._closure(entry.impact)
        for place in entry.watched.keys() - wanted:
            self._unwatch(entry.name, place)
        for place in wanted.keys() - entry.watched:
            self._at.setdefault(place, set()).add(entry.name)
        entry.watched = wanted

    def _unwatch(self, name: str, place: Place) -> None:
        names = self._at[place]
        names.discard(name)
        if not names:
            del self._at[place]

    def _closure(self, impact: Mapping[Place, int]) -> dict[Place, int]:
        """Gives the places and all that their resources refer to: listener, route, cluster...

        Each at the newest revision at which it is needed.
        """
        found: dict[Place, int] = {}
        todo = list(impact.items())
        while todo:
            place, since = todo.pop()
            if found.get(place, -1) >= since:
                continue
            found[place] = since
            snapshot = self._cache.snapshot(place.fleet)
            resource = snapshot.get(place.key) if snapshot else None
            if resource is not None:
                todo.extend(
                    (Place(place.fleet, key), since)
                    for key in resource.references
                    if key.type_url != ADDRESS
                )
        return found

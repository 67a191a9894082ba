"""Removals that nobody asked for: many of them at once are withheld until an operator allows them.

A control plane that came up on an emptied store told its Envoys to remove all: 1,570 of 3,098
requests failed, the worst that was measured. What is withheld stays on the nodes as it is;
everything else goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from xds.cache.resource import Resource
from xds.cache.snapshot import Snapshot
from xds.cache.types import ADDRESS, LISTENER, Key


@dataclass(frozen=True, slots=True)
class RemovalGuard:
    """When removals are too many to be believed.

    Attributes:
        share: the part of all listeners that may go unexplained.
        least: the number of listeners that may go unexplained, however few there are.
    """

    share: float = 0.3
    least: int = 20

    def holds(self, unexplained: int, *, of: int) -> bool:
        """Whether so many unexplained removals of so many listeners wait for an operator."""
        return unexplained > self.least and unexplained > self.share * of


@dataclass(slots=True)
class Withheld:
    """What of one fleet is not wanted any more, and stays for now.

    Attributes:
        guard: when removals are withheld; None: never.
        kept: what is still in the fleet's snapshot though it is not wanted: listeners, and what
            they refer to.
        strays: listeners that nodes were found to hold, and that nothing is known of.
    """

    guard: RemovalGuard | None = None
    kept: dict[Key, Resource] = field(default_factory=dict)
    strays: set[Key] = field(default_factory=set)
    _let_go: int = 0

    @property
    def listeners(self) -> frozenset[Key]:
        """The listeners whose removal waits."""
        return frozenset(key for key in self.kept if key.type_url == LISTENER) | self.strays

    def sift(
        self,
        base: Snapshot,
        changes: Mapping[Key, Resource | None],
        explained: Collection[Key] | None,
    ) -> Mapping[Key, Resource | None]:
        """Gives the changes without the removals that are to wait.

        Rows that vanish are seen pool by pool, whenever something else touches the pool. So where
        removals are explained, those that were not are added up until an operator's word.

        Args:
            base: the snapshot before them.
            changes: what changes; None is removed.
            explained: the removals that somebody asked for; None: nobody says which, so that
                each set of changes stands for itself.
        """
        for key, resource in changes.items():
            if resource is not None or key in (explained or ()):
                self.kept.pop(key, None)
                self.strays.discard(key)
        if self.guard is None:
            return changes
        unexplained = [
            key
            for key, resource in changes.items()
            if resource is None
            and key.type_url == LISTENER
            and key not in self.kept
            and key not in (explained or ())
            and base.get(key) is not None
        ]
        before = sum(key.type_url == LISTENER for key in self.kept) + self._let_go
        listeners = len(base.of_type(LISTENER)) + self._let_go
        if unexplained and self.guard.holds(len(unexplained) + before, of=listeners):
            self._keep(base, unexplained)
        elif explained is not None:
            self._let_go += len(unexplained)
        if not self.kept:
            return changes
        self._keep(base, _needed(base, self.kept) & {k for k, r in changes.items() if r is None})
        return {key: one for key, one in changes.items() if one is not None or key not in self.kept}

    def find(self, held: Iterable[Key], *, of: int) -> bool:
        """Takes the listeners that a node holds and nobody knows; gives whether they may stay.

        Args:
            held: the listeners.
            of: how many listeners the node holds in all.
        """
        unknown = set(held)
        if self.guard is None or not self.guard.holds(len(unknown), of=of):
            return False
        self.strays |= unknown
        return True

    def release(self) -> frozenset[Key]:
        """Gives, and withholds no more, what was withheld."""
        released = frozenset({*self.kept, *self.strays})
        self.kept.clear()
        self.strays.clear()  # the streams' own view of it: the set is shared
        self._let_go = 0
        return released

    def _keep(self, base: Snapshot, keys: Iterable[Key]) -> None:
        for key in keys:
            resource = base.get(key)
            if resource is not None:
                self.kept[key] = resource


def _needed(base: Snapshot, keys: Iterable[Key]) -> set[Key]:
    """Gives all that resources refer to, in the versions of a snapshot."""
    found: set[Key] = set()
    todo = list(keys)
    while todo:
        resource = base.get(todo.pop())
        for target in resource.references if resource else ():
            if target.type_url != ADDRESS and target not in found:
                found.add(target)
                todo.append(target)
    return found

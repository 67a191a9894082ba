"""A variant of a fleet's snapshot: the base, and what only some nodes are sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xds.cache.resource import Resource
from xds.cache.snapshot import NOTHING_OWN, Own, Snapshot
from xds.cache.types import Key


@dataclass(slots=True)
class Variant:
    """What differs from the base, and since when.

    It is laid over the base when it is asked for: a fleet may have a variant for every node, and
    a change of the base costs none of them anything.

    Attributes:
        changes: what is otherwise than in the base; None is left out.
        own: when that changed.
    """

    changes: Mapping[Key, Resource | None] = field(default_factory=dict)
    own: Own = NOTHING_OWN
    _revision: int = 0
    _base: Snapshot | None = None
    _made: Snapshot | None = None

    def replace(self, changes: Mapping[Key, Resource | None], *, revision: int, turn: int) -> None:
        """Makes `changes` all that differs from the base, as of `revision`."""
        before, self.changes = self.changes, dict(changes)
        differing = frozenset(
            key for key in {*before, *changes} if _said(before, key) != _said(changes, key)
        )
        if differing:
            self.own = self.own.with_change(turn, revision, differing)
        self._revision = max(self._revision, revision)
        self._made = None

    def over(self, base: Snapshot) -> Snapshot:
        """Gives the variant of `base`."""
        if self._made is None or self._base is not base:
            self._base = base
            self._made = base.varied(self._revision, self.changes, self.own)
        return self._made


def _said(changes: Mapping[Key, Resource | None], key: Key) -> str | None:
    """Gives which version a variant has instead of the base's: "" is none, None says nothing."""
    if key not in changes:
        return None
    resource = changes[key]
    return resource.version if resource else ""

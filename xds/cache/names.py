"""A set of names that costs what it differs by from all names there are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from xds.cache.resource import Resource

_NOTHING: Mapping[str, Resource] = {}

_SMALL = 64
"""Names that are simply kept."""


class Names(Collection[str]):
    """A set of names: those of a snapshot's type without some, and some others.

    An Envoy asks for the endpoints of every cluster: 10,000 names on every stream would cost
    1 to 2 MiB a stream. Kept as differences from the names that the fleet has, they cost nothing.
    """

    __slots__ = ("_check", "_known", "_minus", "_plus")

    def __init__(self) -> None:
        self._known: Mapping[str, Resource] = _NOTHING
        self._minus: set[str] = set()
        self._plus: set[str] = set()
        self._check = _SMALL

    def __contains__(self, name: object) -> bool:
        if name in self._plus:
            return True
        return name in self._known and name not in self._minus

    def __iter__(self) -> Iterator[str]:
        yield from self._plus
        for name in self._known:
            if name not in self._minus:
                yield name

    def __len__(self) -> int:
        return len(self._plus) + len(self._known) - len(self._minus)

    @property
    def differences(self) -> int:
        """How many names are kept: what the set costs."""
        return len(self._plus) + len(self._minus)

    def update(self, names: Iterable[str]) -> None:
        """Adds names."""
        for name in names:
            if name in self._minus:
                self._minus.discard(name)
            elif name not in self._known:
                self._plus.add(name)

    def remove(self, names: Iterable[str]) -> None:
        """Takes names out; those that are not in it are ignored."""
        for name in names:
            if name in self._plus:
                self._plus.discard(name)
            elif name in self._known:
                self._minus.add(name)

    def follow(self, known: Mapping[str, Resource], changed: Iterable[str]) -> None:
        """Takes what names there are now; the set stays the same.

        Args:
            known: all names of the type.
            changed: names that came or went since the last call, at least.
        """
        if self._known:
            for name in changed:
                was, now = name in self._known, name in known
                if was == now:
                    continue
                if (name in self) == now:
                    self._plus.discard(name)
                    self._minus.discard(name)
                elif now:
                    self._minus.add(name)
                else:
                    self._plus.add(name)
            self._known = known
        if self.differences >= self._check:
            self._fold(known)

    def _fold(self, known: Mapping[str, Resource]) -> None:
        """Chooses the smaller of both: the names themselves, or what differs."""
        names = set(self)
        missing = {name for name in known if name not in names}
        if len(missing) < len(names) / 2:
            self._known, self._minus = known, missing
            self._plus = {name for name in names if name not in known}
        else:
            self._known, self._minus, self._plus = _NOTHING, set(), names
        self._check = max(_SMALL, 2 * self.differences)

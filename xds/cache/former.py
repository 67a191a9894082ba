"""Versions that were wanted before: a node that was away may hold them still."""

from __future__ import annotations

from collections import OrderedDict

from xds.cache.resource import Resource
from xds.cache.types import Key

_MOST = 4096
_MOST_BYTES = 16 << 20
"""What a fleet remembers of them: few large ones, or many small ones."""


class Former:
    """A fleet's replaced versions; the oldest are forgotten first."""

    __slots__ = ("_bytes", "_versions")

    def __init__(self) -> None:
        self._versions: OrderedDict[tuple[Key, str], Resource] = OrderedDict()
        self._bytes = 0

    def add(self, resource: Resource) -> None:
        """Remembers a version that is replaced."""
        before = self._versions.pop((resource.key, resource.version), None)
        self._versions[resource.key, resource.version] = resource
        self._bytes += len(resource.body) - (len(before.body) if before else 0)
        while len(self._versions) > _MOST or self._bytes > _MOST_BYTES:
            _, oldest = self._versions.popitem(last=False)
            self._bytes -= len(oldest.body)

    def get(self, key: Key, version: str) -> Resource | None:
        """Gives a version, if it is still remembered."""
        return self._versions.get((key, version))

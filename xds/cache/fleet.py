"""One fleet: its snapshots, what some of its nodes are given instead, and who is connected."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xds.cache.canary import Canary
from xds.cache.former import Former
from xds.cache.guard import Withheld
from xds.cache.rejections import Rejection
from xds.cache.resource import Resource
from xds.cache.snapshot import EMPTY, Snapshot, oldest
from xds.cache.types import Key
from xds.cache.variant import Variant

if TYPE_CHECKING:
    from xds.cache.stream import NodeStream


@dataclass(slots=True)
class Fleet:
    """What the nodes of a fleet are given; `xds.cache.SnapshotCache` has one for each.

    Attributes:
        name: the fleet's.
        withheld: removals that wait for an operator's word.
        base: the newest snapshot; None until it is loaded.
        variants: in what the snapshot differs for some nodes, by the variant's name.
        streams: all that are open, oldest first.
        of_node: the same, by the node's id.
        of_variant: the same, by the variant that they are given.
        buried: names that nodes may hold without saying so, by type.
        canary: the node that is given changes first, if there is one.
    """

    name: str
    withheld: Withheld
    base: Snapshot | None = None
    variants: dict[str, Variant] = field(default_factory=dict)
    streams: dict[NodeStream, None] = field(default_factory=dict)
    of_node: dict[str, dict[NodeStream, None]] = field(default_factory=dict)
    of_variant: dict[str, dict[NodeStream, None]] = field(default_factory=dict)
    buried: dict[str, dict[str, None]] = field(default_factory=dict)
    canary: Canary | None = None
    _former: Former = field(default_factory=Former)
    _turn: int = 0

    def loaded(self) -> Snapshot:
        """Gives the newest snapshot.

        Raises:
            ValueError: there is none yet.
        """
        if self.base is None:
            raise ValueError(f"fleet {self.name} is not loaded")
        return self.base

    def of(self, node: str) -> tuple[NodeStream, ...]:
        """Gives the streams of a node, by its id; oldest first."""
        return tuple(self.of_node.get(node, ()))

    def dirty(self) -> None:
        """Says to all streams that there may be something to send."""
        for stream in self.streams:
            stream.on_dirty()

    def advance(
        self,
        revision: int,
        changes: Mapping[Key, Resource | None],
        explained: Collection[Key] | None,
        on_withheld: Callable[[str], None],
    ) -> None:
        """Applies changes: see `SnapshotCache.advance`."""
        base = self.base or EMPTY
        if revision < base.revision:
            raise ValueError(
                f"fleet {self.name} is at revision {base.revision}, not before {revision}"
            )
        before = len(self.withheld.kept)
        applied = self.withheld.sift(base, changes, explained)
        for key in applied:
            old = base.get(key)
            if old is not None:
                self._former.add(old)
        self.base = base.with_changes(revision, applied)
        if self.canary is not None:
            self.canary.follow(base, self.base, applied)
            # What is no longer referred to has nobody left to try it: a refused listener's routes.
            left = (target for old in map(base.get, applied) if old for target in old.references)
            self.promote({*applied, *left})
        self.dirty()
        if len(self.withheld.kept) > before:
            on_withheld(self.name)

    def former(self, key: Key, version: str) -> Resource | None:
        """Gives a version that was wanted before, if it is still remembered."""
        return self._former.get(key, version)

    def bury(self, keys: Iterable[Key]) -> None:
        """Takes names of which nodes may hold something that they do not say."""
        for type_url, name in keys:
            self.buried.setdefault(type_url, {})[name] = None

    def unbury(self, keys: Iterable[Key]) -> None:
        """Takes that every node that may come back is in step with names that were buried."""
        for type_url, name in keys:
            names = self.buried.get(type_url, {})
            names.pop(name, None)
            if not names:
                self.buried.pop(type_url, None)

    def overlay(self, variant: str, revision: int, changes: Mapping[Key, Resource | None]) -> None:
        """Says in what a variant differs: see `SnapshotCache.overlay`."""
        self._turn += 1
        made = self.variants.setdefault(variant, Variant())
        made.replace(changes, revision=revision, turn=self._turn)
        self.prune(variant)
        for stream in self.of_variant.get(variant, ()):
            stream.on_dirty()

    def prune(self, variant: str) -> None:
        """Forgets a variant that differs in nothing any more, when no stream has to hear it."""
        made = self.variants.get(variant)
        if made is not None and not made.changes and variant not in self.of_variant:
            del self.variants[variant]

    def given(self, stream: NodeStream) -> Snapshot | None:
        """Gives what a stream is given: its variant, and old versions while a canary tries new."""
        line = self._line(stream.node.id)
        made = self.variants.get(stream.variant)
        return line if made is None or line is None else made.over(line)

    def changed_later(self, stream: NodeStream, seen: Snapshot) -> Mapping[Key, int] | None:
        """Gives what changed in what a stream is given: see `SnapshotCache.changed_later`."""
        line = self._line(stream.node.id)
        if line is None:
            return {}
        made = self.variants.get(stream.variant)
        own = (made.own.after(seen.own) or {}) if made else {}
        if line.line == seen.line == 0:
            return own
        promoted = line.line_changes_from(seen)
        return None if promoted is None else oldest(promoted, own)

    def _line(self, node: str) -> Snapshot | None:
        """Gives what a node is given, but for its own variant."""
        if self.canary is None or self.canary.node == node:
            return self.base
        return self.canary.rest

    def appoint(self, node: str | None, rejected: Mapping[Key, Rejection]) -> None:
        """Says which node is given changes first: see `SnapshotCache.canary`.

        Args:
            node: its id; None: all are given them at the same time.
            rejected: what it has refused.
        """
        base = self.loaded()
        streams = [one for one in self.of(node or "") if not one.node.is_grpc]
        if node is None:
            self.canary = None
        elif self.canary is not None:
            self.canary.node, self.canary.streams = node, streams
            self.promote(self.canary.held)
        else:
            self._turn += 1
            self.canary = Canary(node, base.forked(self._turn), streams)
            self._turn += 1
            refused = {
                key: rejection.last_good
                for key, rejection in rejected.items()
                if rejection.alone and rejection.version == _version(base.get(key))
            }
            self.canary.keep(self._turn, refused)
        self.dirty()

    def promote(self, keys: Iterable[Key]) -> None:
        """Gives the rest of the fleet what its canary has confirmed, of these and with them."""
        if self.canary is None or self.base is None:
            return
        ready = self.canary.ready(self.base, keys)
        if ready:
            self._turn += 1
            self.canary.promote(self.base, self._turn, ready)
            self.dirty()

    def join(self, stream: NodeStream) -> None:
        """Takes a stream that was opened."""
        self.streams[stream] = None
        self.of_node.setdefault(stream.node.id, {})[stream] = None
        self.of_variant.setdefault(stream.variant, {})[stream] = None
        canary, node = self.canary, stream.node
        if canary is not None and canary.node == node.id and not node.is_grpc:
            canary.streams.append(stream)

    def leave(self, stream: NodeStream) -> Collection[NodeStream]:
        """Takes that a stream ended; gives those that its node has still."""
        del self.streams[stream]
        if self.canary is not None and stream in self.canary.streams:
            self.canary.streams.remove(stream)
        given_alike = self.of_variant[stream.variant]
        del given_alike[stream]
        if not given_alike:
            del self.of_variant[stream.variant]
            self.prune(stream.variant)
        others = self.of_node[stream.node.id]
        del others[stream]
        if not others:
            del self.of_node[stream.node.id]
        return others


def _version(resource: Resource | None) -> str:
    return resource.version if resource else ""

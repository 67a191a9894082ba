"""A change goes to one node of a fleet first, and to the rest when it is confirmed there.

What most of the fleet is given (the rest) is a line of snapshots of its own. It is changed by
promotion only: a change of the fleet's snapshot holds its names back, and each goes on when the
canary certainly holds the version that is wanted, together with what it must not go without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xds.cache.resource import Resource, same
from xds.cache.snapshot import Snapshot
from xds.cache.types import ADDRESS, Key

if TYPE_CHECKING:
    from xds.cache.stream import NodeStream


@dataclass(frozen=True, slots=True)
class Held:
    """Why a name is held back: the first and the last revision whose change the rest has not."""

    since: int
    last: int


@dataclass(slots=True)
class Canary:
    """The node that is given changes first, and what the rest of its fleet has not yet.

    Attributes:
        node: the canary's id.
        rest: what all other nodes are given: the fleet's snapshot but for `held`.
        streams: the canary's, oldest first.
        held: the names in which the two snapshots differ.
    """

    node: str
    rest: Snapshot
    streams: list[NodeStream]
    held: dict[Key, Held] = field(default_factory=dict)

    def follow(self, before: Snapshot, base: Snapshot, keys: Iterable[Key]) -> None:
        """Takes the fleet's next snapshot, in which some names may have changed."""
        self.rest = self.rest.at(base.revision)
        for key in keys:
            held = self.held.get(key)
            if same(before.get(key), base.get(key)):
                continue
            if same(self.rest.get(key), base.get(key)):
                self.held.pop(key, None)  # it was taken back before it was tried
            else:
                self.held[key] = Held(held.since if held else base.revision, base.revision)

    def keep(self, turn: int, refused: Mapping[Key, Resource | None]) -> None:
        """Takes what the rest had instead of what the canary refused in an earlier process.

        What else was held back is not known any more. So what the rest cannot be without (a
        cluster that others refer to, new as they are) goes to all, and each refuses it itself.
        """
        kept = dict(refused)
        while unfit := [key for key in kept if not self._fits(key, kept)]:
            for key in unfit:
                del kept[key]
        if kept:
            self.rest = self.rest.with_turn(turn, kept, dict.fromkeys(kept, 1))
            self.held |= {key: Held(1, 1) for key in kept}

    def _fits(self, key: Key, kept: Mapping[Key, Resource | None]) -> bool:
        """Whether the rest is whole with the old version of one of some that are kept back."""

        def users(target: Key) -> Iterator[Key]:
            for user in {*self.rest.users(target), *kept}:
                resource = kept[user] if user in kept else self.rest.get(user)
                if user != key and resource is not None and target in resource.references:
                    yield user

        old = kept[key]
        if old is None:
            return not any(True for _ in users(key))
        return all(
            not any(True for _ in users(target))
            if target.type_url == ADDRESS
            else kept.get(target, self.rest.get(target)) is not None
            for target in old.references
        )

    def promote(self, base: Snapshot, turn: int, keys: Iterable[Key]) -> None:
        """Gives the rest what is wanted of names that were held back."""
        since = {key: self.held.pop(key).since for key in keys}
        changes = {key: base.get(key) for key in since}
        self.rest = self.rest.with_turn(turn, changes, since)

    def confirmed(self, key: Key) -> bool:
        """Whether the canary certainly holds what is wanted of a name."""
        for stream in reversed(self.streams):
            if stream.types is None or key.type_url in stream.types:
                return stream.tried(key)
        return False

    def ready(self, base: Snapshot, keys: Iterable[Key]) -> frozenset[Key]:
        """Gives what can go on, of some names and of all that is held back with them.

        The rest stays closed under reference with it, and no address is bound twice.

        Args:
            base: the fleet's snapshot.
            keys: the names to look at.
        """
        needs: dict[Key, set[Key]] = {}
        needed_by: dict[Key, list[Key]] = {}
        todo = [key for key in keys if key in self.held]
        while todo:
            key = todo.pop()
            if key in needs:
                continue
            needs[key] = set()
            for other, needed in self._ties(base, key):
                if needed:
                    needs[key].add(other)
                    needed_by.setdefault(other, []).append(key)
                todo.append(other)
        stuck = [key for key in needs if not self.confirmed(key)]
        waiting = set(stuck)
        while stuck:
            for key in needed_by.get(stuck.pop(), ()):
                if key not in waiting:
                    waiting.add(key)
                    stuck.append(key)
        return frozenset(needs.keys() - waiting)

    def _ties(self, base: Snapshot, key: Key) -> Iterator[tuple[Key, bool]]:
        """Gives the held names that touch one, and whether it must not go on without them.

        It needs what it refers to, where the rest has nothing of that; if it goes, that what
        refers to it goes or changes first; whoever has an address before or after it; and what
        changed with it and touches it, for that is one change of one tenant.
        """
        old, new = self.rest.get(key), base.get(key)
        targets = {target for one in (old, new) if one for target in one.references}
        for target in targets:
            if target.type_url == ADDRESS:
                for other in {*self.rest.users(target), *base.users(target)}:
                    if other != key and other in self.held:
                        yield other, True
            elif target in self.held:
                wanted = new is not None and target in new.references
                missing = wanted and self.rest.get(target) is None
                yield target, missing or self._together(key, target)
        for user in {*self.rest.users(key), *base.users(key)}:
            if user in self.held:
                yield user, new is None or self._together(key, user)

    def _together(self, one: Key, other: Key) -> bool:
        mine, its = self.held[one], self.held[other]
        return mine.since == its.since or mine.last == its.last

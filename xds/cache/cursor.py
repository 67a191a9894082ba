"""What one client holds: equal to a snapshot, except for named exceptions.

Not a version per name (939 KiB a node at 40,000 names) and not one number (one stuck name would
block all): the snapshot that the client equals, and the names that are not confirmed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from xds.cache.resource import Resource, is_placeholder, same
from xds.cache.snapshot import EMPTY, Snapshot
from xds.cache.types import ENDPOINT, Key

_FEW = 64
"""Exceptions that are cheap to copy."""

States = tuple[Resource | None, ...]
"""What a client may hold of one name, oldest first: one entry is certain, None is nothing."""


Groups = tuple[tuple[str, ...], ...]
"""Names that are sent apart from all others, each group in a response of its own."""


@dataclass(slots=True)
class Pending:
    """One name that is not confirmed.

    Attributes:
        since: the oldest revision whose change of it is not confirmed.
        then: the first change after what was sent last; 0 if there is none.
        states: what the client may hold.
        sent: what was sent last, if `nonce` is set.
        nonce: the unanswered response that it was sent in; empty if there is none.
        exact: whether what was sent was what was wanted then, not something in its place.
        promise: a route: the version with which its listener was let through.
        telling: whether the client can hold what was sent last only if it has had that response.
    """

    since: int
    states: States
    then: int = 0
    sent: Resource | None = None
    nonce: str = ""
    exact: bool = True
    promise: Resource | None = None
    telling: bool = True

    @property
    def held(self) -> Resource | None:
        """What the client holds as far as it is known: the oldest it may hold."""
        return self.states[0]

    def underway(self, wanted: Resource | None) -> bool:
        """Whether `wanted` is sent and not answered, or certainly held.

        Endpoints sent empty first are to be answered before the real ones follow.
        """
        if self.nonce:
            first = self.sent is not None and is_placeholder(self.sent)
            return first or same(self.sent, wanted)
        return len(self.states) == 1 and same(self.states[0], wanted)


@dataclass(frozen=True, slots=True)
class Left:
    """What a client held when a stream of it ended.

    Attributes:
        bases: the snapshot it equalled, by type.
        states: the exceptions.
        suspects: by type, the groups of names in which a version is to be found that was refused
            and not named.
        versions: state of the world: what the client may name as accepted last, by type. Another
            version it has from elsewhere, with what nobody here knows.
    """

    bases: Mapping[str, Snapshot]
    states: Mapping[Key, States]
    suspects: Mapping[str, Groups]
    versions: Mapping[str, frozenset[str]] = field(default_factory=dict)


class Cursor:
    """The snapshot that a client equals, and its exceptions, type by type.

    A type counts as held only when it was opened: before, the client holds what it held on its
    stream before (`Left`), if there was one in this process.
    """

    __slots__ = ("_left", "_opened", "_suspects", "_uses", "base", "pending")

    def __init__(self, left: Left | None) -> None:
        self.base: Snapshot = EMPTY
        self.pending: dict[Key, Pending] = {}
        self._left = dict(left.bases) if left else {}
        self._suspects = dict(left.suspects) if left else {}
        self._opened: set[str] = set()
        self._uses: dict[Key, dict[Key, None]] = {}
        for key, states in left.states.items() if left else ():
            self.pending[key] = Pending(0, states)
            self._index(key, (), states)

    def opened(self, type_url: str) -> bool:
        """Whether the client asked for this type on this stream."""
        return type_url in self._opened

    def states(self, key: Key) -> States:
        """Gives what the client may hold of a name."""
        pending = self.pending.get(key)
        if pending is not None:
            return pending.states
        return (self._base_of(key.type_url).get(key),)

    def present(self, key: Key) -> bool:
        """Whether the client certainly holds some version of a name."""
        return None not in self.states(key)

    def users(self, target: Key) -> Iterator[Key]:
        """Gives the resources that, in a version the client may hold, refer to `target`."""
        yield from self._uses.get(target, ())
        for key in self.base.users(target):
            if key.type_url in self._opened and key not in self.pending:
                yield key
        for type_url, snapshot in self._left.items():
            for key in snapshot.users(target):
                if key.type_url == type_url and key not in self.pending:
                    yield key

    def open(self, type_url: str, holds: Mapping[str, States]) -> list[Key]:
        """Opens a type: the client holds `holds`, and nothing else of it.

        Args:
            type_url: the type.
            holds: what it holds or may hold, by name.

        Returns:
            The names that are not as wanted, in order.
        """
        for key in [key for key in self.pending if key.type_url == type_url]:
            self.settle(key)
        self._opened.add(type_url)
        self._left.pop(type_url, None)
        self._suspects.pop(type_url, None)
        wanted = self.base.of_type(type_url)
        differing = []
        for name in sorted({*wanted, *holds}):
            states = holds.get(name, (None,))
            if len(states) == 1 and same(states[0], wanted.get(name)):
                continue
            key = Key(type_url, name)
            self.pending[key] = Pending(0, states)
            self._index(key, (), states)
            differing.append(key)
        return differing

    def left_of(self, type_url: str) -> dict[str, States] | None:
        """Gives what the client held of a type that it has not opened yet; None: not known."""
        snapshot = self._left.get(type_url)
        if snapshot is None:
            return None
        holds: dict[str, States] = {
            name: (resource,) for name, resource in snapshot.of_type(type_url).items()
        }
        for key, pending in self.pending.items():
            if key.type_url == type_url:
                holds[key.name] = pending.states
        return holds

    def suspects_left(self, type_url: str) -> Groups:
        """Gives what was still to be told apart of a type before it is opened, if unchanged."""
        before = self._left.get(type_url, EMPTY)
        known = self.base.of_type(type_url)
        return tuple(
            tuple(
                name for name in group if same(before.of_type(type_url).get(name), known.get(name))
            )
            for group in self._suspects.get(type_url, ())
        )

    def forget_left(self) -> list[Key]:
        """Forgets the types that were not opened: the client has nothing of them any more.

        Returns:
            The names of which it may have held something.
        """
        gone = {key: None for key in self.pending if key.type_url not in self._opened}
        for key in gone:
            self.settle(key)
        for type_url, snapshot in self._left.items():
            gone.update((Key(type_url, name), None) for name in snapshot.of_type(type_url))
        self._left.clear()
        self._suspects.clear()
        return list(gone)

    def absorb(self, snapshot: Snapshot) -> list[Key]:
        """Moves to a newer snapshot; what it changes is pending.

        Returns:
            The names that it changed, those pending before among them.
        """
        old, self.base = self.base, snapshot
        if snapshot is old or not self._opened:
            return []
        changed = snapshot.changes_from(old)
        if changed is None:
            # Beside the fleet's line a change may belong to any revision.
            since = 1 if snapshot.line or old.line else old.revision + 1
            changed = dict.fromkeys(old.differences(snapshot), since)
        touched = []
        for key, revision in sorted(changed.items()):
            if key.type_url not in self._opened:
                continue
            pending = self.pending.get(key)
            if pending is None:
                states = (old.get(key),)
                self.pending[key] = Pending(revision, states)
                self._index(key, (), states)
            else:
                # Newer as a rule; a variant's change may belong to an older revision.
                pending.since = min(pending.since, revision)
                if pending.nonce:
                    pending.then = min(pending.then or revision, revision)
            touched.append(key)
        return touched

    def except_for(self, key: Key, since: int) -> Pending:
        """Makes a name pending that was as wanted (it is sent something else first)."""
        pending = self.pending.get(key)
        if pending is None:
            states = self.states(key)
            pending = self.pending[key] = Pending(since, states)
            self._index(key, (), states)
        return pending

    def hold(self, key: Key, states: States) -> None:
        """Notes what the client may hold of a pending name."""
        pending = self.pending[key]
        self._index(key, pending.states, states)
        pending.states = states

    def settle(self, key: Key) -> None:
        """Ends an exception: the client holds this name as wanted."""
        self._index(key, self.pending.pop(key).states, ())

    def give_back(self) -> None:
        """Frees what was grown for many names and holds few now: Python keeps it otherwise."""
        if len(self.pending) < _FEW:
            self.pending = dict(self.pending)
        if len(self._uses) < _FEW:
            self._uses = dict(self._uses)

    def leave(self, suspects: Mapping[str, Groups]) -> Left:
        """Gives what the client holds, for its next stream in this process.

        Args:
            suspects: what is to be told apart of the types that were asked for.
        """
        opened = {kind: groups for kind, groups in suspects.items() if kind in self._opened}
        return Left(
            {**self._left, **dict.fromkeys(self._opened, self.base)},
            {key: pending.states for key, pending in self.pending.items()},
            {**self._suspects, **opened},
        )

    def _base_of(self, type_url: str) -> Snapshot:
        return self.base if type_url in self._opened else self._left.get(type_url, EMPTY)

    def _index(self, key: Key, before: States, after: States) -> None:
        if key.type_url == ENDPOINT:
            return
        old = {target for state in before if state for target in state.references}
        new = {target for state in after if state for target in state.references}
        for target in old - new:
            inner = self._uses[target]
            del inner[key]
            if not inner:
                del self._uses[target]
        for target in new - old:
            self._uses.setdefault(target, {})[key] = None


def without(states: States, refused: Resource | None) -> States:
    """Gives what a client may hold after it refused one version."""
    return tuple(state for state in states if not same(state, refused)) or (None,)


def merged(states: Iterable[Resource | None]) -> States:
    """Gives states without repetitions, the newest place of each kept."""
    result: list[Resource | None] = []
    for state in states:
        result = [one for one in result if not same(one, state)]
        result.append(state)
    return tuple(result)

"""The snapshots of all fleets, and the streams that are given them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from xds.cache.canary import Canary, Held
from xds.cache.cursor import Left
from xds.cache.departed import Departed
from xds.cache.fleet import Fleet
from xds.cache.guard import RemovalGuard, Withheld
from xds.cache.published import Publishable, resources_of
from xds.cache.rejections import Rejection
from xds.cache.resource import Resource
from xds.cache.snapshot import Snapshot
from xds.cache.stream import NodeStream
from xds.cache.types import CLUSTER, LISTENER, Key, NodeInfo, Observer, RejectedVersion


class SnapshotCache:
    """What every fleet should hold, and what every node is known to hold.

    Pure and single-threaded: call it from one thread (a server's event loop).

    Example:
        >>> from envoy.config.cluster.v3.cluster_pb2 import Cluster
        >>> cache = SnapshotCache()
        >>> cache.publish("edge", [Cluster(name="web")])
        1

    Attributes:
        observer: hears what nodes confirm and refuse.
        on_withheld: called with a fleet whose removals are withheld, or more of them than before.
    """

    def __init__(
        self, observer: Observer | None = None, *, guard: RemovalGuard | None = None
    ) -> None:
        """Takes who is told, and when removals are too many to be believed; None: never."""
        self.observer = observer
        self.on_withheld: Callable[[str], None] = _nothing
        self._guard = guard
        self._fleets: dict[str, Fleet] = {}
        self._rejected: dict[tuple[str, str], dict[Key, Rejection]] = {}
        self._departed = Departed()
        self._opened = 0

    def advance(
        self,
        fleet: str,
        revision: int,
        changes: Mapping[Key, Resource | None],
        *,
        explained: Collection[Key] | None = None,
    ) -> None:
        """Applies changes to a fleet's snapshot; the first call loads it, even if empty.

        With a guard, removals that are too many to be believed are left out: see `withheld`.

        Args:
            fleet: the fleet.
            revision: the revision that the changes bring it to; never lower than before.
            changes: what changed; None is removed.
            explained: for the guard: the removals that somebody is known to have asked for.

        Raises:
            ValueError: if the revision is lower than the fleet's.
        """
        self._fleet(fleet).advance(revision, changes, explained, self.on_withheld)

    def publish(self, fleet: str, messages: Iterable[Publishable]) -> int:
        """Makes `messages` all that a fleet holds; only what differs from before is sent.

        Args:
            fleet: the fleet.
            messages: clusters, endpoints, listeners, routes, secrets, runtime layers, ...: messages
                of xds-protos or envoy-data-plane, or (type URL, name, the message's bytes).

        Returns:
            The revision; that of before if nothing is different.

        Raises:
            TypeError: something is no message.
            ValueError: something has no name, or the name of another of its type.
        """
        wanted = resources_of(messages)
        current = self.snapshot(fleet)
        changes: dict[Key, Resource | None] = {}
        for type_url in current.types() if current else ():
            for name in current.of_type(type_url) if current else ():
                if Key(type_url, name) not in wanted:
                    changes[Key(type_url, name)] = None
        for key, resource in wanted.items():
            old = current.get(key) if current else None
            if old is None or old.version != resource.version:
                changes[key] = resource
        if current is not None and not changes:
            return current.revision
        revision = (current.revision if current else 0) + 1
        self.advance(fleet, revision, changes)
        return revision

    def overlay(
        self, fleet: str, variant: str, revision: int, changes: Mapping[Key, Resource | None]
    ) -> None:
        """Says in what a variant of a fleet's snapshot differs from it: all of it.

        Costs nothing for all others, and nothing when the fleet's snapshot changes: a variant
        is made when a stream of it runs.

        Args:
            fleet: the fleet; must be loaded.
            variant: the variant's name.
            revision: the revision that this belongs to: who waits for a resource at this
                revision (1 or more) or a newer one waits for this change. May be older than the
                fleet's.
            changes: what is otherwise; None is left out.

        Raises:
            ValueError: if the fleet is not loaded.
        """
        self._loaded(fleet).overlay(variant, revision, changes)

    def snapshot(self, fleet: str, variant: str = "") -> Snapshot | None:
        """Gives what a fleet should hold; None if not loaded: its streams are not answered."""
        state = self._fleets.get(fleet)
        if state is None or state.base is None:
            return None
        made = state.variants.get(variant)
        return state.base if made is None else made.over(state.base)

    def withheld(self, fleet: str) -> frozenset[Key]:
        """Gives the listeners whose removal waits for `allow_removals`."""
        state = self._fleets.get(fleet)
        return state.withheld.listeners if state else frozenset()

    def allow_removals(self, fleet: str, revision: int = 0) -> frozenset[Key]:
        """Lets go what is withheld now; what comes later is judged anew.

        Args:
            fleet: the fleet.
            revision: what the removals bring its snapshot to, newer than it is; 0: the next one.

        Returns:
            What was withheld: listeners, and of those that were in the snapshot what they need.
            Nodes that are away may hold it still: `bury` it where a store tells of that.
        """
        state = self._fleets.get(fleet)
        if state is None or state.base is None:
            return frozenset()
        released = state.withheld.release()
        gone = dict.fromkeys(key for key in released if state.base.get(key) is not None)
        # Envoy drops routes and endpoints with what refers to them.
        self.bury(fleet, (key for key in released if key.type_url in (CLUSTER, LISTENER)))
        self.advance(fleet, revision or state.base.revision + 1, gone, explained=released)
        for stream in state.streams:
            stream.look_again(released)
        return released

    def found_strays(self, fleet: str, held: Collection[Key], *, of: int) -> None:
        """Takes the listeners that a node of `of` listeners holds, and nobody knows of."""
        if self._fleet(fleet).withheld.find(held, of=of):
            self.on_withheld(fleet)

    def bury(self, fleet: str, keys: Iterable[Key]) -> None:
        """Takes names of which nodes may hold something that they do not say when they come.

        Envoy applies the good resources of a response that it refuses, and does not list them
        when it reconnects (measured, 1.40): deleted meanwhile, they would stay for ever. A node
        that comes, and of which this process has no memory, is taken to hold a version of them
        that is not known: it is told that they are gone, or what they are.

        Args:
            fleet: the fleet.
            keys: the names, wanted or not. They stay buried until `unbury`.
        """
        self._fleet(fleet).bury(keys)

    def unbury(self, fleet: str, keys: Iterable[Key]) -> None:
        """Takes that every node that may come back is in step with names that were buried."""
        state = self._fleets.get(fleet)
        if state is not None:
            state.unbury(keys)

    def buried(self, fleet: str, type_url: str) -> Collection[str]:
        """Gives the names of a type of which nodes may hold something that they do not say."""
        state = self._fleets.get(fleet)
        return state.buried.get(type_url, {}).keys() if state else ()

    def given(self, stream: NodeStream) -> Snapshot | None:
        """Gives what a stream is given: its variant, and old versions while a canary tries new."""
        state = self._fleets.get(stream.fleet)
        return state.given(stream) if state else None

    def changed_later(self, stream: NodeStream, seen: Snapshot) -> Mapping[Key, int] | None:
        """Gives what changed in what a stream is given since `seen`, and its revision tells not.

        Each with the oldest revision that it belongs to; None: nobody knows (it is given another
        line than before), all of both is to be compared.
        """
        state = self._fleets.get(stream.fleet)
        return state.changed_later(stream, seen) if state else {}

    def canary(self, fleet: str, node: str | None) -> None:
        """Says which node of a fleet is given changes first; None: all are at the same time.

        All other nodes are given a change when that node certainly holds it, name by name, with
        what they must not be without (`xds.cache.canary`). What a node has of its own (`overlay`)
        is given to it at once. Another canary has to try what the one before had not confirmed;
        with None all that is held back goes to all. What a canary refused in an earlier process
        (`restore_rejection`, `alone`) is held back from the start.

        Args:
            fleet: the fleet; must be loaded.
            node: the node's id. While it is not there, its fleet's changes wait.

        Raises:
            ValueError: if the fleet is not loaded.
        """
        state = self._loaded(fleet)
        before = state.canary.node if state.canary else None
        if node == before:
            return
        if before is not None:  # another one may be given now what it refused
            refusals = self._rejected.get((fleet, before), {})
            for key, rejection in refusals.items():
                refusals[key] = replace(rejection, alone=False)
        state.appoint(node, self._rejected.get((fleet, node or ""), {}))

    def held_back(self, stream: NodeStream, key: Key) -> Held | None:
        """Gives what of a name a stream is not given yet because its fleet's canary tries it."""
        state = self._fleets.get(stream.fleet)
        if state is None or state.canary is None or state.canary.node == stream.node.id:
            return None
        return state.canary.held.get(key)

    def canary_of(self, fleet: str) -> Canary | None:
        """Gives the node that is given a fleet's changes first, and what it has still to try."""
        state = self._fleets.get(fleet)
        return state.canary if state else None

    def refused_by_canary(self, fleet: str, key: Key) -> bool:
        """Whether a fleet's canary lacks a name because it refused it, or what it needs."""
        canary = self.canary_of(fleet)
        return canary is not None and any(stream.refused(key) for stream in canary.streams)

    def reported(self, stream: NodeStream, keys: Collection[Key] | None = None) -> None:
        """Takes that a stream knows better what its node holds of these names; None: of all."""
        state = self._fleets[stream.fleet]
        if state.canary is not None and state.canary.node == stream.node.id:
            state.promote(state.canary.held if keys is None else keys)

    def former(self, fleet: str, key: Key, version: str) -> Resource | None:
        """Gives a version that was wanted before, if it is still remembered."""
        state = self._fleets.get(fleet)
        return state.former(key, version) if state else None

    def connect(
        self,
        *,
        fleet: str,
        node: NodeInfo,
        delta: bool,
        now: float,
        types: frozenset[str] | None = None,
        variant: str = "",
    ) -> NodeStream:
        """Opens a stream.

        Args:
            fleet: the fleet whose resources the node is given.
            node: who it is.
            delta: whether it speaks delta or state of the world.
            now: the time, on the clock of all calls of this stream.
            types: the types that the stream may carry; None is all of them (ADS).
            variant: the variant of the fleet's snapshot that it is given, whenever there is one
                (`overlay`); a server names the node's id.
        """
        who = (fleet, node.id)
        state = self._fleet(fleet)
        # Of a gRPC client's id there may be thousands, and what one of them holds, or refused, says
        # nothing of another.
        left: Left | None = None
        rejected: dict[Key, Rejection] = {}
        if not node.is_grpc:
            left = self._departed.take(who, types)
            self._departed.back(who)
            same = (one for one in reversed(state.of(node.id)) if one.types == types)
            newest = next(same, None)
            left = left if newest is None else newest.leave()
            rejected = self._rejected.setdefault(who, {})
        self._opened += 1
        stream = NodeStream(
            self,
            fleet=fleet,
            node=node,
            delta=delta,
            types=types,
            left=left,
            rejected=rejected,
            now=now,
            number=self._opened,
            variant=variant,
            strays=state.withheld.strays,
        )
        state.join(stream)
        try:
            if self.observer is not None:
                self.observer.opened(stream)
        except BaseException:
            self._drop(stream)  # nobody was given it who would end it
            raise
        return stream

    def disconnect(self, stream: NodeStream) -> None:
        """Ends a stream; what its node holds is remembered for its next one."""
        fleet = self._fleets.get(stream.fleet)
        if fleet is None or stream not in fleet.streams:
            return
        self._drop(stream)
        if self.observer is not None:
            self.observer.closed(stream)

    def _drop(self, stream: NodeStream) -> None:
        fleet, who = self._fleets[stream.fleet], (stream.fleet, stream.node.id)
        others = fleet.leave(stream)
        remembered = not stream.node.is_grpc
        if remembered and all(other.types != stream.types for other in others):
            self._departed.keep(who, stream.types, stream.leave())
        if not others:
            forgotten = self._departed.refusing(who) if self._rejected.get(who) else who
            if forgotten is not None:
                self._rejected.pop(forgotten, None)
        if fleet.base is None and not fleet.streams and not fleet.buried:
            del self._fleets[stream.fleet]

    def _fleet(self, fleet: str) -> Fleet:
        return self._fleets.setdefault(fleet, Fleet(fleet, Withheld(self._guard)))

    def _loaded(self, fleet: str) -> Fleet:
        state = self._fleets.get(fleet) or Fleet(fleet, Withheld())
        state.loaded()
        return state

    @property
    def fleets(self) -> Sequence[str]:
        """The fleets that are loaded or have streams, sorted."""
        return sorted(self._fleets)

    def streams(self, fleet: str) -> Sequence[NodeStream]:
        """Gives a fleet's streams, oldest first; of a node's streams the newest counts."""
        state = self._fleets.get(fleet)
        return tuple(state.streams) if state else ()

    def restore_rejection(self, fleet: str, node: str, rejection: RejectedVersion) -> None:
        """Remembers what a node refused in an earlier process: it is not sent that again."""
        self._rejected.setdefault((fleet, node), {})[rejection.key] = Rejection(
            rejection.version,
            rejection.message,
            rejection.last_good,
            float("-inf"),
            alone=rejection.alone,
        )

    def forget_rejections(self, fleet: str, keys: Iterable[Key], *, node: str = "") -> None:
        """Forgets that names were refused (the object is gone, or an operator wants a new try).

        Args:
            fleet: the fleet.
            keys: the names.
            node: the node; empty: all of the fleet.
        """
        names = tuple(keys)
        streams = [stream for stream in self.streams(fleet) if node in ("", stream.node.id)]
        connected = {stream.node.id for stream in streams}
        nodes = [node] if node else [who for where, who in self._rejected if where == fleet]
        for its_node in nodes:
            rejected = self._rejected.get((fleet, its_node), {})
            for key in names:
                rejected.pop(key, None)
            if not rejected and its_node not in connected:
                self._rejected.pop((fleet, its_node), None)  # a node that may never come back
                self._departed.back((fleet, its_node))
        for stream in streams:
            stream.look_again(names)


def _nothing(_fleet: str) -> None:
    """Stands for who is not there yet."""

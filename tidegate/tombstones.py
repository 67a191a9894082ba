"""What nodes may hold though they do not say so, kept until every node is in step.

Envoy applies the good resources of a response that it refuses, and does not list them when it
reconnects (measured, 1.40). While this process lives its streams remember; a node that was away
when the control plane was restarted, or when an object was purged without it, is remembered here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lbaas.model.objects import Tombstone
from tidegate.nodes import NodeRegister, TrackedNode
from tidegate.outbox import Outbox
from tidegate.rendering import Place
from xds.cache.cache import SnapshotCache
from xds.cache.resource import Resource
from xds.cache.types import CLUSTER, LISTENER, Key

SWEPT = 1000
"""How many places one look takes."""


@dataclass(slots=True)
class _Grave:
    """A name that nodes may hold otherwise than they say.

    `since`: what they have to confirm. `born`: when the resource came, 0 if that is not known; a
    node that left before cannot hold it. `stored`: the `since` that the store has, or will have.
    """

    since: int
    born: int = 0
    stored: int = -1


class Tombstones:
    """Per fleet and resource the revision that every node has still to pass.

    What goes while all nodes are there is confirmed within milliseconds, and never stored. Only
    clusters and listeners need it: endpoints and routes go with what refers to them.
    """

    def __init__(
        self, cache: SnapshotCache, nodes: NodeRegister, outbox: Callable[[], Outbox]
    ) -> None:
        """Takes who is told, who knows the nodes, and what waits to be stored."""
        self._cache = cache
        self._nodes = nodes
        self._outbox = outbox
        self._graves: dict[Place, _Grave] = {}
        self._fresh: set[Place] = set()
        self._born: dict[str, dict[Key, int]] = {}
        self._turn: list[Place] = []

    def restore(self, stored: Iterable[Tombstone]) -> None:
        """Takes the tombstones that the store kept over a restart."""
        for each in stored:
            place = Place(each.fleet.removeprefix("fleets/"), Key(each.type_url, each.resource))
            self._bury(place, each.rev)
            self._graves[place].stored = each.rev

    def doubt(self, places: Mapping[Place, int]) -> None:
        """Takes what was on its way, or is gone, when the process before this one ended."""
        for place, since in places.items():
            if place.key.type_url in (CLUSTER, LISTENER):
                self._bury(place, since)

    def published(
        self, fleet: str, diff: Mapping[Key, Resource | None], revision: int, *, whole: bool
    ) -> None:
        """Takes what a pass published for a fleet (its id), after that.

        `whole`: it is all of the fleet, so that it does not tell when something came.
        """
        mine = {key: one for key, one in diff.items() if key.type_url in (CLUSTER, LISTENER)}
        if not mine:
            return
        known = self._nodes.known(fleet)
        snapshot = self._cache.snapshot(fleet)
        born = self._born.setdefault(fleet, {})
        if all(node.streams for node in known):
            born.clear()
        away = any(not node.streams for node in known) and not whole
        for key, resource in mine.items():
            if resource is not None:
                if away:
                    born.setdefault(key, revision)
                continue
            came = born.pop(key, 0)
            if snapshot is not None and snapshot.get(key) is not None:
                continue  # withheld
            if any(_may_hold(node, came) for node in known):
                self._bury(Place(fleet, key), revision, born=came)

    def allowed(self, fleet: str, keys: Iterable[Key], revision: int) -> None:
        """Takes that withheld removals were let go on a fleet (its id) at a revision."""
        for key in keys:
            if key.type_url in (CLUSTER, LISTENER):
                self._bury(Place(fleet, key), revision)

    def before_write(self) -> None:
        """Puts into the outbox what nodes that nobody waits for have not passed.

        It is written with what is called gone: a row is purged without the nodes that are lost.
        """
        fresh, self._fresh = self._fresh, set()
        for place in fresh:
            if any(node.lost for node in self._behind(place)):
                self._store(place)

    def sweep(self) -> None:
        """Stores, or forgets, some of what waits, each in its turn."""
        if not self._turn:
            self._turn = list(self._graves)
        turn, self._turn = self._turn[:SWEPT], self._turn[SWEPT:]
        for place in turn:
            if place not in self._graves:
                continue
            if self._behind(place):
                self._store(place)
            else:
                self._forget(place)

    def _behind(self, place: Place) -> list[TrackedNode]:
        """Gives the nodes that may still hold something else than is wanted."""
        grave = self._graves[place]
        return [
            node
            for node in self._nodes.known(place.fleet)
            if _may_hold(node, grave.born) and not _is_in_step(node, place.key, grave.since)
        ]

    def _bury(self, place: Place, since: int, *, born: int = 0) -> None:
        grave = self._graves.get(place)
        if grave is None:
            self._graves[place] = _Grave(since, born)
        elif since > grave.since:
            grave.since = since
        else:
            return
        self._fresh.add(place)
        self._cache.bury(place.fleet, [place.key])

    def _store(self, place: Place) -> None:
        grave = self._graves[place]
        if grave.stored == grave.since:
            return
        grave.stored = grave.since
        outbox = self._outbox()
        outbox.unburied.discard(place)
        outbox.buried[place] = grave.since

    def _forget(self, place: Place) -> None:
        grave = self._graves.pop(place)
        self._fresh.discard(place)
        self._cache.unbury(place.fleet, [place.key])
        if grave.stored >= 0:
            outbox = self._outbox()
            outbox.buried.pop(place, None)
            outbox.unburied.add(place)


def _is_in_step(node: TrackedNode, key: Key, since: int) -> bool:
    """Whether a node has confirmed what is wanted of a resource, or has answered and refused it."""
    stream = node.stream
    return stream is not None and (stream.confirmed(key, since) or stream.refused(key))


def _may_hold(node: TrackedNode, born: int) -> bool:
    """Whether a node may hold what came at a revision: not if it has been away since before."""
    return bool(node.streams) or born == 0 or node.left_rev >= born

"""What nodes refuse: kept with Envoy's own words, and blamed on whose change it was."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from lbaas.model.objects import Rejection
from tidegate.nodes import NodeRegister, node_id
from tidegate.outbox import Outbox
from tidegate.rendering import Place, Renderings
from tidegate.unsettled import Unsettled, Unsettleds
from xds.cache.cache import SnapshotCache
from xds.cache.published import stored_resource
from xds.cache.stream import NodeStream
from xds.cache.types import LISTENER, ROUTE, Key, RejectedVersion
from xds.translate import VERSION

log = structlog.get_logger("tidegate.refusals")

Refused = tuple[str, str, Key]
"""A fleet's name, a node's id, and the resource that the node refuses."""


class Refusals:
    """What is refused now, by fleet, node and resource. `outbox` gives what waits to be stored."""

    def __init__(
        self,
        *,
        cache: SnapshotCache,
        renderings: Renderings,
        nodes: NodeRegister,
        unsettled: Unsettleds,
        outbox: Callable[[], Outbox],
    ) -> None:
        """Takes the rooms that know whose a resource is, and where verdicts go."""
        self._cache = cache
        self._renderings = renderings
        self._nodes = nodes
        self._unsettled = unsettled
        self._outbox = outbox
        self._rejections: dict[Refused, Rejection] = {}
        self._of_node: dict[tuple[str, str], dict[Key, Refused]] = {}

    def restore(self, rejections: Iterable[Rejection]) -> None:
        """Takes the rejections that the store kept over a restart."""
        for rejection in rejections:
            key = Key(rejection.type_url, rejection.resource)
            fleet, node = rejection.fleet, node_id(rejection.node)
            self._put((fleet, node, key), rejection)
            last_good = (
                stored_resource(key, rejection.last_good_version, rejection.last_good)
                if rejection.last_good
                else None
            )
            refused = RejectedVersion(
                key, rejection.version, rejection.message, last_good, alone=rejection.alone
            )
            self._cache.restore_rejection(fleet.removeprefix("fleets/"), node, refused)

    def at(self, fleet: str, node: str) -> list[Rejection]:
        """Gives what a node (by its id) of a fleet (by its id) refuses."""
        identities = self._of_node.get((f"fleets/{fleet}", node), {})
        return [self._rejections[each] for each in identities.values()]

    def of(self, fleet: str, node: str, key: Key) -> Rejection | None:
        """Gives what a node (by its id) of a fleet (by its id) refuses of a resource, or None."""
        return self._rejections.get((f"fleets/{fleet}", node, key))

    def blamed(self) -> set[str]:
        """Gives the objects that are blamed for something that is refused now."""
        return {name for each in self._rejections.values() for name, _ in each.objects}

    def add(self, stream: NodeStream, refused: RejectedVersion) -> None:
        """Takes that a node refused a version, with Envoy's own words."""
        outbox = self._outbox()
        place = Place(stream.fleet, refused.key)
        rejection = Rejection(
            fleet=f"fleets/{stream.fleet}",
            node=f"fleets/{stream.fleet}/nodes/{stream.node.id}",
            type_url=refused.key.type_url,
            resource=refused.key.name,
            version=refused.version,
            message=refused.message,
            objects=self._culprits(place, refused.version),
            time=datetime.now(UTC),
            last_good=b"" if refused.last_good is None else refused.last_good.body,
            last_good_version="" if refused.last_good is None else refused.last_good.version,
            translator_version=VERSION,
            alone=self._alone(stream, refused.key),
        )
        log.warning(
            "configuration rejected",
            node=rejection.node,
            resource=rejection.resource,
            version=rejection.version,
            error=rejection.message,
        )
        identity = (rejection.fleet, stream.node.id, refused.key)
        self._put(identity, rejection)
        outbox.rejected[identity] = rejection
        outbox.cleared.discard(identity)

    def _put(self, identity: Refused, rejection: Rejection) -> None:
        fleet, node, key = identity
        self._rejections[identity] = rejection
        self._of_node.setdefault((fleet, node), {})[key] = identity

    def _alone(self, stream: NodeStream, key: Key) -> bool:
        """Tells whether a node is its fleet's canary, and no other was given what it refuses."""
        canary = self._cache.canary_of(stream.fleet)
        return canary is not None and canary.node == stream.node.id and key in canary.held

    def spread(self, fleet: str) -> None:
        """Takes that all nodes of a fleet (by its id) are given what its canary refused."""
        outbox = self._outbox()
        for identity, rejection in self._rejections.items():
            if identity[0] == f"fleets/{fleet}" and rejection.alone:
                again = replace(rejection, alone=False)
                self._rejections[identity] = outbox.rejected[identity] = again

    def confirmed(self, fleet: str, node: str, key: Key) -> None:
        """Takes that a node (by its id) runs what is wanted of a resource."""
        refused = (f"fleets/{fleet}", node, key)
        if refused in self._rejections:
            self.clear(refused)

    def drop(self, fleet: str, keys: Collection[Key]) -> None:
        """Takes that resources are gone from a fleet: what was refused of them is history."""
        if not keys:
            return
        for refused in [each for each in self._rejections if each[0] == fleet]:
            if refused[2] in keys:
                self.clear(refused)

    def keep_wanted(self) -> None:
        """Forgets what was refused of resources that nobody wants any more."""
        for identity in tuple(self._rejections):
            fleet, _, key = identity
            if not self._renderings.wanted(Place(fleet.removeprefix("fleets/"), key)):
                self.clear(identity)

    def forget_nodes(self, away: Collection[tuple[str, str]]) -> None:
        """Takes that nodes (a fleet's name and a node's id each) are lost."""
        for node in away:
            for identity in tuple(self._of_node.get(node, {}).values()):
                self.clear(identity)

    def clear(self, identity: Refused) -> None:
        """Takes that something is refused no more."""
        outbox = self._outbox()
        del self._rejections[identity]
        mine = self._of_node[identity[:2]]
        del mine[identity[2]]
        if not mine:
            del self._of_node[identity[:2]]
        self._cache.forget_rejections(
            identity[0].removeprefix("fleets/"), [identity[2]], node=identity[1]
        )
        outbox.rejected.pop(identity, None)
        outbox.cleared.add(identity)

    def blame_again(self, entry: Unsettled) -> None:
        """Keeps an object in ERROR whose change left what was refused as it was.

        That is not sent again, so no node will say anything about it.
        """
        for place in self._renderings.places_of(entry.name):
            wanted = self._cache.snapshot(place.fleet)
            resource = wanted.get(place.key) if wanted else None
            for node in self._nodes.of(place.fleet):
                identity = (f"fleets/{place.fleet}", node_id(node.name), place.key)
                rejection = self._rejections.get(identity)
                if rejection is None or resource is None:
                    continue
                blamed = dict(rejection.objects)
                if rejection.version == resource.version and entry.name in blamed:
                    blamed[entry.name] = entry.rev
                    again = replace(rejection, objects=tuple(sorted(blamed.items())))
                    outbox = self._outbox()
                    self._rejections[identity] = outbox.rejected[identity] = again
                    outbox.cleared.discard(identity)

    def _culprits(self, place: Place, version: str) -> tuple[tuple[str, int], ...]:
        """Gives the objects that a refused resource is blamed on, with their spec_rev.

        Those whose change it brought and that are not live yet; if there is none (a node refuses
        what others took), the object that bears the resource's name. Of a version that is not
        wanted any more nobody: what is wanted now has its own answer to come.
        """
        snapshot = self._cache.snapshot(place.fleet)
        wanted = snapshot.get(place.key) if snapshot else None
        if wanted is None or wanted.version != version:
            return ()
        owners = self._renderings.owners(place)
        named = [name for name in owners if place.key.name.startswith(name)]
        if place.key.type_url in (LISTENER, ROUTE) and named:
            # An address that cannot be bound, whoever's change made the listener anew; routes that
            # a member's coming made anew, for its id is in them.
            return tuple(sorted((name, owners[name]) for name in named))
        changed = sorted(
            (entry.name, entry.rev)
            for entry in self._unsettled.at(place)
            if place in entry.impact and not entry.deleted
        )
        if changed:
            return tuple(changed)
        return tuple(sorted((name, owners[name]) for name in named or owners))

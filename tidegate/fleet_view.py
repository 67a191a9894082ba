"""What only the streams know, for the API: progress, nodes, resources and their verdicts."""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from api.fleet_view import NodeResourceView, NodeVerdict, ResourceView, TrafficView, Trial
from lbaas.model.capabilities import offered
from lbaas.model.enums import NodeState, ResourceState
from lbaas.model.health import Health
from lbaas.model.objects import Capabilities, Fleet, HeldRemovals, Node, NodeView
from lbaas.model.status import Progress, StatusDetail
from tidegate.agents.hub import AgentHub
from tidegate.canary import Canaries
from tidegate.feedback import Feedback
from tidegate.limits import Limits
from tidegate.nodes import PENDING_SHOWN, NodeRegister, TrackedNode, node_id
from tidegate.pace import Pace
from tidegate.removals import Withholding
from tidegate.rendering import Place, Renderings
from tidegate.unsettled import Unsettled
from xds.cache.cache import SnapshotCache
from xds.cache.client_status import ResourceStatus, Standing
from xds.cache.types import LISTENER, Key
from xds.translate import BUILT, readable

HELD_SHOWN = 256
"""How many of the names that a canary holds back are listed: the oldest."""
_STATES = {
    Standing.NOT_SENT: ResourceState.NOT_SENT,
    Standing.SENT: ResourceState.SENT,
    Standing.REJECTED: ResourceState.REJECTED,
}


class StreamsFleetView:
    """Answers `api.fleet_view.FleetView` from the streams of this process."""

    def __init__(
        self,
        cache: SnapshotCache,
        renderings: Renderings,
        feedback: Feedback,
        nodes: NodeRegister,
        agents: AgentHub,
        *,
        limits: Limits,
        canaries: Canaries,
        pace: Pace,
        withholding: Withholding,
    ) -> None:
        """Takes the rooms that know."""
        self._pace = pace
        self._cache = cache
        self._renderings = renderings
        self._feedback = feedback
        self._nodes = nodes
        self._agents = agents
        self._limits = limits
        self._withholding = withholding
        self._canaries = canaries

    def progress(self, name: str, revision: int) -> Progress:
        """Gives how far `revision` of an object has come on the nodes that count.

        An object that is not settled is asked for at its newest change, whatever `revision`
        says. What is missing is named by node and resource, each once, sorted.
        """
        entry = self._feedback.unsettled(name)
        places = (
            dict.fromkeys(self._renderings.places_of(name), revision)
            if entry is None
            else entry.watched
        )
        nodes = [
            node
            for fleet in sorted({place.fleet for place in places})
            for node in self._nodes.counted(fleet)
        ]
        missing: list[tuple[TrackedNode, Place]] = []
        applied = 0
        for node in nodes:
            here = [place for place in places if place.fleet == node.fleet]
            lacking = [
                place for place in here if not node.holds(place.key, places[place], owner=name)
            ]
            applied += not lacking
            missing.extend((node, place) for place in lacking)
        return Progress(
            applied=applied,
            total=len(nodes),
            missing=tuple(sorted({(node.name, place.key.name) for node, place in missing})),
            waiting=_draining(entry) or self._waiting(places, nodes, missing),
        )

    def _waiting(
        self,
        places: Collection[Place],
        nodes: Sequence[TrackedNode],
        missing: Sequence[tuple[TrackedNode, Place]],
    ) -> StatusDetail | None:
        if places and not nodes:
            fleet = min(place.fleet for place in places)
            return StatusDetail(
                reason="NO_NODE_CONNECTED",
                message=f"no node of fleet {fleet!r} is connected; the change waits for one",
                fleet=f"fleets/{fleet}",
            )
        if not missing:
            return None
        for node, place in missing:
            # A node that is slow is not the reason where one refuses what this needs.
            if (blocked := self._blocked(node, place)) is not None:
                return blocked
        # Clusters before endpoints, listeners, routes: what waits for them is no reason.
        held = [each for each in missing if self._held(*each)]
        node, place = min(held or missing, key=lambda each: (each[0].name, each[1].key))
        stream = node.stream
        if stream is None:
            reason, words = "NODE_DISCONNECTED", "the node is not connected; it has 30 s to return"
        elif held:
            canary = self.trial(f"fleets/{place.fleet}").node
            why = self._canaries.words(place.fleet, place.key)
            reason = "HELD_BY_CANARY"
            words = f"no other node is given it before the canary, {canary}, has it: {why}"
        else:
            words = stream.waiting(place.key, time.monotonic())
            reason = "WAITING_FOR_NODE"
        return StatusDetail(
            reason=reason,
            message=f"{place.key.name}: {words}",
            fleet=f"fleets/{node.fleet}",
            node=node.name,
            resource=place.key.name,
        )

    def _blocked(self, node: TrackedNode, place: Place) -> StatusDetail | None:
        """Gives what a node refuses of another object, without which this one cannot be there."""
        key = node.stream and node.stream.blocked_by(place.key)
        if not key:
            return None
        refused = self._feedback.rejection(node, key)
        kind = key.type_url.rpartition(".")[2]
        return StatusDetail(
            reason="BLOCKED_BY",
            message=f"{place.key.name} waits for {kind} {key.name}, which the node refuses"
            + (f": {refused.message}" if refused else ""),
            fleet=f"fleets/{node.fleet}",
            node=node.name,
            resource=key.name,
        )

    def _held(self, node: TrackedNode, place: Place) -> bool:
        """Tells whether a node lacks a resource because the canary has to try it first."""
        stream = node.stream
        return stream is not None and self._cache.held_back(stream, place.key) is not None

    def trial(self, fleet: str) -> Trial:
        """Gives which node of a fleet (its resource name) is given changes first, and which."""
        canary = self._cache.canary_of(fleet.removeprefix("fleets/"))
        if canary is None:
            return Trial()
        held = tuple(sorted({key.name for key in islice(canary.held, HELD_SHOWN)}))
        return Trial(node=f"{fleet}/nodes/{canary.node}", held=held)

    def nodes(self, fleet: str) -> Sequence[NodeView]:
        """Gives the nodes of a fleet (its resource name), sorted by name."""
        trial = self.trial(fleet)
        return [self._view(node, trial) for node in self._nodes.of(fleet.removeprefix("fleets/"))]

    def _view(self, node: TrackedNode, trial: Trial) -> NodeView:
        refused = self._feedback.rejections_at(node.fleet, node_id(node.name))
        seen = self._nodes.view(
            node,
            frozenset(each.resource for each in refused),
            self._agents.agent(node.name),
            held=() if trial.node == node.name else trial.held,
        )
        if node.stream is None:
            return seen
        pace = self._pace
        return replace(seen, lag=pace.lag(node.stream), overdue=pace.overdue(node.stream))

    def unsettled(self, node: str) -> Sequence[NodeResourceView]:
        """Gives what a node (by its name) does not hold as wanted, refused first; at most 256."""
        tracked = self._nodes.find(node)
        stream = tracked.stream if tracked is not None else None
        if stream is None:
            return []
        now = time.monotonic()
        found: list[NodeResourceView] = []
        canary = self._cache.canary_of(stream.fleet)
        keys = {*stream.pending, *(canary.held if canary else ())}
        for key in sorted(keys, key=lambda each: (each not in stream.rejections, each)):
            if len(found) == PENDING_SHOWN:
                break
            status = stream.status(key, now)
            if status.standing is Standing.SYNCED:
                continue  # the canary holds it; it waits for what goes on with it
            # What only waits for something that was refused, or that nobody asked for, is no news;
            # that the canary refused it is, for this node has not.
            held = self._cache.held_back(stream, key) is not None
            if held or status.standing is Standing.REJECTED or not stream.refused(key):
                found.append(_resource_view(status, now))
        return found

    def connected(self, fleet: str) -> int:
        """Gives how many nodes of a fleet (its resource name) have a stream."""
        return self._nodes.connected(fleet.removeprefix("fleets/"))

    def held_removals(self, fleet: str) -> HeldRemovals | None:
        """Gives the removals that are withheld on a fleet (its resource name), if there are."""
        return self._withholding.of(fleet)

    def resources(self, pool: str) -> Sequence[ResourceView]:
        """Gives the Envoy resources of a pool's tree, and each node's verdict on each."""
        rendering = self._renderings.pools.get(pool)
        if rendering is None:
            return []
        return [
            ResourceView(
                type_url=place.key.type_url,
                name=place.key.name,
                version=rendered.resource.version,
                json=json.dumps(readable(rendered.resource.body)),
                objects=tuple(sorted(rendered.objects)),
                nodes=tuple(self._verdicts(place, rendered.resource.version)),
            )
            for place, rendered in sorted(
                rendering.resources.items(), key=lambda each: (each[0].fleet, each[0].key)
            )
        ]

    def _verdicts(self, place: Place, wanted: str) -> Sequence[NodeVerdict]:
        now, fleet, key = time.monotonic(), place.fleet, place.key
        verdicts = []
        for node in self._nodes.of(fleet):
            refused = self._feedback.rejection(node, key)
            stream = node.stream
            if stream is None:
                message = "not connected"
                verdicts.append(NodeVerdict(node=node.name, state=NodeState.LOST, message=message))
                continue
            status = stream.status(key, now)
            if refused is not None:
                state, message = NodeState.REJECTED, refused.message
                held = refused.last_good_version
            elif stream.confirmed(key, stream.revision) and _held(status) == wanted:
                state, message, held = NodeState.SYNCED, "", wanted
            else:
                message = status.waiting or "is not sent yet"
                state, held = NodeState.PENDING, _held(status)
            verdicts.append(
                NodeVerdict(
                    node=node.name,
                    state=state,
                    version=held,
                    message=message,
                    sent=status.sent.version if status.sent else "",
                    sent_at=_moment(status, now),
                )
            )
        return verdicts

    def health(self, name: str) -> Health:
        """Gives the operating status of an object."""
        return self._agents.assessment.health(name)

    def refusals(self, vip: str) -> Mapping[str, str]:
        """Gives the nodes that refuse a VIP's listener and have no older one, with their words."""
        return {
            node.name: each.message
            for place in self._renderings.places_of(vip)
            if place.key == Key(LISTENER, vip)
            for node in self._nodes.counted(place.fleet)
            if (each := self._feedback.rejection(node, place.key)) and not each.last_good
        }

    def traffic(self, name: str) -> TrafficView | None:
        """Gives the traffic of a VIP, pool or member."""
        return self._agents.traffic(name)

    def connection_limits(self, vip: str) -> Mapping[str, int]:
        """Gives what each node (by its name) is allowed of a VIP's limit now."""
        return self._limits.shares(vip)

    def effective(self, fleet: Fleet) -> Capabilities:
        """Gives what a fleet can really do: declared, built, and known to its nodes."""
        return offered(fleet, built=BUILT, nodes=self.serving(fleet.name))

    def serving(self, fleet: str) -> Sequence[Node]:
        """Gives the nodes of a fleet (its resource name) that may serve, as the store has them."""
        return [node.stored() for node in self._nodes.holding(fleet.removeprefix("fleets/"))]


def _draining(entry: Unsettled | None) -> StatusDetail | None:
    """Gives why a member that was deleted is still there: it drains."""
    if entry is None or entry.drain_end is None:
        return None
    return StatusDetail(
        reason="DRAINING",
        message=f"it takes nothing new, and leaves at {entry.drain_end:%H:%M:%S} UTC",
    )


def _held(status: ResourceStatus) -> str:
    """Gives the version that a node ran when it last answered; "" for none."""
    return status.held.version if status.held is not None else ""


def _moment(status: ResourceStatus, now: float) -> datetime | None:
    """Gives when what is under way was sent, by the clock on the wall."""
    if status.sent_at is None:
        return None
    return datetime.now(UTC) - timedelta(seconds=max(0.0, now - status.sent_at))


def _resource_view(status: ResourceStatus, now: float) -> NodeResourceView:
    rejected = status.standing is Standing.REJECTED and status.rejection is not None
    return NodeResourceView(
        type_url=status.key.type_url,
        name=status.key.name,
        state=_STATES.get(status.standing, ResourceState.NOT_SENT),
        wanted=status.wanted.version if status.wanted else "",
        held=_held(status),
        sent=status.sent.version if status.sent else "",
        sent_at=_moment(status, now),
        message=status.rejection.message if rejected and status.rejection else status.waiting,
    )

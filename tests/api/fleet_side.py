"""The fleet side in memory: what tests say that nodes have confirmed, and nothing else."""

from collections.abc import Mapping, Sequence

from api.fleet_view import NodeResourceView, ResourceView, TrafficView, Trial
from lbaas.model.capabilities import EVERYTHING, intersection
from lbaas.model.health import NO_AGENT, Health
from lbaas.model.objects import Capabilities, Fleet, HeldRemovals, NodeView
from lbaas.model.status import Progress


class FleetSide:
    def __init__(self) -> None:
        self.progresses: dict[str, Progress] = {}
        self.node_views: dict[str, list[NodeView]] = {}
        self.unsettled_on: dict[str, list[NodeResourceView]] = {}
        self.rendered: dict[str, list[ResourceView]] = {}
        self.healths: dict[str, Health] = {}
        self.traffics: dict[str, TrafficView] = {}
        self.limits: dict[str, dict[str, int]] = {}
        self.held: dict[str, HeldRemovals] = {}
        self.trials: dict[str, Trial] = {}

    def progress(self, name: str, revision: int) -> Progress:
        return self.progresses.get(name, Progress())

    def nodes(self, fleet: str) -> Sequence[NodeView]:
        return self.node_views.get(fleet, [])

    def unsettled(self, node: str) -> Sequence[NodeResourceView]:
        return self.unsettled_on.get(node, [])

    def connected(self, fleet: str) -> int:
        return sum(node.connected for node in self.nodes(fleet))

    def held_removals(self, fleet: str) -> HeldRemovals | None:
        return self.held.get(fleet)

    def trial(self, fleet: str) -> Trial:
        return self.trials.get(fleet, Trial())

    def resources(self, pool: str) -> Sequence[ResourceView]:
        return self.rendered.get(pool, [])

    def effective(self, fleet: Fleet) -> Capabilities:
        return intersection(fleet.capabilities or EVERYTHING, EVERYTHING)

    def health(self, name: str) -> Health:
        return self.healths.get(name, NO_AGENT)

    def traffic(self, name: str) -> TrafficView | None:
        return self.traffics.get(name)

    def connection_limits(self, vip: str) -> Mapping[str, int]:
        return self.limits.get(vip, {})

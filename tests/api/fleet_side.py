"""The fleet side in memory: what tests say that nodes have confirmed, and nothing else."""

from collections.abc import Sequence

from api.fleet_view import ResourceView
from lbaas.model.capabilities import EVERYTHING, intersection
from lbaas.model.objects import Capabilities, Fleet, NodeView
from lbaas.model.status import Progress


class FleetSide:
    def __init__(self) -> None:
        self.progresses: dict[str, Progress] = {}
        self.node_views: dict[str, list[NodeView]] = {}
        self.rendered: dict[str, list[ResourceView]] = {}

    def progress(self, name: str, revision: int) -> Progress:
        return self.progresses.get(name, Progress())

    def nodes(self, fleet: str) -> Sequence[NodeView]:
        return self.node_views.get(fleet, [])

    def connected(self, fleet: str) -> int:
        return sum(node.connected for node in self.nodes(fleet))

    def resources(self, pool: str) -> Sequence[ResourceView]:
        return self.rendered.get(pool, [])

    def effective(self, fleet: Fleet) -> Capabilities:
        return intersection(fleet.capabilities or EVERYTHING, EVERYTHING)

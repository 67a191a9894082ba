"""What only the streams know, as the API asks for it; the plane supplies it.

The API writes to the store and reads from it. Which node has confirmed what, and what exactly is
sent, is known to the fleet side alone, and comes through this one Protocol. All methods are called
on the event loop, answer from memory and at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from lbaas.model.enums import NodeState, ResourceState
from lbaas.model.health import Health
from lbaas.model.objects import Capabilities, Fleet, HeldRemovals, NodeView
from lbaas.model.reports import Traffic
from lbaas.model.status import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeVerdict:
    """What one node (`fleets/{fleet}/nodes/{node}`) says of one resource.

    `version` is the one that it confirmed last ("" for none), `message` Envoy's own words of a
    rejection, or why the resource is still waited for. `sent` is the version under way, sent at
    `sent_at` and not answered; None: nothing is.
    """

    node: str
    state: NodeState
    version: str = ""
    message: str = ""
    sent: str = ""
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResourceView:
    """An Envoy resource that a node does not hold as wanted, and why.

    Of the versions `wanted` is "" for a removal, `held` "" for nothing; `sent` is under way if
    `sent_at` is set.
    """

    type_url: str
    name: str
    state: ResourceState
    wanted: str = ""
    held: str = ""
    sent: str = ""
    sent_at: datetime | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceView:
    """An Envoy resource as it is wanted: `json` is the message's JSON text.

    `objects` are the names of the tenant's objects that it renders.
    """

    type_url: str
    name: str
    version: str
    json: str
    objects: tuple[str, ...] = ()
    nodes: tuple[NodeVerdict, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficView:
    """The traffic of an object, summed over the nodes of its fleet, since it was created.

    `reporting` of the fleet's `total` counted nodes have an agent that reports; fewer, and the
    figures are too low. `time`: the newest report. `members`: of a pool, by member's name.
    """

    traffic: Traffic
    reporting: int
    total: int
    time: datetime
    members: Mapping[str, Traffic] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a fleet's canary has still to try: at most 256 names of Envoy resources.

    `node` is the canary's name; "" if the fleet has none, or no node of it counts.
    """

    node: str = ""
    held: tuple[str, ...] = ()


class FleetView(Protocol):
    """The fleet side as the API sees it."""

    def progress(self, name: str, revision: int) -> Progress:
        """Gives how far the object is at this revision on the nodes that count.

        A revision of 0 asks for the newest change. An unknown name gives an empty progress.
        """
        ...

    def nodes(self, fleet: str) -> Sequence[NodeView]:
        """Gives the nodes that are or were connected, of the fleet with this name."""
        ...

    def unsettled(self, node: str) -> Sequence[NodeResourceView]:
        """Gives what a node (by its name) does not hold as wanted, refused first; at most 256."""
        ...

    def connected(self, fleet: str) -> int:
        """Gives how many nodes of the fleet are connected now."""
        ...

    def held_removals(self, fleet: str) -> HeldRemovals | None:
        """Gives the removals that wait for an operator's word; None: there are none."""
        ...

    def trial(self, fleet: str) -> Trial:
        """Gives which node of the fleet is given changes first, and what the others wait for."""
        ...

    def resources(self, pool: str) -> Sequence[ResourceView]:
        """Gives what a pool's tree is rendered to, with each node's verdict."""
        ...

    def effective(self, fleet: Fleet) -> Capabilities:
        """Gives what the fleet really offers: declared, built, and reported by its nodes."""
        ...

    def health(self, name: str) -> Health:
        """Gives the operating status of a tenant's object, as the nodes' agents report it.

        Without an agent `lbaas.model.health.NO_AGENT`, of what is on no fleet `NOT_PLACED`.
        """
        ...

    def traffic(self, name: str) -> TrafficView | None:
        """Gives the traffic of a VIP or pool; None: no agent has ever reported of its fleet."""
        ...

    def connection_limits(self, vip: str) -> Mapping[str, int]:
        """Gives what each node (by its name) of the VIP's fleet now takes; empty: no limit."""
        ...

"""Filters: each says in plain words why a fleet cannot carry a pool, or nothing.

The words go onto the tenant's pool (NO_ELIGIBLE_FLEET): they say what is needed and what the
fleet has, and never tell one project of another.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lbaas.model.capabilities import hindrance, missing, needed
from lbaas.model.enums import FleetKind
from lbaas.model.names import leaf, project_of
from lbaas.model.objects import Capabilities, Fleet, Node, PoolTree, ServiceType
from lbaas.model.rules import in_ranges, is_loopback

MAX_LISTED = 10
"""How many VIPs, ranges or service types a refusal names; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fleet to choose from.

    `offered` is what it can really do: declared, built, and reported by its nodes.
    `live_nodes` is how many of its nodes are connected and counted. `nodes` are those that may
    serve: a refusal names the one that is in the way.
    """

    fleet: Fleet
    offered: Capabilities
    live_nodes: int
    nodes: Sequence[Node] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be placed: a pool's tree, under the service type that its tenant asked for."""

    tree: PoolTree
    service_type: ServiceType

    def lives_on(self, fleet: Fleet) -> bool:
        """Tells whether the pool is placed on the fleet already, or leaving it."""
        placement = self.tree.pool.placement
        return placement is not None and fleet.name in {placement.fleet, placement.leaving}


Filter = Callable[[Asked, Candidate], Iterator[str]]
"""Gives the reasons, if any, why the candidate is refused."""


def refused_project(asked: Asked, candidate: Candidate) -> Iterator[str]:
    """Refuses a fleet that belongs to another project."""
    project = candidate.fleet.project
    if project and project != project_of(asked.tree.pool.name):
        yield "belongs to another project"


def refused_service_type(asked: Asked, candidate: Candidate) -> Iterator[str]:
    """Refuses a fleet that does not offer the service type; none listed: the default one."""
    wanted, listed = asked.service_type, candidate.fleet.service_types
    if listed and wanted.name not in listed:
        yield f"does not offer {wanted.name}, only {_listed(listed)}"
    elif not listed and not wanted.default:
        yield f"does not offer {wanted.name}, only the default service type"


def refused_kind(asked: Asked, candidate: Candidate) -> Iterator[str]:
    """Refuses a fleet of another kind than the service type wants."""
    wanted = asked.service_type.fleet_kind
    if wanted is not None and candidate.fleet.kind is not wanted:
        yield f"is {candidate.fleet.kind}, but {asked.service_type.name} wants {wanted}"


def refused_labels(asked: Asked, candidate: Candidate) -> Iterator[str]:
    """Refuses a fleet without the labels that the service type selects by."""
    wanting = [
        f"{key}={value}"
        for key, value in sorted(asked.service_type.fleet_labels.items())
        if candidate.fleet.labels.get(key) != value
    ]
    if wanting:
        yield f"lacks the labels {_listed(wanting)} that {asked.service_type.name} selects by"


def refused_capabilities(asked: Asked, candidate: Candidate) -> Iterator[str]:
    """Refuses a fleet that cannot do what the tree needs, or what the service type requires."""
    declared = candidate.fleet.capabilities
    by_tree = missing(needed(asked.tree), candidate.offered)
    by_type = [
        word
        for word in missing(asked.service_type.required, candidate.offered)
        if word not in by_tree
    ]
    not_declared = () if declared is None else missing(needed(asked.tree), declared)
    withheld = [word for word in by_tree if word in not_declared]
    lacking = []
    for word in by_tree:
        why = hindrance(word, candidate.nodes) if candidate.nodes else ""
        if word not in not_declared and why:
            yield f"needs {word}, which it cannot do: {why}"
        elif word not in not_declared:
            lacking.append(word)
    if lacking:
        yield f"needs {', '.join(lacking)}, which no node of this fleet can do"
    if withheld:
        yield f"needs {', '.join(withheld)}, which this fleet is not set up to offer"
    if by_type:
        yield f"cannot do {', '.join(by_type)}, which {asked.service_type.name} requires"


def refused_addresses(asked: Asked, candidate: Candidate) -> Iterator[str]:
    """Refuses a fleet that cannot hold the VIPs' addresses, or has none to give.

    Whether a range has a free address is for the store to see, in the placement's transaction.
    """
    fleet = candidate.fleet
    given = [vip for vip in asked.tree.vips if vip.address]
    nameless = [leaf(vip.name) for vip in asked.tree.vips if not vip.address]
    if nameless and not fleet.vip_ranges:
        yield f"has no VIP ranges to give an address from to {_listed(nameless)}"
    if fleet.kind is FleetKind.SIDECAR:
        outside = [
            f"{leaf(vip.name)} {vip.address}" for vip in given if not is_loopback(vip.address)
        ]
        if outside:
            yield f"binds loopback addresses only (it is SIDECAR), not {_listed(outside)}"
            return
    if fleet.vip_ranges:
        outside = [
            f"{leaf(vip.name)} {vip.address}"
            for vip in given
            if not in_ranges(vip.address, fleet.vip_ranges)
        ]
        if outside:
            yield f"has the VIP ranges {_listed(fleet.vip_ranges)}, without {_listed(outside)}"


def refused_capacity(asked: Asked, candidate: Candidate) -> Iterator[str]:
    """Refuses a fleet that is full, unless the pool is one of those it carries."""
    fleet = candidate.fleet
    if fleet.max_pools and fleet.pools >= fleet.max_pools and not asked.lives_on(fleet):
        yield f"is full: it carries {fleet.pools} of at most {fleet.max_pools} pools"


def refused_draining(asked: Asked, candidate: Candidate) -> Iterator[str]:
    """Refuses a fleet that is drained, unless the pool lives there."""
    if candidate.fleet.draining and not asked.lives_on(candidate.fleet):
        yield "is draining and takes no new pools"


FILTERS: tuple[Filter, ...] = (
    refused_project,
    refused_service_type,
    refused_kind,
    refused_labels,
    refused_capabilities,
    refused_addresses,
    refused_capacity,
    refused_draining,
)
"""Every filter, in the order in which their words are told."""


def fits(tree: PoolTree, service_type: ServiceType, candidate: Candidate) -> tuple[str, ...]:
    """Gives every reason why the fleet cannot carry the pool; empty if it can."""
    asked = Asked(tree, service_type)
    return tuple(why for each in FILTERS for why in each(asked, candidate))


def _listed(words: tuple[str, ...] | list[str]) -> str:
    more = len(words) - MAX_LISTED
    tail = f" and {more} more" if more > 0 else ""
    return ", ".join(words[:MAX_LISTED]) + tail

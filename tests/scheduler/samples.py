"""A pool to place, and fleets to place it on."""

from dataclasses import replace

from lbaas.model.capabilities import EVERYTHING
from lbaas.model.objects import Capabilities, Fleet, Placement, PoolTree, ServiceType
from tests.model.samples import FLEET, TREE
from xds.scheduler import Candidate

DEFAULT = ServiceType(name="serviceTypes/default", default=True)
GOLD = ServiceType(name="serviceTypes/gold")


def candidate(
    name: str = "edge", *, live: int = 1, offered: Capabilities = EVERYTHING, **fields: object
) -> Candidate:
    fleet: Fleet = replace(FLEET, name=f"fleets/{name}", **fields)
    return Candidate(fleet=fleet, offered=offered, live_nodes=live)


def living_on(fleet: str, reason: str = "fits") -> PoolTree:
    placement = Placement(fleet=fleet, reason=reason)
    return replace(TREE, pool=replace(TREE.pool, placement=placement))

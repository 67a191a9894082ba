"""A pool's tree becomes the resources that a fleet's nodes are sent."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from lbaas.model.capabilities import EVERYTHING
from lbaas.model.enums import HealthMonitorType, LbMethod, Protocol, SessionPersistenceType
from lbaas.model.objects import Capabilities, Fleet, HealthMonitor, PoolTree, Vip
from xds.cache.resource import Resource
from xds.cache.types import Key
from xds.translate.cluster import build_by_source, build_cluster, by_source
from xds.translate.endpoints import build_endpoints, rendered
from xds.translate.listener import build_listener
from xds.translate.persistence import is_cookie
from xds.translate.route import build_route

VERSION: Final = "4"
"""Moves with every change of what is rendered: the same revision and translator give the same
resources everywhere."""

BUILT: Final[Capabilities] = EVERYTHING
"""What can be rendered, which is all that the model has. No fleet offers more than this, so a
feature whose rendering is yet to come is left out here: trees that need it are never placed."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A resource and the names of the objects it renders: who to blame, and who waits for it."""

    resource: Resource
    objects: frozenset[str]


def translate(tree: PoolTree, fleet: Fleet) -> dict[Key, Rendered]:
    """Gives every resource of a pool's tree on a fleet, by key."""
    resources = ((Resource.of(message), objects) for message, objects in _messages(tree, fleet))
    return {resource.key: Rendered(resource, objects) for resource, objects in resources}


def _messages(tree: PoolTree, fleet: Fleet) -> Iterator[tuple[Message, frozenset[str]]]:
    pool = tree.pool
    monitors = [monitor for monitor in tree.health_monitors if _is_envoys(monitor)]
    vips = [vip for vip in tree.vips if listens(vip)]
    checked = frozenset({pool.name, *(monitor.name for monitor in tree.health_monitors)})
    yield build_cluster(pool, monitors), checked
    if any(_cluster_of(tree, vip) != pool.name for vip in vips):
        yield build_by_source(pool, monitors), checked
    members = frozenset({pool.name, *(member.name for member in tree.members)})
    yield build_endpoints(pool, tree.members, unreachable=tree.unreachable), members
    for vip in vips:
        cluster, hashed = _cluster_of(tree, vip), _is_hashed(tree, vip)
        yield build_listener(vip, fleet, cluster=cluster, hashed=hashed), frozenset({vip.name})
        if vip.protocol is Protocol.HTTP:
            serving = tuple(rendered(pool, tree.members))
            route = build_route(vip, serving, cluster=cluster, hashed=hashed)
            # A member is there when its sessions are, and gone when it is in no map either.
            mapped = serving if is_cookie(vip.session_persistence) else ()
            yield route, frozenset({vip.name, *(member.name for member in mapped)})
    for vip in tree.leaving:
        # Envoy serves the connections of a listener that is gone until it has drained, by routes
        # that it goes on following: without a cluster they led to 503.
        if vip.protocol is Protocol.HTTP and listens(vip):
            serving = tuple(rendered(pool, tree.members))
            hashed = pool.lb_method is LbMethod.SOURCE_IP
            route = build_route(vip, serving, cluster=pool.name, hashed=hashed)
            yield route, frozenset({vip.name})


def _is_envoys(monitor: HealthMonitor) -> bool:
    """Tells whether Envoy checks it: agents ping, and what they find reaches the endpoints."""
    return monitor.admin_state_up and monitor.type is not HealthMonitorType.PING


def listens(vip: Vip) -> bool:
    """Tells whether a VIP listens: it is up, has an address, and the address is its own."""
    return vip.admin_state_up and bool(vip.address) and not vip.address_in_use_by


def _is_hashed(tree: PoolTree, vip: Vip) -> bool:
    kept = vip.session_persistence
    by_address = kept is not None and kept.type is SessionPersistenceType.SOURCE_IP
    return tree.pool.lb_method is LbMethod.SOURCE_IP or by_address


def _cluster_of(tree: PoolTree, vip: Vip) -> str:
    name = tree.pool.name
    own_method_hashes = tree.pool.lb_method is LbMethod.SOURCE_IP
    return by_source(name) if _is_hashed(tree, vip) and not own_method_hashes else name

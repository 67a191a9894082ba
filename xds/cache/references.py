"""What a resource refers to and which addresses it binds, read from its message."""

from collections.abc import Iterable, Iterator

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import RouteAction
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as http,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from xds.cache.types import ADDRESS, CLUSTER, ENDPOINT, ROUTE, Key


def references(message: Message) -> frozenset[Key]:
    """Gives the resources that `message` needs, and the addresses that it binds.

    Cluster of type EDS: its ClusterLoadAssignment. RouteConfiguration: its clusters. Listener: its
    RouteConfigurations by RDS, the clusters of inline routes and of tcp_proxy, its addresses as
    keys of type `ADDRESS`. Everything else, and what extensions name (an aggregate cluster's
    clusters, a filter's gRPC service): nothing.
    """
    if isinstance(message, Cluster):
        if message.type != Cluster.EDS:
            return frozenset()
        return frozenset({Key(ENDPOINT, message.eds_cluster_config.service_name or message.name)})
    if isinstance(message, RouteConfiguration):
        return frozenset(_of_routes(message))
    if isinstance(message, Listener):
        return frozenset((*_of_listener(message), *_addresses(message)))
    return frozenset()


def _of_routes(routes: RouteConfiguration) -> Iterator[Key]:
    yield from _mirrors(routes.request_mirror_policies)
    for host in routes.virtual_hosts:
        yield from _mirrors(host.request_mirror_policies)
        for route in host.routes:
            if route.HasField("route"):
                yield from _of_action(route.route)


def _of_action(action: RouteAction) -> Iterator[Key]:
    if action.cluster:
        yield Key(CLUSTER, action.cluster)
    for weighted in action.weighted_clusters.clusters:
        if weighted.name:
            yield Key(CLUSTER, weighted.name)
    yield from _mirrors(action.request_mirror_policies)


def _mirrors(policies: Iterable[RouteAction.RequestMirrorPolicy]) -> Iterator[Key]:
    for mirror in policies:
        if mirror.cluster:
            yield Key(CLUSTER, mirror.cluster)


def _of_listener(listener: Listener) -> Iterator[Key]:
    for chain in (*listener.filter_chains, listener.default_filter_chain):
        for item in chain.filters:
            yield from _of_filter(item)
    if listener.HasField("api_listener"):
        yield from _of_config(listener.api_listener.api_listener)


def _of_filter(item: Filter) -> Iterator[Key]:
    yield from _of_config(item.typed_config)


def _of_config(config: Any) -> Iterator[Key]:
    manager = http.HttpConnectionManager()
    if config.Unpack(manager):
        if manager.HasField("rds"):
            yield Key(ROUTE, manager.rds.route_config_name)
        yield from _of_routes(manager.route_config)
        return
    proxy = TcpProxy()
    if config.Unpack(proxy):
        if proxy.cluster:
            yield Key(CLUSTER, proxy.cluster)
        for weighted in proxy.weighted_clusters.clusters:
            yield Key(CLUSTER, weighted.name)


def _addresses(listener: Listener) -> Iterator[Key]:
    if listener.HasField("address"):
        yield _address(listener.address)
    for extra in listener.additional_addresses:
        yield _address(extra.address)


def _address(address: Address) -> Key:
    if address.HasField("pipe"):
        return Key(ADDRESS, f"unix:{address.pipe.path}")
    socket = address.socket_address
    return Key(ADDRESS, f"{socket.protocol}:{socket.address}:{socket.port_value}")

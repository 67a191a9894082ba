"""Envoy's messages made by hand: small, valid, without the translator."""

from collections.abc import Iterable
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from google.protobuf import duration_pb2, json_format


def seconds(value: float) -> duration_pb2.Duration:
    """A Duration."""
    whole = int(value)
    return duration_pb2.Duration(seconds=whole, nanos=round((value - whole) * 1e9))


def cluster(
    name: str, *, connect_timeout: float = 1.0, monitor: dict[str, Any] | None = None
) -> Any:
    """An EDS cluster over ADS.

    Args:
        name: of the cluster and of its ClusterLoadAssignment.
        connect_timeout: seconds; change it to make another version of the cluster.
        monitor: an HTTP health check, fields as in Envoy's JSON over the defaults here.
    """
    content: dict[str, Any] = {
        "name": name,
        "type": "EDS",
        "connect_timeout": f"{connect_timeout}s",
        "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}},
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        "ignore_health_on_host_removal": True,
    }
    if monitor is not None:
        content["health_checks"] = [
            {
                "timeout": "1s",
                "interval": "0.3s",
                "no_traffic_interval": "0.3s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/"},
                **monitor,
            }
        ]
    return json_format.ParseDict(content, cluster_pb2.Cluster())


def endpoints(name: str, addresses: Iterable[str] = ()) -> endpoint_pb2.ClusterLoadAssignment:
    """The members of a cluster, each `ip:port`."""
    assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    for address in addresses:
        host, _, port = address.rpartition(":")
        group = assignment.endpoints[0] if assignment.endpoints else assignment.endpoints.add()
        socket = group.lb_endpoints.add().endpoint.address.socket_address
        socket.address, socket.port_value = host, int(port)
    return assignment


def route(name: str, cluster_name: str, *, timeout: float = 15.0) -> route_pb2.RouteConfiguration:
    """All of a listener's requests to one cluster."""
    configuration = route_pb2.RouteConfiguration(name=name)
    host = configuration.virtual_hosts.add(name="all", domains=["*"])
    entry = host.routes.add()
    entry.match.prefix = "/"
    entry.route.cluster = cluster_name
    entry.route.timeout.CopyFrom(seconds(timeout))
    return configuration


def http_listener(
    name: str, port: int, *, address: str = "127.0.0.1", route_name: str = ""
) -> listener_pb2.Listener:
    """An HTTP listener whose routes come over RDS."""
    manager = http_connection_manager_pb2.HttpConnectionManager(stat_prefix=name)
    manager.rds.route_config_name = route_name or name
    manager.rds.config_source.ads.SetInParent()
    manager.rds.config_source.resource_api_version = 2  # V3
    router = manager.http_filters.add(name="envoy.filters.http.router")
    router.typed_config.Pack(router_pb2.Router())
    return _listener(name, address, port, "envoy.filters.network.http_connection_manager", manager)


def tcp_listener(
    name: str, port: int, cluster_name: str, *, address: str = "127.0.0.1"
) -> listener_pb2.Listener:
    """A TCP listener that hands every connection to one cluster."""
    proxy = tcp_proxy_pb2.TcpProxy(stat_prefix=name, cluster=cluster_name)
    return _listener(name, address, port, "envoy.filters.network.tcp_proxy", proxy)


def _listener(
    name: str, address: str, port: int, filter_name: str, config: Any
) -> listener_pb2.Listener:
    listener = listener_pb2.Listener(name=name)
    listener.address.socket_address.address = address
    listener.address.socket_address.port_value = port
    entry = listener.filter_chains.add().filters.add(name=filter_name)
    entry.typed_config.Pack(config)
    return listener


def vip(name: str, port: int, addresses: Iterable[str], **cluster_options: Any) -> list[Any]:
    """A whole tree: cluster, its members, a listener and its route, all of one name."""
    return [
        cluster(name, **cluster_options),
        endpoints(name, addresses),
        http_listener(name, port),
        route(name, name),
    ]

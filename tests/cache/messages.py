"""Small Envoy messages for the tests of the core: trees of cluster, endpoints, listener, route."""

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.config_source_pb2 import ConfigSource
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import (
    Route,
    RouteAction,
    RouteMatch,
    VirtualHost,
)
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.service.runtime.v3.rtds_pb2 import Runtime
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration

from xds.cache import Resource


def cluster(name: str, tag: int = 0, *, shares: str = "") -> Resource:
    message = Cluster(name=name, type=Cluster.EDS, connect_timeout=Duration(seconds=1 + tag))
    message.eds_cluster_config.eds_config.ads.SetInParent()
    message.eds_cluster_config.service_name = shares
    return Resource.of(message)


def endpoints(name: str, *ports: int) -> Resource:
    message = ClusterLoadAssignment(cluster_name=name)
    for port in ports:
        endpoint = message.endpoints.add().lb_endpoints.add().endpoint
        endpoint.address.socket_address.address = "10.0.0.1"
        endpoint.address.socket_address.port_value = port
    return Resource.of(message)


def _chain(name: str, config: hcm.HttpConnectionManager | TcpProxy) -> FilterChain:
    item = Filter(name=name)
    item.typed_config.Pack(config)
    return FilterChain(filters=[item])


def _listener(name: str, port: int, chain: FilterChain) -> Resource:
    message = Listener(name=name, filter_chains=[chain])
    message.address.socket_address.address = "127.0.0.1"
    message.address.socket_address.port_value = port
    return Resource.of(message)


def http_listener(name: str, port: int, route: str, tag: int = 0) -> Resource:
    config = hcm.HttpConnectionManager(stat_prefix=f"s{tag}")
    config.rds.route_config_name = route
    config.rds.config_source.CopyFrom(ConfigSource())
    config.rds.config_source.ads.SetInParent()
    return _listener(name, port, _chain("hcm", config))


def tcp_listener(name: str, port: int, cluster: str, tag: int = 0) -> Resource:
    return _listener(name, port, _chain("tcp", TcpProxy(stat_prefix=f"s{tag}", cluster=cluster)))


def route(name: str, *clusters: str, tag: int = 0) -> Resource:
    host = VirtualHost(name=f"h{tag}", domains=["*"])
    for one in clusters:
        host.routes.append(Route(match=RouteMatch(prefix="/"), route=RouteAction(cluster=one)))
    return Resource.of(RouteConfiguration(name=name, virtual_hosts=[host]))


def runtime(name: str, fields: dict[str, float]) -> Resource:
    message = Runtime(name=name)
    message.layer.update(fields)
    return Resource.of(message)


def limits(resource: Resource) -> dict[str, float]:
    message = Runtime()
    Any.FromString(resource.body).Unpack(message)
    return dict(message.layer)

"""What a node's Envoy is started with: who it is, and where its control plane is.

All else comes over ADS. Figures in the comments were measured on Envoy 1.40.0;
`deploy/envoy/README.md` explains each setting for operators.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from envoy.config.bootstrap.v3.bootstrap_pb2 import Admin, Bootstrap, RuntimeLayer
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.config_source_pb2 import ApiConfigSource, ApiVersion, ConfigSource
from envoy.config.overload.v3.overload_pb2 import OverloadManager
from envoy.extensions.resource_monitors.downstream_connections.v3 import downstream_connections_pb2
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from google.protobuf.json_format import MessageToJson

from lbaas.model.names import leaf
from xds.translate.extension import packed

CONTROL_PLANE: Final = "tidegate"
"""The cluster that reaches the control plane."""

RUNTIME_LAYER: Final = "tidegate"
"""The runtime layer that comes over RTDS: the name of the one Runtime resource of a node."""

ARGUMENTS: Final = ("--drain-time-s", "600", "--disable-hot-restart")
"""How Envoy is started beside its bootstrap.

A listener that changes or goes cuts its old connections when this time has passed: ten minutes
(Envoy's default, chosen) let most end by themselves. Without hot restart several Envoys can run on
one host.
"""

_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CONNECTIONS_MONITOR: Final = "envoy.resource_monitors.global_downstream_max_connections"
_LOOPBACK: Final = "127.0.0.1"
_KEEPALIVE_INTERVAL: Final = 5
_KEEPALIVE_TIMEOUT: Final = 3
_CONNECT_TIMEOUT: Final = 1
_FIRST_RETRY_NANOS: Final = 100_000_000
_LAST_RETRY: Final = 2


def bootstrap(
    *,
    fleet: str,
    node: str,
    xds_address: Sequence[tuple[str, int] | str],
    admin_port: int = 9901,
    admin_path: str = "",
    max_connections: int = 50_000,
) -> Bootstrap:
    """Gives the bootstrap of a node.

    Args:
        fleet: the fleet's id or name; Envoy reports the id as its cluster.
        node: the node's id or name; unique in its fleet.
        xds_address: host and port of every control plane process, or the path of a unix socket
            that it listens on; one at least.
        admin_port: the admin port on loopback; 0: a free one (`--admin-address-path` tells it).
        admin_path: a unix socket for admin instead of the port, if not empty.
        max_connections: clients' connections over all listeners; more are refused.
    """
    if not xds_address:
        raise ValueError("a bootstrap needs the address of at least one control plane")
    config = Bootstrap()
    config.node.cluster = leaf(fleet)
    config.node.id = leaf(node)
    _fill_admin(config.admin, port=admin_port, path=admin_path)
    _fill_dynamic(config.dynamic_resources)
    config.static_resources.clusters.append(_control_plane(xds_address))
    config.layered_runtime.layers.extend(_runtime_layers())
    config.overload_manager.CopyFrom(_overload(max_connections))
    # A cluster's traffic counters exist from its first traffic on: 1,000 quiet pools took 183 MiB
    # instead of 202. Who reads statistics takes an absent counter for 0.
    config.deferred_stat_options.enable_deferred_creation_stats = True
    return config


def to_json(config: Bootstrap) -> str:
    """Gives the bootstrap as Envoy reads it from a `.json` file.

    Not YAML: Envoy reads YAML 1.1, where an id `n` is false and `1e3` is a number.
    """
    return MessageToJson(config, preserving_proto_field_name=True) + "\n"


def _fill_admin(admin: Admin, *, port: int, path: str) -> None:
    # Admin has no authentication and can stop Envoy: it never leaves the host.
    if path:
        admin.address.pipe.path = path
        admin.address.pipe.mode = 0o600
    else:
        admin.address.socket_address.address = _LOOPBACK
        admin.address.socket_address.port_value = port
    # To be reachable when clients have taken all connections.
    admin.ignore_global_conn_limit = True


def _fill_dynamic(dynamic: Bootstrap.DynamicResources) -> None:
    ads = dynamic.ads_config
    # Delta: one change costs 228 B where state-of-the-world costs 1.6 MB at 10,000 clusters, and
    # a reconnect sends nothing that the node already has.
    ads.api_type = ApiConfigSource.DELTA_GRPC
    ads.transport_api_version = ApiVersion.V3
    ads.set_node_on_first_message_only = True
    link = ads.grpc_services.add().envoy_grpc
    link.cluster_name = CONTROL_PLANE
    # Envoy's own backs off to 30 s: nodes would follow that late when the control plane is back.
    # 5,000 nodes at once were served in 0.4 s.
    link.retry_policy.retry_back_off.base_interval.nanos = _FIRST_RETRY_NANOS
    link.retry_policy.retry_back_off.max_interval.seconds = _LAST_RETRY
    for source in (dynamic.cds_config, dynamic.lds_config):
        _over_ads(source)
        # No deadline: a node that has not heard what to serve is not ready (`/ready`).
        source.initial_fetch_timeout.SetInParent()


def _over_ads(source: ConfigSource) -> None:
    source.ads.SetInParent()
    source.resource_api_version = ApiVersion.V3


def _control_plane(addresses: Sequence[tuple[str, int] | str]) -> Cluster:
    named = any(not isinstance(each, str) and not _is_ip(each[0]) for each in addresses)
    cluster = Cluster(name=CONTROL_PLANE, type=Cluster.STRICT_DNS if named else Cluster.STATIC)
    if named:
        # A name that has both, `localhost` say, is tried where IPv4 servers listen.
        cluster.dns_lookup_family = Cluster.V4_PREFERRED
    cluster.connect_timeout.seconds = _CONNECT_TIMEOUT
    options = HttpProtocolOptions()
    http2 = options.explicit_http_config.http2_protocol_options
    # A half-open link is noticed after 8 s; without keepalive not within 25 s.
    http2.connection_keepalive.interval.seconds = _KEEPALIVE_INTERVAL
    http2.connection_keepalive.timeout.seconds = _KEEPALIVE_TIMEOUT
    cluster.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(packed(options))
    # All processes of the control plane, in turn: when one died, nodes were back on another in
    # 0.01-0.11 s and were sent nothing twice. A node's agent may take this place one day.
    cluster.load_assignment.cluster_name = CONTROL_PLANE
    locality = cluster.load_assignment.endpoints.add()
    for each in addresses:
        address = locality.lb_endpoints.add().endpoint.address
        if isinstance(each, str):
            address.pipe.path = each
        else:
            address.socket_address.address, address.socket_address.port_value = each
    return cluster


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _runtime_layers() -> list[RuntimeLayer]:
    fixed = RuntimeLayer(name="static")
    # With it on, Envoy 1.38 left hashing clusters at 503, or without their new members, for
    # good (envoyproxy/envoy#45212).
    fixed.static_layer.fields[
        "envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update"
    ].bool_value = False
    # What changes at run time without cutting a connection (connection limits).
    served = RuntimeLayer(name=RUNTIME_LAYER)
    served.rtds_layer.name = RUNTIME_LAYER
    _over_ads(served.rtds_layer.rtds_config)
    # The operator's own `/runtime_modify` comes last and wins, until Envoy restarts.
    by_hand = RuntimeLayer(name="admin")
    by_hand.admin_layer.SetInParent()
    return [fixed, served, by_hand]


def _overload(max_connections: int) -> OverloadManager:
    # Without a bound on all listeners together a flood takes the node's descriptors, and with
    # them the link to the control plane; Envoy warns when there is none.
    manager = OverloadManager()
    monitor = manager.resource_monitors.add(name=_CONNECTIONS_MONITOR)
    limit = downstream_connections_pb2.DownstreamConnectionsConfig(
        max_active_downstream_connections=max_connections
    )
    monitor.typed_config.CopyFrom(packed(limit))
    return manager

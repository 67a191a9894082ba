"""A VIP becomes a listener.

Whatever changes in a listener cuts its established connections when the old one has drained, and
no other kind of resource does: so nothing that a tenant may change is here if it can be elsewhere.
Figures in the comments were measured on Envoy 1.40.0.
"""

from typing import Final

from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.core.v3.config_source_pb2 import ApiVersion
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from lbaas.model.enums import FleetKind, Protocol
from lbaas.model.objects import Fleet, Vip
from xds.translate.extension import packed
from xds.translate.persistence import FILTERS

HttpConnectionManager = http_connection_manager_pb2.HttpConnectionManager

_TCP_IDLE: Final = 3600
_TCP_ATTEMPTS: Final = 3
_HTTP_IDLE: Final = 3600
_STREAM_IDLE: Final = 300
_HEADERS_TIMEOUT: Final = 60
_HOST_OF_HTTP_10: Final = "localhost"
_H2_STREAMS: Final = 100
_H2_STREAM_WINDOW: Final = 64 * 1024
_H2_CONNECTION_WINDOW: Final = 1024 * 1024


def build_listener(vip: Vip, fleet: Fleet, *, cluster: str, hashed: bool) -> Listener:
    """Gives the listener of a VIP that has an address.

    HTTP asks for its routes over RDS, by the VIP's name. TCP and HTTPS (TLS passed through
    untouched) name their cluster here; `hashed`: with the client's address as the hash. For them
    switching persistence is thus a change of the listener, and cuts connections at drain time.
    """
    listener = Listener(name=vip.name, stat_prefix=vip.name)
    address = listener.address.socket_address
    address.address = vip.address
    address.port_value = vip.port
    # An edge node's listeners face clients, a sidecar's face the application beside it;
    # `/drain_listeners?inboundonly` tells them apart.
    listener.traffic_direction = (
        TrafficDirection.INBOUND if fleet.kind is FleetKind.EDGE else TrafficDirection.OUTBOUND
    )
    network_filter = listener.filter_chains.add().filters.add()
    if vip.protocol is Protocol.HTTP:
        _fill_http(network_filter, vip)
    else:
        _fill_tcp(network_filter, vip, cluster=cluster, hashed=hashed)
    return listener


def _fill_tcp(network_filter: Filter, vip: Vip, *, cluster: str, hashed: bool) -> None:
    proxy = TcpProxy(stat_prefix=vip.name, cluster=cluster)
    # Envoy's default, written down so that an upgrade cannot move it.
    proxy.idle_timeout.seconds = _TCP_IDLE
    # The default is one attempt: a member that died since its last check would cost a client its
    # connection although others live.
    proxy.max_connect_attempts.value = _TCP_ATTEMPTS
    if hashed:
        proxy.hash_policy.add().source_ip.SetInParent()
    network_filter.name = "envoy.filters.network.tcp_proxy"
    network_filter.typed_config.CopyFrom(packed(proxy))


def _fill_http(network_filter: Filter, vip: Vip) -> None:
    manager = HttpConnectionManager()
    manager.CopyFrom(_HTTP)
    manager.stat_prefix = vip.name
    manager.rds.route_config_name = vip.name
    network_filter.name = "envoy.filters.network.http_connection_manager"
    network_filter.typed_config.CopyFrom(packed(manager))


def _http_defaults() -> HttpConnectionManager:
    manager = HttpConnectionManager(codec_type=HttpConnectionManager.AUTO)
    manager.rds.config_source.ads.SetInParent()
    manager.rds.config_source.resource_api_version = ApiVersion.V3
    # Else the client's address is what X-Forwarded-For says: one client that forged it reached
    # 10 members in 30 tries, with this 1.
    manager.use_remote_address.value = True
    # Nobody's x-envoy-* request headers (retries, timeouts) are obeyed, whatever the address
    # they come from; private ranges count as internal otherwise.
    manager.internal_address_config.SetInParent()
    _fill_limits(manager)
    # The member's answer and the client's request pass as they are.
    manager.server_header_transformation = HttpConnectionManager.PASS_THROUGH
    manager.generate_request_id.value = False
    # Without it Envoy answers HTTP/1.0 with 426; old clients and checkers still speak it, and
    # need not name a host (400 without a default).
    manager.http_protocol_options.accept_http_10 = True
    manager.http_protocol_options.default_host_for_http_10 = _HOST_OF_HTTP_10
    manager.upgrade_configs.add(upgrade_type="websocket")
    manager.http_filters.extend(FILTERS)
    router = manager.http_filters.add(name="envoy.filters.http.router")
    router.typed_config.CopyFrom(packed(Router(suppress_envoy_headers=True)))
    return manager


def _fill_limits(manager: HttpConnectionManager) -> None:
    # All are explicit so that an upgrade of Envoy cannot move them. Uploads and long answers may
    # take as long as they move (no request_timeout); a stream or connection that stands still
    # may not, nor may headers trickle in for ever.
    manager.stream_idle_timeout.seconds = _STREAM_IDLE
    manager.request_timeout.SetInParent()
    manager.request_headers_timeout.seconds = _HEADERS_TIMEOUT
    manager.common_http_protocol_options.idle_timeout.seconds = _HTTP_IDLE
    # Envoy's advice for an edge: its own defaults (2^31 streams, 256 MiB windows) let one client
    # take a node's memory.
    options = manager.http2_protocol_options
    options.max_concurrent_streams.value = _H2_STREAMS
    options.initial_stream_window_size.value = _H2_STREAM_WINDOW
    options.initial_connection_window_size.value = _H2_CONNECTION_WINDOW


_HTTP: Final = _http_defaults()

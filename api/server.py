"""The management API's gRPC server."""

import ipaddress
import os
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, cast

import grpc.aio
from grpc_channelz.v1 import channelz, channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from api.agent_service import AgentService
from api.agents import Agents
from api.calls import CallInterceptor, CallObserver
from api.fleet_service import FleetService
from api.fleet_view import FleetView
from api.health_monitor_service import HealthMonitorService
from api.interceptor import ErrorInterceptor
from api.load_balancer_service import LoadBalancerService
from api.member_service import MemberService
from api.paging import Pager
from api.pool_service import PoolService
from api.quota_service import QuotaService
from api.reflection import add_reflection
from api.service_type_service import ServiceTypeService
from api.serving import Serving
from api.vip_service import VipService
from lbaas.model.errors import FailedPrecondition
from lbaas.store.store import Store
from lbaas.v1 import (
    agent_service_pb2,
    agent_service_pb2_grpc,
    fleet_service_pb2,
    fleet_service_pb2_grpc,
    health_monitor_service_pb2,
    health_monitor_service_pb2_grpc,
    load_balancer_service_pb2,
    load_balancer_service_pb2_grpc,
    member_service_pb2,
    member_service_pb2_grpc,
    pool_service_pb2,
    pool_service_pb2_grpc,
    quota_service_pb2,
    quota_service_pb2_grpc,
    service_type_service_pb2,
    service_type_service_pb2_grpc,
    vip_service_pb2,
    vip_service_pb2_grpc,
)

LARGEST_MESSAGE = 4 * 1024 * 1024
LARGEST_METADATA = 16 * 1024
HEARTBEAT = timedelta(seconds=15)
UNIX = "unix:"
STOP_SECONDS = 2.0
"""How long calls may still take when the server stops; watches and waits end at once."""

_FILES = (
    agent_service_pb2.DESCRIPTOR,
    fleet_service_pb2.DESCRIPTOR,
    health_monitor_service_pb2.DESCRIPTOR,
    load_balancer_service_pb2.DESCRIPTOR,
    member_service_pb2.DESCRIPTOR,
    pool_service_pb2.DESCRIPTOR,
    quota_service_pb2.DESCRIPTOR,
    service_type_service_pb2.DESCRIPTOR,
    vip_service_pb2.DESCRIPTOR,
)
SERVICES: tuple[str, ...] = tuple(
    service.full_name for file in _FILES for service in file.services_by_name.values()
)
"""The full names of the API's services."""

_OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_metadata_size", LARGEST_METADATA // 2),
    ("grpc.absolute_max_metadata_size", LARGEST_METADATA),
    ("grpc.enable_channelz", 1),
    # Agents' streams are quiet for long: one whose host has vanished is noticed within 20 s (it
    # was after 19; with the keepalive timeout alone not in 60, grpcio 1.85), and agents may ask the
    # same of the server (grpcio's default takes that for abuse).
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
    # Two servers on one port would share its connections at random.
    ("grpc.so_reuseport", 0),
    # A herd of clients that come back at once is refused at the default (grpcio 1.85, measured).
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
)


# The stubs of both know their synchronous halves only.
_health_aio = cast("Any", health).aio
_channelz_aio = cast("Any", channelz).aio


class HealthChecks(Protocol):
    """gRPC's health service."""

    async def set(self, service: str, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        """Says how a service is."""
        ...

    async def enter_graceful_shutdown(self) -> None:
        """Says that all services are going."""
        ...


@dataclass(slots=True)
class ApiServer:
    """A server that runs; `port` is 0 for a unix socket."""

    port: int
    _server: grpc.aio.Server
    _serving: Serving
    _health: HealthChecks

    async def stop(self) -> None:
        """Ends watches and waits, lets other calls finish, then closes the door."""
        await self._health.enter_graceful_shutdown()
        self._serving.stop()
        await self._server.stop(STOP_SECONDS)


async def serve_api(
    store: Store,
    view: FleetView,
    address: str,
    *,
    agents: Agents,
    page_secret: bytes = b"",
    heartbeat: timedelta = HEARTBEAT,
    observe: CallObserver = lambda *_: None,
) -> ApiServer:
    """Starts the API's server on a store that is open.

    A unix socket is its owner's alone (mode 0600): whoever may open it may do everything.

    Args:
        store: Where everything is kept.
        view: What only the streams know.
        address: `host:port` on loopback (port 0 takes a free one), or `unix:/path`.
        agents: Takes what agents report.
        page_secret: Signs page tokens; processes of one plane share it. Empty: a random one.
        heartbeat: After how much silence a watch shows a sign of life.
        observe: Is told of every call when it has ended.

    Raises:
        FailedPrecondition: The address is not loopback, or cannot be listened on.
    """
    refuse_beyond_loopback(address)
    interceptors = [CallInterceptor(observe), ErrorInterceptor()]
    server = grpc.aio.server(interceptors=interceptors, options=_OPTIONS)
    serving, checks = await add_services(
        server, store, view, agents=agents, page_secret=page_secret, heartbeat=heartbeat
    )
    try:
        port = _bind(server, address)
    except RuntimeError as error:
        raise FailedPrecondition(
            f"cannot listen on {address!r}: is it in use?",
            reason="CANNOT_LISTEN",
            subject=address,
        ) from error
    await server.start()
    return ApiServer(0 if address.startswith(UNIX) else port, server, serving, checks)


def _bind(server: grpc.aio.Server, address: str) -> int:
    # A unix socket has no other credentials than its owner's.
    mask = os.umask(0o177)
    try:
        return server.add_insecure_port(address)
    finally:
        os.umask(mask)


async def add_services(
    server: grpc.aio.Server,
    store: Store,
    view: FleetView,
    *,
    agents: Agents,
    page_secret: bytes = b"",
    heartbeat: timedelta = HEARTBEAT,
) -> tuple[Serving, HealthChecks]:
    """Adds the API's services, health, channelz and reflection to a server.

    The server must have been made with `ErrorInterceptor`. Gives what to stop with it.
    """
    serving = Serving(
        store=store,
        view=view,
        pager=Pager(page_secret or secrets.token_bytes(32)),
        policy=await store.read(lambda tx: tx.policy),
        heartbeat=heartbeat,
    )
    pool_service_pb2_grpc.add_PoolServiceServicer_to_server(PoolService(serving), server)
    member_service_pb2_grpc.add_MemberServiceServicer_to_server(MemberService(serving), server)
    health_monitor_service_pb2_grpc.add_HealthMonitorServiceServicer_to_server(
        HealthMonitorService(serving), server
    )
    vip_service_pb2_grpc.add_VipServiceServicer_to_server(VipService(serving), server)
    load_balancer_service_pb2_grpc.add_LoadBalancerServiceServicer_to_server(
        LoadBalancerService(serving), server
    )
    service_type_service_pb2_grpc.add_ServiceTypeServiceServicer_to_server(
        ServiceTypeService(serving), server
    )
    fleet_service_pb2_grpc.add_FleetServiceServicer_to_server(FleetService(serving), server)
    quota_service_pb2_grpc.add_QuotaServiceServicer_to_server(QuotaService(serving), server)
    agent_service_pb2_grpc.add_AgentServiceServicer_to_server(AgentService(serving, agents), server)
    checks: HealthChecks = _health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    for service in ("", *SERVICES):
        await checks.set(service, health_pb2.HealthCheckResponse.SERVING)
    channelz_pb2_grpc.add_ChannelzServicer_to_server(_channelz_aio.ChannelzServicer(), server)
    add_reflection(
        server,
        [
            *SERVICES,
            health.SERVICE_NAME,
            channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name,
        ],
    )
    return serving, checks


def refuse_beyond_loopback(address: str) -> None:
    """Refuses to listen where others could call, for callers cannot be told apart yet.

    Raises:
        FailedPrecondition: The address is neither loopback nor a unix socket.
    """
    if address.startswith(UNIX):
        return
    host = address.rpartition(":")[0].strip("[]")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise FailedPrecondition(
            f"refusing to listen on {address!r}: without authentication the API listens on"
            " loopback (127.0.0.1, ::1 or localhost) and unix sockets (unix:/path) only",
            reason="AUTHENTICATION_REQUIRED",
            subject=address,
        )

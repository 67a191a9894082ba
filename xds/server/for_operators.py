"""What a person with grpcurl or `buf curl` finds on the fleet port: reflection and health.

Reflection answers from the descriptors that are loaded: those of Envoy's services, and of every
message that was published in this process, so that a tool can print what is inside an `Any`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, cast

import grpc
from envoy.service.cluster.v3 import cds_pb2
from envoy.service.discovery.v3 import ads_pb2
from envoy.service.endpoint.v3 import eds_pb2
from envoy.service.listener.v3 import lds_pb2
from envoy.service.route.v3 import rds_pb2
from envoy.service.runtime.v3 import rtds_pb2
from envoy.service.secret.v3 import sds_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

_LOADED = (ads_pb2, cds_pb2, eds_pb2, lds_pb2, rds_pb2, rtds_pb2, sds_pb2)
"""Not used by name: reflection knows the services of the modules that are loaded."""

SERVING = health_pb2.HealthCheckResponse.SERVING


class HealthChecks(Protocol):
    """gRPC's health service."""

    async def set(self, service: str, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        """Says how a service is."""
        ...

    async def enter_graceful_shutdown(self) -> None:
        """Says that all services are going."""
        ...


async def add_for_operators(server: grpc.aio.Server, services: Iterable[str]) -> HealthChecks:
    """Adds reflection and health to a server that is not started yet.

    Args:
        server: the server.
        services: the full names of the services on it, whose generated modules are loaded.

    Returns:
        The health service; all `services` are SERVING.
    """
    names = tuple(services)
    # The stubs know its synchronous half only.
    checks: HealthChecks = cast("Any", health).aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    for name in ("", *names):
        await checks.set(name, SERVING)
    reflection.enable_server_reflection(
        (*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    return checks

"""A whole Tidegate for a test: control plane, real Envoys, tenants that speak gRPC."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict

from lbaas.v1 import (
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
    vip_service_pb2,
    vip_service_pb2_grpc,
)
from lbaas.v1.status_pb2 import ProvisioningStatus
from tests.harness.envoy_process import EnvoyProcess
from tidegate.config import Settings
from tidegate.plane import Plane, running_plane
from xds.translate.bootstrap import bootstrap, to_json

APPLIED = load_balancer_service_pb2.WaitOutcome.APPLIED
REJECTED = load_balancer_service_pb2.WaitOutcome.REJECTED
STATUS = ProvisioningStatus


def settings(folder: Path, **more: Any) -> Settings:
    """Settings for a trial on one machine: free ports, members on loopback."""
    return Settings(
        **{
            "database": f"sqlite:///{folder}/tidegate.db",
            "api_address": "127.0.0.1:0",
            "xds_address": "127.0.0.1:0",
            "member_ranges_allowed": ("127.0.0.0/8",),
            **more,
        }
    )


def node_bootstrap(fleet: str, node: str, xds_port: int) -> dict[str, Any]:
    """What `tidegate bootstrap` gives, with the admin interface where the harness wants it."""
    made = bootstrap(fleet=fleet, node=node, xds_address=[("127.0.0.1", xds_port)])
    config = json.loads(to_json(made))
    config["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
    return config


class Client:
    """Calls the management API, on a port or a `unix:/path`, with JSON-like dicts."""

    def __init__(self, where: int | str) -> None:
        self.channel = grpc.aio.insecure_channel(
            where if isinstance(where, str) else f"127.0.0.1:{where}",
            options=[("grpc.enable_retries", 0)],
        )
        self.pools = pool_service_pb2_grpc.PoolServiceStub(self.channel)
        self.members = member_service_pb2_grpc.MemberServiceStub(self.channel)
        self.monitors = health_monitor_service_pb2_grpc.HealthMonitorServiceStub(self.channel)
        self.vips = vip_service_pb2_grpc.VipServiceStub(self.channel)
        self.fleets = fleet_service_pb2_grpc.FleetServiceStub(self.channel)
        self.quotas = quota_service_pb2_grpc.QuotaServiceStub(self.channel)
        self.trees = load_balancer_service_pb2_grpc.LoadBalancerServiceStub(self.channel)

    async def fleet(self, fleet: str, **fields: Any) -> Any:
        request = fleet_service_pb2.CreateFleetRequest()
        return await self.fleets.CreateFleet(
            ParseDict({"fleet_id": fleet, "fleet": {"kind": "EDGE", **fields}}, request)
        )

    async def pool(self, project: str, pool: str, **fields: Any) -> Any:
        body = {"protocol": "HTTP", "lb_method": "ROUND_ROBIN", **fields}
        request = pool_service_pb2.CreatePoolRequest()
        parent = f"projects/{project}"
        return await self.pools.CreatePool(
            ParseDict({"parent": parent, "pool_id": pool, "pool": body}, request)
        )

    async def member(self, pool: str, member: str, address: str, **fields: Any) -> Any:
        host, _, port = address.rpartition(":")
        body = {"address": host, "port": int(port), **fields}
        request = member_service_pb2.CreateMemberRequest()
        return await self.members.CreateMember(
            ParseDict({"parent": pool, "member_id": member, "member": body}, request)
        )

    async def monitor(self, project: str, monitor: str, **fields: Any) -> Any:
        body = {"type": "HTTP", "delay": "0.3s", "timeout": "0.2s", "max_retries": 2, **fields}
        request = health_monitor_service_pb2.CreateHealthMonitorRequest()
        parent = f"projects/{project}"
        return await self.monitors.CreateHealthMonitor(
            ParseDict(
                {"parent": parent, "health_monitor_id": monitor, "health_monitor": body}, request
            )
        )

    async def associate(self, pool: str, monitor: str) -> Any:
        return await self.pools.AssociateHealthMonitor(
            pool_service_pb2.AssociateHealthMonitorRequest(name=pool, health_monitor=monitor)
        )

    async def vip(self, project: str, vip: str, *, pool: str, port: int, **fields: Any) -> Any:
        body = {"pool": pool, "port": port, "protocol": "HTTP", "address": "127.0.0.1", **fields}
        request = vip_service_pb2.CreateVipRequest()
        parent = f"projects/{project}"
        return await self.vips.CreateVip(
            ParseDict({"parent": parent, "vip_id": vip, "vip": body}, request)
        )

    async def apply(self, tree: Mapping[str, Any], **fields: Any) -> Any:
        request = load_balancer_service_pb2.ApplyRequest()
        return await self.trees.Apply(ParseDict({"load_balancer": tree, **fields}, request))

    async def wait(self, name: str, *, revision: int = 0, seconds: float = 10.0) -> Any:
        request = load_balancer_service_pb2.WaitForAppliedRequest(name=name, revision=revision)
        request.timeout.FromMilliseconds(int(seconds * 1000))
        return await self.trees.WaitForApplied(request, timeout=seconds + 5)

    async def applied(self, name: str, *, revision: int = 0, seconds: float = 10.0) -> Any:
        """Waits until an object is live; anything else is the test's failure."""
        answer = await self.wait(name, revision=revision, seconds=seconds)
        assert answer.outcome == APPLIED, f"{name} is not live: {answer}"
        return answer

    async def project(self, project: str, *, quota: int = -1) -> None:
        """Lifts a project's quotas."""
        quotas = dict.fromkeys(("pools", "vips", "members", "health_monitors"), quota)
        await self.quotas.UpdateQuota(
            ParseDict(
                {"quota": {"name": f"projects/{project}/quota", **quotas}},
                quota_service_pb2.UpdateQuotaRequest(),
            )
        )


@contextlib.asynccontextmanager
async def client_of(where: int | str) -> AsyncIterator[Client]:
    """A client that is closed at the end."""
    client = Client(where)
    try:
        yield client
    finally:
        await client.channel.close()


@contextlib.asynccontextmanager
async def world(
    folder: Path, *, fleet: str = "edge", nodes: int = 1, **more: Any
) -> AsyncIterator[tuple[Plane, Client, list[EnvoyProcess]]]:
    """A control plane, one fleet, its real Envoys (connected and counted), and a client."""
    async with contextlib.AsyncExitStack() as stack:
        plane = await stack.enter_async_context(running_plane(settings(folder, **more)))
        client = await stack.enter_async_context(client_of(plane.api_port))
        await client.fleet(fleet)
        envoys = [
            await stack.enter_async_context(
                EnvoyProcess(node_bootstrap(fleet, f"node-{number}", plane.xds_port))
            )
            for number in range(nodes)
        ]
        await asyncio.gather(*(envoy.wait_ready() for envoy in envoys))
        yield plane, client, envoys

"""What the demo asks of the API, in a tenant's order, and how long each change took."""

import asyncio
import time
from collections.abc import Callable

import grpc
from google.protobuf.duration_pb2 import Duration

from lbaas.model.names import leaf
from lbaas.v1 import fleet_pb2, health_monitor_pb2, member_pb2, pool_pb2, vip_pb2
from lbaas.v1.enums_pb2 import HealthMonitorType, LbMethod, Protocol
from lbaas.v1.fleet_service_pb2 import CreateFleetRequest, GetNodeRequest
from lbaas.v1.fleet_service_pb2_grpc import FleetServiceStub
from lbaas.v1.health_monitor_service_pb2 import (
    CreateHealthMonitorRequest,
    ListHealthMonitorsRequest,
)
from lbaas.v1.health_monitor_service_pb2_grpc import HealthMonitorServiceStub
from lbaas.v1.load_balancer_service_pb2 import WaitForAppliedRequest, WaitOutcome
from lbaas.v1.load_balancer_service_pb2_grpc import LoadBalancerServiceStub
from lbaas.v1.member_service_pb2 import CreateMemberRequest, ListMembersRequest
from lbaas.v1.member_service_pb2_grpc import MemberServiceStub
from lbaas.v1.pool_service_pb2 import (
    AssociateHealthMonitorRequest,
    CreatePoolRequest,
    ListPoolsRequest,
)
from lbaas.v1.pool_service_pb2_grpc import PoolServiceStub
from lbaas.v1.status_pb2 import ProvisioningStatus
from lbaas.v1.vip_service_pb2 import CreateVipRequest, ListVipsRequest
from lbaas.v1.vip_service_pb2_grpc import VipServiceStub
from tidegate.demo_processes import DemoFailure

_WITHIN = Duration(seconds=30)
_POLL = 0.02

Written = pool_pb2.Pool | member_pb2.Member | health_monitor_pb2.HealthMonitor | vip_pb2.Vip
StatusRow = tuple[str, ProvisioningStatus.Code.ValueType, int, int]


class Tenant:
    """Calls as anybody would make them: create, then wait until it is live."""

    def __init__(self, api: str, say: Callable[[str], None]) -> None:
        """Takes the API's address, and where to say what was done."""
        self._channel = grpc.aio.insecure_channel(api, options=(("grpc.enable_http_proxy", 0),))
        self._say = say

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close(None)

    async def create_fleet(self, fleet_id: str, *, vip_range: str) -> None:
        """Registers a fleet, as an operator."""
        fleet = fleet_pb2.Fleet(vip_ranges=[vip_range])
        await FleetServiceStub(self._channel).CreateFleet(
            CreateFleetRequest(fleet_id=fleet_id, fleet=fleet)
        )

    async def node_joined(self, name: str, *, within: float) -> str:
        """Waits until a node is in step with its fleet; gives its Envoy's version.

        Raises:
            DemoFailure: it is not within the time (seconds).
        """
        request = GetNodeRequest(name=name)
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        node = await FleetServiceStub(self._channel).GetNode(request)
                    except grpc.aio.AioRpcError as error:
                        if error.code() is not grpc.StatusCode.NOT_FOUND:
                            raise
                    else:
                        if node.state == fleet_pb2.NodeState.SYNCED:
                            return node.envoy_version
                    await asyncio.sleep(_POLL)  # Watch tells of tenants' objects, not of nodes
        except TimeoutError as error:
            raise DemoFailure(f"{name} did not join within {within:g} s") from error

    async def create_pool(
        self, name: str, *, protocol: Protocol.Code.ValueType, lb_method: LbMethod.Code.ValueType
    ) -> None:
        """Creates a pool."""
        pool = pool_pb2.Pool(protocol=protocol, lb_method=lb_method)
        request = CreatePoolRequest(parent=_parent(name), pool_id=leaf(name), pool=pool)
        await self._live(await PoolServiceStub(self._channel).CreatePool(request))

    async def create_member(self, name: str, *, address: str, port: int) -> None:
        """Creates a member."""
        member = member_pb2.Member(address=address, port=port)
        request = CreateMemberRequest(parent=_parent(name), member_id=leaf(name), member=member)
        await self._live(await MemberServiceStub(self._channel).CreateMember(request))

    async def create_monitor(
        self,
        name: str,
        *,
        type_: HealthMonitorType.Code.ValueType,
        delay: Duration,
        check_timeout: Duration,
        max_retries: int,
        url_path: str,
    ) -> None:
        """Creates a health monitor; it is on no pool yet."""
        monitor = health_monitor_pb2.HealthMonitor(
            type=type_,
            delay=delay,
            timeout=check_timeout,
            max_retries=max_retries,
            url_path=url_path,
        )
        request = CreateHealthMonitorRequest(
            parent=_parent(name), health_monitor_id=leaf(name), health_monitor=monitor
        )
        created = await HealthMonitorServiceStub(self._channel).CreateHealthMonitor(request)
        self._say(f"  {_label(created.name)} created, revision {created.revision}")

    async def associate(self, pool: str, monitor: str) -> None:
        """Puts a monitor on a pool."""
        request = AssociateHealthMonitorRequest(name=pool, health_monitor=monitor)
        changed = await PoolServiceStub(self._channel).AssociateHealthMonitor(request)
        await self._live(changed, what=f"watched by {_label(monitor)}")

    async def create_vip(
        self, name: str, *, pool: str, protocol: Protocol.Code.ValueType, address: str, port: int
    ) -> None:
        """Creates a VIP."""
        vip = vip_pb2.Vip(pool=pool, protocol=protocol, address=address, port=port)
        request = CreateVipRequest(parent=_parent(name), vip_id=leaf(name), vip=vip)
        await self._live(await VipServiceStub(self._channel).CreateVip(request))

    async def statuses(self, project: str) -> list[StatusRow]:
        """Gives each object of the project: its name, status, and on how many nodes it is."""
        pools = await PoolServiceStub(self._channel).ListPools(ListPoolsRequest(parent=project))
        members = await MemberServiceStub(self._channel).ListMembers(
            ListMembersRequest(parent=f"{project}/pools/-")
        )
        monitors = await HealthMonitorServiceStub(self._channel).ListHealthMonitors(
            ListHealthMonitorsRequest(parent=project)
        )
        vips = await VipServiceStub(self._channel).ListVips(ListVipsRequest(parent=project))
        objects: list[Written] = [*vips.vips, *pools.pools]
        objects += [*members.members, *monitors.health_monitors]
        return [
            (_label(one.name), one.provisioning_status, one.nodes_applied, one.nodes_total)
            for one in objects
        ]

    async def _live(self, written: Written, *, what: str = "created") -> None:
        """Waits until a change is live on every node, and says how long that took.

        The answer comes right after the commit; from then on the time is counted.
        """
        committed = time.perf_counter()
        request = WaitForAppliedRequest(
            name=written.name, revision=written.revision, timeout=_WITHIN
        )
        end = await LoadBalancerServiceStub(self._channel).WaitForApplied(request)
        passed = (time.perf_counter() - committed) * 1000
        if end.outcome != WaitOutcome.APPLIED:
            detail = end.status_detail
            raise DemoFailure(
                f"{_label(written.name)} is not ACTIVE: {WaitOutcome.Code.Name(end.outcome)}",
                [f"{detail.reason} {detail.message}".strip()],
            )
        self._say(
            f"  {_label(written.name)} {what}, revision {written.revision}: ACTIVE on"
            f" {end.nodes_applied}/{end.nodes_total} nodes {passed:.1f} ms after the commit"
        )


def _parent(name: str) -> str:
    return name.rpartition("/")[0].rpartition("/")[0]


def _label(name: str) -> str:
    """Gives `vip/web`, `member/web/m1` for a name, as the command line does."""
    _, _, *rest = name.split("/")
    word = {"healthMonitors": "monitor", "pools": "pool", "vips": "vip"}[rest[0]]
    return f"member/{rest[1]}/{rest[3]}" if "members" in rest else f"{word}/{rest[1]}"

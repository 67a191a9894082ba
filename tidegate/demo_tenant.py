"""The demo's tenant: the API's calls, one by one, and how long each change took."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf.duration_pb2 import Duration

from lbaas.model.names import leaf
from lbaas.v1 import health_monitor_pb2, member_pb2, pool_pb2, vip_pb2
from lbaas.v1.health_monitor_service_pb2 import (
    CreateHealthMonitorRequest,
    ListHealthMonitorsRequest,
)
from lbaas.v1.health_monitor_service_pb2_grpc import HealthMonitorServiceStub
from lbaas.v1.load_balancer_service_pb2 import WaitForAppliedRequest, WaitOutcome, WatchRequest
from lbaas.v1.load_balancer_service_pb2_grpc import LoadBalancerServiceStub
from lbaas.v1.member_service_pb2 import (
    BatchCreateMembersRequest,
    CreateMemberRequest,
    GetMemberRequest,
    ListMembersRequest,
)
from lbaas.v1.member_service_pb2_grpc import MemberServiceStub
from lbaas.v1.pool_service_pb2 import (
    AssociateHealthMonitorRequest,
    CreatePoolRequest,
    ListPoolsRequest,
)
from lbaas.v1.pool_service_pb2_grpc import PoolServiceStub
from lbaas.v1.status_pb2 import ObjectStatus, OperatingStatus, ProvisioningStatus
from lbaas.v1.vip_service_pb2 import (
    CreateVipRequest,
    GetVipRequest,
    GetVipStatsRequest,
    ListVipsRequest,
)
from lbaas.v1.vip_service_pb2_grpc import VipServiceStub
from lbaas.v1.watch_pb2 import WatchEvent
from tidegate.demo_failure import DemoFailure

_WITHIN = Duration(seconds=30)
_POLL = 0.1

Written = pool_pb2.Pool | member_pb2.Member | health_monitor_pb2.HealthMonitor | vip_pb2.Vip


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """How an object is: its label (`vip/web`), both statuses, and on how many nodes it is live."""

    label: str
    provisioning: ProvisioningStatus.Code.ValueType
    operating: OperatingStatus.Code.ValueType
    applied: int
    total: int


class Tenant:
    """Calls as anybody would make them: create, then wait until it is live."""

    def __init__(
        self, channel: grpc.aio.Channel, created: Callable[[str, str, float], None]
    ) -> None:
        """Takes a channel to the API, which stays the caller's to close, and who is to be told.

        `created` is told what was created (`vip/web`), in words what it is, and after how many
        milliseconds it was live on every node.
        """
        self._pools = PoolServiceStub(channel)
        self._members = MemberServiceStub(channel)
        self._monitors = HealthMonitorServiceStub(channel)
        self._vips = VipServiceStub(channel)
        self._trees = LoadBalancerServiceStub(channel)
        self._created = created

    async def create_pool(self, name: str, pool: pool_pb2.Pool, *, about: str) -> None:
        """Creates a pool."""
        request = CreatePoolRequest(parent=_parent(name), pool_id=leaf(name), pool=pool)
        await self._live(await self._pools.CreatePool(request), about=about)

    async def create_members(
        self, pool: str, members: Mapping[str, member_pb2.Member], *, about: str
    ) -> None:
        """Creates members of a pool, by their ids, in one call."""
        answer = await self._members.BatchCreateMembers(
            BatchCreateMembersRequest(
                parent=pool,
                requests=[
                    CreateMemberRequest(parent=pool, member_id=each, member=member)
                    for each, member in members.items()
                ],
            )
        )
        # They are one change: live with the last.
        await self._live(answer.members[-1], what=f"members {', '.join(members)}", about=about)

    async def create_monitor(
        self, name: str, monitor: health_monitor_pb2.HealthMonitor, *, pool: str, about: str
    ) -> None:
        """Creates a health monitor and has it watch a pool."""
        created = await self._monitors.CreateHealthMonitor(
            CreateHealthMonitorRequest(
                parent=_parent(name), health_monitor_id=leaf(name), health_monitor=monitor
            )
        )
        changed = await self._pools.AssociateHealthMonitor(
            AssociateHealthMonitorRequest(name=pool, health_monitor=created.name)
        )
        await self._live(changed, what=label(name), about=about)

    async def create_vip(self, name: str, vip: vip_pb2.Vip, *, about: str) -> None:
        """Creates a VIP."""
        request = CreateVipRequest(parent=_parent(name), vip_id=leaf(name), vip=vip)
        await self._live(await self._vips.CreateVip(request), about=about)

    async def vip(self, name: str) -> vip_pb2.Vip:
        """Gives a VIP as it is now."""
        return await self._vips.GetVip(GetVipRequest(name=name))

    async def statuses(self, project: str) -> Sequence[StatusRow]:
        """Gives how each object of the project is."""
        pools = await self._pools.ListPools(ListPoolsRequest(parent=project))
        members = await self._members.ListMembers(ListMembersRequest(parent=f"{project}/pools/-"))
        monitors = await self._monitors.ListHealthMonitors(
            ListHealthMonitorsRequest(parent=project)
        )
        vips = await self._vips.ListVips(ListVipsRequest(parent=project))
        objects: list[Written] = [*vips.vips, *pools.pools]
        objects += [*members.members, *monitors.health_monitors]
        return [
            StatusRow(
                label=label(one.name),
                provisioning=one.provisioning_status,
                operating=one.operating_status,
                applied=one.nodes_applied,
                total=one.nodes_total,
            )
            for one in objects
        ]

    async def becomes(
        self,
        names: Collection[str],
        wanted: OperatingStatus.Code.ValueType,
        *,
        within: float,
    ) -> None:
        """Waits until objects of one project have an operating status, as Watch tells.

        Raises:
            DemoFailure: they have not within the time (seconds).
        """
        project = "/".join(next(iter(names)).split("/")[:2])
        seen: dict[str, OperatingStatus.Code.ValueType] = {}
        told: dict[str, str] = {}
        events = self._trees.Watch(WatchRequest(parent=project))
        try:
            async with asyncio.timeout(within):
                while not all(seen.get(name) == wanted for name in names):
                    event = await events.read()
                    if not isinstance(event, WatchEvent):
                        raise DemoFailure("the control plane ended the watch")
                    if (row := _status(event)) is not None:
                        seen[row.name] = row.operating_status
                        told[row.name] = row.status_detail.message
        except TimeoutError as error:
            word = OperatingStatus.Code.Name(wanted)
            why = [
                f"{label(name)} is {_operating(seen.get(name))} {told.get(name, '')}".rstrip()
                for name in names
                if seen.get(name) != wanted
            ]
            raise DemoFailure(f"not {word} within {within:g} s", why) from error
        finally:
            events.cancel()

    async def cause(self, member: str, *, within: float) -> str:
        """Gives why a member's check fails, once an agent tells.

        Raises:
            DemoFailure: none has within the time (seconds).
        """
        try:
            async with asyncio.timeout(within):
                while True:
                    found = await self._members.GetMember(GetMemberRequest(name=member))
                    if causes := [each.cause for each in found.verdicts if each.cause]:
                        return causes[0]
                    await asyncio.sleep(_POLL)  # it comes after the verdict, which Watch tells
        except TimeoutError as error:
            what = f"no agent tells within {within:g} s why {label(member)} fails"
            raise DemoFailure(what) from error

    async def counted(self, vip: str, requests: int, *, within: float) -> vip_pb2.VipStats:
        """Gives a VIP's statistics once they have that many requests, or when the time is up."""
        stats = vip_pb2.VipStats()
        try:
            async with asyncio.timeout(within):
                while True:
                    stats = await self._vips.GetVipStats(GetVipStatsRequest(name=vip))
                    if stats.requests >= requests:
                        return stats
                    await asyncio.sleep(_POLL)  # agents count every two seconds
        except TimeoutError:
            return stats

    async def _live(self, written: Written, *, about: str, what: str = "") -> None:
        """Waits until a change is live on every node, and tells how long that took.

        The answer comes right after the commit; from then on the time is counted.
        """
        committed = time.perf_counter()
        request = WaitForAppliedRequest(
            name=written.name, revision=written.revision, timeout=_WITHIN
        )
        end = await self._trees.WaitForApplied(request)
        passed = (time.perf_counter() - committed) * 1000
        if end.outcome != WaitOutcome.APPLIED:
            detail = end.status_detail
            raise DemoFailure(
                f"{label(written.name)} is not live: {WaitOutcome.Code.Name(end.outcome)}",
                [f"{detail.reason} {detail.message}".strip()],
            )
        self._created(what or label(written.name), about, passed)


def label(name: str) -> str:
    """Gives `vip/web`, `member/web/m1` for a name, as the command line does."""
    _, _, *rest = name.split("/")
    word = {"healthMonitors": "monitor", "pools": "pool", "vips": "vip"}[rest[0]]
    return f"member/{rest[1]}/{rest[3]}" if "members" in rest else f"{word}/{rest[1]}"


def _status(event: WatchEvent) -> Written | ObjectStatus | None:
    """Gives what an event says of how an object is: the object itself, or its new status."""
    match event.WhichOneof("event"):
        case "change":
            field = event.change.WhichOneof("object")
            return None if field is None else getattr(event.change, field)
        case "status":
            return event.status
    return None


def _operating(status: OperatingStatus.Code.ValueType | None) -> str:
    return "not there" if status is None else OperatingStatus.Code.Name(status)


def _parent(name: str) -> str:
    return name.rpartition("/")[0].rpartition("/")[0]

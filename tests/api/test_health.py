"""What agents report, on the objects that tenants and operators read."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from api.conversion.members import show_member
from api.conversion.pools import show_placement
from api.conversion.statuses import Facts
from api.fleet_view import TrafficView
from api.seen import Seen
from lbaas.model.enums import NodeState, OperatingStatus
from lbaas.model.health import Health, NodeVerdict
from lbaas.model.objects import AgentView, NodeView, Placement
from lbaas.model.reports import Traffic
from lbaas.store import placements, verdicts
from lbaas.store.feed import Notice
from lbaas.store.store import Store
from lbaas.v1 import status_pb2
from lbaas.v1.fleet_service_pb2 import GetNodeRequest
from lbaas.v1.load_balancer_service_pb2 import (
    ExplainRequest,
    WaitForAppliedRequest,
    WaitOutcome,
    WatchRequest,
)
from lbaas.v1.member_service_pb2 import (
    BatchUpdateMembersRequest,
    GetMemberRequest,
    ListMembersRequest,
    UpdateMemberRequest,
)
from lbaas.v1.pool_service_pb2 import GetPoolRequest, GetPoolStatsRequest
from lbaas.v1.vip_service_pb2 import GetVipRequest, GetVipStatsRequest
from lbaas.v1.watch_pb2 import ChangeType
from tests.api import make
from tests.api.client import Client, Code, refused
from tests.api.fleet_side import FleetSide
from tests.model.samples import MEMBER

M1 = f"{make.WEB}/members/m1"
VIP = f"{make.ACME}/vips/web"
NODE = "fleets/edge/nodes/e1"
OTHER = "fleets/edge/nodes/e2"
CHECK = f"{make.ACME}/healthMonitors/check"
WHEN = datetime(2031, 5, 4, 14, 1, 20, tzinfo=UTC)
DOWN = Health(
    status=OperatingStatus.OFFLINE,
    reason="MONITOR_FAILED",
    message="HTTP 503, wanted 200",
    node=NODE,
    time=WHEN,
    verdicts=(
        NodeVerdict(
            node=NODE,
            status=OperatingStatus.OFFLINE,
            monitor=CHECK,
            cause="HTTP 503, wanted 200",
            time=WHEN,
        ),
        NodeVerdict(node=OTHER, status=OperatingStatus.ONLINE),
    ),
)
Operating = status_pb2.OperatingStatus


@pytest.fixture
async def member(client: Client, store: Store, fleet_side: FleetSide) -> str:
    """A member that is live and that one of two nodes finds down."""
    await client.pools.CreatePool(make.create_pool())
    made = await client.members.CreateMember(make.create_member())
    await store.write(lambda tx: verdicts.record(tx, live={M1: made.revision}))
    fleet_side.healths[M1] = DOWN
    return made.name


async def test_a_member_says_who_finds_it_how_and_why(client: Client, member: str) -> None:
    got = await client.members.GetMember(GetMemberRequest(name=member))

    assert got.operating_status == Operating.OFFLINE
    assert got.status_detail.reason == "MONITOR_FAILED"
    assert got.status_detail.message == "HTTP 503, wanted 200"
    assert (got.status_detail.node, got.status_detail.fleet) == (NODE, "fleets/edge")
    assert got.status_detail.time.ToDatetime(tzinfo=UTC) == WHEN
    first, second = got.verdicts
    assert (first.node, first.operating_status) == (NODE, Operating.OFFLINE)
    assert (first.failed_health_monitor, first.cause) == (CHECK, "HTTP 503, wanted 200")
    assert first.time.ToDatetime(tzinfo=UTC) == WHEN
    assert (second.node, second.operating_status) == (OTHER, Operating.ONLINE)
    assert not second.HasField("time")


async def test_every_answer_about_it_says_so(client: Client, member: str) -> None:
    listed = await client.members.ListMembers(ListMembersRequest(parent=make.WEB))
    updated = await client.members.UpdateMember(
        UpdateMemberRequest(member=make.Member(name=member, description="x"))
    )
    batch = BatchUpdateMembersRequest(parent=make.WEB)
    batch.requests.add().member.CopyFrom(make.Member(name=member, weight=2))
    (one,) = (await client.members.BatchUpdateMembers(batch)).members
    explained = await client.trees.Explain(ExplainRequest(name=member))
    watch = client.trees.Watch(WatchRequest(parent=make.ACME))
    events = [await watch.read(), await watch.read()]
    watch.cancel()

    assert listed.members[0].operating_status == Operating.OFFLINE
    assert updated.operating_status == Operating.OFFLINE
    assert one.operating_status == Operating.OFFLINE
    assert len(one.verdicts) == 2
    assert explained.status.operating_status == Operating.OFFLINE
    assert events[1].change.member.operating_status == Operating.OFFLINE
    assert len(events[1].change.member.verdicts) == 2


async def test_of_what_is_new_nobody_can_tell(client: Client, fleet_side: FleetSide) -> None:
    await client.pools.CreatePool(make.create_pool())
    fleet_side.healths[make.WEB] = Health(status=OperatingStatus.OFFLINE, reason="NO_MEMBERS")

    made = await client.members.CreateMember(make.create_member())

    assert made.operating_status == Operating.UNKNOWN
    assert not made.HasField("status_detail")


async def test_a_watch_tells_when_only_the_operating_status_changed(
    client: Client, store: Store, fleet_side: FleetSide, member: str
) -> None:
    watch = client.trees.Watch(WatchRequest(parent=make.ACME))
    while (await watch.read()).WhichOneof("event") != "heartbeat":
        pass
    fleet_side.healths[member] = Health(status=OperatingStatus.ONLINE)
    others = frozenset({member, "projects/other/pools/web"})

    store.feed.post(Notice(revision=store.feed.revision, statuses=others))

    while (event := await watch.read()).WhichOneof("event") == "heartbeat":
        pass
    watch.cancel()
    assert event.WhichOneof("event") == "status"
    assert event.status.name == member
    assert event.status.operating_status == Operating.ONLINE
    assert event.status.provisioning_status == status_pb2.ProvisioningStatus.ACTIVE
    assert not event.status.HasField("status_detail")


def test_a_member_that_drains_says_until_when() -> None:
    draining = replace(MEMBER, drain_end=WHEN)

    shown = show_member(draining, Facts(), Seen())

    assert shown.drain_end_time.ToDatetime(tzinfo=UTC) == WHEN
    for ended in (replace(draining, drained=True), MEMBER):
        assert not show_member(ended, Facts(), Seen()).HasField("drain_end_time")


def test_a_placement_says_which_fleet_the_pool_leaves() -> None:
    moving = Placement(fleet="fleets/new", reason="fleets/old is drained", leaving="fleets/old")

    assert show_placement(moving).leaving_fleet == "fleets/old"


async def test_a_node_shows_its_agent(client: Client, fleet_side: FleetSide) -> None:
    await client.fleets.CreateFleet(make.create_fleet())
    bare = NodeView(
        name=NODE,
        state=NodeState.SYNCED,
        connected=True,
        envoy_version="1.40.0",
        base_rev=3,
        pending=(),
        last_seen=WHEN,
    )
    fleet_side.node_views["fleets/edge"] = [bare]
    without = await client.fleets.GetNode(GetNodeRequest(name=NODE))
    agent = AgentView(
        connected=True,
        version="1.2",
        driver="process",
        ping_refusal="needs CAP_NET_RAW",
        envoy_running=True,
        warming=("a", "b"),
        last_report=WHEN,
    )
    fleet_side.node_views["fleets/edge"] = [replace(bare, agent=agent)]

    shown = (await client.fleets.GetNode(GetNodeRequest(name=NODE))).agent

    assert not without.HasField("agent")
    assert (shown.connected, shown.version, shown.driver) == (True, "1.2", "process")
    assert (shown.ping_refusal, shown.envoy_running) == ("needs CAP_NET_RAW", True)
    assert list(shown.warming) == ["a", "b"]
    assert shown.last_report_time.ToDatetime(tzinfo=UTC) == WHEN


async def test_a_vip_shows_each_nodes_share(client: Client, fleet_side: FleetSide) -> None:
    await client.pools.CreatePool(make.create_pool())
    made = await client.vips.CreateVip(make.create_vip(connection_limit=10))
    fleet_side.limits[VIP] = {OTHER: 5, NODE: 5}

    got = await client.vips.GetVip(GetVipRequest(name=VIP))

    assert not made.node_connection_limits
    shares = [(each.node, each.connection_limit) for each in got.node_connection_limits]
    assert shares == [(NODE, 5), (OTHER, 5)]


TRAFFIC = Traffic(
    bytes_in=1,
    bytes_out=2,
    active_connections=3,
    total_connections=4,
    requests=5,
    errors=6,
    refused_connections=7,
)


async def test_traffic_of_a_pool_and_each_member(client: Client, fleet_side: FleetSide) -> None:
    await client.pools.CreatePool(make.create_pool())
    fleet_side.traffics[make.WEB] = TrafficView(
        traffic=TRAFFIC,
        reporting=1,
        total=2,
        time=WHEN,
        members={
            f"{make.WEB}/members/m2": Traffic(requests=8),
            M1: Traffic(active_connections=1, total_connections=2, requests=3, errors=4),
        },
    )

    got = await client.pools.GetPoolStats(GetPoolStatsRequest(name=make.WEB))

    assert got.name == make.WEB
    assert (got.bytes_in, got.bytes_out, got.active_connections) == (1, 2, 3)
    assert (got.total_connections, got.requests, got.errors) == (4, 5, 6)
    assert (got.nodes_reporting, got.nodes_total) == (1, 2)
    assert got.time.ToDatetime(tzinfo=UTC) == WHEN
    first, second = got.members
    assert (first.name, first.active_connections, first.total_connections) == (M1, 1, 2)
    assert (first.requests, first.errors) == (3, 4)
    assert (second.name, second.requests) == (f"{make.WEB}/members/m2", 8)


async def test_traffic_of_a_vip(client: Client, fleet_side: FleetSide) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.vips.CreateVip(make.create_vip())
    fleet_side.traffics[VIP] = TrafficView(traffic=TRAFFIC, reporting=2, total=2, time=WHEN)

    got = await client.vips.GetVipStats(GetVipStatsRequest(name=VIP))

    assert got.name == VIP
    assert (got.bytes_in, got.bytes_out, got.active_connections) == (1, 2, 3)
    assert (got.total_connections, got.requests, got.errors) == (4, 5, 6)
    assert (got.refused_connections, got.nodes_reporting, got.nodes_total) == (7, 2, 2)
    assert got.time.ToDatetime(tzinfo=UTC) == WHEN


async def test_without_an_agent_there_is_no_traffic_to_tell(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.vips.CreateVip(make.create_vip())
    pool, vip = GetPoolStatsRequest(name=make.WEB), GetVipStatsRequest(name=VIP)

    refusal = await refused(client.pools.GetPoolStats(pool), Code.FAILED_PRECONDITION, "NO_AGENT")
    await refused(client.vips.GetVipStats(vip), Code.FAILED_PRECONDITION, "NO_AGENT")

    assert refusal.kinds == ["PreconditionFailure"]
    pool.name += "x"
    vip.name += "x"
    await refused(client.pools.GetPoolStats(pool), Code.NOT_FOUND)
    await refused(client.vips.GetVipStats(vip), Code.NOT_FOUND)


async def test_a_move_wakes_who_watches_and_who_waits(client: Client, store: Store) -> None:
    """What a pool's move changes is told of all that lives in it."""
    await client.fleets.CreateFleet(make.create_fleet("one"))
    await client.fleets.CreateFleet(make.create_fleet("two"))
    pool = await client.pools.CreatePool(make.create_pool())
    made = await client.members.CreateMember(make.create_member())
    live = {make.WEB: pool.revision, M1: made.revision}
    await store.write(
        lambda tx: placements.place(tx, make.WEB, fleet="fleets/one", reason="it fits")
    )
    await store.write(lambda tx: verdicts.record(tx, live=live))
    watch = client.trees.Watch(WatchRequest(parent=make.ACME))
    while (await watch.read()).WhichOneof("event") != "heartbeat":
        pass

    await store.write(
        lambda tx: placements.place(tx, make.WEB, fleet="fleets/two", reason="one is drained")
    )

    told: dict[str, object] = {}
    async with asyncio.timeout(5):
        while len(told) < 2:
            event = await watch.read()
            if event.HasField("change"):
                assert event.change.type == ChangeType.PLACED
                told[event.change.pool.name] = event.change.pool.placement.fleet
            elif event.HasField("status"):
                told[event.status.name] = event.status.name
    watch.cancel()
    assert told == {make.WEB: "fleets/two", M1: M1}
    after = await client.pools.GetPool(GetPoolRequest(name=make.WEB))
    assert after.placement.fleet == "fleets/two"

    waiting = asyncio.ensure_future(client.trees.WaitForApplied(WaitForAppliedRequest(name=M1)))
    await asyncio.sleep(0)
    await store.write(
        lambda tx: placements.place(tx, make.WEB, fleet="", reason="two is drained, none is left")
    )
    answer = await asyncio.wait_for(waiting, 5)
    assert answer.outcome == WaitOutcome.REJECTED
    assert answer.status_detail.reason == "NO_ELIGIBLE_FLEET"

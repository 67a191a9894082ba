"""The whole way: an agent's stream over gRPC, a real Envoy that counts, a tenant who asks."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from lbaas.v1 import agent_service_pb2 as pb
from lbaas.v1 import (
    agent_service_pb2_grpc,
    fleet_service_pb2,
    member_service_pb2,
    pool_service_pb2,
    vip_service_pb2,
)
from lbaas.v1.status_pb2 import OperatingStatus
from tests.features.world import Client, world
from tests.harness.ports import free_port
from tests.harness.waiting import until

NODE = "fleets/edge/nodes/node-0"
POOL = "projects/acme/pools/web"
MEMBER = f"{POOL}/members/m1"
MONITOR = "projects/acme/healthMonitors/up"
VIP = "projects/acme/vips/v"


class Stream:
    """One agent's stream."""

    def __init__(self, client: Client) -> None:
        self.call = agent_service_pb2_grpc.AgentServiceStub(client.channel).Connect()

    async def hello(self, **fields: str) -> pb.AgentSpec:
        await self.call.write(pb.ConnectRequest(hello=pb.AgentHello(node=NODE, **fields)))
        return await self.call.read()

    async def report(self, state: int, cause: str = "", **counted: int) -> None:
        now = Timestamp()
        now.FromDatetime(datetime.now(UTC))
        report = pb.AgentReport(time=now, envoy_running=True, envoy_start_time=now, whole=True)
        report.members.add(
            member=MEMBER,
            state=state,
            health_monitor=MONITOR if cause else "",
            cause=cause,
            time=now,
        )
        if counted:
            report.traffic.add(name=VIP, **counted)
        await self.call.write(pb.ConnectRequest(report=report))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A pool with a monitor, a member and a VIP, live on one real Envoy."""
    async with world(tmp_path) as (_plane, client, _envoys):
        await client.pool("acme", "web")
        await client.monitor("acme", "up", type="TCP")
        await client.associate(POOL, MONITOR)
        await client.member(POOL, "m1", f"127.0.0.1:{free_port()}")
        await client.vip("acme", "v", pool=POOL, port=free_port())
        await client.applied(VIP)
        yield client


async def member_is(client: Client, status: int) -> member_service_pb2.GetMemberRequest:
    async def asked():
        found = await client.members.GetMember(member_service_pb2.GetMemberRequest(name=MEMBER))
        return found if found.operating_status == status else None

    return await until(asked, within=5, what=f"the member is {status}")


async def test_an_agent_s_word_reaches_the_tenant_and_the_operator(client: Client):
    await member_is(client, OperatingStatus.UNKNOWN)
    agent = Stream(client)
    spec = await agent.hello(version="0.1", driver="process", ping_refusal="no CAP_NET_RAW")
    assert [each.pool for each in spec.pools] == [POOL]
    assert spec.pools[0].members[0].member == MEMBER
    await agent.report(pb.MemberState.UP, bytes_in=10, total_connections=2, active_connections=1)
    await member_is(client, OperatingStatus.ONLINE)
    await agent.report(pb.MemberState.DOWN, "connection refused")
    found = await member_is(client, OperatingStatus.OFFLINE)
    assert "fails up on node-0: connection refused" in found.status_detail.message
    pool = await client.pools.GetPool(pool_service_pb2.GetPoolRequest(name=POOL))
    assert pool.operating_status == OperatingStatus.OFFLINE
    stats = await client.vips.GetVipStats(vip_service_pb2.GetVipStatsRequest(name=VIP))
    assert (stats.bytes_in, stats.total_connections, stats.active_connections) == (10, 2, 1)
    node = await client.fleets.GetNode(fleet_service_pb2.GetNodeRequest(name=NODE))
    assert (node.agent.connected, node.agent.driver) == (True, "process")
    assert node.agent.ping_refusal == "no CAP_NET_RAW"
    agent.call.cancel()


async def test_a_change_is_told_and_a_newer_stream_takes_the_place(client: Client):
    old = Stream(client)
    await old.hello()
    await client.member(POOL, "m2", "127.0.0.1:9")
    changed = await old.call.read()
    assert [each.member for each in changed.pools[0].members] == [MEMBER, f"{POOL}/members/m2"]
    new = Stream(client)
    assert (await new.hello()).whole
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await old.call.read()
    assert refused.value.code() is grpc.StatusCode.ABORTED
    await new.report(pb.MemberState.UP)
    await member_is(client, OperatingStatus.ONLINE)
    new.call.cancel()


async def test_a_fleet_that_is_not_there_has_no_agents(client: Client):
    call = agent_service_pb2_grpc.AgentServiceStub(client.channel).Connect()
    await call.write(pb.ConnectRequest(hello=pb.AgentHello(node="fleets/none/nodes/n")))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.read()
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND

"""AgentService: the hello, reports up, specs down, and every way a stream can end."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import grpc.aio
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from api import agent_service
from api.conversion import reports
from api.server import ApiServer
from lbaas.model.enums import HealthMonitorType
from lbaas.model.objects import HealthMonitor
from lbaas.model.reports import (
    AgentReport,
    AgentSpec,
    MemberAddress,
    MemberObservation,
    MemberState,
    PingVerdict,
    PoolSpec,
    Traffic,
    TrafficSample,
)
from lbaas.v1 import agent_service_pb2 as pb
from lbaas.v1.agent_service_pb2_grpc import AgentServiceStub
from tests.api import make
from tests.api.agents_side import AgentsSide, Session
from tests.api.client import Client, Code, Refusal, taken_apart

NODE = "fleets/edge/nodes/e1"
M1 = f"{make.WEB}/members/m1"
CHECK = f"{make.ACME}/healthMonitors/check"
WHEN = datetime(2031, 5, 4, 14, 1, 20, 250000, tzinfo=UTC)
SOON = 5.0


def when() -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(WHEN)
    return stamp


def hello(node: str = NODE, **fields) -> pb.ConnectRequest:
    return pb.ConnectRequest(hello=pb.AgentHello(node=node, **fields))


def report(**fields) -> pb.ConnectRequest:
    return pb.ConnectRequest(report=pb.AgentReport(**{"time": when(), **fields}))


def connect(client: Client):
    return AgentServiceStub(client.channel).Connect()


async def greeted(client: Client, agents: AgentsSide):
    """Gives a stream that has had its first spec, and its session."""
    call = connect(client)
    await call.write(hello())
    assert (await call.read()).whole
    return call, agents.sessions[NODE]


async def refusal_of(call) -> Refusal:
    """Gives how a stream ends that must not end well."""

    async def to_the_end() -> None:
        while await call.read() is not grpc.aio.EOF:
            pass

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(to_the_end(), SOON)
    return taken_apart(caught.value)


async def closed(session: Session) -> None:
    async with asyncio.timeout(SOON):
        await session.closed.wait()


async def test_it_says_who_it_is_and_is_told_what_to_watch(
    client: Client, agents: AgentsSide
) -> None:
    call = connect(client)
    await call.write(hello(version="1.2", driver="process", ping_refusal="needs CAP_NET_RAW"))
    first = await call.read()

    session = agents.sessions[NODE]
    assert first == pb.AgentSpec(whole=True)
    assert (session.hello.version, session.hello.driver) == ("1.2", "process")
    assert session.hello.ping_refusal == "needs CAP_NET_RAW"

    monitor = HealthMonitor(
        name=CHECK,
        type=HealthMonitorType.PING,
        delay=timedelta(seconds=1),
        timeout=timedelta(milliseconds=500),
        max_retries=3,
    )
    session.tell(
        AgentSpec(
            pools=(
                PoolSpec(
                    pool=make.WEB,
                    clusters=("c1", "c2"),
                    members=(MemberAddress(name=M1, address="10.1.0.2", port=80),),
                    monitors=(monitor,),
                    vips=(f"{make.ACME}/vips/web",),
                ),
            ),
            removed=("projects/acme/pools/old",),
        )
    )
    spec = await call.read()
    call.cancel()

    assert not spec.whole
    assert list(spec.removed_pools) == ["projects/acme/pools/old"]
    (pool,) = spec.pools
    assert (pool.pool, list(pool.clusters)) == (make.WEB, ["c1", "c2"])
    assert pool.members[0] == pb.MemberAddress(member=M1, address="10.1.0.2", port=80)
    assert pool.health_monitors[0].name == CHECK
    assert pool.health_monitors[0].timeout.ToTimedelta() == timedelta(milliseconds=500)
    assert list(pool.vips) == [f"{make.ACME}/vips/web"]


async def test_what_it_reports_arrives_as_it_is(client: Client, agents: AgentsSide) -> None:
    call, session = await greeted(client, agents)
    await call.write(
        report(
            envoy_running=True,
            envoy_start_time=when(),
            whole=True,
            members=[
                pb.MemberObservation(
                    member=M1,
                    state=pb.MemberState.DOWN,
                    health_monitor=CHECK,
                    cause="HTTP 503, wanted 200",
                    time=when(),
                ),
                # Not this fleet's, not even a member: the fleet side knows and ignores it.
                pb.MemberObservation(member="what?", state=pb.MemberState.PENDING),
            ],
            pings=[pb.PingVerdict(member=M1, health_monitor=CHECK, up=True, time=when())],
            traffic=[
                pb.TrafficSample(
                    name=make.WEB,
                    bytes_in=1,
                    bytes_out=2,
                    active_connections=3,
                    total_connections=4,
                    requests=5,
                    errors=6,
                    refused_connections=7,
                )
            ],
            warming=["c1"],
        )
    )

    got = await asyncio.wait_for(session.reports.get(), SOON)
    call.cancel()

    assert got == AgentReport(
        time=WHEN,
        envoy_running=True,
        envoy_start=WHEN,
        whole=True,
        members=(
            MemberObservation(
                member=M1,
                state=MemberState.DOWN,
                monitor=CHECK,
                cause="HTTP 503, wanted 200",
                time=WHEN,
            ),
            MemberObservation(member="what?", state=MemberState.PENDING),
        ),
        pings=(PingVerdict(member=M1, monitor=CHECK, up=True, time=WHEN),),
        traffic=(
            TrafficSample(
                name=make.WEB,
                traffic=Traffic(
                    bytes_in=1,
                    bytes_out=2,
                    active_connections=3,
                    total_connections=4,
                    requests=5,
                    errors=6,
                    refused_connections=7,
                ),
            ),
        ),
        warming=("c1",),
    )


async def test_words_that_are_shown_to_tenants_have_an_end(
    client: Client, agents: AgentsSide
) -> None:
    call, session = await greeted(client, agents)
    await call.write(report(pings=[pb.PingVerdict(member=M1, cause="x" * 10_000)]))

    got = await asyncio.wait_for(session.reports.get(), SOON)
    call.cancel()

    assert got.pings[0].cause == "x" * 299 + "…"


async def test_a_spec_that_is_too_large_for_a_message_comes_in_several(
    client: Client, agents: AgentsSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "LARGEST_SPEC", 100)
    call, session = await greeted(client, agents)
    names = [f"{make.ACME}/pools/p{n}" for n in range(9)]
    session.tell(
        AgentSpec(
            whole=True,
            pools=tuple(
                PoolSpec(pool=name, clusters=(), members=(), monitors=(), vips=()) for name in names
            ),
        )
    )
    specs = [await call.read()]
    while sum(len(spec.pools) for spec in specs) < len(names):
        specs.append(await call.read())
    call.cancel()

    assert [spec.whole for spec in specs] == [True] + [False] * (len(specs) - 1)
    assert len(specs) > 2
    assert [pool.pool for spec in specs for pool in spec.pools] == names


BAD_FIRST = [
    ([], {"hello": "REQUIRED"}),
    ([pb.ConnectRequest()], {"hello": "REQUIRED"}),
    ([report()], {"hello": "REQUIRED", "report": "TOO_EARLY"}),
    (
        [pb.ConnectRequest(hello=pb.AgentHello(node=NODE), report=report().report)],
        {"report": "TOO_EARLY"},
    ),
    ([hello("")], {"hello.node": "INVALID_NAME"}),
    ([hello("fleets/edge")], {"hello.node": "INVALID_NAME"}),
    ([hello("projects/acme/pools/web")], {"hello.node": "INVALID_NAME"}),
]


@pytest.mark.parametrize(("messages", "wrong"), BAD_FIRST)
async def test_who_does_not_say_first_who_it_is_is_refused(
    client: Client, agents: AgentsSide, messages: list[pb.ConnectRequest], wrong: dict[str, str]
) -> None:
    call = connect(client)
    for message in messages:
        await call.write(message)
    await call.done_writing()

    refusal = await refusal_of(call)

    assert refusal.code is Code.INVALID_ARGUMENT
    assert refusal.reasons == wrong
    assert not agents.sessions


async def test_who_says_nothing_is_not_waited_for(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_service, "HELLO_SECONDS", 0.01)

    refusal = await refusal_of(connect(client))

    assert refusal.reasons == {"hello": "REQUIRED"}


BAD_LATER = [
    (hello(), {"hello": "TWICE", "report.time": "REQUIRED"}),
    (pb.ConnectRequest(), {"report": "REQUIRED", "report.time": "REQUIRED"}),
    (pb.ConnectRequest(report=pb.AgentReport()), {"report.time": "REQUIRED"}),
    (report(time=Timestamp(seconds=2**60)), {"report.time": "INVALID_TIME"}),
    (report(members=[pb.MemberObservation(member=M1)]), {"report.members[0].state": "REQUIRED"}),
    (
        report(members=[pb.MemberObservation(member=M1, state=99)]),
        {"report.members[0].state": "UNKNOWN_ENUM"},
    ),
    (
        report(traffic=[pb.TrafficSample(name=M1, bytes_in=-1, errors=-1)]),
        {
            "report.traffic[0].bytes_in": "OUT_OF_RANGE",
            "report.traffic[0].errors": "OUT_OF_RANGE",
        },
    ),
]


@pytest.mark.parametrize(("message", "wrong"), BAD_LATER)
async def test_a_message_that_is_no_report_ends_the_stream(
    client: Client, agents: AgentsSide, message: pb.ConnectRequest, wrong: dict[str, str]
) -> None:
    call, session = await greeted(client, agents)
    await call.write(message)

    refusal = await refusal_of(call)

    assert refusal.code is Code.INVALID_ARGUMENT
    for field, reason in wrong.items():
        assert refusal.reasons[field] == reason
    await closed(session)
    assert session.reports.empty()


async def test_bytes_that_are_no_message_end_the_stream(client: Client, agents: AgentsSide) -> None:
    method = "/lbaas.v1.AgentService/Connect"
    call = client.channel.stream_stream(method, lambda given: given, pb.AgentSpec.FromString)()
    await call.write(hello().SerializeToString())
    assert (await call.read()).whole
    await call.write(b"\xff")

    refusal = await refusal_of(call)

    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    await closed(agents.sessions[NODE])


async def test_an_unknown_fleet_is_not_found(client: Client) -> None:
    call = connect(client)
    await call.write(hello("fleets/none/nodes/e1"))

    refusal = await refusal_of(call)

    assert (refusal.code, refusal.kinds) == (Code.NOT_FOUND, ["ResourceInfo"])


async def test_the_newest_stream_of_a_node_counts(client: Client, agents: AgentsSide) -> None:
    call, session = await greeted(client, agents)
    newer, its = await greeted(client, agents)

    refusal = await refusal_of(call)

    assert (refusal.code, refusal.reason) == (Code.ABORTED, "REPLACED")
    await closed(session)
    await newer.write(report())
    await asyncio.wait_for(its.reports.get(), SOON)
    newer.cancel()


async def test_an_agent_that_ends_its_stream_is_let_go(client: Client, agents: AgentsSide) -> None:
    call, session = await greeted(client, agents)
    await call.write(report())
    await call.done_writing()

    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    await closed(session)
    assert not session.reports.empty()


async def test_an_agent_that_vanishes_is_noticed(client: Client, agents: AgentsSide) -> None:
    call, session = await greeted(client, agents)

    call.cancel()

    await closed(session)


async def test_a_server_that_stops_sends_agents_away_at_once(
    client: Client, agents: AgentsSide, server: ApiServer
) -> None:
    call, session = await greeted(client, agents)
    began = asyncio.get_running_loop().time()
    stop = asyncio.create_task(server.stop())

    refusal = await refusal_of(call)
    await stop

    assert (refusal.code, refusal.reason) == (Code.UNAVAILABLE, "SERVER_STOPPING")
    assert session.closed.is_set()
    # Well before those that do not end are cut: the grace is 2 s.
    assert asyncio.get_running_loop().time() - began < 1.5

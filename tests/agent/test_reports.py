"""What an agent tells of a real Envoy under real traffic."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from agent.admin import Admin
from agent.readings import host_readings
from lbaas.v1.agent_service_pb2 import AgentSpec, MemberState, TrafficSample
from lbaas.v1.enums_pb2 import HealthMonitorType
from tests.agent.control_plane import monitor, pool_spec
from tests.agent.world import World, running, serves
from tests.harness.http_client import Connection
from tests.harness.members import Echo, Member, Mode
from tests.harness.ports import free_port
from tests.harness.resources import cluster, endpoints, http_listener, route
from tests.harness.waiting import until

POOL = "projects/acme/pools/web"
BY_SOURCE = f"{POOL}/by-source"
VIP = "projects/acme/vips/web"
TCP_POOL = "projects/acme/pools/tcp"
TCP_VIP = "projects/acme/vips/tcp"
SECOND = 1.0 + 0.5
"""The issue's bound for the operating status, and what a busy machine may add."""


def member(name: str) -> str:
    return f"{POOL}/members/{name}"


def web(world: World, *members: Member, monitored: bool = True, clusters=(POOL,)) -> str:
    """Publishes a pool with these members and its VIP, and tells the agent of it."""
    addresses = [one.address for one in members]
    made = []
    for name in clusters:
        made.append(cluster(name, monitor={"timeout": "0.3s"} if monitored else None))
        made.append(endpoints(name, addresses))
    world.publish("pool", *made)
    world.plane.spec = AgentSpec(
        whole=True,
        pools=[
            pool_spec(
                POOL,
                [(member(one.name), one.address) for one in members],
                clusters=clusters,
                monitors=[monitor()] if monitored else [],
                vips=[VIP],
            )
        ],
    )
    return world.vip(VIP, POOL)


async def test_counters_are_true_against_a_counted_load(world: World) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(await Member.start("m1"))
        two = await stack.enter_async_context(await Member.start("m2"))
        address = web(world, one, two)  # its checks go on all the while and must not count
        await stack.enter_async_context(running(world.options()))
        await world.plane.until(lambda: world.plane.state(member("m2")) == "UP", what="m2 is up")
        before = await knocked(world, VIP, address)
        sent = received = 0
        for _ in range(5):
            async with await Connection.open(address) as connection:
                for _ in range(4):
                    reply = await connection.request("/")
                    assert reply.status == 200
                    sent += len(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
                    head = sum(len(f"{key}: {value}\r\n") for key, value in reply.headers.items())
                    received += len(b"HTTP/1.1 200 OK\r\n") + head + 2 + len(reply.body)
        traffic = world.plane.traffic
        await world.plane.until(
            lambda: traffic[VIP].requests == 20 and not traffic[VIP].active_connections,
            what="20 requests are told",
        )
        vip, pool = traffic[VIP], traffic[POOL]
        assert (vip.bytes_in, vip.bytes_out) == (sent, received)
        assert vip.total_connections - before.total_connections == 5
        assert (vip.errors, vip.refused_connections) == (0, 0)
        assert (pool.requests, pool.errors) == (20, 0)
        assert pool.bytes_in > 0
        assert pool.bytes_out > 0
        members = [traffic[member("m1")], traffic[member("m2")]]
        assert [each.requests for each in members] == [one.requests, two.requests]
        assert sum(each.total_connections for each in members) == pool.total_connections
        await one.become(Mode.FAILING)
        await two.become(Mode.FAILING)
        states = (lambda: world.plane.state(member("m1")), lambda: world.plane.state(member("m2")))
        await world.plane.until(lambda: {state() for state in states} == {"DOWN"}, what="all down")
        async with await Connection.open(address) as connection:
            assert (await connection.request("/")).status == 503
        await world.plane.until(lambda: traffic[VIP].errors == 1, what="a 503 is an error")
        await world.plane.until(lambda: traffic[POOL].errors == 1, what="of the pool too")
        assert (traffic[VIP].requests, traffic[POOL].requests) == (21, 21)


async def knocked(world: World, vip: str, address: str) -> TrafficSample:
    """Waits until a VIP listens; gives what that has cost in connections, once it is told."""

    async def listens() -> bool:
        async with await Connection.open(address):
            return True

    await until(listens, within=10, what="the VIP listens")
    return await world.plane.until(
        lambda: (
            (told := world.plane.traffic.get(vip))
            and told.total_connections
            and not told.active_connections
            and told
        ),
        what="the knocking is told",
    )


async def test_tcp_connections_and_those_that_the_limit_refused(world: World) -> None:
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(await Echo.start("echo"))
        world.publish("tcp", cluster(TCP_POOL), endpoints(TCP_POOL, [echo.address]))
        address = world.vip(TCP_VIP, TCP_POOL, tcp=True)
        name = f"{TCP_POOL}/members/echo"
        spec = pool_spec(TCP_POOL, [(name, echo.address)], vips=[TCP_VIP])
        world.plane.spec = AgentSpec(whole=True, pools=[spec])
        options = world.options()
        await stack.enter_async_context(running(options))
        # Without a monitor there is nothing to pass.
        await world.plane.until(lambda: world.plane.state(name) == "UP", what="the member is up")
        before = await knocked(world, TCP_VIP, address)
        traffic = world.plane.traffic
        held = [await stack.enter_async_context(await Connection.open(address)) for _ in range(3)]
        for connection in held:
            assert await connection._reader.readline() == b"echo\n"
            connection._writer.write(b"x" * 1000)
            await connection._reader.readexactly(1000)
        await world.plane.until(
            lambda: traffic[TCP_VIP].bytes_in == before.bytes_in + 3000, what="3,000 bytes in"
        )
        vip = traffic[TCP_VIP]
        assert vip.bytes_out - before.bytes_out >= 3015
        assert vip.active_connections == 3
        assert vip.total_connections - before.total_connections == 3
        assert vip.requests - before.requests == 3
        assert traffic[name].active_connections == 3
        assert traffic[TCP_POOL].bytes_in == vip.bytes_in
        async with Admin(options.driver.admin) as admin:
            limit = f"envoy.resource_limits.listener.{TCP_VIP}.connection_limit"
            await admin.post("/runtime_modify", **{limit: "3"})
        for _ in range(2):
            async with await Connection.open(address) as refused:
                assert await refused._reader.read() == b""
        await world.plane.until(lambda: traffic[TCP_VIP].refused_connections == 2, what="2 refused")
        assert traffic[TCP_VIP].total_connections == vip.total_connections


@pytest.mark.parametrize(
    ("mode", "cause"),
    [
        (Mode.FAILING, "HTTP 503, wanted 200"),
        (Mode.MUTE, "timeout after 0.3 s"),
        (Mode.CLOSED, "connection refused"),
    ],
)
async def test_a_member_that_fails_is_told_with_its_cause(world: World, mode, cause) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(await Member.start("m1"))
        two = await stack.enter_async_context(await Member.start("m2"))
        # The pool's second cluster checks for itself; both make one observation.
        web(world, one, two, clusters=(POOL, BY_SOURCE))
        options = world.options()
        await stack.enter_async_context(running(options))
        plane, failing = world.plane, member("m1")
        await plane.until(lambda: plane.state(failing) == "UP", what="m1 is up")
        admin = await stack.enter_async_context(Admin(options.driver.admin))

        async def envoy_finds(state: int) -> float:
            async def found() -> bool:
                hosts = host_readings(await admin.get("/clusters", format="json"), {POOL})
                return hosts[POOL, (one.host, one.port)].state == state

            await until(found, within=10, what="Envoy's own verdict", every=0.01)
            return asyncio.get_running_loop().time()

        await one.become(mode)
        verdict = await envoy_finds(MemberState.DOWN)
        await plane.until(lambda: plane.state(failing) == "DOWN", what="m1 is told down")
        assert plane.times[-1] - verdict < SECOND
        await plane.until(lambda: plane.members[failing].cause == cause, what=cause)
        assert plane.members[failing].health_monitor == monitor().name
        assert plane.state(member("m2")) == "UP"
        await one.become(Mode.HEALTHY)
        verdict = await envoy_finds(MemberState.UP)
        await plane.until(lambda: plane.state(failing) == "UP", what="m1 is told up")
        assert plane.times[-1] - verdict < SECOND
        assert plane.members[failing].cause == ""
        assert plane.members[failing].health_monitor == ""


async def test_the_cause_changes_while_a_member_stays_down(world: World) -> None:
    async with await Member.start("m1", mode=Mode.FAILING) as one, running(world.options()):
        plane = world.plane
        await plane.until(lambda: plane.hellos, what="the hello")
        web(world, one)
        plane.send(world.plane.spec)
        observed = lambda: plane.members[member("m1")]  # noqa: E731
        await plane.until(lambda: plane.state(member("m1")) == "DOWN", what="down from the start")
        await plane.until(lambda: observed().cause == "HTTP 503, wanted 200", what="503")
        since = observed().time
        await one.become(Mode.CLOSED)
        await plane.until(lambda: observed().cause == "connection refused", what="refused")
        assert observed().time == since


async def test_what_eds_says_is_not_envoys_own_finding(world: World) -> None:
    async with await Member.start("m1") as one, running(world.options()):
        assignment = endpoints(POOL, [one.address])
        assignment.endpoints[0].lb_endpoints[0].health_status = 2  # UNHEALTHY: a PING's verdict
        world.publish("pool", cluster(POOL, monitor={}), assignment)
        ping = monitor("projects/acme/healthMonitors/ping", type=HealthMonitorType.PING)
        pools = [pool_spec(POOL, [(member("m1"), one.address)], monitors=[monitor(), ping])]
        await world.plane.until(lambda: world.plane.hellos, what="the hello")
        world.plane.send(AgentSpec(pools=pools))
        await world.plane.until(lambda: world.plane.state(member("m1")) == "UP", what="up")


async def test_pending_and_warming_are_told(world: World) -> None:
    async with await Member.start("m1", mode=Mode.MUTE) as one, running(world.options()):
        plane = world.plane
        pools = [pool_spec(POOL, [(member("m1"), one.address)], monitors=[monitor()], vips=[VIP])]
        await plane.until(lambda: plane.hellos, what="the hello")
        plane.send(AgentSpec(pools=pools))
        checked = cluster(POOL, monitor={"timeout": "2s"})
        checked.common_lb_config.ignore_new_hosts_until_first_hc = True
        world.publish("pool", checked, endpoints(POOL, [one.address]))
        await plane.until(lambda: plane.state(member("m1")) == "PENDING", what="no check ended yet")
        await plane.until(lambda: plane.state(member("m1")) == "DOWN", what="its check has ended")
        # Its routes do not come, and the listener waits for them.
        listener = http_listener(VIP, free_port())
        world.publish("vip", listener)
        await plane.until(lambda: plane.warming == (VIP,), what="the listener warms")
        world.publish("vip", listener, route(VIP, POOL))
        await plane.until(lambda: not plane.warming, what="the listener serves")


async def test_what_is_no_more_is_not_known(world: World) -> None:
    async with await Member.start("m1") as one, await Member.start("m2") as two:
        web(world, one, two)
        async with running(world.options()):
            plane = world.plane
            await plane.until(lambda: plane.state(member("m2")) == "UP", what="m2 is up")
            world.publish("pool", cluster(POOL, monitor={}), endpoints(POOL, [one.address]))
            await plane.until(lambda: member("m2") not in plane.members, what="m2 is not known")
            assert plane.state(member("m1")) == "UP"


async def test_the_vip_serves_when_the_agent_stands_beside_it(world: World) -> None:
    async with await Member.start("m1") as one:
        address = web(world, one)
        async with running(world.options()):
            await serves(address)
            hello = (await world.plane.until(lambda: world.plane.hellos))[0]
            assert hello.node == "fleets/edge/nodes/edge-1"
            assert (hello.version, hello.driver) == ("1", "process")

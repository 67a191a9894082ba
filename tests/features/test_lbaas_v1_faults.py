"""The 14 faults of Quantum's LBaaS v1 that must not come back, each as a test, in their order."""

from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import pytest

from lbaas.v1 import (
    health_monitor_service_pb2,
    load_balancer_service_pb2,
    member_service_pb2,
    pool_service_pb2,
    vip_service_pb2,
)
from tests.api.client import Code, refused
from tests.features.fleets import agent_beside, drain_fleet, node, placed, pool_of
from tests.features.tenant import (
    COOKIE,
    GOOD,
    held,
    pins,
    serve,
    servers,
    serving,
    update_pool,
    update_vip,
    vip_of,
)
from tests.features.test_isolation import UNBINDABLE
from tests.features.test_member_lifecycle import change, delete, leaves
from tests.features.test_walk import spread
from tests.features.world import REJECTED, STATUS, world
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.http_client import Connection, fetch
from tests.harness.ports import free_port
from tests.harness.waiting import until


async def test_01_an_update_that_does_not_speak_of_persistence_leaves_it(tmp_path):
    """update_vip without session_persistence deleted the persistence."""
    async with world(tmp_path) as (_, client, _), servers(3) as members:
        vip, address = await serving(client, members, **COOKIE)
        pinned = await pins(address, 3)
        await update_vip(client, vip, description="no word of it")
        await update_vip(client, vip, mask="connectionLimit", connection_limit=1000)
        kept = await vip_of(client, vip)
        assert kept.session_persistence.cookie_name == "LB"
        assert (kept.description, kept.connection_limit) == ("no word of it", 1000)
        assert await held(address, pinned) == {name: {name} for name in pinned}


async def test_02_active_is_said_when_it_serves_and_not_before(tmp_path):
    """An object became ACTIVE when its configuration was read, before anything was deployed."""
    async with world(tmp_path) as (_, client, (envoy,)), servers(1) as (member,):
        pool = await client.pool("good", "web")
        await client.member(pool.name, member.name, member.address)
        await client.applied(pool.name)
        envoy.pause()
        port = free_port()
        vip = await client.vip("good", "front", pool=pool.name, port=port)
        answer = await client.wait(vip.name, seconds=1)
        assert answer.outcome == load_balancer_service_pb2.WaitOutcome.TIMED_OUT
        assert [each.node for each in answer.missing] == ["fleets/edge/nodes/node-0"]
        got = await vip_of(client, vip.name)
        assert (got.provisioning_status, got.nodes_applied) == (STATUS.PENDING_CREATE, 0)
        envoy.resume()
        await client.applied(vip.name)
        assert (await fetch(f"127.0.0.1:{port}")).text == "m0"


async def test_03_envoy_is_told_that_a_monitor_is_taken_off(tmp_path):
    """delete_pool_health_monitor never told the agent, which went on checking."""
    async with world(tmp_path) as (_, client, (envoy,)), servers(2) as members:
        _, address = await serving(client, members)
        monitor = await client.monitor("good", "check", max_retries=1)
        members[0].check_status = 503
        await client.associate(GOOD, monitor.name)
        await serve(address, "m1")
        off = await client.pools.DisassociateHealthMonitor(
            pool_service_pb2.DisassociateHealthMonitorRequest(
                name=GOOD, health_monitor=monitor.name
            )
        )
        await client.applied(GOOD, revision=off.revision)
        assert not await checks(envoy, GOOD)
        await serve(address, "m0", "m1")


async def checks(envoy: EnvoyProcess, cluster: str) -> list[Any]:
    """The health checks that an Envoy runs on a cluster."""
    dump = await envoy.config_dump("dynamic_active_clusters")
    (found,) = [each["cluster"] for each in dump["configs"] if each["cluster"]["name"] == cluster]
    return list(found.get("health_checks", []))


async def test_04_the_pool_that_a_member_leaves_is_told(tmp_path):
    """Moving a member was told to the new pool alone; the old one went on using it."""
    async with world(tmp_path) as (_, client, (envoy,)), servers(2) as members:
        _, address = await serving(client, members)
        other = await client.pool("good", "api")
        moved = await client.members.MoveMember(
            member_service_pb2.MoveMemberRequest(
                name=f"{GOOD}/members/m0", destination_pool=other.name
            )
        )
        await client.applied(moved.name, revision=moved.revision)
        await serve(address, "m1")
        assert set(await envoy.members(GOOD)) == {members[1].address}
        assert set(await envoy.members(other.name)) == {members[0].address}


async def test_05_another_projects_objects_do_not_exist(tmp_path):
    """create_member, associating a monitor and stats never asked whose pool it was."""
    async with world(tmp_path) as (_, client, _), servers(2) as members:
        vip, address = await serving(client, members[:1])
        check = (await client.monitor("good", "check")).name
        mine = (await client.pool("evil", "own")).name
        intruder = await client.member(mine, "intruder", members[1].address)
        own_vip = await client.vip("evil", "front", pool=mine, port=free_port())
        own_check = (await client.monitor("evil", "check")).name
        before = await pool_of(client, GOOD)
        theirs = "projects/evil/pools/web"  # the other project's pool, as if it were here
        attempts = {
            "member": client.member(theirs, "intruder", members[1].address),
            "their monitor": client.associate(mine, check),
            "our monitor": client.associate(theirs, own_check),
            "monitor on create": client.pool("evil", "new", health_monitors=[check]),
            "stats": client.pools.GetPoolStats(pool_service_pb2.GetPoolStatsRequest(name=theirs)),
            "vip stats": client.vips.GetVipStats(
                vip_service_pb2.GetVipStatsRequest(name="projects/evil/vips/web")
            ),
            "vip": client.vip("evil", "theft", pool=GOOD, port=free_port()),
            "vip moved": update_vip(client, own_vip.name, pool=GOOD),
            "move in": client.members.MoveMember(
                member_service_pb2.MoveMemberRequest(name=intruder.name, destination_pool=GOOD)
            ),
            "move out": client.members.MoveMember(
                member_service_pb2.MoveMemberRequest(
                    name=f"{GOOD}/members/m0", destination_pool=mine
                )
            ),
        }
        for attempt, call in attempts.items():
            try:
                await refused(call, Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
            except BaseException as error:
                error.add_note(attempt)
                raise
        # Nobody was let in, nothing moved, and those who were named are as they were.
        assert await pool_of(client, GOOD) == before
        listed = await client.vips.ListVips(vip_service_pb2.ListVipsRequest(parent="projects/evil"))
        assert [(each.name, each.pool) for each in listed.vips] == [(own_vip.name, mine)]
        assert set(await spread(address, 6)) == {"m0"}
        assert (await client.wait(vip)).outcome != REJECTED


async def test_06_what_is_switched_off_serves_nobody_and_comes_back(tmp_path):
    """admin_state_up=False on a VIP or a pool went on serving."""
    async with world(tmp_path) as (_, client, _), servers(1) as members:
        vip, address = await serving(client, members)
        tcp = await client.pool("good", "tcp", protocol="TCP")
        await client.member(tcp.name, "m0", members[0].address)
        port = free_port()
        made = await client.vip("good", "tcp", pool=tcp.name, port=port, protocol="TCP")
        await client.applied(made.name)
        await serve(address, "m0")
        await serve(f"127.0.0.1:{port}", "m0")

        for pool in (GOOD, tcp.name):
            await update_pool(client, pool, admin_state_up=False)
            assert (await pool_of(client, pool)).provisioning_status == STATUS.INACTIVE
        taken = members[0].requests
        assert (await fetch(address)).status == 503
        with pytest.raises((OSError, EOFError)):
            await fetch(f"127.0.0.1:{port}")
        assert members[0].requests == taken
        for pool in (GOOD, tcp.name):
            await update_pool(client, pool, admin_state_up=True)
        await serve(f"127.0.0.1:{port}", "m0")

        await serve(address, "m0")
        await update_vip(client, vip, admin_state_up=False)

        async def closed() -> bool:
            try:
                connection = await Connection.open(address)
            except ConnectionRefusedError:
                return True
            await connection.close()
            return False

        await until(closed, within=5, what="nobody listens for the VIP")
        await update_vip(client, vip, admin_state_up=True)
        await serve(address, "m0")


async def test_07_what_cannot_be_served_is_error_and_says_why(tmp_path):
    """ERROR was practically never set: what failed on the device looked well to its tenant."""
    async with world(tmp_path) as (_, client, _):
        pool = await client.pool("good", "web")
        bad = await client.vip("good", "bad", pool=pool.name, port=free_port(), address=UNBINDABLE)
        assert (await client.wait(bad.name)).outcome == REJECTED
        got = await vip_of(client, bad.name)
        assert (got.provisioning_status, got.status_detail.reason) == (
            STATUS.ERROR,
            "REJECTED_BY_ENVOY",
        )
        assert "Cannot assign requested address" in got.status_detail.message
        await drain_fleet(client, "edge")
        nowhere = await client.pool("good", "nowhere")
        assert (await client.wait(nowhere.name)).outcome == REJECTED
        homeless = await pool_of(client, nowhere.name)
        assert (homeless.provisioning_status, homeless.status_detail.reason) == (
            STATUS.ERROR,
            "NO_ELIGIBLE_FLEET",
        )
        assert "draining" in homeless.status_detail.message


async def test_08_every_refusal_has_its_code_and_its_reason(tmp_path):
    """VipExists, StateInvalid, MemberExists, cookie rules and a bad method were HTTP 500."""
    async with world(tmp_path) as (_, client, _), servers(2) as members:
        vip, address = await serving(client, members[:1])
        port = int(address.rpartition(":")[2])
        # VipExists: the name, and the address and port; a second VIP on a pool is none.
        await refused(
            client.vip("good", "front", pool=GOOD, port=free_port()),
            Code.ALREADY_EXISTS,
            "RESOURCE_ALREADY_EXISTS",
        )
        await refused(
            client.vip("good", "twin", pool=GOOD, port=port), Code.ALREADY_EXISTS, "ADDRESS_IN_USE"
        )
        second = await client.vip("good", "second", pool=GOOD, port=free_port())
        await client.applied(second.name)
        # MemberExists: the name, and the address and port.
        await refused(
            client.member(GOOD, "m0", members[1].address),
            Code.ALREADY_EXISTS,
            "RESOURCE_ALREADY_EXISTS",
        )
        await refused(
            client.member(GOOD, "twin", members[0].address),
            Code.ALREADY_EXISTS,
            "MEMBER_ADDRESS_IN_USE",
        )
        # StateInvalid: what is being deleted is not changed any more.
        dying = await client.member(GOOD, "m1", members[1].address, drain_timeout="60s")
        await client.applied(dying.name)
        await delete(client, dying.name)
        await refused(
            change(client, dying.name, weight=7), Code.FAILED_PRECONDITION, "BEING_DELETED"
        )
        # The cookie rules: required for APP_COOKIE, forbidden for SOURCE_IP.
        for kept, reason in (
            ({"type": "APP_COOKIE"}, "REQUIRED"),
            ({"type": "SOURCE_IP", "cookie_name": "LB"}, "NOT_APPLICABLE"),
        ):
            for call in (
                partial(client.vip, "good", "new", pool=GOOD, port=free_port()),
                partial(update_vip, client, vip),
            ):
                told = await refused(
                    call(session_persistence=kept), Code.INVALID_ARGUMENT, "INVALID_OBJECT"
                )
                (field,) = told.reasons
                assert field.endswith("session_persistence.cookie_name")
                assert told.reasons[field] == reason
        # A method that there is not, which only the database's enum refused.
        for method in (99, "CODE_UNSPECIFIED"):
            told = await refused(
                client.pool("good", "new", lb_method=method), Code.INVALID_ARGUMENT
            )
            assert (told.reason, [*told.fields]) == ("INVALID_OBJECT", ["lb_method"])


async def test_09_every_monitor_of_a_pool_counts(tmp_path):
    """Only the first active monitor was used."""
    async with world(tmp_path) as (_, client, (envoy,)), servers(2) as members:
        _, address = await serving(client, members)
        passes = await client.monitor("good", "passes", max_retries=1)
        fails = await client.monitor("good", "fails", max_retries=1, expected_codes="202")
        await client.associate(GOOD, passes.name)
        await client.applied(GOOD)
        await serve(address, "m0", "m1")
        members[1].check_status = 202  # it passes the second and fails the first
        await serve(address, "m0")
        await client.associate(GOOD, fails.name)

        async def none() -> bool:
            return (await fetch(address)).status == 503

        await until(none, within=10, what="each member fails one of the two, and is out")
        assert len(await checks(envoy, GOOD)) == 2
        for monitor in (passes, fails):
            wider = health_monitor_service_pb2.UpdateHealthMonitorRequest()
            wider.health_monitor.name = monitor.name
            wider.health_monitor.expected_codes = "200,202"
            await client.monitors.UpdateHealthMonitor(wider)
        await serve(address, "m0", "m1")


async def test_10_a_cookie_holds_its_member_whoever_else_comes_and_goes(tmp_path):
    """A cookie's value was the member's place in a list: removing one moved the others' clients."""
    async with world(tmp_path) as (_, client, (envoy,)), servers(5) as members:
        _, address = await serving(client, members[:4], **COOKIE)
        pinned = await pins(address, 4)
        await delete(client, f"{GOOD}/members/m0")
        await leaves(client, envoy, GOOD, members[0])
        new = await client.member(GOOD, "a-first", members[4].address)
        await client.applied(new.name)
        await delete(client, f"{GOOD}/members/m2")
        await leaves(client, envoy, GOOD, members[2])
        for name in ("m0", "m2"):
            del pinned[name]
        assert await held(address, pinned) == {"m1": {"m1"}, "m3": {"m3"}}


async def test_11_values_without_a_meaning_are_refused_and_weight_0_has_one(tmp_path):
    """Weight 0, port 0, negative times and connection limits of 0 and -7 were taken in silence."""
    async with world(tmp_path) as (_, client, _), servers(2) as members:
        vip, address = await serving(client, members)
        host = members[0].address.rpartition(":")[0]
        new_vip = partial(client.vip, "good", "new", pool=GOOD)
        calls = {
            "port": [
                *(partial(client.member, GOOD, "new", f"{host}:{port}") for port in (0, 65536)),
                partial(new_vip, port=0),
            ],
            "weight": [
                partial(client.member, GOOD, "new", f"{host}:9", weight=weight)
                for weight in (-1, 257)
            ],
            "connection_limit": [
                call
                for limit in (0, -7)
                for call in (
                    partial(new_vip, port=free_port(), connection_limit=limit),
                    partial(update_vip, client, vip, connection_limit=limit),
                )
            ],
            "timeout": [partial(client.monitor, "good", "new", timeout="-1s")],
            "delay": [partial(client.monitor, "good", "new", delay="-1s")],
        }
        for field, refusals in calls.items():
            for call in refusals:
                told = await refused(call(), Code.INVALID_ARGUMENT, "INVALID_OBJECT")
                assert field in told.fields, told
        await change(client, f"{GOOD}/members/m0", weight=0)
        await serve(address, "m1")


async def test_12_monitors_named_when_a_pool_is_created_watch_it(tmp_path):
    """health_monitors in POST pool was accepted and ignored."""
    async with world(tmp_path) as (_, client, (envoy,)), servers(2) as members:
        members[0].check_status = 503
        check = await client.monitor("good", "check", max_retries=1)
        pool = await client.pool("good", "web", health_monitors=[check.name])
        assert list(pool.health_monitors) == [check.name]
        for member in members:
            await client.member(pool.name, member.name, member.address)
        port = free_port()
        vip = await client.vip("good", "front", pool=pool.name, port=port)
        await client.applied(vip.name)
        await serve(f"127.0.0.1:{port}", "m1")
        assert len(await checks(envoy, pool.name)) == 1
        assert members[0].checks
        assert not members[0].requests


async def test_13_statistics_count_what_was_served(tmp_path):
    """Statistics were always zero."""
    async with (
        world(tmp_path) as (plane, client, (envoy,)),
        servers(2) as members,
        agent_beside(plane, envoy),
    ):
        vip, address = await serving(client, members)
        assert sum((await spread(address, 40)).values()) == 40

        async def counted() -> Any:
            asked = pool_service_pb2.GetPoolStatsRequest(name=GOOD)
            stats = await client.pools.GetPoolStats(asked)
            return stats if stats.requests >= 40 else None

        # Before the agent's first report there are none, which is an error and no zero.
        stats = await until(
            counted, within=10, what="40 requests counted", tolerate=(grpc.aio.AioRpcError,)
        )
        assert (stats.requests, stats.errors) == (40, 0)
        assert {each.name: each.requests for each in stats.members} == {
            f"{GOOD}/members/{member.name}": member.requests for member in members
        }
        assert stats.total_connections == sum(member.accepted for member in members)
        # The pool's bytes are those to and from members, the VIP's those to and from clients.
        asked = b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"
        assert stats.bytes_out == 40 * len(members[0].answer(b"GET"))
        assert stats.bytes_in > 40 * len(asked)
        of_vip = await client.vips.GetVipStats(vip_service_pb2.GetVipStatsRequest(name=vip))
        assert (of_vip.requests, of_vip.total_connections) == (40, 40)
        assert of_vip.bytes_in == 40 * len(asked)
        assert of_vip.bytes_out > stats.bytes_out
        held_open = await Connection.open(address)
        await held_open.request("/")

        async def active() -> bool:
            asked = vip_service_pb2.GetVipStatsRequest(name=vip)
            return (await client.vips.GetVipStats(asked)).active_connections == 1

        await until(active, within=10, what="the connection that is open is counted")
        await held_open.close()


async def test_14_the_pools_of_a_fleet_that_died_are_served_by_another(tmp_path):
    """A dead agent's pools were dead for ever."""
    soon = timedelta(seconds=0.5)
    times = {
        "lost_after": soon,
        "fleet_dead_after": soon,
        "move_overlap": soon,
        "listener_drain": soon,
    }
    async with world(tmp_path, **times) as (plane, client, (envoy,)), servers(1) as members:
        _, address = await serving(client, members)
        await client.fleet("spare")
        async with node(plane, fleet="spare") as spare:
            await envoy.kill()
            await placed(client, GOOD, "spare", within=20)
            await serve(address, "m0")
            assert address in (await spare.listeners()).values()
            placement = (await pool_of(client, GOOD)).placement
            assert "fleets/edge, which has had no node since" in placement.reason

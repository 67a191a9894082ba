"""A member's life through real Envoys: checked before it serves, drained before it goes."""

import asyncio
import time
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from lbaas.v1 import member_pb2, member_service_pb2, pool_service_pb2
from lbaas.v1.status_pb2 import ProvisioningStatus
from tests.features.test_walk import spread
from tests.features.world import Client, world
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.http_client import fetch
from tests.harness.load import Load
from tests.harness.members import Member
from tests.harness.ports import free_port
from tests.harness.waiting import until

COOKIE = {"session_persistence": {"type": "HTTP_COOKIE", "cookie_name": "LB"}}


async def ready(
    client: Client, servers: list[Member], *, drain: float = 0.0, **vip: Any
) -> tuple[str, str, list[str]]:
    """A pool with these members and a VIP, live: its name, the VIP's address, members' names."""
    pool = await client.pool("acme", "web")
    names = []
    for server in servers:
        made = await client.member(
            pool.name, server.name, server.address, drain_timeout=f"{drain}s"
        )
        names.append(made.name)
    port = free_port()
    made = await client.vip("acme", "web", pool=pool.name, port=port, **vip)
    await client.applied(made.name)
    return pool.name, f"127.0.0.1:{port}", names


async def change(client: Client, name: str, **fields: Any) -> None:
    """Updates a member and waits until every Envoy has it."""
    made = await client.members.UpdateMember(
        member_service_pb2.UpdateMemberRequest(
            member=member_pb2.Member(name=name, **fields), update_mask=FieldMask(paths=[*fields])
        )
    )
    await client.applied(made.name, revision=made.revision)


async def delete(client: Client, name: str) -> Any:
    """Deletes a member; waits until every Envoy runs what that changed, not until it is gone."""
    gone = await client.members.DeleteMember(member_service_pb2.DeleteMemberRequest(name=name))
    assert gone.provisioning_status == ProvisioningStatus.PENDING_DELETE
    return gone


async def health(envoy: EnvoyProcess, pool: str, server: Member) -> dict[str, Any]:
    """How Envoy holds one member; empty: not at all."""
    return (await envoy.members(pool)).get(server.address, {})


async def drains(envoy: EnvoyProcess, pool: str, server: Member) -> None:
    """Waits until an Envoy holds a member as DRAINING."""

    async def so() -> bool:
        return (await health(envoy, pool, server)).get("eds_health_status") == "DRAINING"

    await until(so, within=5, what="Envoy drains the member")


async def leaves(client: Client, envoy: EnvoyProcess, pool: str, server: Member) -> None:
    """Waits until neither the API nor Envoy has the member."""
    listing = member_service_pb2.ListMembersRequest(parent=pool)

    async def gone() -> bool:
        if server.address in await envoy.members(pool):
            return False
        listed = await client.members.ListMembers(listing)
        return server.name not in {each.name.rpartition("/")[2] for each in listed.members}

    await until(gone, within=15, what="the member is gone")


async def test_a_new_member_gets_no_traffic_before_its_first_passed_check(tmp_path):
    async with world(tmp_path) as (_, client, _envoys):
        old, new = await Member.start("old"), await Member.start("new")
        new.check_status = 503
        pool, address, _ = await ready(client, [old])
        monitor = await client.monitor("acme", "check", max_retries=1)
        await client.associate(pool, monitor.name)
        await client.applied(monitor.name)
        async with Load(address) as load:
            made = await client.member(pool, "new", new.address)
            await client.applied(made.name)

            async def checked() -> bool:
                return new.checks > 3

            await until(checked, within=10, what="it was checked, and failed")
            await load.more(200)
            assert load.served["new"] == new.requests == 0
            new.check_status = 200

            async def serves() -> bool:
                return load.served["new"] > 0

            await until(serves, within=10, what="it passed, and serves")
        assert not load.failures
        await old.close()
        await new.close()


async def test_weight_0_and_admin_down_take_nothing_new_and_both_come_back(tmp_path):
    async with world(tmp_path) as (_, client, (envoy,)):
        servers = [await Member.start(f"m{number}") for number in range(3)]
        pool, address, names = await ready(client, servers, drain=3600)
        async with Load(address) as load:
            for off, on in (
                ({"weight": 0}, {"weight": 1}),
                ({"admin_state_up": False}, {"admin_state_up": True}),
            ):
                await change(client, names[0], **off)
                await drains(envoy, pool, servers[0])
                assert set(await spread(address)) == {"m1", "m2"}
                await change(client, names[0], **on)

                async def back() -> bool:
                    return "m0" in await spread(address, 9)

                await until(back, within=5, what="it serves again")
        assert not load.failures
        for server in servers:
            await server.close()


async def test_admin_down_without_a_drain_timeout_is_out_at_once(tmp_path):
    async with world(tmp_path) as (_, client, (envoy,)):
        servers = [await Member.start(f"m{number}") for number in range(2)]
        pool, address, names = await ready(client, servers)
        await change(client, names[0], admin_state_up=False)
        assert servers[0].address not in await envoy.members(pool)
        assert set(await spread(address)) == {"m1"}
        for server in servers:
            await server.close()


async def test_a_deleted_member_drains_for_its_timeout_and_keeps_its_sessions_until_then(tmp_path):
    async with world(tmp_path) as (_, client, (envoy,)):
        servers = [await Member.start(f"m{number}") for number in range(3)]
        pool, address, names = await ready(client, servers, drain=3, **COOKIE)
        pinned: dict[str, str] = {}
        while len(pinned) < 3:
            reply = await fetch(address)
            pinned[reply.text] = reply.set_cookies[0].partition(";")[0]
        began = time.monotonic()
        gone = await delete(client, names[0])
        assert gone.drain_end_time.seconds
        await drains(envoy, pool, servers[0])
        for name, cookie in pinned.items():
            assert (await fetch(address, cookie=cookie)).text == name
        assert set(await spread(address)) == {"m1", "m2"}
        await leaves(client, envoy, pool, servers[0])
        assert time.monotonic() - began >= 3
        replies = [await fetch(address, cookie=pinned["m0"]) for _ in range(5)]
        assert {reply.status for reply in replies} == {200}
        assert {reply.text for reply in replies} <= {"m1", "m2"}
        assert all(reply.set_cookies for reply in replies)  # issued anew
        for name in ("m1", "m2"):
            assert (await fetch(address, cookie=pinned[name])).text == name
        for server in servers:
            await server.close()


async def test_200_long_requests_a_second_and_none_fails_while_a_member_drains(tmp_path):
    async with world(tmp_path) as (_, client, (envoy,)):
        servers = [await Member.start(f"m{number}") for number in range(3)]
        pool, address, names = await ready(client, servers, drain=4)
        for server in servers:
            server.delay = 2.0
        # 400 requests at a time of 2 s each are 200 a second.
        load = Load(address, keep_alive=200, per_request=200, pause=0.0)
        async with load:
            await load.more(400, within=60)
            assert servers[0].requests
            await delete(client, names[0])
            await drains(envoy, pool, servers[0])
            taken = servers[0].requests
            await leaves(client, envoy, pool, servers[0])
            await load.more(400, within=60)
            assert servers[0].requests == taken
        assert not load.failures
        assert load.served["m0"] == taken  # those that were under way have ended well
        for server in servers:
            await server.close()


async def test_a_moved_member_is_told_to_both_pools_and_keeps_its_sessions(tmp_path):
    async with world(tmp_path) as (_, client, (envoy,)):
        servers = [await Member.start(f"m{number}") for number in range(3)]
        first, address, names = await ready(client, servers[:2], **COOKIE)
        second = await client.pool("acme", "api")
        await client.member(second.name, "m2", servers[2].address)
        port = free_port()
        vip = await client.vip("acme", "api", pool=second.name, port=port, **COOKIE)
        await client.applied(vip.name)
        pinned: dict[str, str] = {}
        while len(pinned) < 2:
            reply = await fetch(address)
            pinned[reply.text] = reply.set_cookies[0].partition(";")[0]
        moved = await client.members.MoveMember(
            member_service_pb2.MoveMemberRequest(name=names[0], destination_pool=second.name)
        )
        await client.applied(moved.name, revision=moved.revision)

        async def told() -> bool:
            there = await envoy.members(second.name)
            return servers[0].address in there and servers[0].address not in await envoy.members(
                first
            )

        await until(told, within=5, what="both clusters follow")
        assert set(await spread(address)) == {"m1"}
        new = f"127.0.0.1:{port}"
        assert {(await fetch(new, cookie=pinned["m0"])).text for _ in range(10)} == {"m0"}
        pool = await client.pools.GetPool(pool_service_pb2.GetPoolRequest(name=first))
        assert pool.provisioning_status == ProvisioningStatus.ACTIVE
        for server in servers:
            await server.close()


async def test_two_members_drain_at_once_and_the_pool_serves_on(tmp_path):
    async with world(tmp_path, nodes=2) as (_, client, envoys):
        servers = [await Member.start(f"m{number}") for number in range(3)]
        pool, address, names = await ready(client, servers, drain=1)
        async with Load(address) as load:
            await asyncio.gather(*(delete(client, name) for name in names[:2]))
            for server in servers[:2]:
                for envoy in envoys:
                    await leaves(client, envoy, pool, server)
            await load.more(100)
        assert not load.failures
        for server in servers:
            await server.close()

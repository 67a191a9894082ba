"""gRPC clients without a proxy: grpcio resolves `xds:///projects/.../vips/...` and follows."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict

from lbaas.v1 import fleet_service_pb2, member_service_pb2, vip_service_pb2
from tests.features.control_plane import ControlPlane
from tests.features.fleets import agent_beside
from tests.features.tenant import update_pool, update_vip
from tests.features.world import STATUS, Client, client_of, world
from tests.harness.ads_client import LDS, SotwClient
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.grpc_caller import WHO, Caller
from tests.harness.grpc_member import GrpcMember, grpc_members
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tidegate.plane import Plane
from xds.translate import grpc_bootstrap

VIP = "projects/acme/vips/who"
POOL = "projects/acme/pools/who"
DRAINED_WITHIN = 2.0
QUICK = {"GRPC_EXPERIMENTAL_XDS_DATA_ERROR_HANDLING": "true"}


def calling(xds_port: int, *, fleet: str = "edge", node: str = "shop", **more: Any) -> Caller:
    """A client that calls the VIP."""
    address = [("127.0.0.1", xds_port)]
    made = grpc_bootstrap(fleet=fleet, node=node, xds_address=address)
    return Caller(f"xds:///{VIP}", made, **more)


async def vip(client: Client) -> None:
    await client.vip("acme", "who", pool=POOL, port=free_port(), protocol="TCP")


async def tree(client: Client, members: Sequence[GrpcMember], **weights: int) -> None:
    """A TCP pool with these members, and its VIP."""
    await client.pool("acme", "who", protocol="TCP")
    for member in members:
        weight = weights.get(member.name, 1)
        await client.member(POOL, member.name, member.address, weight=weight)
    await vip(client)


async def change(client: Client, member: str, **fields: Any) -> None:
    """Updates a member."""
    wanted = {"name": f"{POOL}/members/{member}", **fields}
    request = ParseDict({"member": wanted}, member_service_pb2.UpdateMemberRequest())
    request.update_mask.paths.extend(fields)
    await client.members.UpdateMember(request)


async def delete(client: Client, member: str) -> None:
    request = member_service_pb2.DeleteMemberRequest(name=f"{POOL}/members/{member}")
    await client.members.DeleteMember(request)


@contextlib.asynccontextmanager
async def served(
    tmp_path: Any, *names: str, **weights: int
) -> AsyncIterator[tuple[Plane, Client, EnvoyProcess, list[GrpcMember]]]:
    """A control plane with an Envoy, and a pool of gRPC servers with its VIP live on it."""
    async with (
        world(tmp_path) as (plane, client, (envoy,)),
        grpc_members(*names) as members,
    ):
        await tree(client, members, **weights)
        await client.applied(VIP)
        yield plane, client, envoy, members


async def test_calls_spread_by_weight_and_who_drains_gets_none_within_two_seconds(tmp_path):
    async with (
        served(tmp_path, "a", "b", "c", c=3) as (plane, client, _, _),
        calling(plane.xds_port, streams=12) as caller,
    ):
        counts = await caller.next(600)
        assert counts.keys() == {"a", "b", "c"}
        assert counts["c"] > counts["a"] + counts["b"]  # 360 of 600, give or take 12

        async def without_c(began: float) -> None:
            assert await caller.only("a", "b") - began < DRAINED_WITHIN
            caller.streamed.clear()
            await until(stays, within=10, what="what c has begun goes on")

        async def stays() -> bool:
            return "c" in caller.streamed

        began = time.monotonic()
        await change(client, "c", weight=0)
        await without_c(began)
        await change(client, "c", weight=3, drain_timeout="60s")
        await caller.only("a", "b", "c")
        began = time.monotonic()
        await change(client, "c", admin_state_up=False)
        await without_c(began)
        await change(client, "c", admin_state_up=True)
        await caller.only("a", "b", "c")
        began = time.monotonic()
        await delete(client, "c")
        await without_c(began)
        assert caller.failures == []


async def test_members_of_like_weight_take_turns_and_a_new_one_takes_part(tmp_path):
    async with (
        served(tmp_path, "a", "b") as (plane, client, _, _),
        calling(plane.xds_port) as caller,
        grpc_members("c") as (new,),
    ):
        await caller.only("a", "b")
        assert await caller.next(200) == {"a": 100, "b": 100}
        await client.member(POOL, "c", new.address)
        await caller.only("a", "b", "c")
        assert await caller.next(300) == {"a": 100, "b": 100, "c": 100}
        await change(client, "a", weight=9)

        async def prefers_a() -> bool:
            return (await caller.next(60))["a"] > 36  # 49 of 60; 20 as it was

        await until(prefers_a, within=20, what="a gets more")
        assert caller.failures == []


async def test_a_member_that_agents_find_down_leaves_and_comes_back(tmp_path):
    async with served(tmp_path, "a", "b") as (plane, client, envoy, (a, _)):
        fields = {"type": "TCP", "delay": "0.3s", "timeout": "0.2s", "max_retries": 2}
        monitor = await client.monitor("acme", "check", **fields)
        await client.associate(POOL, monitor.name)
        async with agent_beside(plane, envoy), calling(plane.xds_port) as caller:
            await caller.only("a", "b")
            a.shut()  # to newcomers alone: the client's own connection goes on
            await caller.only("b")
            await a.open()
            await caller.only("a", "b")
            assert caller.failures == []


async def test_methods_and_persistence_keep_a_channel_on_its_member_or_spread(tmp_path):
    names = "a", "b", "c"
    async with (
        served(tmp_path, *names) as (plane, client, _, _),
        calling(plane.xds_port) as caller,
    ):
        await caller.only(*names)

        async def stays() -> bool:
            return len(await caller.next(30)) == 1

        await update_pool(client, POOL, lb_method="SOURCE_IP")
        await until(stays, within=20, what="the channel stays on one member")
        await update_pool(client, POOL, lb_method="LEAST_CONNECTIONS")
        await caller.only(*names)
        kept = {"session_persistence": {"type": "SOURCE_IP"}}
        await update_vip(client, VIP, "sessionPersistence", **kept)
        await until(stays, within=20, what="the channel stays on one member")
        await update_vip(client, VIP, "sessionPersistence")
        await caller.only(*names)
        assert caller.failures == []


async def test_backups_wait_and_what_is_switched_off_serves_nobody(tmp_path):
    async with (
        served(tmp_path, "a", "b") as (plane, client, _, _),
        calling(plane.xds_port, **QUICK) as quick,
        calling(plane.xds_port) as caller,
    ):
        await caller.only("a", "b")
        await change(client, "b", backup=True)
        await caller.only("a")
        await change(client, "a", weight=0)
        await caller.only("b")
        await change(client, "a", weight=1)
        await caller.only("a")
        assert caller.failures == quick.failures == []

        async def refused(each: Caller) -> bool:
            return all(by.startswith("UNAVAILABLE") for by in await each.next(5))

        async def refuses() -> bool:
            return await refused(caller) and await refused(quick)

        for switch in (update_pool, POOL), (update_vip, VIP):
            update, name = switch
            mask = {"mask": "adminStateUp"} if update is update_vip else {}
            await update(client, name, **mask, admin_state_up=False)
            await until(refuses, within=20, what=f"{name} serves nobody")
            await update(client, name, **mask, admin_state_up=True)
            await caller.only("a")
            await quick.only("a")


async def test_a_vip_that_moves_to_another_pool_takes_its_clients_along(tmp_path):
    async with (
        served(tmp_path, "a") as (plane, client, _, _),
        calling(plane.xds_port) as caller,
        grpc_members("z") as (other,),
    ):
        pool = await client.pool("acme", "other", protocol="TCP")
        await client.member(pool.name, "z", other.address)
        await caller.only("a")
        await update_vip(client, VIP, "pool", pool=pool.name)
        await caller.only("z")
        await update_vip(client, VIP, "pool", pool=POOL)
        await caller.only("a")
        assert caller.failures == []


async def test_a_vip_that_there_is_not_is_unavailable_until_it_is_created(tmp_path):
    async with (
        world(tmp_path) as (plane, client, _),
        grpc_members("a") as (a,),
        calling(plane.xds_port, **QUICK) as quick,
        calling(plane.xds_port) as caller,
        calling(plane.xds_port, fleet="later") as early,
    ):
        (why,) = await quick.next(1)
        assert "UNAVAILABLE" in why
        assert "there is nothing of this name" in why
        (why,) = await caller.next(1)  # after the 15 s that grpcio waits by itself
        assert f"UNAVAILABLE: empty address list (LDS resource {VIP}: does not exist" in why
        await tree(client, [a])
        await quick.only("a")
        await caller.only("a")
        # Whoever names a fleet that there is not is answered as soon as it is there.
        await client.fleet("later")
        (why,) = await early.next(1)
        assert "does not exist" in why


async def test_envoys_and_statuses_know_nothing_of_grpc_clients(tmp_path):
    async with served(tmp_path, "a") as (plane, client, envoy, _):
        assert plane.cache.snapshot("edge/grpc") is None  # nobody pays for what nobody uses
        before = await envoy.stats("listener_manager|cluster_manager.cluster_(added|modified)")
        async with (
            calling(plane.xds_port) as caller,
            SotwClient(f"127.0.0.1:{plane.xds_port}", fleet="edge", user_agent="gRPC Go") as other,
        ):
            await caller.only("a")
            await other.send(LDS, [VIP])
            await other.nack(await other.receive(LDS), "I do not like it")
            await change(client, "a", weight=2)
            await client.applied(f"{POOL}/members/a")
            found = await client.vips.GetVip(vip_service_pb2.GetVipRequest(name=VIP))
            assert found.provisioning_status == STATUS.ACTIVE
            nodes = await client.fleets.ListNodes(
                fleet_service_pb2.ListNodesRequest(parent="fleets/edge")
            )
            assert [node.name for node in nodes.nodes] == ["fleets/edge/nodes/node-0"]
            assert "api_listener" not in str(await envoy.config_dump())
            pattern = "listener_manager|cluster_manager.cluster_(added|modified)"
            assert await envoy.stats(pattern) == before
        # Nobody is given what clients are given by naming it.
        async with SotwClient(f"127.0.0.1:{plane.xds_port}", fleet="edge/grpc") as stranger:
            await stranger.send(LDS)
            _, why = await stranger.status()
            assert "names no fleet" in why


async def test_calls_go_on_while_the_control_plane_is_killed_and_started_again(tmp_path):
    async with (
        ControlPlane(tmp_path) as plane,
        client_of(plane.api_port) as client,
        grpc_members("a", "b") as members,
    ):
        await client.fleet("edge", vip_ranges=["127.0.0.0/8"])
        await tree(client, members)
        async with calling(plane.xds_port) as caller:
            await caller.only("a", "b")
            await plane.kill()
            await caller.next(100)
            await plane.start()
            await change(client, "b", weight=0)
            await caller.only("a", within=60)
            await change(client, "b", weight=1)
            await caller.only("a", "b")
            assert caller.failures == []


async def test_the_pages_client_calls_with_the_bootstrap_that_the_command_prints(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "proxyless-grpc.md").read_text()
    program = page.partition("```python\n")[2].partition("```")[0]
    program += f'print(channel.unary_unary("{WHO}")(b"", timeout=30).decode())\n'
    async with world(tmp_path) as (plane, client, _), grpc_members("m1") as (member,):
        pool = await client.pool("acme", "web", protocol="TCP")
        await client.member(pool.name, "m1", member.address)
        await client.vip("acme", "web", pool=pool.name, port=free_port(), protocol="TCP")
        command = f"-m tidegate bootstrap edge my-client --grpc --xds 127.0.0.1:{plane.xds_port}"
        (tmp_path / "xds.json").write_text(await output(*command.split()))
        env = {"GRPC_XDS_BOOTSTRAP": str(tmp_path / "xds.json")}
        assert await output("-c", program, **env) == "m1\n"


async def output(*arguments: str, **env: str) -> str:
    """What a Python process prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env={**os.environ, **env}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()

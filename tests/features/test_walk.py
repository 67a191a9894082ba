"""A tenant's way, end to end: from empty pool to live traffic through a real Envoy."""

from collections import Counter

import grpc
import pytest

from lbaas.v1 import (
    load_balancer_service_pb2,
    member_service_pb2,
    pool_service_pb2,
    vip_service_pb2,
)
from tests.features.world import STATUS, world
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.http_client import Connection, fetch
from tests.harness.members import Echo, Member, Mode
from tests.harness.ports import free_port
from tests.harness.waiting import until


async def spread(address: str, count: int = 30) -> Counter[str]:
    """Which members answer `count` requests, each on a connection of its own."""
    answers: Counter[str] = Counter()
    for _ in range(count):
        reply = await fetch(address)
        answers[reply.text if reply.status == 200 else str(reply.status)] += 1
    return answers


async def test_the_tenants_order_from_an_empty_pool_to_traffic(tmp_path, store_url):
    async with world(tmp_path, database=store_url) as (_, client, _envoys):
        pool = await client.pool("acme", "web")
        assert pool.provisioning_status == STATUS.PENDING_CREATE
        servers = [await Member.start(f"m{number}") for number in range(3)]
        for server in servers:
            await client.member(pool.name, server.name, server.address)
        monitor = await client.monitor("acme", "check")
        await client.associate(pool.name, monitor.name)
        port = free_port()
        vip = await client.vip("acme", "front", pool=pool.name, port=port)
        await client.applied(vip.name)
        for name in (pool.name, monitor.name, f"{pool.name}/members/m1"):
            await client.applied(name)

        got = await client.vips.GetVip(vip_service_pb2.GetVipRequest(name=vip.name))
        assert got.provisioning_status == STATUS.ACTIVE
        assert (got.nodes_applied, got.nodes_total) == (1, 1)
        assert got.status_detail.reason == "NO_AGENT"

        async def all_serve() -> bool:
            return set(await spread(f"127.0.0.1:{port}", 9)) == {"m0", "m1", "m2"}

        await until(all_serve, within=5, what="every member passed its first check and serves")

        await servers[0].become(Mode.CLOSED)

        async def out() -> bool:
            return "m0" not in await spread(f"127.0.0.1:{port}", 9)

        await until(out, within=5, what="the stopped member is out")
        assert await spread(f"127.0.0.1:{port}", 30) == {"m1": 15, "m2": 15}
        for server in servers:
            await server.close()


async def test_apply_makes_and_delete_tree_removes_the_whole_load_balancer(tmp_path):
    async with world(tmp_path) as (_, client, (envoy,)), await Member.start("only") as server:
        port = free_port()
        tree = {
            "pool": {
                "name": "projects/acme/pools/web",
                "protocol": "HTTP",
                "lb_method": "LEAST_CONNECTIONS",
            },
            "members": [
                {
                    "name": "projects/acme/pools/web/members/only",
                    "address": "127.0.0.1",
                    "port": server.port,
                }
            ],
            "vips": [
                {
                    "name": "projects/acme/vips/front",
                    "pool": "projects/acme/pools/web",
                    "protocol": "HTTP",
                    "address": "127.0.0.1",
                    "port": port,
                }
            ],
        }
        made = await client.apply(tree)
        await client.applied(made.vips[0].name)
        assert await spread(f"127.0.0.1:{port}", 4) == {"only": 4}

        gone = await client.trees.DeleteTree(
            load_balancer_service_pb2.DeleteTreeRequest(name=made.pool.name)
        )
        assert gone.pool.provisioning_status == STATUS.PENDING_DELETE
        for deleted in (gone.vips[0], gone.members[0], gone.pool):
            await client.applied(deleted.name, revision=deleted.revision)
        with pytest.raises(OSError, match=r"onnect"):
            await fetch(f"127.0.0.1:{port}")
        assert await named_clusters(envoy) == set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.pools.GetPool(pool_service_pb2.GetPoolRequest(name=made.pool.name))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        # The id and the address are free again.
        again = await client.apply(tree)
        await client.applied(again.vips[0].name)
        assert await spread(f"127.0.0.1:{port}", 4) == {"only": 4}


async def named_clusters(envoy: EnvoyProcess) -> set[str]:
    """The tenants' clusters that an Envoy runs."""
    answer = (await envoy.admin("/clusters?format=json")).json()
    names = {cluster["name"] for cluster in answer.get("cluster_statuses", [])}
    return {name for name in names if name.startswith("projects/")}


async def test_tcp_and_https_pass_bytes_through(tmp_path):
    async with world(tmp_path) as (_, client, _), await Echo.start("echo") as server:
        for protocol in ("TCP", "HTTPS"):
            name = protocol.lower()
            pool = await client.pool("acme", name, protocol=protocol)
            await client.member(pool.name, "one", server.address)
            port = free_port()
            vip = await client.vip("acme", name, pool=pool.name, port=port, protocol=protocol)
            await client.applied(vip.name)
            await client.applied(f"{pool.name}/members/one")
            connection = await Connection.open(f"127.0.0.1:{port}")
            connection._writer.write(b"any bytes\n")
            assert await connection._reader.readline() == b"echo\n"
            assert await connection._reader.readline() == b"any bytes\n"
            await connection.close()


async def test_a_drained_member_and_a_disabled_vip_take_no_traffic(tmp_path):
    async with world(tmp_path) as (_, client, _):
        servers = [await Member.start(f"m{number}") for number in range(2)]
        pool = await client.pool("acme", "web")
        for server in servers:
            await client.member(pool.name, server.name, server.address)
        port = free_port()
        vip = await client.vip("acme", "front", pool=pool.name, port=port)
        await client.applied(vip.name)
        assert set(await spread(f"127.0.0.1:{port}", 8)) == {"m0", "m1"}

        update = member_service_pb2.UpdateMemberRequest()
        update.member.name = f"{pool.name}/members/m0"
        update.member.admin_state_up = False
        member = await client.members.UpdateMember(update)
        await client.applied(member.name, revision=member.revision)
        assert await spread(f"127.0.0.1:{port}", 8) == {"m1": 8}

        off = vip_service_pb2.UpdateVipRequest()
        off.vip.name = vip.name
        off.vip.admin_state_up = False
        disabled = await client.vips.UpdateVip(off)
        await client.applied(vip.name, revision=disabled.revision)
        got = await client.vips.GetVip(vip_service_pb2.GetVipRequest(name=vip.name))
        assert got.provisioning_status == STATUS.INACTIVE

        async def refused() -> bool:
            try:
                await fetch(f"127.0.0.1:{port}")
            except OSError:
                return True
            return False

        await until(refused, within=5, what="the disabled VIP refuses connections")
        for server in servers:
            await server.close()


async def test_without_a_fleet_that_fits_the_pool_says_why_and_is_placed_when_one_fits(tmp_path):
    async with world(tmp_path) as (_, client, _):
        ping = await client.monitor("acme", "ping", type="PING")
        pool = await client.pool("acme", "web", health_monitors=[ping.name])

        async def error() -> bool:
            got = await client.pools.GetPool(pool_service_pb2.GetPoolRequest(name=pool.name))
            if got.provisioning_status != STATUS.ERROR:
                return False
            assert got.status_detail.reason == "NO_ELIGIBLE_FLEET"
            assert "PING" in got.status_detail.message
            assert "fleets/edge" in got.status_detail.message
            return True

        await until(error, within=5, what="the pool is refused with the fleet's reason")
        await client.pools.DisassociateHealthMonitor(
            pool_service_pb2.DisassociateHealthMonitorRequest(
                name=pool.name, health_monitor=ping.name
            )
        )
        await client.applied(pool.name)

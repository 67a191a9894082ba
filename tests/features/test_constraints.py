"""What breaks a constraint of Envoy's is never sent: its tenant is told, the others see nothing."""

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from google.protobuf.any_pb2 import Any

from lbaas.v1 import enums_pb2, pool_pb2, pool_service_pb2, vip_service_pb2
from tests.features.test_walk import spread
from tests.features.world import STATUS, Client, world
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.load import Load
from tests.harness.members import Member
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tidegate import reconcile
from xds.cache import Key, Resource
from xds.cache.types import CLUSTER
from xds.translate import Rendered, translate

EVIL = "projects/evil/pools/web"
TOLD = "connect_timeout: value must be greater than 0s"


@pytest.fixture
def broken(monkeypatch) -> set[str]:
    """Pools whose clusters the translator makes with a timeout that Envoy's protos forbid."""
    names: set[str] = set()

    def translated(tree, fleet):
        made = translate(tree, fleet)
        for name in names:
            key = Key(CLUSTER, name)
            if key in made:
                cluster = Cluster()
                Any.FromString(made[key].resource.body).Unpack(cluster)
                cluster.connect_timeout.seconds = -1
                made[key] = Rendered(Resource.of(cluster), made[key].objects)
        return made

    monkeypatch.setattr(reconcile, "translate", translated)
    return names


async def _pool(client: Client):
    return await client.pools.GetPool(pool_service_pb2.GetPoolRequest(name=EVIL))


async def _change(client: Client, method: int) -> None:
    pool = pool_pb2.Pool(name=EVIL, lb_method=method)
    request = pool_service_pb2.UpdatePoolRequest(pool=pool)
    request.update_mask.paths.append("lb_method")
    await client.pools.UpdatePool(request)


async def _in_error(client: Client) -> None:
    async def told() -> bool:
        got = await _pool(client)
        return got.provisioning_status == STATUS.ERROR and TOLD in got.status_detail.message

    await until(told, within=5, what="the pool is in ERROR, and says why")


async def _refusals(envoy: EnvoyProcess) -> int:
    """How many responses this Envoy has refused in its life."""
    stats = (await envoy.admin("/stats?filter=update_rejected")).text
    return sum(int(line.rpartition(":")[2]) for line in stats.splitlines())


async def test_a_broken_constraint_is_its_tenants_trouble_alone(tmp_path, broken):
    ports = free_port(), free_port()
    async with (
        world(tmp_path) as (_, client, (envoy,)),
        await Member.start("evil") as evil,
        await Member.start("good") as good,
    ):
        # A new pool with a fault: it is in ERROR, its VIP waits for it, and says for what.
        broken.add(EVIL)
        await client.pool("evil", "web")
        await client.member(EVIL, "one", evil.address)
        vip = await client.vip("evil", "front", pool=EVIL, port=ports[0])
        await _in_error(client)

        async def blocked() -> bool:
            got = await client.vips.GetVip(vip_service_pb2.GetVipRequest(name=vip.name))
            return got.status_detail.reason == "BLOCKED_BY" and got.status_detail.resource == EVIL

        await until(blocked, within=5, what="the VIP names the pool that it waits for")
        # Mended, all of it comes by itself.
        broken.clear()
        await _change(client, enums_pb2.LbMethod.LEAST_CONNECTIONS)
        await client.applied(vip.name)
        await client.applied(EVIL)
        assert await spread(f"127.0.0.1:{ports[0]}", 4) == {"evil": 4}

        # An update with a fault: what was good serves on, without one failure.
        async with Load(f"127.0.0.1:{ports[0]}") as load:
            await load.more(20)
            broken.add(EVIL)
            await _change(client, enums_pb2.LbMethod.SOURCE_IP)
            await _in_error(client)
            other = await client.pool("good", "web")
            await client.member(other.name, "one", good.address)
            front = await client.vip("good", "front", pool=other.name, port=ports[1])
            await client.applied(front.name)
            assert await spread(f"127.0.0.1:{ports[1]}", 4) == {"good": 4}
            assert (await _pool(client)).provisioning_status == STATUS.ERROR
            broken.clear()
            await _change(client, enums_pb2.LbMethod.ROUND_ROBIN)
            await client.applied(EVIL)
            await load.more(20)
        assert load.failed == 0
        assert (await _pool(client)).provisioning_status == STATUS.ACTIVE
        # Not one response was refused: what breaks a constraint was never sent.
        assert await _refusals(envoy) == 0


async def test_an_envoy_that_starts_with_a_fault_in_the_store_is_given_all_else(tmp_path, broken):
    """Sent with the others it made Envoy refuse all 13 listeners of a node (facts c3)."""
    port = free_port()
    async with (
        world(tmp_path) as (_, client, (envoy,)),
        await Member.start("good") as good,
    ):
        broken.add(EVIL)
        await client.pool("evil", "web")
        other = await client.pool("good", "web")
        await client.member(other.name, "one", good.address)
        front = await client.vip("good", "front", pool=other.name, port=port)
        await client.applied(front.name)
        await envoy.stop()
        await envoy.start()
        await envoy.wait_ready()

        async def serves() -> bool:
            return await spread(f"127.0.0.1:{port}", 2) == {"good": 2}

        await until(serves, within=10, what="the good VIP serves again")
        assert await _refusals(envoy) == 0
        assert (await _pool(client)).provisioning_status == STATUS.ERROR

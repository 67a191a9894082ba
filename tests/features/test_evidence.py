"""What a node runs its agent knows: no tenant waits for an answer that another one delays."""

import pytest

from lbaas.v1 import pool_service_pb2, vip_service_pb2
from tests.features.fleets import agent_beside
from tests.features.test_walk import spread
from tests.features.world import STATUS, Client, world
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.members import Member, Mode
from tests.harness.ports import free_port
from tests.harness.waiting import until

SLOW = {"delay": "20s", "timeout": "20s", "max_retries": 3, "type": "HTTP"}


async def _status(client: Client, pool: str) -> int:
    got = await client.pools.GetPool(pool_service_pb2.GetPoolRequest(name=pool))
    return got.provisioning_status


async def _withheld(client: Client, envoy: EnvoyProcess, mute: Member) -> str:
    """A pool in use whose member goes mute, and then gets a monitor that waits 20 s for it."""
    pool = await client.pool("slow", "web", protocol="TCP")
    await client.member(pool.name, "one", mute.address)
    vip = await client.vip("slow", "front", pool=pool.name, port=free_port(), protocol="TCP")
    await client.applied(vip.name)
    await mute.become(Mode.MUTE)
    check = await client.monitor("slow", "check", **SLOW)
    await client.associate(pool.name, check.name)

    async def warms() -> bool:
        dump = await envoy.admin("/config_dump?resource=dynamic_warming_clusters")
        return pool.name in dump.text

    await until(warms, within=10, what="the pool's cluster warms")
    return pool.name


async def _another(client: Client, server: Member, number: int) -> str:
    port = free_port()
    pool = await client.pool(f"other{number}", "web")
    await client.member(pool.name, "one", server.address)
    vip = await client.vip(f"other{number}", "front", pool=pool.name, port=port)
    await client.applied(vip.name, seconds=15)
    assert await spread(f"127.0.0.1:{port}", 4) == {server.name: 4}
    return pool.name


async def test_others_are_live_while_one_tenants_update_warms_on_a_mute_member(tmp_path):
    async with (
        world(tmp_path) as (plane, client, (envoy,)),
        agent_beside(plane, envoy),
        await Member.start("good") as server,
        await Member.start("mute") as mute,
    ):
        slow = await _withheld(client, envoy, mute)
        # More of them than responses that may be unanswered, for what was had waits no more.
        pools = [await _another(client, server, number) for number in range(6)]
        front = "projects/other0/vips/front"
        gone = await client.vips.DeleteVip(vip_service_pb2.DeleteVipRequest(name=front))
        await client.applied(front, revision=gone.revision, seconds=15)
        left = await client.pools.DeletePool(
            pool_service_pb2.DeletePoolRequest(name=pools[0], force=True)
        )
        await client.applied(pools[0], revision=left.revision, seconds=15)
        assert await _status(client, slow) == STATUS.PENDING_UPDATE
        await mute.become(Mode.HEALTHY)


async def test_without_an_agent_they_wait_for_the_monitor_and_no_longer(tmp_path):
    """What the evidence is for; the wait is bounded by the slow monitor's timeout."""
    async with (
        world(tmp_path) as (plane, client, (envoy,)),
        await Member.start("good") as server,
        await Member.start("mute") as mute,
    ):
        await _withheld(client, envoy, mute)
        (stream,) = plane.cache.streams("edge")
        await client.pool("other", "web")

        async def unanswered() -> bool:
            return bool(stream.evidence_wanted(float("inf")))

        await until(unanswered, within=10, what="an answer is withheld")
        with pytest.raises(AssertionError, match="is not live"):
            await client.applied("projects/other/pools/web", seconds=1)
        assert server.accepted == 0

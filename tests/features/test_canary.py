"""Three Envoys, of which one is given every change first: what the others see, and clients."""

from datetime import timedelta
from typing import Any

import pytest
from envoy.config.listener.v3 import listener_pb2
from google.protobuf.any_pb2 import Any as Packed

from lbaas.v1 import fleet_pb2, fleet_service_pb2, vip_pb2, vip_service_pb2
from tests.features.fleets import change_fleet
from tests.features.tenant import servers, update_pool, vip_of
from tests.features.world import APPLIED, REJECTED, STATUS, Client, world
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.load import Load
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tidegate import reconcile
from xds.cache import Resource

UNBINDABLE = "203.0.113.9"
"""TEST-NET-3 (RFC 5737): on no machine, so no Envoy can bind it."""


async def fleet_of(client: Client) -> fleet_pb2.Fleet:
    request = fleet_service_pb2.GetFleetRequest(name="fleets/edge")
    found: fleet_pb2.Fleet = await client.fleets.GetFleet(request)
    return found


async def canary(client: Client, envoys: list[EnvoyProcess], number: int = 0) -> None:
    """Switches the canary on, and waits until all nodes count and a node is it."""
    await change_fleet(client, "edge", canary=True)
    name = f"fleets/edge/nodes/node-{number}"

    async def so() -> bool:
        return (await fleet_of(client)).canary_node == name

    await until(so, within=10, what=f"{name} is the canary")
    assert len(envoys) == (await fleet_of(client)).nodes_connected


async def serving(client: Client, members: list[Any], project: str, port: int) -> str:
    """A pool with members, and a VIP on a port, live on all three."""
    pool = await client.pool(project, "web")
    for member in members:
        await client.member(pool.name, member.name, member.address)
    vip = await client.vip(project, "front", pool=pool.name, port=port)
    answer = await client.applied(vip.name)
    assert (answer.nodes_applied, answer.nodes_total) == (3, 3)
    return vip.name


async def detail(client: Client, vip: str, reason: str) -> vip_pb2.Vip:
    """Waits until a VIP's status gives this reason."""

    async def so() -> vip_pb2.Vip | None:
        found = await vip_of(client, vip)
        return found if found.status_detail.reason == reason else None

    found = await until(so, within=15, what=f"{vip}: {reason}")
    assert found is not None
    return found


async def refusals(envoys: list[EnvoyProcess]) -> list[int]:
    return [await envoy.stat("listener_manager.lds.update_rejected") for envoy in envoys]


async def test_a_change_reaches_the_canary_first_and_then_the_rest(tmp_path):
    async with world(tmp_path, nodes=3) as (_, client, envoys), servers(1) as members:
        await serving(client, members, "good", free_port())
        await canary(client, envoys)
        envoys[0].pause()
        port = free_port()
        vip = await client.vip("good", "second", pool="projects/good/pools/web", port=port)
        held = await detail(client, vip.name, "HELD_BY_CANARY")
        assert held.provisioning_status == STATUS.PENDING_CREATE
        assert "fleets/edge/nodes/node-0" in held.status_detail.message
        assert vip.name in (await fleet_of(client)).held_by_canary
        address = f"127.0.0.1:{port}"
        for envoy in envoys[1:]:
            assert address not in (await envoy.listeners()).values()
        envoys[0].resume()
        answer = await client.applied(vip.name)
        assert (answer.nodes_applied, answer.nodes_total) == (3, 3)
        for envoy in envoys:
            assert address in (await envoy.listeners()).values()
        assert not (await fleet_of(client)).held_by_canary


async def test_a_listener_that_the_canary_cannot_bind_goes_no_further(tmp_path):
    async with world(tmp_path, nodes=3) as (_, client, envoys), servers(1) as members:
        await serving(client, members, "good", free_port())
        await canary(client, envoys)
        pool = "projects/good/pools/web"
        bad = await client.vip("good", "bad", pool=pool, port=free_port(), address=UNBINDABLE)
        assert (await client.wait(bad.name)).outcome == REJECTED
        error = await vip_of(client, bad.name)
        assert error.provisioning_status == STATUS.ERROR
        assert "Cannot assign requested address" in error.status_detail.message
        assert error.status_detail.node == "fleets/edge/nodes/node-0"
        good = await client.vip("good", "other", pool=pool, port=free_port())
        await client.applied(good.name)
        assert [bool(each) for each in await refusals(envoys)] == [True, False, False]
        await update_pool(client, pool, lb_method="LEAST_CONNECTIONS")  # the pool behind it
        await change_fleet(client, "edge", canary=False)

        async def all_refuse() -> bool:
            return all(await refusals(envoys))

        await until(all_refuse, within=10, what="switched off, the others are sent it")


async def test_what_the_canary_refused_can_be_deleted(tmp_path):
    async with world(tmp_path, nodes=3) as (_, client, envoys), servers(1) as members:
        await serving(client, members, "good", free_port())
        await canary(client, envoys)
        pool = "projects/good/pools/web"
        bad = await client.vip("good", "bad", pool=pool, port=free_port(), address=UNBINDABLE)
        assert (await client.wait(bad.name)).outcome == REJECTED
        await client.vips.DeleteVip(vip_service_pb2.DeleteVipRequest(name=bad.name))
        assert (await client.wait(bad.name)).outcome == APPLIED
        assert not (await fleet_of(client)).held_by_canary
        assert [bool(each) for each in await refusals(envoys)] == [True, False, False]


def poisoned(monkeypatch: pytest.MonkeyPatch, vip: str) -> None:
    """Renders a VIP's listener with a filter that no Envoy knows, as a faulty translator might."""
    translate = reconcile.translate

    def faulty(tree, fleet):
        made = dict(translate(tree, fleet))
        for key, rendered in made.items():
            if key.name == vip and key.type_url.endswith(".Listener"):
                packed = Packed.FromString(rendered.resource.body)
                listener = listener_pb2.Listener()
                assert packed.Unpack(listener)
                unknown = listener.listener_filters.add(name="unknown")
                unknown.typed_config.type_url = "type.googleapis.com/no.such.Filter"
                made[key] = type(rendered)(Resource.of(listener), rendered.objects)
        return made

    monkeypatch.setattr(reconcile, "translate", faulty)


async def test_a_poisoned_version_stops_at_the_canary_and_no_request_fails(tmp_path, monkeypatch):
    ports = free_port(), free_port()
    async with world(tmp_path, nodes=3) as (_, client, envoys), servers(2) as members:
        for project, port in zip(("evil", "good"), ports, strict=True):
            await serving(client, members, project, port)
        await canary(client, envoys)
        vip, pool = "projects/evil/vips/front", "projects/evil/pools/web"
        async with (
            Load(f"127.0.0.1:{ports[0]}") as evil,
            Load(f"127.0.0.1:{ports[1]}") as good,
        ):
            with monkeypatch.context() as patch:
                poisoned(patch, vip)
                # Something of its tree changes, so it is rendered anew: with the fault.
                await update_pool(client, pool, lb_method="LEAST_CONNECTIONS")
                await detail(client, vip, "REJECTED_BY_ENVOY")
                assert list((await fleet_of(client)).held_by_canary) == [vip]
                for method in ("LEAST_CONNECTIONS", "ROUND_ROBIN"):
                    await update_pool(client, "projects/good/pools/web", lb_method=method)
                await evil.more(200)
                assert [bool(each) for each in await refusals(envoys)] == [True, False, False]
            await update_pool(client, pool, lb_method="ROUND_ROBIN")
            answer = await client.applied(vip)
            assert (answer.nodes_applied, answer.nodes_total) == (3, 3)
            assert (await vip_of(client, vip)).provisioning_status == STATUS.ACTIVE
            assert not (await fleet_of(client)).held_by_canary
            await good.more(200)
            await evil.more(200)
        assert not evil.failures
        assert not good.failures
        assert [bool(each) for each in await refusals(envoys)] == [True, False, False]


async def test_a_canary_that_dies_in_a_roll_out_leaves_it_to_the_next(tmp_path):
    port = free_port()
    lost = {"lost_after": timedelta(seconds=1)}
    async with world(tmp_path, nodes=3, **lost) as (_, client, envoys), servers(2) as members:
        vip = await serving(client, members[:1], "good", port)
        await canary(client, envoys)
        envoys[0].pause()
        pool = "projects/good/pools/web"
        member = await client.member(pool, members[1].name, members[1].address)
        second = await client.vip("good", "second", pool=pool, port=free_port())
        await detail(client, second.name, "HELD_BY_CANARY")
        await envoys[0].kill()
        async with Load(f"127.0.0.1:{port}") as load:
            for name in (vip, member.name, second.name):
                answer = await client.applied(name)
            assert (answer.nodes_applied, answer.nodes_total) == (2, 2)
            assert (await fleet_of(client)).canary_node == "fleets/edge/nodes/node-1"
            await load.more(200)
        assert not load.failures
        assert set(load.served) == {"m0", "m1"}

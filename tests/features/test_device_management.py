"""Which fleet a pool gets, and why not another: capabilities, tenants, addresses, kinds."""

from google.protobuf.json_format import ParseDict

from agent import ping
from lbaas.v1 import (
    service_type_service_pb2,
    service_type_service_pb2_grpc,
    vip_service_pb2,
)
from tests.features.fleets import agent_beside, change_fleet, control, node, placed, pool_of
from tests.features.tenant import servers, vip_of
from tests.features.world import REJECTED, STATUS, Client, world
from tests.harness.http_client import fetch
from tests.harness.ports import free_port
from tests.harness.waiting import until

LESS = {
    "lb_methods": ["ROUND_ROBIN"],
    "protocols": ["HTTP"],
    "health_monitor_types": ["HTTP"],
    "session_persistences": ["SOURCE_IP"],
}
MORE = {
    "lb_methods": ["ROUND_ROBIN", "LEAST_CONNECTIONS"],
    "protocols": ["HTTP", "TCP"],
    "health_monitor_types": ["HTTP", "TCP"],
    "session_persistences": ["SOURCE_IP", "HTTP_COOKIE"],
    "connection_limit": True,
    "multiple_monitors": True,
}
WANTED = {
    "lb_method=LEAST_CONNECTIONS": ({"lb_method": "LEAST_CONNECTIONS"}, [], {}),
    "protocol=TCP": ({"protocol": "TCP"}, [], {"protocol": "TCP"}),
    "health_monitor_type=TCP": ({}, ["tcp"], {}),
    "multiple_monitors": ({}, ["http", "http2"], {}),
    "session_persistence=HTTP_COOKIE": ({}, [], {"session_persistence": {"type": "HTTP_COOKIE"}}),
    "connection_limit": ({}, [], {"connection_limit": 10}),
}
"""What a pool may need: its fields, its monitors, its VIP's fields."""


async def refusal(client: Client, pool: str) -> str:
    """Waits until no fleet takes a pool, and gives the words its tenant reads."""

    async def so() -> str:
        found = await pool_of(client, pool)
        if found.provisioning_status != STATUS.ERROR:
            return ""
        assert found.status_detail.reason == "NO_ELIGIBLE_FLEET"
        assert not found.placement.fleet
        return found.status_detail.message

    return await until(so, within=10, what=f"{pool} is refused by every fleet")


async def test_what_a_fleet_does_not_declare_it_refuses_in_words_until_it_does(tmp_path):
    async with control(tmp_path) as (plane, client):
        await client.fleet("small", capabilities=LESS)
        async with node(plane, fleet="small"):
            await client.project("acme")
            for name, kind in (("tcp", "TCP"), ("http", "HTTP"), ("http2", "HTTP")):
                await client.monitor("acme", name, type=kind)
            vips = []
            for number, (word, (pool, monitors, vip)) in enumerate(WANTED.items()):
                named = [f"projects/acme/healthMonitors/{each}" for each in monitors]
                made = await client.pool("acme", f"p{number}", health_monitors=named, **pool)
                port = free_port()
                vips.append(
                    (await client.vip("acme", f"v{number}", pool=made.name, port=port, **vip)).name
                )
                told = await refusal(client, made.name)
                assert told == (
                    f"fleets/small: needs {word}, which this fleet is not set up to offer"
                )
                # What hangs on the pool says so too.
                assert (await vip_of(client, vips[-1])).status_detail.message == told
            plain = await client.pool("acme", "plain")
            await client.applied(plain.name)

            await change_fleet(client, "small", capabilities=MORE)
            for number, vip in enumerate(vips):
                await placed(client, f"projects/acme/pools/p{number}", "small")
                await client.applied(vip)


async def test_ping_is_offered_where_agents_can_and_only_there(tmp_path, monkeypatch):
    async with world(tmp_path) as (plane, client, (envoy,)), servers(1) as (member,):
        monitor = await client.monitor("acme", "alive", type="PING")
        pool = await client.pool("acme", "web", health_monitors=[monitor.name])
        await client.member(pool.name, member.name, member.address)
        port = free_port()
        vip = await client.vip("acme", "front", pool=pool.name, port=port)
        told = await refusal(client, pool.name)
        assert "needs health_monitor_type=PING, which it cannot do: no node of it has an agent" in (
            told
        )
        # What the host permits is not this test's matter: tests/host sends real ones.
        monkeypatch.setattr(ping, "refusal", lambda: "an ICMP socket is not permitted")
        async with agent_beside(plane, envoy):

            async def named() -> bool:
                return "the agent of node node-0 may not send ICMP" in (
                    await refusal(client, pool.name)
                )

            await until(named, within=10, what="the node whose agent cannot ping is named")
        monkeypatch.setattr(ping, "refusal", lambda: "")
        async with agent_beside(plane, envoy):
            await placed(client, pool.name, "edge")
            await client.applied(vip.name)
            assert f"127.0.0.1:{port}" in (await envoy.listeners()).values()


async def test_a_fleet_of_one_tenant_carries_no_other_and_is_not_told_of(tmp_path):
    async with control(tmp_path) as (plane, client):
        await client.fleet("secret", project="projects/acme")
        async with node(plane, fleet="secret"):
            theirs = await client.pool("other", "web")
            told = await refusal(client, theirs.name)
            assert told == (
                "no fleet is shared or belongs to project other; an operator must create one"
            )
            mine = await client.pool("acme", "web")
            assert (await placed(client, mine.name, "secret")).fleet
            await client.fleet("shared")
            async with node(plane, fleet="shared"):
                await placed(client, theirs.name, "shared")
                # Its own is preferred, though it carries more.
                second = await client.pool("acme", "second")
                chosen = await placed(client, second.name, "secret")
                assert "is the project's own" in chosen.reason


async def test_addresses_come_from_a_sidecar_fleets_range_and_every_node_binds_them(tmp_path):
    async with control(tmp_path) as (plane, client), servers(1) as (member,):
        await client.fleet("mesh", kind="SIDECAR", vip_ranges=["127.77.0.0/30"])
        async with (
            node(plane, fleet="mesh", name="pod-0") as one,
            node(plane, fleet="mesh", name="pod-1") as two,
        ):
            pool = await client.pool("acme", "web")
            await client.member(pool.name, member.name, member.address)
            port = free_port("127.77.0.1")
            vips = [
                (await client.vip("acme", f"v{n}", pool=pool.name, port=port, address="")).name
                for n in range(2)
            ]
            for vip, address in zip(vips, ("127.77.0.1", "127.77.0.2"), strict=True):
                await client.applied(vip)
                got = await vip_of(client, vip)
                assert (got.address, got.nodes_applied, got.nodes_total) == (address, 2, 2)
                for envoy in (one, two):
                    assert (await envoy.listeners())[vip] == f"{address}:{port}"
            # The kernel spreads connections over those who listen: both serve.
            for _ in range(60):
                assert (await fetch(f"127.77.0.1:{port}")).text == "m0"
            for envoy in (one, two):
                assert await envoy.stat(f"cluster.{pool.name}.upstream_rq_total")

            # An address that no sidecar can bind.
            outside = await client.pool("acme", "outside")
            await client.vip("acme", "outside", pool=outside.name, port=port, address="10.0.0.1")
            assert "binds loopback addresses only" in await refusal(client, outside.name)


async def test_who_finds_a_range_exhausted_waits_for_an_address_and_gets_the_next_free(tmp_path):
    async with control(tmp_path) as (plane, client), servers(1) as (member,):
        await client.fleet("mesh", kind="SIDECAR", vip_ranges=["127.78.0.0/30"])
        async with node(plane, fleet="mesh"):
            pool = await client.pool("acme", "web")
            await client.member(pool.name, member.name, member.address)
            port = free_port("127.78.0.1")

            async def vip(name: str) -> str:
                return (await client.vip("acme", name, pool=pool.name, port=port, address="")).name

            first, second = await vip("first"), await vip("second")
            for each in (first, second):
                await client.applied(each)
            third = await vip("third")
            assert (await client.wait(third)).outcome == REJECTED
            got = await vip_of(client, third)
            assert (got.provisioning_status, got.address) == (STATUS.ERROR, "")
            assert got.status_detail.reason == "ADDRESS_RANGE_EXHAUSTED"
            assert "127.78.0.0/30" in got.status_detail.message

            await client.vips.DeleteVip(vip_service_pb2.DeleteVipRequest(name=first))
            await given(client, third, "127.78.0.1")
            assert (await fetch(f"127.78.0.1:{port}")).text == "m0"

            fourth = await vip("fourth")
            assert (await client.wait(fourth)).outcome == REJECTED
            ranges = ["127.78.0.0/30", "127.79.0.9/32"]
            await change_fleet(client, "mesh", vip_ranges=ranges)
            await given(client, fourth, "127.79.0.9")
            assert (await fetch(f"127.79.0.9:{port}")).text == "m0"


async def given(client: Client, vip: str, address: str) -> None:
    """Waits until a VIP that waits for an address has this one, and is live there."""

    async def so() -> bool:
        return (await vip_of(client, vip)).address == address

    await until(so, within=10, what=f"{vip} gets {address}")
    await client.applied(vip)


async def test_a_service_type_leads_to_the_fleets_that_offer_it(tmp_path):
    async with control(tmp_path) as (plane, client):
        types = service_type_service_pb2_grpc.ServiceTypeServiceStub(client.channel)
        for name, fields in (
            ("mesh", {"fleet_kind": "SIDECAR"}),
            ("gold", {"fleet_selector": {"tier": "gold"}}),
        ):
            request = {"service_type_id": name, "service_type": fields}
            await types.CreateServiceType(
                ParseDict(request, service_type_service_pb2.CreateServiceTypeRequest())
            )
        offers = {"service_types": ["serviceTypes/mesh", "serviceTypes/gold"]}
        await client.fleet("pods", kind="SIDECAR", **offers)
        await client.fleet("edge")
        async with node(plane), node(plane, fleet="pods"):
            for name, fleet in (("mesh", "pods"), ("", "edge")):
                fields = {"service_type": f"serviceTypes/{name}"} if name else {}
                pool = await client.pool("acme", f"of-{fleet}", **fields)
                await placed(client, pool.name, fleet)
                await client.applied(pool.name)
            gold = await client.pool("acme", "gold", service_type="serviceTypes/gold")
            told = await refusal(client, gold.name)
            assert "fleets/pods: lacks the labels tier=gold" in told
            assert "fleets/edge: does not offer serviceTypes/gold" in told
            await change_fleet(client, "pods", labels={"tier": "gold"})
            await placed(client, gold.name, "pods")
            await client.applied(gold.name)

"""What one node alone refuses is that node's: the object says so, the other nodes serve it."""

from lbaas.v1 import vip_service_pb2
from tests.features.test_walk import spread
from tests.features.world import REJECTED, STATUS, node_bootstrap, world
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.members import Member
from tests.harness.ports import free_port
from tests.harness.waiting import until

TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def with_a_listener_of_its_own(bootstrap: dict, port: int) -> dict:
    """An Envoy whose own listener has the address that a VIP is to have."""
    config = {"@type": TCP_PROXY, "stat_prefix": "own", "cluster": "nowhere"}
    bootstrap["static_resources"]["listeners"] = [
        {
            "name": "own",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            # Its own socket takes no connection away from the other node's.
            "bind_to_port": False,
            "filter_chains": [{"filters": [{"name": "own", "typed_config": config}]}],
        }
    ]
    return bootstrap


async def test_a_vip_that_one_of_two_nodes_refuses_is_half_applied_and_served(tmp_path):
    ports = free_port(), free_port()
    async with (
        world(tmp_path) as (plane, client, _),
        EnvoyProcess(
            with_a_listener_of_its_own(node_bootstrap("edge", "node-1", plane.xds_port), ports[0])
        ) as taken,
        await Member.start("good") as server,
    ):
        await taken.wait_ready()
        pool = await client.pool("acme", "web")
        await client.member(pool.name, "one", server.address)
        vip = await client.vip("acme", "front", pool=pool.name, port=ports[0])
        refused = await client.wait(vip.name)
        assert refused.outcome == REJECTED

        async def told() -> bool:
            got = await client.vips.GetVip(vip_service_pb2.GetVipRequest(name=vip.name))
            if (got.nodes_applied, got.nodes_total) != (1, 2):
                return False
            assert got.provisioning_status == STATUS.ERROR
            assert got.status_detail.reason == "REJECTED_BY_ENVOY"
            assert got.status_detail.node == "fleets/edge/nodes/node-1"
            assert "duplicate address" in got.status_detail.message
            return True

        await until(told, within=10, what="1 of 2 nodes run it, and the other one is named")
        assert await spread(f"127.0.0.1:{ports[0]}", 4) == {"good": 4}
        # Everything else is live on both.
        await client.applied(pool.name)
        other = await client.vip("acme", "other", pool=pool.name, port=ports[1])
        assert (await client.applied(other.name)).nodes_applied == 2
        # On an address that both have it is live on both.
        gone = await client.vips.DeleteVip(vip_service_pb2.DeleteVipRequest(name=vip.name))
        await client.applied(vip.name, revision=gone.revision)
        again = await client.vip("acme", "front", pool=pool.name, port=free_port())
        assert (await client.applied(again.name)).nodes_applied == 2

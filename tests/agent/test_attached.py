"""An agent beside an Envoy that others run."""

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agent.attached import AttachedDriver
from agent.driver import AdminAddress
from lbaas.v1.agent_service_pb2 import AgentSpec
from tests.agent.control_plane import monitor, pool_spec
from tests.agent.world import World, running
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.members import Member, Mode
from tests.harness.ports import free_port

POOL = "projects/acme/pools/web"
MEMBER = f"{POOL}/members/m1"


def warming_cluster(address: str) -> dict:
    """A cluster that warms until its first check has ended."""
    host, _, port = address.rpartition(":")
    socket = {"address": host, "port_value": int(port)}
    endpoint = {"endpoint": {"address": {"socket_address": socket}}}
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": POOL,
        "type": "STATIC",
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "0.3s",
                "no_traffic_interval": "0.3s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/"},
            }
        ],
        "load_assignment": {"cluster_name": POOL, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def publish(folder: Path, *made: dict) -> Path:
    """The file that Envoy reads its clusters from; it looks again when another takes its place."""
    draft, file = folder / "draft.json", folder / "clusters.json"
    draft.write_text(json.dumps({"resources": made}))
    return draft.replace(file)


@pytest.mark.parametrize("over", ["a port", "a unix socket"])
async def test_it_reports_and_leaves_the_envoy_alone(world: World, tmp_path, over) -> None:
    async with await Member.start("m1", mode=Mode.MUTE) as member:
        path = tmp_path / "envoy.sock"
        bootstrap = {
            "node": {"id": "edge-1", "cluster": "edge"},
            "dynamic_resources": {
                "cds_config": {"path_config_source": {"path": str(publish(tmp_path))}}
            },
        }
        if over == "a unix socket":
            address = AdminAddress(path=path)
            bootstrap["admin"] = {"address": {"pipe": {"path": str(path)}}}
        else:
            address = AdminAddress(host="127.0.0.1", port=free_port())
            socket = {"address": address.host, "port_value": address.port}
            bootstrap["admin"] = {"address": {"socket_address": socket}}
        spec = pool_spec(POOL, [(MEMBER, member.address)], monitors=[monitor()])
        world.plane.spec = AgentSpec(whole=True, pools=[spec])
        plane = world.plane
        async with AsyncExitStack() as stack:
            async with running(world.options(AttachedDriver(address))):
                await plane.until(lambda: plane.running is False, what="nobody answers yet")
                envoy = await stack.enter_async_context(EnvoyProcess(bootstrap))
                await plane.until(lambda: plane.running, what="it answers")
                await envoy.wait_ready()
                publish(tmp_path, warming_cluster(member.address))
                await plane.until(lambda: plane.warming == (POOL,), what="its cluster warms")
                await plane.until(lambda: not plane.warming, what="its cluster serves")
                await plane.until(lambda: plane.state(MEMBER) == "DOWN", what="its check has ended")
                assert plane.hellos[0].driver == "none"
            plane.running = None
            async with running(world.options(AttachedDriver(address))):
                await plane.until(lambda: plane.running, what="it is there still")
                await envoy.kill()
                await plane.until(lambda: plane.running is False, what="it is gone")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("unix:/run/envoy.sock", AdminAddress(path=Path("/run/envoy.sock"))),
        ("/run/envoy.sock", AdminAddress(path=Path("/run/envoy.sock"))),
        ("127.0.0.1:9901", AdminAddress(host="127.0.0.1", port=9901)),
        ("[::1]:9901", AdminAddress(host="::1", port=9901)),
    ],
)
def test_admin_addresses_are_read(text: str, read: AdminAddress) -> None:
    assert AdminAddress.parse(text) == read
    assert AdminAddress.parse(str(read)) == read


@pytest.mark.parametrize(
    "text", ["", "9901", "host", "host:", ":9901", "host:0", "host:x", "a:1e3"]
)
def test_what_is_no_admin_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write host:port"):
        AdminAddress.parse(text)

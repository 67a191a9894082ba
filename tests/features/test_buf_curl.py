"""Anybody with a gRPC tool and reflection can use the API: here `buf curl`."""

import asyncio
import json
import sys
from pathlib import Path

from tests.features.world import settings, world
from tests.harness.ads_client import LDS, SotwClient
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tidegate.plane import running_plane

BUF = Path(sys.executable).parent / "buf"


async def buf_curl(port: int, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `buf curl` against a port."""
    arguments = list(words)
    arguments[-1] = f"http://127.0.0.1:{port}{arguments[-1]}"
    process = await asyncio.create_subprocess_exec(
        str(BUF),
        "curl",
        "--protocol=grpc",
        "--http2-prior-knowledge",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_list_create_and_read_every_violation_at_once(tmp_path):
    async with running_plane(settings(tmp_path)) as plane:
        code, out, err = await buf_curl(plane.api_port, "--list-methods", "")
        assert code == 0, err
        assert "lbaas.v1.PoolService/CreatePool" in out
        assert "lbaas.v1.LoadBalancerService/Apply" in out

        body = {
            "parent": "projects/acme",
            "pool_id": "web",
            "pool": {"protocol": "HTTP", "lb_method": "ROUND_ROBIN"},
        }
        create = ("-d", json.dumps(body), "/lbaas.v1.PoolService/CreatePool")
        code, out, err = await buf_curl(plane.api_port, *create)
        assert code == 0, err
        assert json.loads(out)["provisioningStatus"] == "PENDING_CREATE"

        code, out, err = await buf_curl(plane.api_port, *create)
        assert code != 0
        error = json.loads(err)
        assert error["code"] == "already_exists"
        assert "projects/acme/pools/web" in error["message"]

        bad = {
            "parent": "projects/acme/pools/web",
            "member_id": "m1",
            "member": {"address": "169.254.169.254", "port": 70000, "weight": 300},
        }
        code, out, err = await buf_curl(
            plane.api_port, "-d", json.dumps(bad), "/lbaas.v1.MemberService/CreateMember"
        )
        assert code != 0
        error = json.loads(err)
        assert error["code"] == "invalid_argument"
        for field in ("address", "port", "weight"):
            assert f"{field}: " in error["message"], error["message"]


async def test_the_fleet_port_tells_of_envoys_and_of_grpc_clients(tmp_path):
    """CSDS of a whole control plane: both are connected, each with the snapshot it is given."""
    async with (
        world(tmp_path) as (plane, client, _),
        SotwClient(f"127.0.0.1:{plane.xds_port}", fleet="edge", node="app") as app,
    ):
        pool = await client.pool("acme", "web")
        vip = await client.vip("acme", "web", pool=pool.name, port=free_port())
        await client.applied(vip.name)
        app._node.user_agent_name = "gRPC Python"
        await app.send(LDS, [vip.name])
        await app.take(LDS)
        method = "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus"

        async def both() -> dict[str, list[str]] | None:
            code, out, err = await buf_curl(plane.xds_port, "-d", "{}", method)
            assert code == 0, err
            told = {
                config["clientScope"]: sorted(
                    each["typeUrl"].rpartition(".")[2]
                    for each in config["genericXdsConfigs"]
                    if each["configStatus"] == "SYNCED"
                )
                for config in json.loads(out)["config"]
            }
            return told if "Listener" in told.get("edge/grpc", ()) else None

        told = await until(both, within=10, what="both are told of")
        assert told["edge/grpc"] == ["Listener"]
        assert {"Cluster", "Listener", "RouteConfiguration"} <= set(told["edge"])

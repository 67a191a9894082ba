"""What Envoy took from a response that it refused is gone when its node is back (fact c4)."""

import sqlite3
import time
from pathlib import Path

import grpc
import pytest

from lbaas.v1 import vip_service_pb2
from tests.features.control_plane import ControlPlane
from tests.features.test_isolation import UNBINDABLE
from tests.features.world import Client, client_of, node_bootstrap
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.gate import Gate
from tests.harness.ports import free_port
from tests.harness.waiting import until

GOOD = "projects/acme/vips/good"


async def listeners(envoy: EnvoyProcess) -> list[str]:
    text = (await envoy.admin("/listeners")).text
    return [line.split("::")[0] for line in text.splitlines()]


async def applied_in_part(client: Client, envoy: EnvoyProcess, gate: Gate) -> None:
    """Has the Envoy take a good listener from a response that it refuses for a bad one.

    Its answer does not arrive; it lists nothing of that response when it reconnects.
    """
    await client.fleet("edge")
    pool = await client.pool("acme", "web")
    await client.applied(pool.name)
    gate.deaf = True
    vip = {"protocol": "HTTP"}
    await client.apply(
        {
            "pool": {"name": pool.name, "protocol": "HTTP", "lb_method": "ROUND_ROBIN"},
            "vips": [
                {**vip, "name": GOOD, "port": free_port(), "address": "127.0.0.1"},
                {
                    **vip,
                    "name": "projects/acme/vips/bad",
                    "port": free_port(),
                    "address": UNBINDABLE,
                },
            ],
        }
    )

    async def is_there() -> bool:
        return GOOD in await listeners(envoy)

    await until(is_there, within=20, what="the good listener is there")
    stats = (await envoy.admin("/stats?filter=lds.update_rejected")).text
    assert stats.strip().endswith(": 1"), stats


async def delete(client: Client, *, until_purged: bool) -> None:
    await client.vips.DeleteVip(vip_service_pb2.DeleteVipRequest(name=GOOD))
    if not until_purged:
        return

    async def is_purged() -> bool:
        try:
            await client.vips.GetVip(vip_service_pb2.GetVipRequest(name=GOOD))
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.NOT_FOUND
        return False

    await until(is_purged, within=30, what="the VIP is purged")


def tombstones(folder: Path) -> list[tuple[str]]:
    with sqlite3.connect(folder / "tidegate.db") as database:
        return database.execute("SELECT resource FROM tombstones").fetchall()


@pytest.mark.parametrize("restart", ["", "before the delete", "after it"])
@pytest.mark.parametrize("lost", [False, True])
async def test_what_was_applied_in_part_and_deleted_meanwhile_is_gone(tmp_path, restart, lost):
    env = {"TIDEGATE_LOST_AFTER": "PT1S"} if lost else {}
    async with ControlPlane(tmp_path, **env) as plane, Gate(plane.xds_port) as gate:
        config = node_bootstrap("edge", "node-0", gate.port)
        async with EnvoyProcess(config) as envoy:
            async with client_of(plane.api_port) as client:
                await applied_in_part(client, envoy, gate)
            gate.close()
            if restart == "before the delete":
                await plane.kill()
                await plane.start()
            async with client_of(plane.api_port) as client:
                await delete(client, until_purged=lost)
            if restart == "after it":
                await plane.kill()
                await plane.start()
            assert GOOD in await listeners(envoy)
            gate.open()

            async def connected() -> bool:
                text = (await envoy.admin("/stats?filter=control_plane.connected_state")).text
                return text.strip().endswith("1")

            await until(connected, within=60, what="Envoy is connected again")
            back = time.monotonic()

            async def is_gone() -> bool:
                return GOOD not in await listeners(envoy)

            await until(is_gone, within=10, what="the listener is gone")
            print(f"gone {time.monotonic() - back:.2f} s after the return")  # noqa: T201

            async def all_passed() -> bool:
                return tombstones(tmp_path) == []

            # The other VIP is refused still; what everybody has passed is remembered no longer.
            await until(all_passed, within=20, what="no tombstone is left")

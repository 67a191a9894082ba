"""What vanishes from the store stays on the Envoys until an operator says that it may go."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from lbaas.v1 import fleet_service_pb2, pool_pb2, pool_service_pb2, vip_service_pb2
from tests.features.control_plane import ControlPlane
from tests.features.world import Client, client_of, node_bootstrap
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.load import Load
from tests.harness.members import Member
from tests.harness.ports import free_port
from tests.harness.waiting import until

VIPS = 30
POOL = "projects/acme/pools/web"


async def thirty_vips(client: Client, server: Member) -> list[int]:
    """A fleet with one pool of one member, and thirty VIPs that serve it."""
    await client.fleet("edge")
    await client.project("acme")
    ports = [free_port() for _ in range(VIPS)]
    vips = [
        {
            "name": f"projects/acme/vips/v{number}",
            "protocol": "HTTP",
            "port": port,
            "address": "127.0.0.1",
        }
        for number, port in enumerate(ports)
    ]
    host, _, port = server.address.rpartition(":")
    member = {"name": f"{POOL}/members/one", "address": host, "port": int(port)}
    pool = {"name": POOL, "protocol": "HTTP", "lb_method": "ROUND_ROBIN"}
    await client.apply({"pool": pool, "members": [member], "vips": vips})
    for vip in vips:
        await client.applied(str(vip["name"]), seconds=30)
    return ports


async def held(client: Client) -> int:
    request = fleet_service_pb2.GetFleetRequest(name="fleets/edge")
    return int((await client.fleets.GetFleet(request)).held_removals)


async def allow(client: Client, **fields: Any) -> Any:
    request = fleet_service_pb2.AllowRemovalsRequest(name="fleets/edge", **fields)
    return await client.fleets.AllowRemovals(request)


async def becomes(ask: Callable[[], Any], wanted: object, *, what: str) -> None:
    async def is_so() -> bool:
        return bool(await ask() == wanted)

    await until(is_so, within=60, what=what, tolerate=(OSError, EOFError, grpc.aio.AioRpcError))


def lose_the_vips(folder: Path) -> None:
    """Takes the rows away behind the product's back, as a bad restore does."""
    with sqlite3.connect(folder / "tidegate.db", timeout=20) as database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM vips")


async def touch_the_pool(client: Client, words: str) -> None:
    await client.pools.UpdatePool(
        pool_service_pb2.UpdatePoolRequest(
            pool=pool_pb2.Pool(name=POOL, description=words),
            update_mask=FieldMask(paths=["description"]),
        )
    )


async def one_more_is_live(client: Client, name: str) -> str:
    """Additions go on while removals are held."""
    vip = await client.vip("acme", name, pool=POOL, port=free_port())
    await client.applied(vip.name, seconds=30)
    return str(vip.name)


async def test_rows_that_vanish_take_nobodys_listeners_away(tmp_path):
    async with (
        ControlPlane(tmp_path) as plane,
        EnvoyProcess(node_bootstrap("edge", "node-0", plane.xds_port)) as envoy,
        await Member.start("one") as server,
    ):
        async with client_of(plane.api_port) as client:
            ports = await thirty_vips(client, server)
            async with Load(f"127.0.0.1:{ports[7]}") as load:
                await load.more(200)
                lose_the_vips(tmp_path)
                await touch_the_pool(client, "read again")
                await becomes(lambda: held(client), VIPS, what="the removals are held")
                new = await one_more_is_live(client, "new")
                await load.more(200)
                assert len(await envoy.listeners()) == VIPS + 1

                # The next process has no snapshot to keep: the node says what it holds.
                await plane.kill()
                await plane.start()
                async with client_of(plane.api_port) as again:
                    await becomes(lambda: held(again), VIPS, what="they are held again")
                    newer = await one_more_is_live(again, "newer")
                    await load.more(200)
                    assert len(await envoy.listeners()) == VIPS + 2
                    tried = await allow(again, validate_only=True)
                    assert tried.held_removals == VIPS
                    assert await held(again) == VIPS
            assert load.failed == 0, load.failures
        async with client_of(plane.api_port) as client:
            await allow(client)
            await becomes(lambda: held(client), 0, what="nothing is held")

            async def left() -> list[str]:
                return sorted(await envoy.listeners())

            await becomes(left, sorted([new, newer]), what="the listeners are gone")
            # The word was for those alone: what was let go is wanted by nobody, so gone it stays.
            await plane.kill()
            await plane.start()
        async with client_of(plane.api_port) as client:
            await one_more_is_live(client, "newest")
            assert await held(client) == 0
    assert "removals are withheld" in plane.log.read_text()
    assert "an operator allowed removals" in plane.log.read_text()


async def test_an_emptied_store_empties_no_envoy(tmp_path):
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.mkdir(), empty.mkdir()
    async with (
        ControlPlane(full) as plane,
        EnvoyProcess(node_bootstrap("edge", "node-0", plane.xds_port)) as envoy,
        await Member.start("one") as server,
    ):
        async with client_of(plane.api_port) as client:
            ports = await thirty_vips(client, server)
        async with Load(f"127.0.0.1:{ports[3]}") as load:
            await load.more(100)
            await plane.kill()
            for file in full.glob("tidegate.db*"):
                file.rename(empty / file.name)
            await plane.start()
            async with client_of(plane.api_port) as client:
                # Without its fleet it answers no node. Then somebody registers the fleet again.
                await load.more(100)
                await client.fleet("edge")
                await becomes(lambda: held(client), VIPS, what="the removals are held")
                pool = await client.pool("acme", "other")
                vip = await client.vip("acme", "other", pool=pool.name, port=free_port())
                await client.applied(vip.name, seconds=30)
                await load.more(100)
                assert len(await envoy.listeners()) == VIPS + 1
            # The right store comes back, and nothing has happened.
            await plane.kill()
            for file in full.glob("tidegate.db*"):
                file.unlink()
            for file in empty.glob("tidegate.db*"):
                file.rename(full / file.name)
            await plane.start()
            async with client_of(plane.api_port) as client:
                await one_more_is_live(client, "new")
                await load.more(100)
                assert await held(client) == 0
        assert load.failed == 0, load.failures


async def test_tenants_may_delete_all_they_have(tmp_path):
    async with (
        ControlPlane(tmp_path) as plane,
        EnvoyProcess(node_bootstrap("edge", "node-0", plane.xds_port)) as envoy,
        await Member.start("one") as server,
    ):
        async with client_of(plane.api_port) as client:
            await thirty_vips(client, server)
            await asyncio.gather(
                *(
                    client.vips.DeleteVip(
                        vip_service_pb2.DeleteVipRequest(name=f"projects/acme/vips/v{number}")
                    )
                    for number in range(VIPS)
                )
            )
            # Before or after the nodes were told: who deleted them is known to the next process.
            await plane.kill()
            await plane.start()
        async with client_of(plane.api_port) as client:

            async def none_left() -> bool:
                return not await envoy.listeners()

            await until(none_left, within=30, what="all are gone")
            assert await held(client) == 0
    assert "withheld" not in plane.log.read_text()

"""Pools that leave their fleet under load: drained or dead, and what their clients notice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from lbaas.v1 import fleet_service_pb2, load_balancer_service_pb2, pool_pb2
from lbaas.v1.fleet_pb2 import NodeState
from tests.features.fleets import change_fleet, drain_fleet, node, placed, pool_of
from tests.features.tenant import COOKIE, GOOD, held, pins, serve, servers, serving
from tests.features.world import STATUS, Client, world
from tests.harness.anycast import Anycast
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.load import Load
from tests.harness.ports import free_port
from tests.harness.waiting import until

SOON = timedelta(seconds=0.5)
MOVING = {"move_overlap": SOON, "listener_drain": SOON}
DYING = {"lost_after": SOON, "fleet_dead_after": SOON, **MOVING}
CLIENTS_LEAVE = 10
"""Seconds that an Envoy has to tell its clients to go elsewhere: as in life, or more."""


@contextlib.asynccontextmanager
async def watched(client: Client) -> AsyncIterator[list[pool_pb2.Placement]]:
    """The placements of the pool that a watch of its project tells of, each once, in order."""
    told: list[pool_pb2.Placement] = []

    async def read(events: Any) -> None:
        async for event in events:
            pool = event.change.pool
            if pool.name == GOOD and (not told or told[-1] != pool.placement):
                told.append(pool.placement)

    request = load_balancer_service_pb2.WatchRequest(parent="projects/good")
    task = asyncio.create_task(read(client.trees.Watch(request)))
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def requests(envoy: EnvoyProcess) -> int:
    """How many requests an Envoy has taken for the pool."""
    return await envoy.stat(f"cluster.{GOOD}.upstream_rq_total")


async def listens(envoy: EnvoyProcess, address: str) -> bool:
    return address in (await envoy.listeners()).values()


async def counts(client: Client, fleet: str) -> int:
    request = fleet_service_pb2.GetFleetRequest(name=f"fleets/{fleet}")
    found: int = (await client.fleets.GetFleet(request)).pools
    return found


@pytest.mark.parametrize(
    "keep_alive",
    [
        pytest.param(0, id="each request on a connection of its own"),
        pytest.param(
            6,
            id="connections that go on",
        ),
    ],
)
async def test_a_drained_fleet_gives_its_pools_away_and_no_request_fails(tmp_path, keep_alive):
    port = free_port()
    times = {
        "move_overlap": timedelta(seconds=4),
        "listener_drain": timedelta(seconds=CLIENTS_LEAVE + 1),
    }
    async with (
        world(tmp_path, nodes=0, **times) as (plane, client, _),
        node(plane, drain_seconds=CLIENTS_LEAVE) as old,
        servers(3) as members,
    ):
        with Anycast(port) as route:
            vip, address = await serving(client, members, port=port, **COOKIE)
            pinned = await pins(address, 3)
            await client.fleet("spare")
            async with node(plane, fleet="spare") as new, watched(client) as told:
                async with Load(address, keep_alive=keep_alive) as load:
                    await load.more(200)
                    assert not await requests(new)
                    await drain_fleet(client, "edge")
                    moving = await placed(client, GOOD, "spare", leaving="edge")
                    assert "moved from fleets/edge, which is draining" in moving.reason
                    assert "fleets/spare fits" in moving.reason
                    await client.applied(vip)
                    assert await listens(new, address)
                    assert await listens(old, address)
                    assert await counts(client, "edge") == await counts(client, "spare") == 1

                    route.move()
                    await load.more(200)
                    assert (await pool_of(client, GOOD)).placement.leaving_fleet
                    assert await requests(new)
                    assert await held(address, pinned) == {name: {name} for name in pinned}

                    await gone(old, address)
                    await load.more(200)
                    served = await requests(old)
                    await load.more(200)
                    assert await requests(old) == served
                    moved = await placed(client, GOOD, "spare", within=30)
                    assert moved.reason == moving.reason
                    await load.more(200)
                assert not load.failures
                assert await held(address, pinned) == {name: {name} for name in pinned}
                assert (await counts(client, "edge"), await counts(client, "spare")) == (0, 1)
                assert (await pool_of(client, GOOD)).provisioning_status == STATUS.ACTIVE

                async def all_told() -> bool:
                    return told[-1] == moved

                await until(all_told, within=5, what="the watch has told of the move's end")
                stages = [(each.fleet, each.leaving_fleet) for each in told]
                assert list(dict.fromkeys(stages)) == [
                    ("fleets/edge", ""),
                    ("fleets/spare", "fleets/edge"),
                    ("fleets/spare", ""),
                ]


async def gone(envoy: EnvoyProcess, address: str) -> None:
    """Waits until an Envoy listens on an address no more, and its last clients have left."""

    async def so() -> bool:
        if await listens(envoy, address):
            return False
        active = await envoy.stats("^http[.].*downstream_cx_active$")
        return not any(value for name, value in active.items() if "admin" not in name)

    await until(so, within=CLIENTS_LEAVE + 5, what=f"{address} is left")


async def test_a_dead_fleets_pools_move_and_when_it_returns_nothing_flaps(tmp_path):
    async with world(tmp_path, **DYING) as (plane, client, (old,)), servers(2) as members:
        vip, address = await serving(client, members, **COOKIE)
        pinned = await pins(address, 2)
        await client.fleet("spare")
        async with node(plane, fleet="spare") as new, watched(client) as told:
            await old.kill()
            moved = await placed(client, GOOD, "spare", within=20)
            assert "moved from fleets/edge, which has had no node since" in moved.reason
            await client.applied(vip)
            await serve(address, "m0", "m1")
            assert await held(address, pinned) == {name: {name} for name in pinned}

            await old.start()

            async def back() -> bool:
                request = fleet_service_pb2.GetNodeRequest(name="fleets/edge/nodes/node-0")
                state = (await client.fleets.GetNode(request)).state
                return state == NodeState.SYNCED

            await until(back, within=15, what="the node is back and counts")
            # It is there for longer than it took to be called dead, and takes what is new.
            second = await client.pool("good", "new")
            assert (await placed(client, second.name, "edge")).fleet == "fleets/edge"
            async with Load(address) as load:
                await load.more(400)
            assert not load.failures
            assert (await pool_of(client, GOOD)).placement == moved
            assert await requests(new)
            assert not await listens(old, address)
            assert [(each.fleet, each.leaving_fleet) for each in told if each.fleet] == [
                ("fleets/edge", ""),
                ("fleets/spare", "fleets/edge"),
                ("fleets/spare", ""),
            ]


async def test_a_pool_that_fits_nowhere_else_is_served_on_until_it_does(tmp_path):
    async with world(tmp_path, **MOVING) as (plane, client, (old,)), servers(2) as members:
        vip, address = await serving(client, members)
        await client.fleet("spare", capabilities={"protocols": ["TCP"]})
        async with node(plane, fleet="spare") as new:
            async with Load(address) as load:
                await drain_fleet(client, "edge")
                refused = await client.pool("good", "next")
                assert "draining" in (await homeless(client, refused.name)).message
                await load.more(400)
                assert (await pool_of(client, GOOD)).placement.fleet == "fleets/edge"
                assert (await pool_of(client, GOOD)).provisioning_status == STATUS.ACTIVE
                assert await listens(old, address)
            assert not load.failures

            everything = {
                "lb_methods": ["ROUND_ROBIN"],
                "protocols": ["TCP", "HTTP"],
            }
            await change_fleet(client, "spare", capabilities=everything)
            await placed(client, GOOD, "spare")
            await client.applied(vip)
            await serve(address, "m0", "m1")
            assert await listens(new, address)
            assert not await listens(old, address)
            await client.applied(refused.name)


async def homeless(client: Client, pool: str) -> Any:
    """Waits until no fleet would take a pool, and gives why."""

    async def so() -> Any:
        found = await pool_of(client, pool)
        return found.status_detail if found.provisioning_status == STATUS.ERROR else None

    detail = await until(so, within=10, what=f"{pool} is refused by every fleet")
    assert detail.reason == "NO_ELIGIBLE_FLEET"
    return detail

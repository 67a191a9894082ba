"""Fleets for a test: a control plane without any yet, their Envoys, agents beside those."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict

from agent.attached import AttachedDriver
from agent.driver import AdminAddress
from agent.run import Options, run
from lbaas.v1 import fleet_service_pb2, pool_pb2, pool_service_pb2
from tests.features.world import Client, client_of, node_bootstrap, settings
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.waiting import until
from tidegate.plane import Plane, running_plane


@contextlib.asynccontextmanager
async def control(folder: Path, **more: Any) -> AsyncIterator[tuple[Plane, Client]]:
    """A control plane in which an operator has created nothing yet, and a client."""
    async with (
        running_plane(settings(folder, **more)) as plane,
        client_of(plane.api_port) as client,
    ):
        yield plane, client


@contextlib.asynccontextmanager
async def node(
    plane: Plane, *, fleet: str = "edge", name: str = "node-0", **more: Any
) -> AsyncIterator[EnvoyProcess]:
    """An Envoy of a fleet, connected."""
    async with EnvoyProcess(node_bootstrap(fleet, name, plane.xds_port), **more) as envoy:
        await envoy.wait_ready()
        yield envoy


@contextlib.asynccontextmanager
async def agent_beside(
    plane: Plane, envoy: EnvoyProcess, *, fleet: str = "edge", name: str = "node-0"
) -> AsyncIterator[None]:
    """An agent that watches an Envoy which others run."""
    options = Options(
        control_planes=(f"127.0.0.1:{plane.api_port}",),
        fleet=fleet,
        node=name,
        driver=AttachedDriver(AdminAddress.parse(envoy.admin_address)),
        drain=timedelta(0),
    )
    task = asyncio.create_task(run(options))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def change_fleet(client: Client, fleet: str, **fields: Any) -> None:
    """Updates a fleet's fields."""
    wanted = {"fleet": {"name": f"fleets/{fleet}", **fields}}
    request = ParseDict(wanted, fleet_service_pb2.UpdateFleetRequest())
    request.update_mask.paths.extend(fields)
    await client.fleets.UpdateFleet(request)


async def drain_fleet(client: Client, fleet: str) -> None:
    """Has a fleet's pools move away."""
    request = fleet_service_pb2.DrainFleetRequest(name=f"fleets/{fleet}")
    assert (await client.fleets.DrainFleet(request)).draining


async def pool_of(client: Client, name: str) -> pool_pb2.Pool:
    """A pool as it is now."""
    found: pool_pb2.Pool = await client.pools.GetPool(pool_service_pb2.GetPoolRequest(name=name))
    return found


async def placed(
    client: Client, pool: str, fleet: str, *, leaving: str = "", within: float = 10.0
) -> pool_pb2.Placement:
    """Waits until a pool is on a fleet, and leaves that one or none."""
    wanted = (fleet and f"fleets/{fleet}", leaving and f"fleets/{leaving}")

    async def so() -> pool_pb2.Placement | None:
        now = (await pool_of(client, pool)).placement
        return now if (now.fleet, now.leaving_fleet) == wanted else None

    found = await until(so, within=within, what=f"{pool} is on {fleet}, leaving {leaving!r}")
    assert found is not None
    return found

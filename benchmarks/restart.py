"""A restart with an unchanged store and 100 connected nodes: what is sent again.

Three real Envoys and 97 raw delta clients that do what Envoy does: they keep what they were given,
and name it when they come back.
"""

import asyncio
import contextlib
import tempfile
import time
from pathlib import Path

import grpc

from benchmarks.figures import Figure
from tests.features.world import client_of, node_bootstrap, settings
from tests.harness.ads_client import CDS, EDS, LDS, RDS, DeltaClient
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tidegate.plane import Plane, running_plane

NODES, ENVOYS = 100, 3
POOLS = 20
_FOLLOWS = {CDS: EDS, LDS: RDS}


class _Node:
    """A raw delta client with Envoy's habits."""

    def __init__(self, address: str, name: str) -> None:
        self._address, self._name = address, name
        self._held: dict[str, dict[str, str]] = {kind: {} for kind in (CDS, EDS, LDS, RDS)}

    async def run(self) -> None:
        """Keeps a stream open until cancelled."""
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError, EOFError):
                async with DeltaClient(self._address, fleet="edge", node=self._name) as stream:
                    await self._serve(stream)
            await asyncio.sleep(0.2)

    async def _serve(self, stream: DeltaClient) -> None:
        for kind, held in self._held.items():
            if held or kind in _FOLLOWS:
                named = () if kind in _FOLLOWS else held
                await stream.send(kind, subscribe=named, initial=held)
        while True:
            answer = await stream.take(within=3600)
            held = self._held[answer.type_url]
            new = [entry.name for entry in answer.resources if entry.name not in held]
            held.update((entry.name, entry.version) for entry in answer.resources)
            follows = _FOLLOWS.get(answer.type_url)
            for name in answer.removed_resources:
                held.pop(name, None)
                if follows and self._held[follows].pop(name, None):
                    await stream.send(follows, unsubscribe=[name])
            if follows and new:
                await stream.send(follows, subscribe=new)


async def _all_in_step(plane: Plane) -> None:
    async def in_step() -> bool:
        streams = plane.cache.streams("edge")
        return len(streams) == NODES and all(
            stream.in_step(plane.reconcile.revision) for stream in streams
        )

    await until(in_step, within=120, what=f"{NODES} nodes that hold everything")


async def measure() -> list[Figure]:
    """Resources sent after the restart, and the seconds until all nodes are in step."""
    with tempfile.TemporaryDirectory(prefix="tg-bench-") as folder:
        port = free_port()
        chosen = settings(Path(folder), xds_address=f"127.0.0.1:{port}")
        nodes = [_Node(f"127.0.0.1:{port}", f"raw-{n}") for n in range(NODES - ENVOYS)]
        async with contextlib.AsyncExitStack() as stack:
            async with running_plane(chosen) as plane, client_of(plane.api_port) as client:
                await client.fleet("edge")
                await client.project("bench")
                running = [asyncio.create_task(node.run()) for node in nodes]
                stack.callback(lambda: [task.cancel() for task in running])
                for number in range(ENVOYS):
                    await stack.enter_async_context(
                        EnvoyProcess(node_bootstrap("edge", f"envoy-{number}", port))
                    )
                for number in range(POOLS):
                    pool = await client.pool("bench", f"p{number}")
                    await client.member(pool.name, "one", f"127.0.0.1:{9000 + number}")
                    await client.vip("bench", f"v{number}", pool=pool.name, port=free_port())
                for number in range(POOLS):
                    await client.applied(f"projects/bench/vips/v{number}", seconds=60)
                await _all_in_step(plane)
                first = plane.xds.traffic.resources
            began = time.perf_counter()
            async with running_plane(chosen) as plane:
                await _all_in_step(plane)
                seconds = time.perf_counter() - began
                await asyncio.sleep(1)  # whatever would come late
                again = plane.xds.traffic.resources
    return [
        Figure(
            what=f"restart, store unchanged, {NODES} nodes ({ENVOYS} Envoys): resources sent again",
            value=again,
            unit="",
            budget="0",
        ),
        Figure(what="  resources sent before it", value=first, unit=""),
        Figure(what="  from its start until all nodes are in step", value=seconds, unit="s"),
    ]

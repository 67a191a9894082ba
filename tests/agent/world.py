"""A node as in life: an xDS server for its Envoy, a control plane for its agent, members."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from agent.admin import Admin
from agent.driver import Driver
from agent.process import ProcessDriver
from agent.readings import server_reading, values
from agent.run import Options, run
from tests.agent.control_plane import ControlPlane, control_plane
from tests.harness.http_client import fetch
from tests.harness.ports import free_port
from tests.harness.resources import http_listener, route, tcp_listener
from tests.harness.waiting import until
from xds.cache import SnapshotCache
from xds.server import Server, serve
from xds.translate import bootstrap, to_json

FLEET, NODE = "edge", "edge-1"
ARGUMENTS = ("--drain-time-s", "600", "--disable-hot-restart", "--concurrency", "1")


@dataclass
class World:
    """What an agent has around it."""

    plane: ControlPlane
    address: str
    cache: SnapshotCache
    xds: Server
    folder: Path
    published: dict[str, list[Any]] = field(default_factory=dict)

    def bootstrap(self, *, node: str = NODE) -> str:
        return to_json(
            bootstrap(fleet=FLEET, node=node, xds_address=[("127.0.0.1", self.xds.port)])
        )

    def driver(self, **fields: Any) -> ProcessDriver:
        given = {"bootstrap": self.bootstrap(), "arguments": ARGUMENTS, **fields}
        return ProcessDriver(given.pop("folder", self.folder), **given)

    def options(self, driver: Driver | None = None, **fields: Any) -> Options:
        given = {
            "control_planes": (self.address,),
            "fleet": FLEET,
            "node": NODE,
            "driver": driver or self.driver(),
            "version": "1",
            "drain": timedelta(0),
            **fields,
        }
        return Options(**given)

    def publish(self, key: str, *messages: Any) -> None:
        """Adds or replaces what is published under a key."""
        self.published[key] = list(messages)
        self.cache.publish(FLEET, [one for group in self.published.values() for one in group])

    def vip(self, name: str, cluster: str, *, tcp: bool = False) -> str:
        """Publishes a VIP on a cluster, and gives its address."""
        port = free_port()
        listener = tcp_listener(name, port, cluster) if tcp else http_listener(name, port)
        listener.stat_prefix = name
        self.publish(name, listener, *([] if tcp else [route(name, cluster)]))
        return f"127.0.0.1:{port}"


@asynccontextmanager
async def a_world(folder: Path) -> AsyncIterator[World]:
    cache = SnapshotCache()
    cache.publish(FLEET, [])
    xds = await serve(cache, "127.0.0.1:0")
    try:
        async with control_plane() as (plane, address):
            yield World(plane, address, cache, xds, folder)
    finally:
        await xds.stop()


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[asyncio.Task[None]]:
    """An agent that runs; at the end it is stopped, and its Envoy with it."""
    task = asyncio.create_task(run(options))
    try:
        yield task
    except BaseException:
        show_log(options)
        raise
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


def show_log(options: Options) -> None:
    if options.driver.admin.path is not None:
        log = options.driver.admin.path.with_name("envoy.log")
        if log.exists():
            print(log.read_text(errors="replace")[-3000:])  # noqa: T201 - pytest shows it


async def serves(address: str, *, within: float = 10.0) -> None:
    async def answers() -> bool:
        return (await fetch(address)).status == 200

    await until(answers, within=within, what=f"{address} serves")


async def stats(driver: Driver, pattern: str) -> dict[str, int]:
    async with Admin(driver.admin) as admin:
        return values(await admin.get("/stats", format="json", filter=pattern))


async def server(driver: Driver):
    async with Admin(driver.admin) as admin:
        return server_reading(await admin.get("/server_info"))


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

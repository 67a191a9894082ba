"""Envoys as containers, run by the agent's driver over Docker's API."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import docker
import pytest

from agent.container import NODE_LABEL, ContainerDriver
from agent.driver import DriverError
from agent.supervise import Backoff, Supervisor
from tests.harness.http_client import Connection, fetch
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tests.host.podman import PodmanService

ARGUMENTS = ("--disable-hot-restart", "--concurrency", "1", "--drain-time-s", "1")
NO_DRAIN = timedelta(0)


class Node:
    """A node whose Envoy answers every request with the node's id."""

    def __init__(self, folder: Path, engine: PodmanService, name: str) -> None:
        self.name = name
        self.address = f"127.0.0.1:{free_port()}"
        self._folder = folder / name
        self._engine = engine

    def driver(self, *, image: str = PodmanService.image) -> ContainerDriver:
        return ContainerDriver(
            self._folder,
            bootstrap=json.dumps(self._bootstrap()),
            arguments=ARGUMENTS,
            image=image,
            engine=self._engine.address,
            open_files=0,
        )

    async def serves(self) -> bool:
        return (await fetch(self.address)).text == self.name

    async def wait_serves(self) -> None:
        await until(self.serves, within=15, what=f"{self.name} serves")

    def _bootstrap(self) -> object:
        host, _, port = self.address.rpartition(":")
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network"
            ".http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "vip",
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {
                        "@type": "type.googleapis.com/"
                        "envoy.extensions.filters.http.router.v3.Router"
                    },
                }
            ],
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [
                            {
                                "match": {"prefix": "/"},
                                "direct_response": {
                                    "status": 200,
                                    "body": {"inline_string": self.name},
                                },
                            }
                        ],
                    }
                ]
            },
        }
        filters = [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]
        address = {"socket_address": {"address": host, "port_value": int(port)}}
        listener = {"name": "vip", "address": address, "filter_chains": [{"filters": filters}]}
        return {
            "node": {"id": self.name, "cluster": "edge"},
            "static_resources": {"listeners": [listener]},
        }


def names(engine: PodmanService) -> set[str]:
    """Containers of the engine that are there, running or not."""
    with engine.client() as client:
        return {container.name for container in client.containers.list(all=True)}


def kill(engine: PodmanService, name: str) -> None:
    with engine.client() as client:
        client.containers.get(name).kill("SIGKILL")


def container_id(engine: PodmanService, name: str) -> str:
    with engine.client() as client:
        return str(client.containers.get(name).id)


async def comes_back(node: Node, engine: PodmanService, *, after: str) -> None:
    """Waits until a container other than `after` serves the node."""

    async def other() -> bool:
        found = await asyncio.to_thread(container_id, engine, f"tidegate-edge-{node.name}")
        return found != after and await node.serves()

    await until(
        other,
        within=15,
        what=f"{node.name} serves again",
        tolerate=(OSError, EOFError, docker.errors.NotFound),
    )


@asynccontextmanager
async def supervised(driver: ContainerDriver) -> AsyncIterator[None]:
    supervisor = Supervisor(driver, drain=NO_DRAIN, backoff=Backoff(first=0.1))
    task = asyncio.create_task(supervisor.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()


async def test_two_serve_and_one_is_killed_and_comes_back(
    podman: PodmanService, tmp_path: Path
) -> None:
    one, two = (Node(tmp_path, podman, name) for name in ("e1", "e2"))
    async with supervised(one.driver()), supervised(two.driver()):
        await one.wait_serves()
        await two.wait_serves()
        assert names(podman) == {"tidegate-edge-e1", "tidegate-edge-e2"}
        killed = container_id(podman, "tidegate-edge-e1")

        back = asyncio.create_task(comes_back(one, podman, after=killed))
        await asyncio.to_thread(kill, podman, "tidegate-edge-e1")
        while not back.done():
            assert await two.serves()
            await asyncio.sleep(0.01)
        await back
    assert names(podman) == set()
    with pytest.raises(OSError, match="Connect call failed"):
        await fetch(one.address)


async def test_an_end_is_noticed_with_its_exit_code(podman: PodmanService, tmp_path: Path) -> None:
    node = Node(tmp_path, podman, "e1")
    driver = node.driver()
    await driver.start()
    await node.wait_serves()
    ended = asyncio.create_task(driver.wait_ended())
    await asyncio.to_thread(kill, podman, driver.container)
    async with asyncio.timeout(5):
        assert await ended == -9
    await driver.stop(drain=NO_DRAIN)
    assert names(podman) == set()


async def test_the_next_agent_adopts_what_runs(podman: PodmanService, tmp_path: Path) -> None:
    node = Node(tmp_path, podman, "e1")
    first = node.driver()
    await first.start()
    await node.wait_serves()
    was = container_id(podman, first.container)
    # Its agent was killed: nothing is told to end, and its lock is gone with it.
    first._folder.release()

    second = node.driver()
    await second.start()
    assert container_id(podman, second.container) == was
    assert await node.serves()
    await second.stop(drain=NO_DRAIN)
    assert names(podman) == set()


async def test_one_that_was_left_draining_is_started_anew(
    podman: PodmanService, tmp_path: Path
) -> None:
    node = Node(tmp_path, podman, "e1")
    first = node.driver()
    await first.start()
    await node.wait_serves()
    await fetch(str(first.admin.path), "/healthcheck/fail", method="POST")
    await fetch(str(first.admin.path), "/drain_listeners", method="POST")
    first._folder.release()

    second = node.driver()
    await second.start()
    await node.wait_serves()
    await second.stop(drain=NO_DRAIN)


async def test_a_stop_drains_first(podman: PodmanService, tmp_path: Path) -> None:
    node = Node(tmp_path, podman, "e1")
    driver = node.driver()
    await driver.start()
    await node.wait_serves()
    async with await Connection.open(node.address) as client:
        assert (await client.request("/")).status == 200
        stopping = asyncio.create_task(driver.stop(drain=timedelta(seconds=30)))

        async def refused() -> bool:
            try:
                await fetch(node.address)
            except ConnectionRefusedError:
                return True
            return False

        await until(refused, within=5, what="no new connections")
        reply = await client.request("/")  # the old one is served still, and told to end
        assert reply.status == 200
        assert reply.closes
    await stopping
    assert names(podman) == set()


async def test_a_container_of_somebody_else_is_left_alone(
    podman: PodmanService, tmp_path: Path
) -> None:
    driver = Node(tmp_path, podman, "e1").driver()
    with podman.client() as client:
        for labels in ({}, {NODE_LABEL: "fleets/edge/nodes/e1"}):
            alien = client.containers.create(podman.image, name=driver.container, labels=labels)
            with pytest.raises(DriverError, match="not this agent's"):
                await driver.start()
            with pytest.raises(DriverError, match="not this agent's"):
                await driver.stop(drain=NO_DRAIN)
            assert names(podman) == {driver.container}
            alien.remove()


async def test_an_image_that_is_not_there(podman: PodmanService, tmp_path: Path) -> None:
    driver = Node(tmp_path, podman, "e1").driver(image="localhost/no-such")
    with pytest.raises(DriverError, match="no image 'localhost/no-such': build it"):
        await driver.start()
    await driver.stop(drain=NO_DRAIN)
    assert names(podman) == set()


@pytest.fixture
def sockets_left_by_docker() -> Iterator[None]:
    """The docker client leaves a unix socket to the garbage collector that it could not connect."""
    yield
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("sockets_left_by_docker")
async def test_the_engine_goes_away_and_returns(podman: PodmanService, tmp_path: Path) -> None:
    node = Node(tmp_path, podman, "e1")
    driver = node.driver()
    await driver.start()
    await node.wait_serves()
    was = container_id(podman, driver.container)
    waiting = asyncio.create_task(driver.wait_ended())
    await asyncio.to_thread(podman.stop)
    with pytest.raises(DriverError, match="cannot be reached"):
        await waiting
    assert await node.serves()
    await asyncio.to_thread(podman.start)
    await driver.start()
    assert container_id(podman, driver.container) == was
    await driver.stop(drain=NO_DRAIN)
    assert names(podman) == set()

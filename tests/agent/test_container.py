"""The container driver where there is no engine; tests/host runs it on a real one."""

import gc
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.container import ContainerDriver
from agent.driver import DriverError
from tests.harness.ports import free_port

BOOTSTRAP = json.dumps({"node": {"id": "e1", "cluster": "edge"}})


def test_the_name_tells_fleet_and_node(tmp_path: Path) -> None:
    assert ContainerDriver(tmp_path, bootstrap=BOOTSTRAP).container == "tidegate-edge-e1"


@pytest.mark.parametrize("bootstrap", ["node: {id: e1}", "{}", '{"node": {"id": "e1"}}', "[]"])
def test_a_bootstrap_that_names_no_node(tmp_path: Path, bootstrap: str) -> None:
    with pytest.raises(ValueError, match="bootstrap"):
        ContainerDriver(tmp_path, bootstrap=bootstrap)


@pytest.fixture
def sockets_left_by_docker() -> Iterator[None]:
    """The docker client leaves a unix socket to the garbage collector that it could not connect."""
    yield
    gc.collect()


leaves_sockets = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@leaves_sockets
@pytest.mark.usefixtures("sockets_left_by_docker")
async def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    for engine, words in (
        (f"unix://{tmp_path}/none.sock", "No such file or directory"),
        (f"tcp://127.0.0.1:{free_port()}", "Connection refused"),
    ):
        driver = ContainerDriver(tmp_path, bootstrap=BOOTSTRAP, engine=engine)
        with pytest.raises(DriverError, match="cannot be reached") as raised:
            await driver.start()
        assert engine in str(raised.value)
        assert words in str(raised.value)
        await driver.stop(drain=timedelta(seconds=5))


@leaves_sockets
@pytest.mark.usefixtures("sockets_left_by_docker")
async def test_one_agent_per_folder(tmp_path: Path) -> None:
    first, second = (
        ContainerDriver(tmp_path, bootstrap=BOOTSTRAP, engine="unix:///none") for _ in range(2)
    )
    with pytest.raises(DriverError, match="cannot be reached"):
        await first.start()
    with pytest.raises(DriverError, match="another agent"):
        await second.start()
    await first.stop(drain=timedelta(0))

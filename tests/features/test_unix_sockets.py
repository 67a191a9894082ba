"""All on unix sockets: the API, the command line, and an Envoy's configuration."""

import asyncio
import json
import os
import shlex
import socket
import stat
import sys
from pathlib import Path

import grpc.aio
import pytest
from pydantic import ValidationError

from lbaas.model.errors import FailedPrecondition
from lbaas.v1.fleet_pb2 import Fleet
from lbaas.v1.fleet_service_pb2 import CreateFleetRequest, GetNodeRequest
from lbaas.v1.fleet_service_pb2_grpc import FleetServiceStub
from tests.cli.conftest import Ran, run_words
from tests.harness.envoy_process import EnvoyProcess
from tests.harness.waiting import until
from tidegate.config import Settings
from tidegate.plane import running_plane
from tidegate.sockets import refuse_taken
from xds.translate import bootstrap, to_json


def settings(folder: Path) -> Settings:
    return Settings(
        database=f"sqlite:///{folder / 't.db'}",
        api_address=f"unix:{folder / 'api.sock'}",
        xds_address=f"unix:{folder / 'xds.sock'}",
    )


async def test_an_envoy_joins_over_a_unix_socket(tmp_path: Path) -> None:
    async with running_plane(settings(tmp_path)) as plane:
        assert (plane.api_port, plane.xds_port) == (0, 0)
        for name in ("api.sock", "xds.sock"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        config = bootstrap(
            fleet="edge", node="e1", xds_address=[str(tmp_path / "xds.sock")], admin_port=0
        )
        async with grpc.aio.insecure_channel(f"unix:{tmp_path / 'api.sock'}") as channel:
            fleets = FleetServiceStub(channel)
            await fleets.CreateFleet(CreateFleetRequest(fleet_id="edge", fleet=Fleet()))
            async with EnvoyProcess(json.loads(to_json(config))) as envoy:
                await envoy.wait_ready()

                async def joined() -> bool:
                    try:
                        request = GetNodeRequest(name="fleets/edge/nodes/e1")
                        return (await fleets.GetNode(request)).connected
                    except grpc.aio.AioRpcError:
                        return False

                await until(joined, within=5, what="the node has joined")
    assert not (tmp_path / "xds.sock").exists()


async def test_the_command_line_reaches_a_unix_socket(tmp_path: Path) -> None:
    server = f"unix:{tmp_path / 'api.sock'}"
    async with running_plane(settings(tmp_path)):
        made = await typed("fleet create edge", server)
        assert made.code == 0, made.err
        shown = await typed("fleet get edge --show buf", server)
        buf = Path(sys.executable).with_name("buf")
        done = await asyncio.create_subprocess_exec(
            buf, *shlex.split(shown.out)[1:], stdout=asyncio.subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(done.communicate(), 30)
    assert json.loads(out)["name"] == "fleets/edge"
    assert shlex.split((await typed("fleet get edge --show grpcurl", server)).out) == [
        "grpcurl",
        "-plaintext",
        "-unix",
        "-d",
        '{"name":"fleets/edge"}',
        str(tmp_path / "api.sock"),
        "lbaas.v1.FleetService/GetFleet",
    ]
    gone = await typed("fleet list", server)
    assert (gone.code, server in gone.err) == (7, True)


async def typed(line: str, server: str) -> Ran:
    """Runs a command in a thread: it would hold up the loop that serves it."""
    return await asyncio.to_thread(run_words, line.split(), env={"TIDEGATE_SERVER": server})


async def test_a_socket_that_somebody_listens_on_is_not_taken_away(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "api.sock"))
        other.listen()

        with pytest.raises(FailedPrecondition, match="a process that lives listens") as caught:
            async with running_plane(settings(tmp_path)):
                pass

        assert caught.value.reason == "CANNOT_LISTEN"
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(tmp_path / "api.sock"))
    assert not (tmp_path / "xds.sock").exists()


async def test_what_a_dead_process_has_left_is_replaced(tmp_path: Path) -> None:
    for name in ("api.sock", "xds.sock"):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / name))
            dead.listen()
        os.chmod(tmp_path / name, 0o777)  # noqa: PTH101 - to see that it is not kept

    async with running_plane(settings(tmp_path)):
        assert stat.S_IMODE((tmp_path / "api.sock").stat().st_mode) == 0o600
        async with grpc.aio.insecure_channel(f"unix:{tmp_path / 'api.sock'}") as channel:
            made = await FleetServiceStub(channel).CreateFleet(
                CreateFleetRequest(fleet_id="edge", fleet=Fleet())
            )
    assert made.name == "fleets/edge"


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "api.sock").write_text("precious")

    with pytest.raises(FailedPrecondition, match="cannot listen"):
        async with running_plane(settings(tmp_path)):
            pass

    assert (tmp_path / "api.sock").read_text() == "precious"


def test_nothing_listens_where_nothing_is(tmp_path: Path) -> None:
    refuse_taken(f"unix:{tmp_path / 'none'}")
    refuse_taken(f"unix:{tmp_path / 'none' / 'none'}")
    refuse_taken("127.0.0.1:1")


@pytest.mark.parametrize(
    ("address", "why"), [("unix:api.sock", "the whole path"), ("unix:/" + "x" * 107, "longer than")]
)
def test_a_path_that_cannot_work_is_a_wrong_setting(address: str, why: str) -> None:
    for field in ("api_address", "xds_address"):
        with pytest.raises(ValidationError, match=why):
            Settings(**{field: address})

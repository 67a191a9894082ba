"""`docs/xds-library.md`: its programs run as they stand, with a real Envoy and a gRPC client."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import yaml

from tests.harness.envoy_process import EnvoyProcess
from tests.harness.http_client import fetch
from tests.harness.members import Member
from tests.harness.ports import free_port
from tests.harness.waiting import until

PAGE = Path(__file__).parents[2] / "docs" / "xds-library.md"


def files(folder: Path, ports: dict[str, int]) -> None:
    """Writes the page's files, with free ports for those that it names."""
    for block in re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        name = block.partition("\n")[0].removeprefix("# ")
        text = re.sub(r"\b\d{4,5}\b", lambda found: str(ports.get(found[0], found[0])), block)
        (folder / name).write_text(text)


class Program:
    """A running program of the page, and the lines that it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []

    async def until(self, line: str) -> None:
        """Reads until it prints a line that begins so."""
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            while not any(each.startswith(line) for each in self.lines):
                read = await self._process.stdout.readline()
                assert read, f"it ended, having printed {self.lines}"
                self.lines.append(read.decode().strip())


@contextlib.asynccontextmanager
async def program(path: Path) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PAGE.parents[1])},
    )
    try:
        yield Program(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_real_envoy_serves_what_the_program_publishes(tmp_path):
    async with await Member.start("m") as member:
        port, xds = free_port(), free_port()
        files(tmp_path, {"8080": port, "8081": member.port, "18000": xds})
        async with program(tmp_path / "edge.py") as edge:
            await edge.until(f"serving xDS on port {xds}")
            bootstrap = yaml.safe_load((tmp_path / "envoy.yaml").read_text())
            async with EnvoyProcess(bootstrap):
                for kind in ("Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"):
                    await edge.until(f"envoy-1 runs {kind} web")

                async def served() -> bool:
                    return (await fetch(f"127.0.0.1:{port}", "/")).status == 200

                await until(served, within=10, what="the member answers through Envoy")


async def test_a_grpc_client_finds_the_members_by_xds(tmp_path):
    files(tmp_path, {"18000": (xds := free_port())})
    async with program(tmp_path / "apps.py") as apps:
        await apps.until(f"serving xDS on port {xds}")
        async with program(tmp_path / "client.py") as client:
            for name in ("anna", "ben"):
                await client.until(name)

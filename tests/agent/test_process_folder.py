"""The folder that one agent has, and what a process driver takes for its own Envoy."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from datetime import timedelta
from pathlib import Path

import pytest

from agent.driver import DriverError, TakenError
from agent.run import run
from tests.agent.world import World, running


def running_in(folder: Path) -> list[Path]:
    """The processes that were started with the folder's bootstrap."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder / "bootstrap.json").encode() in process.read_bytes():
                found.append(process)
    return found


async def test_a_second_agent_ends_at_once_and_disturbs_nobody(world: World) -> None:
    async with running(world.options()):
        plane = world.plane
        await plane.until(lambda: plane.running, what="the first agent's Envoy runs")
        hellos, reports = len(plane.hellos), len(plane.reports)
        with pytest.raises(ExceptionGroup) as raised:
            await run(world.options())
        assert raised.group_contains(TakenError, match="another agent runs in")
        assert len(plane.hellos) == hellos
        assert all(report.envoy_running for report in plane.reports[reports:])


async def test_an_envoy_that_nobody_would_find_again_is_ended(world: World) -> None:
    driver = world.driver()
    world.folder.mkdir(exist_ok=True)
    (world.folder / "envoy.draft").mkdir()  # as a full disk: envoy.pid cannot be written
    with pytest.raises(DriverError, match="envoy cannot be started"):
        await driver.start()
    assert driver.pid == 0
    assert not running_in(world.folder)
    await driver.stop(drain=timedelta(0))


async def test_a_process_that_only_reads_the_bootstrap_is_not_adopted(world: World) -> None:
    world.folder.mkdir(exist_ok=True)
    bootstrap = world.folder / "bootstrap.json"
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; sys.stdin.read()", str(bootstrap), stdin=PIPE
    )
    try:
        for process in (stranger, reader):
            (world.folder / "envoy.pid").write_text(f"{process.pid}\n")
            driver = world.driver()
            await driver.start()
            assert driver.pid not in (0, process.pid)
            await driver.stop(drain=timedelta(0))
            assert process.returncode is None
    finally:
        for process in (stranger, reader):
            process.kill()
            await process.wait()


async def test_a_folder_that_everybody_may_write_to_is_refused(world: World) -> None:
    world.folder.mkdir(exist_ok=True)
    world.folder.chmod(0o777)
    driver = world.driver()
    with pytest.raises(DriverError, match="everybody may write"):
        await driver.start()
    assert list(world.folder.iterdir()) == []
    world.folder.chmod(0o700)
    await driver.start()
    await driver.stop(drain=timedelta(0))

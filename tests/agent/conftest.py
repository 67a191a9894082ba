import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agent.world import World, a_world


@pytest.fixture
async def world(tmp_path) -> AsyncIterator[World]:
    folder = tmp_path / "node"
    async with a_world(folder) as made:
        yield made
    _end_what_is_left(folder)


def _end_what_is_left(folder: Path) -> None:
    """Ends the Envoys of a folder: they outlive their agents, and so a test that has failed."""
    bootstrap = os.fsencode(folder / "bootstrap.json")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if bootstrap in (process / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)

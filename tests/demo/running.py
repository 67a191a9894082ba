"""`tidegate demo` as a process, what it tells, and what of it is still there."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

DEMO = (sys.executable, "-m", "tidegate", "demo")
ONCE_WITHIN = 90


def processes_with(*words: str) -> dict[int, str]:
    """Gives the processes that live and mention all words in their command line."""
    found = {}
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = each.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if all(word in line for word in words):
                found[int(each.parent.name)] = line
    return found


def nothing_left(folder: str) -> bool:
    return processes_with(folder) == {} and not Path(folder).exists()


def folder_of(told: str) -> str:
    return re.search(r"all files are in (\S+)", told)[1]


@contextlib.asynccontextmanager
async def demo(
    *options: str, before: tuple[str, ...] = (), **env: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *before,
        *DEMO,
        *options,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def ended(process: asyncio.subprocess.Process, *, within: float) -> tuple[str, str]:
    out, err = await asyncio.wait_for(process.communicate(), within)
    return out.decode(), err.decode()


async def told_until(process: asyncio.subprocess.Process, word: str) -> str:
    told = ""
    async with asyncio.timeout(60):
        while word not in told:
            line = await process.stdout.readline()
            assert line, f"the demo ended: {told}{(await process.stderr.read()).decode()}"
            told += line.decode()
    return told

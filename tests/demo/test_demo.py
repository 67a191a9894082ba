"""`tidegate demo`: as a visitor runs it, two at once, ended by Ctrl-C, and when something fails."""

import asyncio
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidegate.demo import DemoFailure, check_traffic
from tidegate.demo_http import DemoMember, Reply, fetch

DEMO = (sys.executable, "-m", "tidegate", "demo")


def processes_with(word: str) -> list[str]:
    """Gives the command lines of the processes that live and mention a word."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = each.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if word in line:
                found.append(line)
    return found


def nothing_left(folder: str) -> bool:
    return processes_with(folder) == [] and not Path(folder).exists()


@contextlib.asynccontextmanager
async def demo(*options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *DEMO, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def told_until(process: asyncio.subprocess.Process, word: str) -> str:
    told = ""
    async with asyncio.timeout(60):
        while word not in told:
            line = await process.stdout.readline()
            assert line, f"the demo ended: {told}{(await process.stderr.read()).decode()}"
            told += line.decode()
    return told


async def test_two_at_once_check_themselves_and_end_well():
    async with demo("--once") as one, demo("--once") as other:
        for process in (one, other):
            out, err = await asyncio.wait_for(process.communicate(), 90)
            told = out.decode()
            assert process.returncode == 0, told + err.decode()
            for member in ("m1", "m2", "m3"):
                assert re.search(rf"^  {member} +[1-9]\d*  #+$", told, re.MULTILINE)
            assert re.search(r"vip/web +ACTIVE  1/1 nodes", told)
            assert re.search(r"vip/web created, .*ACTIVE on 1/1 nodes [\d.]+ ms after", told)
            folder = re.search(r"on SQLite in (\S+)", told)[1]
            assert nothing_left(folder)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_stays_until_a_signal_and_ends_all_it_started(end):
    async with demo() as process:
        told = await told_until(process, "Ctrl-C")
        folder = re.search(r"on SQLite in (\S+)", told)[1]
        assert len(processes_with(folder)) == 2
        process.send_signal(end)
        await asyncio.wait_for(process.wait(), 30)
        assert process.returncode == 0
        assert nothing_left(folder)


async def test_the_lines_that_it_prints_run_as_they_are():
    async with demo() as process:
        told = await told_until(process, "Ctrl-C")
        lines = [line.strip() for line in told.partition("\ntry:\n")[2].splitlines()]
        curl = next(line for line in lines if line.startswith("curl "))
        export = next(line for line in lines if line.startswith("export "))
        assert (await fetch(curl.removeprefix("curl http://").rstrip("/"))).ok
        known = dict(word.split("=") for word in shlex.split(export)[1:])
        for line in lines:
            words = shlex.split(line)
            if words and words[0].endswith("tidegate") and words[-1] != "watch":
                done = await asyncio.to_thread(
                    subprocess.run, words, env={**os.environ, **known}, timeout=30, check=False
                )
                assert done.returncode == 0, line


async def test_it_fails_with_the_reason_when_the_control_plane_cannot_start():
    process = await asyncio.create_subprocess_exec(
        *DEMO,
        "--once",
        env={**os.environ, "TIDEGATE_LOST_AFTER": "soon"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert "the control plane did not come up" in err.decode()
    assert "lost_after" in err.decode()


MEMBERS = [DemoMember("m1"), DemoMember("m2")]
SERVED = [Reply(200, "m1\n"), Reply(200, "m2\n")]


@pytest.mark.parametrize(
    ("replies", "active", "why"),
    [
        ([*SERVED, Reply(503, "no healthy upstream")], True, "a request failed: 503"),
        (SERVED[:1], True, "m2 served nothing"),
        (SERVED, False, "not every object is ACTIVE"),
    ],
)
def test_what_once_checks(replies, active, why):
    check_traffic(SERVED, MEMBERS, active=True)
    with pytest.raises(DemoFailure) as caught:
        check_traffic(replies, MEMBERS, active=active)
    assert any(line.startswith(why) for line in caught.value.why)

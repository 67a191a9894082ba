"""`tidegate demo`: as a visitor runs it, two at once, ended by Ctrl-C, and when something fails."""

import asyncio
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from agent.echo import refusal
from tests.demo.running import (
    ONCE_WITHIN,
    demo,
    ended,
    folder_of,
    nothing_left,
    processes_with,
    told_until,
)

MULTI = re.MULTILINE
ENDS_WITHIN = 30


async def test_two_at_once_check_themselves_and_end_well():
    async with demo("--once") as one, demo("--once") as other:
        for process in (one, other):
            told, err = await ended(process, within=ONCE_WITHIN)
            assert process.returncode == 0, told + err
            assert nothing_left(folder_of(told))
            assert len(told.splitlines()) <= 45
            assert re.search(r"^  vip/web +127\.0\.0\.1:\d+, .* +[\d.]+ ms$", told, MULTI)
            assert "the connection limit is 50 on e1, 50 on e2" in told
            for name in ("vip/web", "pool/web", "member/web/m1", "monitor/web-check"):
                assert re.search(rf"^  {name} +ACTIVE  ONLINE +live on 2/2 nodes$", told, MULTI)
            assert re.search(
                r"^60 requests .* came in [1-9]\d* on e1, [1-9]\d* on e2:$", told, MULTI
            )
            for member in ("m1", "m2", "m3"):
                assert re.search(rf"^  {member} +[1-9]\d*  #+$", told, MULTI)
            assert ("monitor/web-ping" in told) == (not refusal())


async def test_a_client_that_was_away_is_back_on_the_restarted_member():
    async with demo("--once") as process:
        told, err = await ended(process, within=ONCE_WITHIN)
    assert process.returncode == 0, told + err
    home = re.search(r"^ann and bob keep .* both of (m\d): LBSESSION=\w{16}$", told, MULTI)[1]
    moved = re.search(
        rf"^  {home} is stopped, bob asks on +0 of 20 failed: (m\d) took over, with a new cookie$",
        told,
        MULTI,
    )[1]
    assert moved != home
    for line in (
        rf"each asks 20 times +0 failed, all served by {home} \([1-9].* on e1, [1-9].* on e2\)",
        rf"both nodes saw it in [\d.]+ s +{home} is OFFLINE: connection refused",
        r"vip/web is DEGRADED +0 of 20 new clients fail: .*",
        rf"{home} is started again +ONLINE after [\d.]+ s",
        rf"ann, who was away, asks on +0 of 20 failed: {home}, by the cookie she had",
        rf"bob asks on +0 of 20 failed: {moved}, by his new one",
    ):
        assert re.search(rf"^  {line}$", told, MULTI), f"{line}\n{told}"
    counted = re.search(r"on 2/2 nodes: (\d+) requests, 0 errors, [1-9]\d* bytes in", told)
    assert int(counted[1]) >= 60 + 40 + 20 + 20 + 40


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_stays_until_a_signal_and_ends_all_it_started(end):
    async with demo() as process:
        told = await told_until(process, "vip stats")
        folder = folder_of(told)
        # The control plane, two agents, and two Envoys, which are the agents' to end.
        assert len(processes_with(folder)) == 5
        process.send_signal(end)
        process.send_signal(end)  # an impatient one does not leave anything behind
        said, err = await ended(process, within=ENDS_WITHIN)
        assert process.returncode == 0, err
        assert "nothing is left running" in said
        assert nothing_left(folder)


async def test_when_nobody_reads_any_more_it_ends_all_it_started():
    async with demo("--once") as process:
        folder = folder_of(await told_until(process, "fleet edge"))
        process.stdout._transport.close()  # what `| head` does
        err = await asyncio.wait_for(process.stderr.read(), ENDS_WITHIN)
        await process.wait()
        assert b"Traceback" not in err
        assert nothing_left(folder)


async def test_interrupted_before_all_was_checked_is_not_a_success():
    async with demo("--once") as process:
        folder = folder_of(await told_until(process, "control plane"))
        process.terminate()
        _, err = await ended(process, within=ENDS_WITHIN)
        assert process.returncode == 1
        assert "interrupted before all of it was checked" in err
        assert nothing_left(folder)


async def test_the_lines_that_it_prints_run_as_they_are():
    async with demo() as process:
        told = await told_until(process, "vip stats")
        lines = [line.strip() for line in told.partition("\ntry, ")[2].splitlines()[1:]]
        assert len(lines) == 7
        curl = next(line for line in lines if line.startswith("curl "))
        script = "\n".join(["set -ex", *lines, *[curl] * 5])
        bash = await asyncio.create_subprocess_exec(
            "bash", "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await ended(bash, within=60)
        assert bash.returncode == 0, err
        assert re.search(r"^vip/web +ONLINE +2/2 +3/3 ", out, MULTI)
        assert re.search(r"^e2 +SYNCED ", out, MULTI)
        # The jar keeps this client on one member, unless that is the one that was drained.
        assert len(set(re.findall(r"^m\d$", out, MULTI)[1:])) == 1


async def test_it_fails_with_the_reason_when_the_control_plane_cannot_start():
    async with demo("--once", TIDEGATE_LOST_AFTER="soon") as process:
        _, err = await ended(process, within=60)
    assert process.returncode == 1
    assert "the control plane did not come up" in err
    assert "lost_after" in err
    folder = re.search(r"logs are kept in (\S+): control-plane\.log$", err, MULTI)[1]
    assert (Path(folder) / "control-plane.log").exists()
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("words", "name"),
    [(("agent", "--node e2"), "agent-e2"), (("tidegate serve",), "control-plane")],
)
async def test_a_process_that_is_killed_is_named_and_leaves_nothing_running(words, name):
    async with demo("--once") as process:
        folder = folder_of(await told_until(process, "tenant acme"))
        (killed,) = processes_with(folder, *words, sys.executable)
        os.kill(killed, signal.SIGKILL)
        _, err = await ended(process, within=60)
        assert process.returncode == 1
        assert f"error: {name} ended" in err
        assert "exit code -9" in err
        assert re.search(rf"logs are kept in {folder}: agent-e1.log, .*e2/envoy.log", err)
        assert processes_with(folder) == {}
        shutil.rmtree(folder)


async def test_what_the_environment_tells_other_agents_is_not_for_these():
    env = {"TIDEGATE_AGENT_ENVOY": "/nowhere/envoy", "TIDEGATE_SERVER": "127.0.0.1:1"}
    async with demo("--once", **env) as process:
        folder = folder_of(await told_until(process, "fleet edge"))
        process.terminate()
        await ended(process, within=ENDS_WITHIN)
        assert nothing_left(folder)

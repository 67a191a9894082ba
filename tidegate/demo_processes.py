"""What the demo starts beside itself: the control plane, and an agent for each node."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.admin import Admin, AdminSilentError
from agent.driver import AdminAddress
from agent.process_folder import ProcessFolder
from agent.readings import STATS_FILTER, values, vip_counts
from tidegate.demo_failure import DemoFailure

_START_WITHIN = 30.0
_END_WITHIN = 15.0
"""Seconds; an agent drains for one, and gives its Envoy five until it kills it."""
_LAST_LINES = 8
_OURS = "TIDEGATE_"


@dataclass
class Child:
    """A process of the demo's own; its stderr goes to a log."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    stopping: bool = False

    @classmethod
    async def started(
        cls, name: str, words: Sequence[str], *, folder: Path, env: Mapping[str, str]
    ) -> "Child":
        """Starts it in the folder, apart from the terminal's Ctrl-C: the demo ends it in order."""
        log = folder / f"{name}.log"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *words,
                cwd=folder,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        return cls(name, process, log)

    async def stop(self) -> None:
        """Ends it: SIGTERM, and SIGKILL if it does not go."""
        self.stopping = True
        if self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(_END_WITHIN):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    async def unforeseen_end(self) -> None:
        """Waits until it ends, for ever if the demo itself stops it."""
        await self.process.wait()
        if self.stopping:
            await asyncio.Event().wait()

    def failure(self, what: str) -> DemoFailure:
        """Gives a failure with the end of the log as its why."""
        code = self.process.returncode
        ended = [f"it ended with exit code {code}"] if code is not None else []
        last = self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return DemoFailure(what, [*ended, *last])


@dataclass
class ControlPlane:
    """`tidegate serve` on SQLite, as a process of its own."""

    child: Child
    api: str
    xds: str

    @classmethod
    async def started(cls, folder: Path) -> "ControlPlane":
        """Starts it on free ports and gives it once it serves.

        Raises:
            DemoFailure: it did not come up.
        """
        words = [sys.executable, "-m", "tidegate", "serve"]
        words += ["--database", f"sqlite:///{folder / 'tidegate.db'}"]
        words += ["--api-address", "127.0.0.1:0", "--xds-address", "127.0.0.1:0"]
        # The members are on this machine, which is refused to tenants unless the operator says so.
        allowed = {"TIDEGATE_MEMBER_RANGES_ALLOWED": json.dumps(["127.0.0.0/8"])}
        child = await Child.started(
            "control-plane", words, folder=folder, env={**os.environ, **allowed}
        )
        told: dict[str, str] = {}
        try:
            async with asyncio.timeout(_START_WITHIN):
                while not {"api", "xds"} <= told.keys():
                    line = await _line(child)
                    name, _, address = line.partition(" ")
                    told[name] = address
        except (TimeoutError, EOFError) as error:
            await child.stop()
            raise child.failure("the control plane did not come up") from error
        except asyncio.CancelledError:
            await child.stop()
            raise
        return cls(child, told["api"], told["xds"])


@dataclass
class DemoNode:
    """A node: `tidegate agent` as a process of its own, which runs its Envoy in a work folder."""

    name: str
    child: Child
    folder: Path

    @classmethod
    async def started(
        cls, folder: Path, *, fleet: str, node: str, plane: ControlPlane
    ) -> "DemoNode":
        """Starts the agent; that the node has joined, its fleet tells."""
        work = folder / node
        words = [sys.executable, "-m", "tidegate", "agent", "--fleet", fleet, "--node", node]
        words += ["--server", plane.api, "--xds-address", plane.xds, "--driver", "process"]
        words += ["--work-folder", str(work), "--concurrency", "1", "--drain-time", "1s"]
        # What else the environment tells agents is meant for others.
        env = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        child = await Child.started(f"agent-{node}", words, folder=folder, env=env)
        return cls(node, child, work)

    async def stop(self) -> None:
        """Ends the agent, which drains and ends its Envoy; and an Envoy whose agent was killed."""
        await self.child.stop()
        pidfd = await ProcessFolder(self.folder).open_running()
        if pidfd >= 0:
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has just ended
            finally:
                os.close(pidfd)

    async def requests(self, vip: str) -> int:
        """Gives how many requests of a VIP (its name) the node's Envoy has counted.

        Raises:
            DemoFailure: it does not answer.
        """
        async with Admin(AdminAddress(path=self.folder / "admin.sock")) as admin:
            try:
                counted = await admin.get("/stats", format="json", filter=STATS_FILTER)
            except AdminSilentError as error:
                raise DemoFailure(f"the Envoy of {self.name} is silent", [str(error)]) from error
        return vip_counts(values(counted), vip).requests


async def _line(child: Child) -> str:
    if child.process.stdout is None:
        raise EOFError
    line = await child.process.stdout.readline()
    if not line:
        raise EOFError
    return line.decode().strip()

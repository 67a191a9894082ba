"""PING monitors: each address asked by ICMP echo every `delay`, each verdict reported at once."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta
from ipaddress import ip_address
from typing import Final

import structlog
from google.protobuf.timestamp_pb2 import Timestamp
from icmplib import ICMPLibError

from agent.echo import Address, EchoSocket, NoAnswer, refusal
from agent.pinging import PingState
from lbaas.v1.agent_service_pb2 import PingVerdict, PoolSpec
from lbaas.v1.enums_pb2 import HealthMonitorType
from lbaas.v1.health_monitor_pb2 import HealthMonitor

_log = structlog.get_logger(__name__)

_APART: Final = 0.001
"""Seconds between the first requests of two addresses that are watched from the same moment on.

Requests stay as far apart from then on. 1,000 answers at once would not fit the socket's buffer.
"""


class Pinger:
    """Watches what the PING monitors of pools watch.

    An address is asked once per monitor and `delay`, however many members are on it, over two
    sockets in all. It is up from its first answer on, down after `max_retries` failures in a row
    (first or later), and up again after `rise` answers in a row.

    Use it inside a running event loop.

    Args:
        report: is given every verdict that is new to the Pinger's user, in the loop's turn in
            which it is reached: a member's first, and each that differs from the one before.
    """

    def __init__(self, report: Callable[[PingVerdict], None]) -> None:
        self._report = report
        self._targets: dict[tuple[str, Address], _Target] = {}
        self._sockets: dict[int, EchoSocket] = {}
        self._refused: dict[int, str] = {}

    def refusal(self) -> str:
        """Gives why echo requests cannot be sent and what to do about it; "" if they can."""
        return refusal()

    def watch(self, specs: Iterable[PoolSpec]) -> None:
        """Watches what these pools ask for from now on, and nothing else.

        What was watched and still is goes on: its counts and its verdicts stay, even when the
        monitor's times change. Without the privilege nothing is watched, and that is logged.
        """
        wanted: dict[tuple[str, Address], tuple[HealthMonitor, set[str]]] = {}
        for pool in specs:
            for monitor in pool.health_monitors:
                if monitor.type != HealthMonitorType.PING:
                    continue
                for member in pool.members:
                    key = (monitor.name, ip_address(member.address))
                    wanted.setdefault(key, (monitor, set()))[1].add(member.member)
        for key in [key for key in self._targets if key not in wanted]:
            self._targets.pop(key).stop()
        started = 0
        self._refused.clear()
        for key, (monitor, members) in wanted.items():
            if target := self._targets.get(key):
                moved = target.change(monitor, frozenset(members))
            elif asker := self._asker(key[1]):
                target = _Target(key[1], asker, self._report)
                self._targets[key] = target
                moved = target.change(monitor, frozenset(members))
            else:
                continue
            if moved:
                started += 1
                target.start(started * _APART)

    def verdicts(self) -> tuple[PingVerdict, ...]:
        """Gives the verdict of every member and monitor that has one, for a whole report."""
        return tuple(verdict for target in self._targets.values() for verdict in target.verdicts())

    def close(self) -> None:
        """Stops all watching and closes the sockets."""
        self.watch(())
        for opened in self._sockets.values():
            opened.close()
        self._sockets.clear()

    def _asker(self, address: Address) -> EchoSocket | None:
        """Gives the socket of the address's family, None if it cannot be opened."""
        version = address.version
        if version not in self._sockets and version not in self._refused:
            try:
                self._sockets[version] = EchoSocket(version)
            except ICMPLibError as error:
                # Once for all addresses of a spec; with the next one it is tried again.
                self._refused[version] = refusal() or str(error)
                _log.warning(
                    "no echo requests can be sent",
                    version=f"IPv{version}",
                    address=str(address),
                    why=self._refused[version],
                )
        return self._sockets.get(version)


class _Target:
    """One address under one monitor: its task, its counts, and the members that are on it."""

    def __init__(
        self, address: Address, asker: EchoSocket, report: Callable[[PingVerdict], None]
    ) -> None:
        self._address = address
        self._asker = asker
        self._report = report
        self._monitor = HealthMonitor()
        self._members: frozenset[str] = frozenset()
        self._state = PingState()
        self._cause = ""
        self._since = Timestamp()
        self._task: asyncio.Task[None] | None = None

    def change(self, monitor: HealthMonitor, members: frozenset[str]) -> bool:
        """Takes the monitor and the members as they are now.

        Members that are new here are reported if there is a verdict. Gives whether the times
        changed, so that it must be started again.
        """
        moved = self._task is None or _times(monitor) != _times(self._monitor)
        new = members - self._members
        self._monitor, self._members = monitor, members
        for member in sorted(new):
            if self._state.up is not None:
                self._report(self._verdict(member))
        return moved

    def start(self, later: float) -> None:
        """Asks from now on, the first time `later` seconds from now; counts stay."""
        self.stop()
        self._task = asyncio.create_task(self._watch(later))

    def stop(self) -> None:
        """Asks no more."""
        if self._task is not None:
            self._task.cancel()

    def verdicts(self) -> tuple[PingVerdict, ...]:
        """Gives the verdict for each member, nothing before there is one."""
        if self._state.up is None:
            return ()
        return tuple(self._verdict(member) for member in sorted(self._members))

    async def _watch(self, later: float) -> None:
        clock = asyncio.get_running_loop().time
        due = clock() + later
        while True:
            await asyncio.sleep(due - clock())
            answered, cause = await self._ask()
            self._count(answered=answered, cause=cause)
            # From request to request, as far as the machine keeps up: never two at once.
            due = max(due + _seconds(self._monitor.delay.ToTimedelta()), clock())

    async def _ask(self) -> tuple[bool, str]:
        timeout = _seconds(self._monitor.timeout.ToTimedelta())
        try:
            await self._asker.ask(self._address, within=timeout)
        except NoAnswer as failure:
            return False, str(failure)
        return True, ""

    def _count(self, *, answered: bool, cause: str) -> None:
        before = self._state
        self._state = before.after(
            answered=answered, max_retries=self._monitor.max_retries, rise=self._monitor.rise
        )
        if self._state.up is before.up:
            return
        self._cause = cause
        self._since.GetCurrentTime()
        for verdict in self.verdicts():
            self._report(verdict)

    def _verdict(self, member: str) -> PingVerdict:
        return PingVerdict(
            member=member,
            health_monitor=self._monitor.name,
            up=bool(self._state.up),
            cause=self._cause,
            time=self._since,
        )


def _times(monitor: HealthMonitor) -> tuple[timedelta, timedelta]:
    return monitor.delay.ToTimedelta(), monitor.timeout.ToTimedelta()


def _seconds(duration: timedelta) -> float:
    return duration.total_seconds()

"""Watches one Envoy through its admin interface, and joins what it says with what was asked for."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from agent.addresses import Endpoint
from agent.admin import Admin, AdminSilentError
from agent.causes import Causes, Diagnose
from agent.counts import Accumulator
from agent.findings import Findings
from agent.pools import Found, Pools
from agent.readings import (
    STATS_FILTER,
    HostReading,
    host_readings,
    listeners_wait,
    server_reading,
    values,
    warming_clusters,
    warming_listeners,
)
from lbaas.v1.agent_service_pb2 import AgentSpec, MemberObservation, MemberState, PoolSpec

HEALTH_EVERY: Final = 0.25
"""Seconds between two looks at the members; a verdict of Envoy's is told within a second."""

TRAFFIC_EVERY: Final = 2.0
"""Seconds between two looks at the counters."""

WARMING_EVERY: Final = 1.0
"""Seconds between two looks for what warms; while something does, each look is one."""

_TIMES_AS_LONG: Final = 10
"""A look is followed by a pause of ten times its own length: 9 % of a core at most.

With 1,000 pools of 3 members a look takes 0.04 s of Envoy and 0.03 s of the agent (1.40).
"""

_LONGEST_PAUSE: Final = 5.0
_SAME_START: Final = timedelta(seconds=2)

log = structlog.get_logger("agent.envoy")


class EnvoyWatch:
    """Looks at the Envoy for ever and gives what it finds to `findings`.

    Args:
        admin: the Envoy's.
        findings: takes what is found.
        diagnose: repeats a check that a member fails.
        health_every: seconds between two looks.
        traffic_every: seconds between two looks at counters.
    """

    def __init__(
        self,
        admin: Admin,
        findings: Findings,
        *,
        diagnose: Diagnose,
        health_every: float = HEALTH_EVERY,
        traffic_every: float = TRAFFIC_EVERY,
    ) -> None:
        self._admin = admin
        self._findings = findings
        self._health_every = health_every
        self._traffic_every = traffic_every
        self._pools = Pools()
        self._clusters: frozenset[str] = frozenset()
        self._members: frozenset[str] = frozenset()
        self._causes = Causes(diagnose, self._told)
        self._observed: dict[str, MemberObservation] = {}
        self._hosts: Mapping[tuple[str, Endpoint], HostReading] = {}
        self._counters = Accumulator()
        self._start: datetime | None = None
        self._earliest: datetime | None = None
        self._running: bool | None = None
        self._warms = False
        self._warming_due = 0.0
        self._traffic_due = 0.0
        self._wake = asyncio.Event()

    def apply(self, spec: AgentSpec) -> Sequence[PoolSpec]:
        """Takes what to watch from now on, looks at once, and gives all pools there are now."""
        self._pools.apply(spec)
        self._clusters = self._pools.clusters()
        self._members = self._pools.members()
        self._traffic_due = 0.0
        self._wake.set()
        return tuple(self._pools)

    def envoy_ended(self) -> None:
        """Takes that the Envoy's process has ended: that is told before anybody asks it."""
        self._silent("its process ended")
        self._start = None
        self._forget()

    async def run(self) -> None:
        """Looks again and again, until cancelled."""
        clock = asyncio.get_running_loop().time
        try:
            while True:
                self._wake.clear()
                began = clock()
                try:
                    await self._look()
                except AdminSilentError as error:
                    self._silent(str(error))
                    pause = self._health_every
                else:
                    pause = max(self._health_every, _TIMES_AS_LONG * (clock() - began))
                await self._rest(min(pause, _LONGEST_PAUSE))
        finally:
            self._causes.close()

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _look(self) -> None:
        asked = int(time.time())
        server = server_reading(await self._admin.get("/server_info"))
        answered = int(time.time())
        if not self._running:
            log.info("envoy answers", version=server.version, state=server.state, node=server.node)
        self._running = True
        self._note_start(
            datetime.fromtimestamp(asked - server.uptime, UTC),
            datetime.fromtimestamp(answered - server.uptime, UTC),
        )
        hosts = {}
        if self._clusters:
            hosts = host_readings(await self._admin.get("/clusters", format="json"), self._clusters)
        self._hosts = hosts
        self._observe()
        clock = asyncio.get_running_loop().time
        if self._warms or clock() >= self._warming_due:
            self._warming_due = clock() + WARMING_EVERY
            await self._warm()
        if clock() >= self._traffic_due:
            self._traffic_due = clock() + self._traffic_every
            await self._count()

    def _note_start(self, earliest: datetime, latest: datetime) -> None:
        # Envoy gives whole seconds of the wall clock, so a step of that clock moves nothing here.
        # One that is busy answers seconds late, and is not another one for that.
        if (
            self._start is None
            or self._earliest is None
            or earliest - self._start > _SAME_START
            or self._earliest - latest > _SAME_START
        ):
            self._earliest, self._start = earliest, latest
            self._forget()
        self._findings.envoy(running=True, start=self._start)

    def _forget(self) -> None:
        """What another Envoy found and counted is not this one's."""
        self._hosts = {}
        self._observe()
        self._counters = Accumulator()
        self._traffic_due = 0.0

    def _silent(self, why: str) -> None:
        if self._running is None:
            log.info("waiting for envoy to answer", admin=str(self._admin.address))
        elif self._running:
            log.warning("envoy does not answer", why=why)
        self._running = False
        self._findings.envoy(running=False, start=self._start)

    def _observe(self) -> None:
        found = {one.member: one for one in self._pools.found(self._hosts)}
        down = {name: one for name, one in found.items() if one.state == MemberState.DOWN}
        self._causes.watch(down)
        self._observed = {name: self._observation(one) for name, one in found.items()}
        self._findings.members(self._observed, wanted=self._members)

    def _observation(self, found: Found) -> MemberObservation:
        before = self._observed.get(found.member)
        since = Timestamp()
        if before is not None and before.state == found.state:
            since.CopyFrom(before.time)
        else:
            since.GetCurrentTime()
        monitor, cause = "", ""
        if found.state == MemberState.DOWN:
            monitor, cause = self._causes.known(found)
        if found.state == MemberState.DOWN and (before is None or before.state != found.state):
            log.info("member down", member=found.member)
        elif before is not None and before.state == MemberState.DOWN != found.state:
            log.info("member no longer down", member=found.member)
        return MemberObservation(
            member=found.member,
            state=found.state,
            health_monitor=monitor,
            cause=cause,
            time=since,
        )

    def _told(self, member: str, monitor: str, cause: str) -> None:
        """Takes why a member is down, between two looks."""
        before = self._observed.get(member)
        if before is None or before.state != MemberState.DOWN:
            return
        log.info("member is down because", member=member, monitor=monitor, cause=cause)
        observation = MemberObservation()
        observation.CopyFrom(before)
        observation.health_monitor = monitor or before.health_monitor
        observation.cause = cause
        self._observed[member] = observation
        self._findings.member(member, observation)

    async def _count(self) -> None:
        answer = await self._admin.get("/stats", format="json", usedonly="", filter=STATS_FILTER)
        stats = values(answer)
        counted = self._pools.counted(stats, self._hosts)
        self._counters.keep(counted.keys())
        totals = self._counters.take(counted)
        self._findings.traffic({name: counts.sample(name) for name, counts in totals.items()})

    async def _warm(self) -> None:
        # With 1,000 VIPs 2.1 and 0.4 ms, and 10 ms where listeners do warm (Envoy 1.40).
        dump = await self._admin.get(
            "/config_dump", resource="dynamic_warming_clusters", mask="cluster.name"
        )
        warming = list(warming_clusters(dump))
        if listeners_wait(await self._admin.get("/init_dump", mask="listener")):
            dump = await self._admin.get(
                "/config_dump", resource="dynamic_listeners", mask="name,warming_state.version_info"
            )
            warming += warming_listeners(dump)
        self._warms = bool(warming)
        self._findings.warming(warming)

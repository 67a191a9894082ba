"""What the agent has found, and what of it has not been reported yet: the newest wins."""

import asyncio
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Final

from lbaas.v1.agent_service_pb2 import (
    AgentReport,
    ClusterEvidence,
    MemberObservation,
    PingVerdict,
    TrafficSample,
)

MOST_IN_A_REPORT: Final = 8_000
"""Entries in one message: some 200 bytes each, and the API takes messages of 4 MiB."""


class Findings:
    """Keeps the newest finding of each object and notes which have changed since they were taken.

    There is no queue: what changes three times while the control plane is away is reported once.
    """

    def __init__(self) -> None:
        self._running = False
        self._start: datetime | None = None
        self._warming: tuple[str, ...] = ()
        self._evidence: ClusterEvidence | None = None
        self._members: dict[str, MemberObservation] = {}
        self._pings: dict[tuple[str, str], PingVerdict] = {}
        self._traffic: dict[str, TrafficSample] = {}
        self._new_members: set[str] = set()
        self._new_pings: set[tuple[str, str]] = set()
        self._new_traffic: set[str] = set()
        # Only a whole report can say that something is not known any more.
        self._lost = False
        self._changed = asyncio.Event()

    def envoy(self, *, running: bool, start: datetime | None) -> None:
        """Takes whether the Envoy answers, and since when it runs; None: it never answered."""
        if (running, start) != (self._running, self._start):
            self._running, self._start = running, start
            self._changed.set()

    def warming(self, names: Iterable[str]) -> None:
        """Takes which clusters and listeners warm."""
        found = tuple(sorted(names))
        if found != self._warming:
            self._warming = found
            self._changed.set()

    def evidence(self, found: ClusterEvidence) -> None:
        """Takes what the Envoy has of the clusters that were asked for; it is told once."""
        self._evidence = found
        self._changed.set()

    def members(
        self, found: Mapping[str, MemberObservation], *, wanted: Container[str] = ()
    ) -> None:
        """Takes all members as they are found; those that are not named are not known.

        That is told only of those that are `wanted`: who asked for them knows of the others.
        """
        for name, observation in found.items():
            self.member(name, observation)
        for name in [name for name in self._members if name not in found]:
            del self._members[name]
            self._new_members.discard(name)
            if name in wanted:
                self._lose()

    def member(self, name: str, observation: MemberObservation) -> None:
        """Takes one member as it is found."""
        if self._members.get(name) != observation:
            self._members[name] = observation
            self._new_members.add(name)
            self._changed.set()

    def ping(self, verdict: PingVerdict) -> None:
        """Takes a PING monitor's verdict."""
        key = verdict.member, verdict.health_monitor
        if self._pings.get(key) != verdict:
            self._pings[key] = verdict
            self._new_pings.add(key)
            self._changed.set()

    def keep_pings(self, keys: Iterable[tuple[str, str]]) -> None:
        """Forgets all verdicts but those of these members and monitors.

        That is not told: it follows a spec, whose sender forgets them too.
        """
        kept = set(keys)
        for key in [key for key in self._pings if key not in kept]:
            del self._pings[key]
            self._new_pings.discard(key)

    def traffic(self, samples: Mapping[str, TrafficSample]) -> None:
        """Takes the figures of all objects."""
        for name, sample in samples.items():
            if self._traffic.get(name) != sample:
                self._new_traffic.add(name)
                self._changed.set()
        self._new_traffic.intersection_update(samples)
        self._traffic = dict(samples)

    async def changed(self) -> None:
        """Waits until there is something that was not taken yet."""
        await self._changed.wait()

    def take(self, *, whole: bool) -> Iterator[AgentReport]:
        """Gives what is new, or all of it, as reports to send in this order; it counts as told.

        One report as a rule; several where there is more than fits into one.
        """
        # A new stream has asked nothing yet.
        evidence, self._evidence = None if whole else self._evidence, None
        traffic = sorted(self._traffic if whole else self._new_traffic)
        whole = whole or self._lost
        members = sorted(self._members if whole else self._new_members)
        pings = sorted(self._pings if whole else self._new_pings)
        self._new_members, self._new_pings, self._new_traffic = set(), set(), set()
        self._lost = False
        self._changed.clear()
        entries: list[MemberObservation | PingVerdict | TrafficSample] = [
            *(self._members[name] for name in members),
            *(self._pings[key] for key in pings),
            *(self._traffic[name] for name in traffic),
        ]
        rest = iter(entries)
        first = self._report(islice(rest, MOST_IN_A_REPORT), whole=whole)
        if evidence is not None:
            first.evidence.CopyFrom(evidence)
        yield first
        while more := tuple(islice(rest, MOST_IN_A_REPORT)):
            yield self._report(more, whole=False)

    def _report(
        self,
        entries: Iterable[MemberObservation | PingVerdict | TrafficSample],
        *,
        whole: bool,
    ) -> AgentReport:
        report = AgentReport(envoy_running=self._running, whole=whole, warming=self._warming)
        report.time.GetCurrentTime()
        if self._start is not None:
            report.envoy_start_time.FromDatetime(self._start)
        for entry in entries:
            if isinstance(entry, MemberObservation):
                report.members.append(entry)
            elif isinstance(entry, PingVerdict):
                report.pings.append(entry)
            else:
                report.traffic.append(entry)
        return report

    def _lose(self) -> None:
        self._lost = True
        self._changed.set()

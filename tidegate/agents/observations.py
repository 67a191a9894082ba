"""What one node's agent has reported: how its Envoy and its pings find members."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from lbaas.model.health import Finding, finding
from lbaas.model.names import pool_of_member
from lbaas.model.objects import EPOCH, AgentView
from lbaas.model.reports import (
    AgentHello,
    AgentReport,
    EvidenceRequest,
    MemberObservation,
    PingVerdict,
)
from tidegate.agents.specs import Ping, Specs, WatchedMember, WatchedPool

WHOLE_SECONDS = 0.5
"""How long after a whole report more of it may come; what is not in it by then is dropped."""


class Stream(Protocol):
    """An agent's stream, as its node knows it."""

    def mark(self, pool: str) -> None:
        """Takes that a pool's spec has changed."""

    def ask(self, request: EvidenceRequest) -> None:
        """Takes what to ask the agent."""

    def replaced(self) -> None:
        """Takes that a newer stream has its place."""


@dataclass(slots=True)
class AgentNode:
    """A node with an agent. `silent_since` is the time, in seconds, since when it waits for one.

    What was found stays while the agent is away for a moment: until its new stream reports, or
    until its time has run out. While its Envoy does not run, nothing that it found counts.
    """

    fleet: str
    hello: AgentHello
    stream: Stream | None = None
    silent_since: float | None = None
    reported: bool = False
    envoy_running: bool = False
    warming: tuple[str, ...] = ()
    last_report: datetime = EPOCH
    _seen: dict[str, dict[str, MemberObservation]] = field(default_factory=dict)
    _pings: dict[str, dict[Ping, PingVerdict]] = field(default_factory=dict)
    _unsaid: set[str | Ping] = field(default_factory=set)
    _unsaid_since: float | None = None

    @property
    def name(self) -> str:
        """Gives the node's name."""
        return self.hello.node

    @property
    def judges(self) -> bool:
        """Tells whether its word counts: it has reported, and its Envoy runs."""
        return self.reported and self.envoy_running

    @property
    def connected(self) -> bool:
        """Tells whether what it counts is of now: it reports, and its Envoy runs."""
        return self.stream is not None and self.judges

    def take(self, report: AgentReport, specs: Specs, now: float) -> set[str]:
        """Takes a report, at the time `now` in seconds; gives the pools it may matter to."""
        touched: set[str] = set()
        if report.envoy_running != self.envoy_running or not self.reported:
            touched.update(specs.on(self.fleet))
        self.envoy_running, self.reported, self.silent_since = report.envoy_running, True, None
        self.warming, self.last_report = report.warming, report.time
        if report.whole:
            # One of many thousand members comes in parts, and none may seem unknown meanwhile.
            self._unsaid = {name for seen in self._seen.values() for name in seen}
            self._unsaid.update(pair for pings in self._pings.values() for pair in pings)
            self._unsaid_since = now
        for each in report.members:
            pool = specs.pools.get(pool_of_member(each.member))
            member = None if pool is None else pool.members.get(each.member)
            if pool is None or member is None or self.fleet not in pool.fleets:
                continue  # it was told of late; what it says of what is gone is history
            old = self._seen.get(pool.name, {}).get(member.name)
            same = old is not None and (old.state, old.monitor) == (each.state, each.monitor)
            # An agent that was started anew has seen it since then only.
            since = min(old.time, each.time) if old is not None and same else each.time
            kept = replace(each, member=member.name, time=since)  # one string for the name, not two
            self._seen.setdefault(pool.name, {})[member.name] = kept
            self._unsaid.discard(member.name)
            touched.add(pool.name)
        for said in report.pings:
            pool = specs.pools.get(pool_of_member(said.member))
            if pool is None or said.member not in pool.members or self.fleet not in pool.fleets:
                continue
            if said.monitor not in pool.ping_monitors:
                continue  # nor does an agent choose who watches
            before = self.ping(pool.name, (said.member, said.monitor))
            steady = before is not None and before.up == said.up
            at = min(before.time, said.time) if before is not None and steady else said.time
            verdict = replace(said, member=pool.members[said.member].name, time=at)
            pair = (verdict.member, verdict.monitor)
            self._pings.setdefault(pool.name, {})[pair] = verdict
            self._unsaid.discard(pair)
            touched.add(pool.name)
        return touched

    @property
    def drops_at(self) -> float | None:
        """Gives when something is to be dropped that a whole report did not say, None: nothing."""
        return None if self._unsaid_since is None else self._unsaid_since + WHOLE_SECONDS

    def drop_unsaid(self) -> set[str]:
        """Drops what the last whole report did not say; gives the pools concerned."""
        touched = set()
        for what in self._unsaid:
            pool = pool_of_member(what if isinstance(what, str) else what[0])
            touched.add(pool)
            if isinstance(what, str):
                self._seen.get(pool, {}).pop(what, None)
            else:
                self._pings.get(pool, {}).pop(what, None)
        self._unsaid, self._unsaid_since = set(), None
        return touched

    def forget(self) -> None:
        """Drops all that it found: its agent is gone."""
        self._seen, self._pings, self._unsaid = {}, {}, set()
        self.reported, self._unsaid_since = False, None

    def pools(self) -> set[str]:
        """Gives the pools that it found something of."""
        return {*self._seen, *self._pings}

    def trim(self, name: str, pool: WatchedPool | None) -> None:
        """Drops what it found of what is not in a pool any more (None: the pool is not there).

        To be done when the agent is told, or is away. An agent that hears of a member's end and
        of its return at once has nothing new to say of it.
        """
        if pool is None:
            self._seen.pop(name, None)
            self._pings.pop(name, None)
            return
        watched = {each.name for each in pool.members.values() if each.rendered}
        monitors = pool.ping_monitors
        if (seen := self._seen.get(name)) is not None:
            for member in seen.keys() - watched:
                del seen[member]
        if (pings := self._pings.get(name)) is not None:
            for pair in [
                each for each in pings if each[0] not in watched or each[1] not in monitors
            ]:
                del pings[pair]

    def ping(self, pool: str, pair: Ping) -> PingVerdict | None:
        """Gives what a PING monitor finds of a member from here."""
        return self._pings.get(pool, {}).get(pair)

    def finding(
        self, pool: WatchedPool, member: WatchedMember, monitors: Collection[str]
    ) -> Finding | None:
        """Gives how the node finds a member; `monitors` are the pool's PING monitors."""
        return finding(
            self.name,
            self._seen.get(pool.name, {}).get(member.name),
            [
                said
                for monitor in monitors
                if (said := self.ping(pool.name, (member.name, monitor))) is not None
            ],
            awaited=monitors,
            unreachable=member.unreachable,
        )

    def view(self) -> AgentView:
        """Gives what an operator sees of the agent."""
        return AgentView(
            connected=self.stream is not None,
            version=self.hello.version,
            driver=self.hello.driver,
            ping_refusal=self.hello.ping_refusal,
            envoy_running=self.envoy_running and self.stream is not None,
            warming=self.warming,
            last_report=self.last_report,
        )

"""Operating status of members as a pure function of what the nodes' agents found.

The first line that fits:

| a member that ...                                    | is         | reason          |
|------------------------------------------------------|------------|-----------------|
| is in a pool that is switched off                    | OFFLINE    | POOL_ADMIN_DOWN |
| leaves (deleted, switched off) and still drains      | DRAINING   | DRAINING        |
| is switched off                                      | OFFLINE    | ADMIN_DOWN      |
| has weight 0                                         | DRAINING   | WEIGHT_ZERO     |
| is on nodes whose Envoys all do not run              | UNKNOWN    | ENVOY_NOT_...   |
| no monitor watches                                   | NO_MONITOR | NO_MONITOR      |
| nobody speaks of                                     | UNKNOWN    | NO_AGENT, ...   |
| most nodes cannot reach by PING                      | OFFLINE    | MONITOR_FAILED  |
| has passed no check yet, and failed none             | OFFLINE    | CHECK_PENDING   |
| passes on every node                                 | ONLINE     |                 |
| passes on none                                       | OFFLINE    | MONITOR_FAILED  |
| fails on some nodes                                  | DEGRADED   | MONITOR_FAILED  |
| awaits its first check on some, and passes on others | DEGRADED   | CHECK_PENDING   |
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lbaas.model.enums import OperatingStatus
from lbaas.model.names import leaf
from lbaas.model.objects import EPOCH
from lbaas.model.reports import MemberObservation, MemberState, PingVerdict

_NAMED = 3
"""How many members or nodes a message names before it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeVerdict:
    """How one node (`fleets/{fleet}/nodes/{node}`) finds one member, since `time`.

    `monitor` is the health monitor it fails, `cause` what that met.
    """

    node: str
    status: OperatingStatus
    monitor: str = ""
    cause: str = ""
    time: datetime = EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """An object's operating status, why (`reason` UPPER_SNAKE and `message`), since when.

    `time` is EPOCH where nobody noted it. `node` is the one concerned, if it is one alone.
    `verdicts` are each node's, of members alone. `members_up` and `members_total` are of pools
    and VIPs: how many of the members that should take new traffic can.
    """

    status: OperatingStatus
    reason: str = ""
    message: str = ""
    node: str = ""
    time: datetime = EPOCH
    verdicts: tuple[NodeVerdict, ...] = ()
    members_up: int = 0
    members_total: int = 0


NO_AGENT = Health(
    status=OperatingStatus.UNKNOWN,
    reason="NO_AGENT",
    message="no agent reports the health of this fleet's nodes",
)
"""What is known without an agent."""

NOT_PLACED = Health(
    status=OperatingStatus.UNKNOWN, reason="NOT_PLACED", message="no fleet serves it"
)
"""What is known of an object that is on no fleet."""

SWITCHED_OFF = Health(
    status=OperatingStatus.OFFLINE, reason="ADMIN_DOWN", message="it is switched off"
)
"""What any object is whose `admin_state_up` is false."""

NOT_RUNNING = Health(
    status=OperatingStatus.UNKNOWN,
    reason="ENVOY_NOT_RUNNING",
    message="the agents are there, and no node's Envoy runs",
)
"""What is known where no node has an Envoy that runs: nobody is served, checked or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How one node finds a member, all its monitors together, since `time`."""

    node: str
    state: MemberState
    monitor: str = ""
    cause: str = ""
    time: datetime = EPOCH

    def verdict(self) -> NodeVerdict:
        """Gives it as the tenant sees it; a member that awaits its first check serves nobody."""
        pending = self.state is MemberState.PENDING
        return NodeVerdict(
            node=self.node,
            status=OperatingStatus.ONLINE
            if self.state is MemberState.UP
            else OperatingStatus.OFFLINE,
            monitor=self.monitor,
            cause="its first check has not ended" if pending else self.cause,
            time=self.time,
        )


def finding(
    node: str,
    seen: MemberObservation | None,
    pings: Sequence[PingVerdict],
    *,
    awaited: Collection[str] = (),
    unreachable: bool = False,
) -> Finding | None:
    """Gives how a node finds a member by its Envoy's word and its own pings, None for not at all.

    Args:
        node: the node's name.
        seen: what its Envoy makes of the member.
        pings: what it finds by PING.
        awaited: the PING monitors of the pool.
        unreachable: the fleet takes the member for unreachable by PING, so an Envoy that names
            no monitor says DOWN for that reason alone.
    """
    failed = min((each for each in pings if not each.up), key=_monitor, default=None)
    if seen is None and failed is None:
        return None
    named = seen is not None and seen.state is MemberState.DOWN and bool(seen.monitor)
    if failed is not None and not named:
        return Finding(
            node=node,
            state=MemberState.DOWN,
            monitor=failed.monitor,
            cause=failed.cause,
            time=failed.time,
        )
    if seen is None:
        return None
    if seen.state is MemberState.DOWN and unreachable and not named:
        waits = any(name not in {each.monitor for each in pings} for name in awaited)
        return Finding(
            node=node, state=MemberState.PENDING if waits else MemberState.UP, time=seen.time
        )
    return Finding(
        node=node, state=seen.state, monitor=seen.monitor, cause=seen.cause, time=seen.time
    )


def member_health(
    *,
    findings: Sequence[Finding],
    monitored: bool,
    admin_state_up: bool = True,
    pool_up: bool = True,
    draining: bool = False,
    weight: int = 1,
    unreachable: bool = False,
    silence: Health = NO_AGENT,
) -> Health:
    """Gives a member's health.

    Args:
        findings: the nodes' that count, sorted by node.
        monitored: a monitor of the pool is switched on.
        admin_state_up: the member's own.
        pool_up: the pool's.
        draining: deleted or switched off, and still in its cluster.
        weight: the member's.
        unreachable: most nodes cannot reach it by PING, or none has yet.
        silence: what to say where there are no findings.
    """
    verdicts = tuple(each.verdict() for each in findings)
    own = _own(admin_state_up, pool_up, draining, weight)
    if own is None and not monitored and (findings or silence != NOT_RUNNING):
        own = Health(
            status=OperatingStatus.NO_MONITOR,
            reason="NO_MONITOR",
            message="no health monitor watches it, so it is taken to be up",
        )
    if own is None and not findings:
        own = silence
    if own is not None:
        return replace(own, verdicts=verdicts)
    down = [each for each in findings if each.state is MemberState.DOWN]
    up = [each for each in findings if each.state is MemberState.UP]
    pending = [each for each in findings if each.state is MemberState.PENDING]
    status, reason, message = OperatingStatus.OFFLINE, "CHECK_PENDING", "first check not ended"
    concerned = down or pending
    if down:
        reason, message = "MONITOR_FAILED", _failures(down)
        if up and not unreachable:
            status = OperatingStatus.DEGRADED
            message += f"; passes on {_nodes(up)}"
    elif unreachable:
        message = "not reached by PING yet"
    elif pending:
        message = f"its first check has not ended on {_nodes(pending)}"
        if up:
            status = OperatingStatus.DEGRADED
    else:
        status, reason, message = OperatingStatus.ONLINE, "", ""
    return Health(
        status=status,
        reason=reason,
        message=message,
        node=concerned[0].node if len(concerned) == 1 else "",
        time=max(each.time for each in findings),
        verdicts=verdicts,
    )


def _own(admin_state_up: bool, pool_up: bool, draining: bool, weight: int) -> Health | None:
    """Gives what a member is by its own will, whatever the nodes find."""
    if not pool_up:
        return Health(
            status=OperatingStatus.OFFLINE,
            reason="POOL_ADMIN_DOWN",
            message="its pool is switched off",
        )
    if draining:
        return Health(
            status=OperatingStatus.DRAINING,
            reason="DRAINING",
            message="finishes what it has, and takes nothing new",
        )
    if not admin_state_up:
        return SWITCHED_OFF
    if not weight:
        return Health(
            status=OperatingStatus.DRAINING,
            reason="WEIGHT_ZERO",
            message="weight 0: finishes what it has, and takes nothing new",
        )
    return None


def _monitor(verdict: PingVerdict) -> str:
    return verdict.monitor


def _failures(down: Sequence[Finding]) -> str:
    """Gives `fails web-check on e1, e2: HTTP 503, wanted 200`, by monitor and cause."""
    alike: defaultdict[tuple[str, str], list[Finding]] = defaultdict(list)
    for each in down:
        alike[each.monitor, each.cause].append(each)
    return "; ".join(
        f"fails {leaf(monitor) + ' ' if monitor else ''}on {_nodes(found)}"
        + (f": {cause}" if cause else "")
        for (monitor, cause), found in sorted(alike.items())
    )


def _nodes(found: Iterable[Finding]) -> str:
    return listed(each.node.split("/", 3)[-1] for each in found)


def listed(words: Iterable[str]) -> str:
    """Gives the first few words, and how many more there are."""
    every = sorted(words)
    more = len(every) - _NAMED
    return ", ".join(every[:_NAMED]) + (f" and {more} more" if more > 0 else "")

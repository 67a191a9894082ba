"""What is made of a pool's objects from what the nodes found, and what of that is new."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lbaas.model.enums import OperatingStatus
from lbaas.model.health import Finding, Health, member_health
from lbaas.model.pool_health import Standing, monitor_health, pool_health, vip_health
from lbaas.model.reports import MemberState
from tidegate.agents.observations import AgentNode
from tidegate.agents.quorum import quorum
from tidegate.agents.specs import Ping, Specs, WatchedMember, WatchedPool, WatchedVip


@dataclass(frozen=True, slots=True)
class Judges:
    """The nodes whose word counts for a pool, sorted by name, and what to say if nobody does.

    `pinging`: those whose agents can ping; an agent does, whether its node's Envoy runs or not.
    """

    nodes: Sequence[AgentNode]
    silence: Health
    pinging: Sequence[AgentNode] = ()


@dataclass(slots=True)
class Judged:
    """What a look at a pool found to be new: names of objects, PING verdicts."""

    changed: set[str] = field(default_factory=set)
    pings: dict[Ping, bool] = field(default_factory=dict)


def findings(pool: WatchedPool, member: WatchedMember, judges: Judges) -> list[Finding]:
    """Gives how each node finds a member, sorted by node."""
    if not member.rendered:
        return []
    monitors = pool.ping_monitors
    found = (node.finding(pool, member, monitors) for node in judges.nodes)
    return [each for each in found if each is not None]


def health_of_member(
    pool: WatchedPool, member: WatchedMember, judges: Judges, found: Sequence[Finding]
) -> Health:
    """Gives a member's health, with each node's verdict; `found` is how they find it."""
    return member_health(
        findings=found,
        monitored=pool.monitored,
        admin_state_up=member.admin_state_up,
        pool_up=pool.admin_state_up,
        draining=member.draining,
        weight=member.weight,
        unreachable=member.unreachable,
        silence=judges.silence,
    )


def health_of_vip(
    pool: WatchedPool, vip: WatchedVip, *, refusals: Mapping[str, str], nodes: int
) -> Health:
    """Gives a VIP's health; its pool must have been judged."""
    return vip_health(
        pool.health or Health(status=OperatingStatus.UNKNOWN),
        admin_state_up=vip.admin_state_up,
        served=vip.served,
        refusals=refusals,
        nodes=nodes,
    )


def health_of_monitor(specs: Specs, monitor: str) -> Health:
    """Gives a monitor's health from all pools that it watches; they must have been judged."""
    pools = [pool for name in specs.using(monitor) if (pool := specs.pools[name]).fleets]
    told = [pool.passing.get(monitor, (0, (), 0)) for pool in pools]
    return monitor_health(
        admin_state_up=all(
            each.admin_state_up for pool in pools for each in pool.monitors if each.name == monitor
        ),
        pools=len(pools),
        passing=sum(passing for passing, _, _ in told),
        failing=[name for _, failing, _ in told for name in failing],
        unknown=sum(unknown for _, _, unknown in told),
    )


def judge(pool: WatchedPool, judges: Judges) -> Judged:
    """Looks at a pool and all in it but the monitors; keeps what it finds with the pool."""
    judged = Judged()
    monitors = [each.name for each in pool.monitors]
    passing, unknown = dict.fromkeys(monitors, 0), dict.fromkeys(monitors, 0)
    failing: dict[str, list[str]] = {each: [] for each in monitors}
    for member in pool.members.values():
        found = _judge_member(pool, member, judges, judged)
        if not member.rendered or member.draining:
            continue
        _judge_pings(pool, member, judges, judged)
        checked = any(each.state is not MemberState.PENDING for each in found)
        for monitor in monitors:
            if monitor in member.failing:
                failing[monitor].append(member.name)
            else:
                (passing if checked else unknown)[monitor] += 1
    pool.passing = {each: (passing[each], tuple(failing[each]), unknown[each]) for each in monitors}
    before = pool.health
    pool.health = pool_health(
        [each.standing for each in pool.members.values() if each.standing is not None],
        monitored=pool.monitored,
        admin_state_up=pool.admin_state_up,
        silence=judges.silence,
    )
    if before is None or _told(before) != _told(pool.health):
        judged.changed.add(pool.name)
    for vip in pool.vips:
        health = health_of_vip(pool, vip, refusals={}, nodes=0)
        if vip.found != (told := _told(health)):
            judged.changed.add(vip.name)
            vip.found = told
    return judged


def _told(health: Health) -> tuple[object, ...]:
    return health.status, health.reason, health.members_up, health.members_total


def _judge_member(
    pool: WatchedPool, member: WatchedMember, judges: Judges, judged: Judged
) -> list[Finding]:
    found = findings(pool, member, judges)
    health = health_of_member(pool, member, judges, found)
    standing = Standing(
        name=member.name,
        status=health.status,
        reason=health.reason,
        eligible=member.eligible,
        backup=member.backup,
        time=health.time,
    )
    before, failing = member.standing, _failing(pool, found)
    told = before is not None and (before.status, before.reason) == (health.status, health.reason)
    if not told or failing != member.failing:
        judged.changed.add(member.name)
    if standing != before:
        member.standing = standing
    member.failing = failing
    return found


def _failing(pool: WatchedPool, found: Sequence[Finding]) -> tuple[str, ...]:
    """Gives the monitors that a member fails on some node; the only one needs no name."""
    on = [each.name for each in pool.monitors if each.admin_state_up]
    only = on[0] if len(on) == 1 else ""
    down = (each.monitor or only for each in found if each.state is MemberState.DOWN)
    return tuple(sorted({name for name in down if name}))


def _judge_pings(pool: WatchedPool, member: WatchedMember, judges: Judges, judged: Judged) -> None:
    """Finds what most nodes say by PING, where the store has something else or nothing."""
    for monitor in pool.ping_monitors:
        pair = (member.name, monitor)
        said = [each.ping(pool.name, pair) for each in judges.pinging]
        known = [each.up for each in said if each is not None]
        up = quorum(known, undecided=len(said) - len(known))
        if up is not None and pool.settled.get(pair) is not up:
            pool.settled[pair] = judged.pings[pair] = up

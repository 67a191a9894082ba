"""Operating status of pools, VIPs and monitors, from their members'.

A pool counts the members that should take new traffic: switched on, not deleted, weight above 0.

| a pool that ...                                      | is         | reason           |
|------------------------------------------------------|------------|------------------|
| is switched off                                      | OFFLINE    | ADMIN_DOWN       |
| has no members                                       | OFFLINE    | NO_MEMBERS       |
| has none that should take traffic, and one drains    | DRAINING   | ALL_DRAINING     |
| has none that should take traffic                    | OFFLINE    | ALL_MEMBERS_DOWN |
| is on nodes whose Envoys all do not run              | UNKNOWN    | ENVOY_NOT_...    |
| no monitor watches                                   | NO_MONITOR | NO_MONITOR       |
| has all of them ONLINE                               | ONLINE     |                  |
| has all of them UNKNOWN                              | UNKNOWN    | NO_AGENT, ...    |
| has all of them OFFLINE                              | OFFLINE    | ALL_MEMBERS_DOWN |
| has backups alone that are up                        | DEGRADED   | ONLY_BACKUPS_UP  |
| has some OFFLINE or DEGRADED                         | DEGRADED   | MEMBERS_DOWN     |
| has some UNKNOWN                                     | DEGRADED   | MEMBERS_UNKNOWN  |

A VIP is its pool's, unless it is switched off (OFFLINE, ADMIN_DOWN), has no listener (OFFLINE,
NOT_SERVED) or nodes refuse its listener (REJECTED_BY_ENVOY: all, OFFLINE; some, DEGRADED).

A monitor is switched off (OFFLINE, ADMIN_DOWN), in no pool (UNKNOWN, NOT_IN_USE), has nobody to
watch (UNKNOWN, NO_MEMBERS), or is ONLINE, DEGRADED or OFFLINE (MEMBERS_DOWN, ALL_MEMBERS_DOWN) as
all, some or none of the members that it is known of pass it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lbaas.model.enums import OperatingStatus
from lbaas.model.health import NO_AGENT, NOT_RUNNING, SWITCHED_OFF, Health, listed
from lbaas.model.names import leaf
from lbaas.model.objects import EPOCH


@dataclass(frozen=True, slots=True)
class Standing:
    """A member as its pool counts it. `eligible`: it should take new traffic."""

    name: str
    status: OperatingStatus
    reason: str
    eligible: bool
    backup: bool
    time: datetime


_SERVING = frozenset({OperatingStatus.ONLINE, OperatingStatus.DEGRADED, OperatingStatus.NO_MONITOR})


def pool_health(
    members: Sequence[Standing],
    *,
    monitored: bool,
    admin_state_up: bool = True,
    silence: Health = NO_AGENT,
) -> Health:
    """Gives a pool's health from its members'. `silence`: what to say if all are UNKNOWN."""
    counted = [each for each in members if each.eligible]
    found = _pool(members, counted, monitored=monitored, up=admin_state_up, silence=silence)
    return replace(
        found,
        time=max((each.time for each in counted), default=EPOCH) if admin_state_up else EPOCH,
        members_up=sum(each.status in _SERVING for each in counted),
        members_total=len(counted),
    )


def _pool(
    members: Sequence[Standing],
    counted: Sequence[Standing],
    *,
    monitored: bool,
    up: bool,
    silence: Health,
) -> Health:
    if not up:
        return SWITCHED_OFF
    if not members:
        return Health(
            status=OperatingStatus.OFFLINE, reason="NO_MEMBERS", message="it has no members"
        )
    if not counted:
        return _nobody(members)
    statuses = {each.status for each in counted}
    if not monitored and (silence != NOT_RUNNING or statuses != {OperatingStatus.UNKNOWN}):
        return Health(
            status=OperatingStatus.NO_MONITOR,
            reason="NO_MONITOR",
            message="no health monitor watches it, so its members are taken to be up",
        )
    if statuses == {OperatingStatus.ONLINE}:
        return Health(status=OperatingStatus.ONLINE)
    if statuses == {OperatingStatus.UNKNOWN}:
        return silence
    return _partly(counted)


def _nobody(members: Sequence[Standing]) -> Health:
    """Gives the health of a pool in which nobody should take new traffic."""
    if any(each.status is OperatingStatus.DRAINING for each in members):
        return Health(
            status=OperatingStatus.DRAINING,
            reason="ALL_DRAINING",
            message="its members finish what they have, and none takes anything new",
        )
    return Health(
        status=OperatingStatus.OFFLINE,
        reason="ALL_MEMBERS_DOWN",
        message=f"{_of(members, members)} switched off: {_members(members)}",
    )


def _partly(counted: Sequence[Standing]) -> Health:
    """Gives the health of a pool whose members are neither all well nor all unknown."""
    offline = [each for each in counted if each.status is OperatingStatus.OFFLINE]
    words = f"{_of(offline, counted)} OFFLINE: {_members(offline)}"
    if len(offline) == len(counted):
        pending = {each.reason for each in offline} == {"CHECK_PENDING"}
        return Health(
            status=OperatingStatus.OFFLINE,
            reason="CHECK_PENDING" if pending else "ALL_MEMBERS_DOWN",
            message="no member has passed its first check yet" if pending else words,
        )
    primaries = [each for each in counted if not each.backup]
    if primaries and all(each.status is OperatingStatus.OFFLINE for each in primaries):
        reason, words = "ONLY_BACKUPS_UP", f"backups serve alone; {words}"
    elif offline:
        reason = "MEMBERS_DOWN"
    elif degraded := [each for each in counted if each.status is OperatingStatus.DEGRADED]:
        reason = "MEMBERS_DOWN"
        words = f"{_of(degraded, counted)} DEGRADED: {_members(degraded)}"
    else:
        unknown = [each for each in counted if each.status is OperatingStatus.UNKNOWN]
        reason = "MEMBERS_UNKNOWN"
        words = f"{_of(unknown, counted)} UNKNOWN: {_members(unknown)}"
    return Health(status=OperatingStatus.DEGRADED, reason=reason, message=words)


def vip_health(
    pool: Health,
    *,
    admin_state_up: bool,
    served: bool,
    refusals: Mapping[str, str] | None = None,
    nodes: int = 0,
) -> Health:
    """Gives a VIP's health from its pool's.

    Args:
        pool: the pool's.
        admin_state_up: the VIP's own.
        served: it has a listener.
        refusals: the nodes that refuse that and have no older one, each with Envoy's words.
        nodes: how many nodes count.
    """
    if not admin_state_up:
        return SWITCHED_OFF
    if not served:
        return Health(
            status=OperatingStatus.OFFLINE,
            reason="NOT_SERVED",
            message="no node listens for it: its address is not given, or in use",
        )
    if refusals and pool.status is not OperatingStatus.OFFLINE:
        first = min(refusals)
        every = len(refusals) >= nodes
        return replace(
            pool,
            status=OperatingStatus.OFFLINE if every else OperatingStatus.DEGRADED,
            reason="REJECTED_BY_ENVOY",
            message=f"{len(refusals)} of {nodes} nodes refuse it, {leaf(first)} with:"
            f" {refusals[first]}",
            node=first if len(refusals) == 1 else "",
        )
    return pool


def monitor_health(
    *, admin_state_up: bool, pools: int, passing: int, failing: Sequence[str], unknown: int
) -> Health:
    """Gives a monitor's health from how many members pass it, fail it, or are not known."""
    known = passing + len(failing)
    if not admin_state_up:
        status, reason, message = OperatingStatus.OFFLINE, "ADMIN_DOWN", "it is switched off"
    elif not pools:
        status, reason = OperatingStatus.UNKNOWN, "NOT_IN_USE"
        message = "no pool that is on a fleet uses it"
    elif not known and not unknown:
        status, reason = OperatingStatus.UNKNOWN, "NO_MEMBERS"
        message = "its pools have no members that it watches"
    elif not known:
        return NO_AGENT
    elif not failing:
        status, reason, message = OperatingStatus.ONLINE, "", ""
    else:
        every = not passing
        status = OperatingStatus.OFFLINE if every else OperatingStatus.DEGRADED
        reason = "ALL_MEMBERS_DOWN" if every else "MEMBERS_DOWN"
        message = f"{len(failing)} of {known} members fail it: {listed(map(leaf, failing))}"
    return Health(
        status=status,
        reason=reason,
        message=message,
        members_up=passing,
        members_total=known + unknown,
    )


def _members(found: Iterable[Standing]) -> str:
    return listed(leaf(each.name) for each in found)


def _of(some: Sequence[Standing], every: Sequence[Standing]) -> str:
    """Gives `1 of 3 members is`."""
    verb = "is" if len(some) == 1 else "are"
    return f"{len(some)} of {len(every)} members {verb}"

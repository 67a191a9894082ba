"""PING verdicts: what most nodes of a fleet find of a member, for each PING monitor it is under.

There are rows for PING monitors that are switched on and on the member's pool, for nothing else.
A member without a row has not been reached yet, and takes no traffic.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import BindParameter, bindparam, delete, insert, select, true, update

from lbaas.model.enums import HealthMonitorType
from lbaas.model.names import pool_of_member
from lbaas.model.objects import HealthMonitor
from lbaas.store.feed import Action
from lbaas.store.shelf import chunks
from lbaas.store.tables import health_monitors, members, ping_verdicts, placements, pool_monitors
from lbaas.store.transaction import Transaction

_KEYS: BindParameter[list[str]] = bindparam("keys", expanding=True)
_BY_PING = (
    health_monitors.c.type == HealthMonitorType.PING,
    health_monitors.c.admin_state_up == true(),
)
_WATCHED = (
    select(members.c.name, pool_monitors.c.monitor, ping_verdicts.c.up)
    .join(pool_monitors, pool_monitors.c.pool == members.c.pool)
    .join(health_monitors, health_monitors.c.name == pool_monitors.c.monitor)
    .outerjoin(
        ping_verdicts,
        (ping_verdicts.c.member == members.c.name)
        & (ping_verdicts.c.monitor == pool_monitors.c.monitor),
    )
    .where(members.c.name.in_(_KEYS), *_BY_PING)
)
_UNREACHED = (
    select(members.c.pool, members.c.name)
    .join(pool_monitors, pool_monitors.c.pool == members.c.pool)
    .join(health_monitors, health_monitors.c.name == pool_monitors.c.monitor)
    .outerjoin(
        ping_verdicts,
        (ping_verdicts.c.member == members.c.name)
        & (ping_verdicts.c.monitor == pool_monitors.c.monitor),
    )
    .where(*_BY_PING, (ping_verdicts.c.up.is_(None)) | (ping_verdicts.c.up != true()))
    .distinct()
)
_UNREACHED_OF = _UNREACHED.where(members.c.pool.in_(_KEYS))


def record(tx: Transaction, found: Mapping[tuple[str, str], bool]) -> tuple[str, ...]:
    """Stores verdicts, by member and monitor; gives the members of which one is new.

    Takes a revision, with a change row for each such member, unless none differs. The members'
    own revisions stay: nobody wrote them. Verdicts of pairs that are not watched are passed over.
    """
    stored = {
        (row.name, row.monitor): row.up
        for keys in chunks({member for member, _ in found})
        for row in tx.connection.execute(_WATCHED, {"keys": keys})
    }
    new = {pair: up for pair, up in sorted(found.items()) if pair in stored and stored[pair] != up}
    _write(tx, new, known={pair for pair in new if stored[pair] is not None})
    changed = tuple(dict.fromkeys(member for member, _ in new))
    for member in changed:
        tx.record(member, pool_of_member(member), Action.UPDATED)
    return changed


def unreachable(
    tx: Transaction, pools: Iterable[str] | None = None
) -> Mapping[str, frozenset[str]]:
    """Gives, by pool, the members that a PING monitor finds down or has not reached yet.

    Members that are deleted and not gone yet may be among them.

    Args:
        tx: the transaction.
        pools: the pools' names; None: all pools there are. One without such members is not in
            the answer.
    """
    rows = (
        tx.connection.execute(_UNREACHED).all()
        if pools is None
        else [
            row
            for keys in chunks(pools)
            for row in tx.connection.execute(_UNREACHED_OF, {"keys": keys})
        ]
    )
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row.pool].add(row.name)
    return {pool: frozenset(names) for pool, names in found.items()}


def begin(tx: Transaction, pools: Sequence[str], monitors: Iterable[HealthMonitor]) -> None:
    """Notes that monitors begin to watch pools: PING takes those who serve for reachable.

    So that to associate a monitor, or to switch it on, cuts no traffic. In a pool that no fleet
    carries nobody serves, and all are yet to be reached.
    """
    pinging = [each.name for each in monitors if is_watching(each)]
    end(tx, pools, pinging)
    if not pinging:
        return
    serving = (
        select(members.c.name)
        .join(placements, placements.c.pool == members.c.pool)
        .where(members.c.pool.in_(_KEYS), placements.c.fleet != "")
    )
    for keys in chunks(pools):
        names = tx.connection.execute(serving, {"keys": keys}).scalars().all()
        _write(tx, {(name, each): True for name in names for each in pinging}, known=())


def end(tx: Transaction, pools: Iterable[str], monitors: Collection[str]) -> None:
    """Notes that monitors watch pools no longer: what they found is forgotten."""
    if not monitors:
        return
    for keys in chunks(pools):
        watched = select(members.c.name).where(members.c.pool.in_(keys))
        tx.connection.execute(
            delete(ping_verdicts).where(
                ping_verdicts.c.monitor.in_(list(monitors)), ping_verdicts.c.member.in_(watched)
            )
        )


def is_watching(monitor: HealthMonitor) -> bool:
    """Tells whether a monitor pings the members of the pools that it is on."""
    return monitor.type is HealthMonitorType.PING and monitor.admin_state_up


def _write(
    tx: Transaction,
    verdicts: Mapping[tuple[str, str], bool],
    *,
    known: Collection[tuple[str, str]],
) -> None:
    added = [
        {"member": member, "monitor": monitor, "up": up}
        for (member, monitor), up in verdicts.items()
        if (member, monitor) not in known
    ]
    if added:
        tx.connection.execute(insert(ping_verdicts), added)
    changed = [
        {"of": member, "by": monitor, "now": up}
        for (member, monitor), up in verdicts.items()
        if (member, monitor) in known
    ]
    if changed:
        tx.connection.execute(
            update(ping_verdicts)
            .where(
                ping_verdicts.c.member == bindparam("of"),
                ping_verdicts.c.monitor == bindparam("by"),
            )
            .values(up=bindparam("now")),
            changed,
        )

"""Verdicts: what the Envoys confirmed, rejected and let go of."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Table, bindparam, delete, select, update

from lbaas.model.names import HEALTH_MONITOR, MEMBER, POOL, VIP, Kind
from lbaas.model.objects import Rejection
from lbaas.store import addresses, drains, placements, rejections, tables, traffic
from lbaas.store.feed import Action
from lbaas.store.objects import by_kind
from lbaas.store.shelf import chunks
from lbaas.store.shelves import HEALTH_MONITORS, MEMBERS, POOLS, VIPS
from lbaas.store.transaction import Transaction

_TABLES: Mapping[Kind, Table] = {
    POOL: tables.pools,
    MEMBER: tables.members,
    HEALTH_MONITOR: tables.health_monitors,
    VIP: tables.vips,
}
_PURGED_IN_ORDER = (VIP, MEMBER, POOL, HEALTH_MONITOR)


def record(
    tx: Transaction,
    *,
    live: Mapping[str, int],
    gone: Sequence[str] = (),
    rejected: Sequence[Rejection] = (),
    cleared: Sequence[rejections.Key] = (),
) -> None:
    """Stores what the nodes said. Takes a revision only if something is gone.

    Args:
        tx: the transaction.
        live: names and the newest revision at which each is live; an older one changes nothing.
        gone: deleted objects that no Envoy holds any longer: purged, with what hangs on them.
            What is not deleted, or drains, or is not there, is passed over.
        rejected: in place of what the same node said of the same resource.
        cleared: (fleet, node, type URL, resource) of rejections that are over.
    """
    _latch(tx, live)
    rejections.drop(tx, cleared)
    rejections.save(tx, rejected)
    _purge(tx, gone)


def _latch(tx: Transaction, live: Mapping[str, int]) -> None:
    for kind, names in by_kind(live).items():
        table = _TABLES.get(kind)
        if table is None:
            continue
        higher = [
            {"key": row.name, "live": live[row.name]}
            for keys in chunks(names)
            for row in tx.connection.execute(
                select(table.c.name, table.c.live_rev).where(table.c.name.in_(keys))
            )
            if row.live_rev < live[row.name]
        ]
        if not higher:
            continue
        tx.connection.execute(
            update(table)
            .where(table.c.name == bindparam("key"))
            .values(live_rev=bindparam("live")),
            higher,
        )
        for row in higher:
            tx.touch(str(row["key"]))


def _purge(tx: Transaction, gone: Iterable[str]) -> None:
    wanted = by_kind(gone)
    for kind in _PURGED_IN_ORDER:
        for name in wanted.get(kind, ()):
            if kind is VIP:
                _purge_vip(tx, name)
            elif kind is MEMBER:
                _purge_member(tx, name)
            elif kind is POOL:
                _purge_pool(tx, name)
            else:
                _purge_monitor(tx, name)


def _purge_vip(tx: Transaction, name: str) -> None:
    vip = VIPS.find(tx, name)
    if vip is None or not vip.record.deleted_rev:
        return
    fleets = addresses.held_on(tx, [name])
    addresses.release(tx, [name])
    VIPS.remove(tx, name)
    rejections.drop_of(tx, [name])
    traffic.forget(tx, [name])
    tx.record(name, vip.pool, Action.PURGED)
    for fleet in sorted(fleets):
        addresses.retry(tx, fleet)


def _purge_member(tx: Transaction, name: str) -> None:
    member = MEMBERS.find(tx, name)
    if member is None or not member.record.deleted_rev or drains.is_draining(member):
        return
    MEMBERS.remove(tx, name)
    rejections.drop_of(tx, [name])
    traffic.forget(tx, [name])
    tx.record(name, name.rsplit("/members/", 1)[0], Action.PURGED)


def _purge_pool(tx: Transaction, name: str) -> None:
    """Purges a pool with what is left of its tree: without its cluster nothing of it can serve."""
    pool = POOLS.find(tx, name)
    if pool is None or not pool.record.deleted_rev:
        return
    for vip in VIPS.where(tx, tables.vips.c.pool == name):
        _purge_vip(tx, vip.name)
    for member in MEMBERS.where(tx, tables.members.c.pool == name):
        _purge_member(tx, member.name)
    for fleet in placements.serving(placements.find(tx, name)):
        placements.count_out(tx, fleet)
    # Said here too, though the tables cascade: an association must not outlive either end.
    tx.connection.execute(delete(tables.pool_monitors).where(tables.pool_monitors.c.pool == name))
    POOLS.remove(tx, name)
    rejections.drop_of(tx, [name])
    traffic.forget(tx, [name])
    tx.record(name, name, Action.PURGED)


def _purge_monitor(tx: Transaction, name: str) -> None:
    monitor = HEALTH_MONITORS.find(tx, name)
    if monitor is None or not monitor.record.deleted_rev:
        return
    HEALTH_MONITORS.remove(tx, name)
    rejections.drop_of(tx, [name])
    tx.record(name, "", Action.PURGED)

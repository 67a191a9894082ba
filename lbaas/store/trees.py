"""Trees: pools with all that is rendered with them, read in bulk, written as one."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import or_

from lbaas.model.errors import FailedPrecondition, InvalidArgument
from lbaas.model.names import pool_of_member
from lbaas.model.objects import HealthMonitor, Member, Pool, PoolTree, Vip
from lbaas.model.rules import check_tree
from lbaas.store import drains, health_monitors, members, pings, pools, tables, vips
from lbaas.store.assembly import MONITORS, PLACEMENTS, complete, joined, living_vips
from lbaas.store.shelf import check_etag
from lbaas.store.shelves import HEALTH_MONITORS, MEMBERS, POOLS, VIPS
from lbaas.store.transaction import Transaction


def read(tx: Transaction, names: Sequence[str]) -> tuple[PoolTree, ...]:
    """Gives the trees of some pools, sorted by name; deleted and unknown ones are left out.

    Members that are deleted and still drain are in them, and VIPs until they are purged.

    Six queries for up to 500 pools, whatever is in them; one more if PING monitors watch them.
    """
    found = [pool for pool in POOLS.get_many(tx, names).values() if not pool.record.deleted_rev]
    whole = complete(tx, sorted(found, key=lambda pool: pool.name))
    keys = [pool.name for pool in whole]
    monitors = HEALTH_MONITORS.get_many(
        tx, {name for pool in whole for name in pool.health_monitors}
    )
    pinged = [
        pool.name
        for pool in whole
        if any(pings.is_watching(monitors[name]) for name in pool.health_monitors)
    ]
    return _planted(
        whole,
        those=MEMBERS.within(tx, "pool", keys),
        monitors=monitors,
        served=VIPS.within(tx, "pool", keys),
        unreachable=pings.unreachable(tx, pinged),
    )


def read_all(tx: Transaction) -> tuple[PoolTree, ...]:
    """Gives the trees of all living pools, sorted by name, in six or seven queries."""
    found = POOLS.where(tx, tables.pools.c.deleted_rev == 0)
    whole = joined(
        found,
        placed=tx.connection.execute(PLACEMENTS).all(),
        watched=tx.connection.execute(MONITORS).all(),
    )
    monitors = {monitor.name: monitor for monitor in HEALTH_MONITORS.where(tx)}
    return _planted(
        whole,
        those=MEMBERS.where(tx, or_(tables.members.c.deleted_rev == 0, drains.DRAINING)),
        monitors=monitors,
        served=VIPS.where(tx),
        unreachable=pings.unreachable(tx) if any(map(pings.is_watching, monitors.values())) else {},
    )


def apply(tx: Transaction, tree: PoolTree, *, etag: str = "") -> PoolTree:
    """Makes a pool's tree be as given: the pool is the root, created if need be.

    Members and VIPs listed are the whole truth, others are deleted. Monitors listed are created
    or updated and associated; none is deleted. What is as given already is not written.

    Args:
        tx: the transaction.
        tree: as it shall be; records, placement and uids in it mean nothing.
        etag: the pool's, to make the whole conditional.

    Raises:
        InvalidArgument: all violations of the whole tree; others as the single commands do.
    """
    root = tree.pool
    named = {*root.health_monitors, *(monitor.name for monitor in tree.health_monitors)}
    root = dataclasses.replace(root, health_monitors=tuple(sorted(named)))
    wanted = dataclasses.replace(tree, pool=root)
    if violations := check_tree(wanted, policy=tx.policy):
        raise InvalidArgument(violations)
    for monitor in tree.health_monitors:
        _apply_monitor(tx, monitor)
    before = POOLS.find(tx, root.name)
    if before is None:
        if etag:
            raise FailedPrecondition(
                f"pool {root.name!r} does not exist, so it has no etag; leave the etag out",
                reason="ETAG_WITHOUT_OBJECT",
                subject=root.name,
            )
        pools.create(tx, root)
    else:
        pools.update(tx, root.name, lambda _: root, etag=etag)
    _apply_members(tx, root.name, tree.members)
    _apply_vips(tx, root.name, tree.vips)
    made = read(tx, [root.name])[0]
    living = tuple(member for member in made.members if not member.record.deleted_rev)
    return dataclasses.replace(made, members=living, leaving=())


def delete(tx: Transaction, name: str, *, etag: str = "") -> Pool:
    """Marks a pool, its members and its VIPs deleted, all at one revision.

    Raises:
        NotFound, Aborted (etag).
    """
    check_etag(name, POOLS.get(tx, name).record, etag)
    for vip in living_vips(tx, [name]):
        vips.delete(tx, vip.name)
    return pools.delete(tx, name, force=True)


def _apply_monitor(tx: Transaction, monitor: HealthMonitor) -> None:
    if HEALTH_MONITORS.find(tx, monitor.name) is None:
        health_monitors.create(tx, monitor)
    else:
        health_monitors.update(tx, monitor.name, lambda _: monitor)


def _apply_members(tx: Transaction, pool: str, wanted: Sequence[Member]) -> None:
    stored = {member.name for member in _members(tx, pool)}
    listed = {member.name for member in wanted}
    for name in sorted(stored - listed):
        members.delete(tx, name)
    for member in wanted:
        if member.name in stored:
            members.update(tx, member.name, lambda _, member=member: member)  # type: ignore[misc]
    if new := [member for member in wanted if member.name not in stored]:
        members.create_many(tx, new)


def _apply_vips(tx: Transaction, pool: str, wanted: Sequence[Vip]) -> None:
    listed = {vip.name for vip in wanted}
    for vip in living_vips(tx, [pool]):
        if vip.name not in listed:
            vips.delete(tx, vip.name)
    known = VIPS.get_many(tx, listed)
    for vip in wanted:
        if vip.name in known:
            vips.update(tx, vip.name, lambda _, vip=vip: vip)  # type: ignore[misc]
        else:
            vips.create(tx, vip)


def _members(tx: Transaction, pool: str) -> tuple[Member, ...]:
    return tuple(
        member for member in MEMBERS.within(tx, "pool", [pool]) if not member.record.deleted_rev
    )


def _planted(
    whole: Sequence[Pool],
    *,
    those: Iterable[Member],
    monitors: Mapping[str, HealthMonitor],
    served: Iterable[Vip],
    unreachable: Mapping[str, frozenset[str]],
) -> tuple[PoolTree, ...]:
    members_of: defaultdict[str, list[Member]] = defaultdict(list)
    for member in those:
        if not member.record.deleted_rev or drains.is_draining(member):
            members_of[pool_of_member(member.name)].append(member)
    vips_of: defaultdict[str, list[Vip]] = defaultdict(list)
    leaving_from: defaultdict[str, list[Vip]] = defaultdict(list)
    for vip in served:
        (leaving_from if vip.record.deleted_rev else vips_of)[vip.pool].append(vip)
    return tuple(
        PoolTree(
            pool=pool,
            members=tuple(members_of.get(pool.name, ())),
            health_monitors=tuple(monitors[name] for name in pool.health_monitors),
            vips=tuple(vips_of.get(pool.name, ())),
            leaving=tuple(leaving_from.get(pool.name, ())),
            unreachable=unreachable.get(pool.name, frozenset()).intersection(
                member.name for member in members_of.get(pool.name, ())
            ),
        )
        for pool in whole
    )

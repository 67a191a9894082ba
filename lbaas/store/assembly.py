"""Puts pools together: their monitors and placement, which lie in tables of their own."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import BindParameter, bindparam, select

from lbaas.model.objects import Placement, Pool, PoolTree, Vip
from lbaas.store.shelf import AnyRow, chunks
from lbaas.store.shelves import HEALTH_MONITORS, POOLS, VIPS
from lbaas.store.tables import placements, pool_monitors
from lbaas.store.transaction import Transaction

_KEYS: BindParameter[list[str]] = bindparam("keys", expanding=True)
PLACEMENTS = select(
    placements.c.pool,
    placements.c.fleet,
    placements.c.reason,
    placements.c.time,
    placements.c.rev,
    placements.c.leaving,
    placements.c.closing,
)
MONITORS = select(pool_monitors.c.pool, pool_monitors.c.monitor).order_by(
    pool_monitors.c.pool, pool_monitors.c.monitor
)
_PLACEMENTS_OF = PLACEMENTS.where(placements.c.pool.in_(_KEYS))
_MONITORS_OF = MONITORS.where(pool_monitors.c.pool.in_(_KEYS))


def complete(tx: Transaction, found: Sequence[Pool]) -> tuple[Pool, ...]:
    """Gives the pools with their monitors and placements: two queries for up to 500 pools."""
    placed: list[AnyRow] = []
    watched: list[AnyRow] = []
    for keys in chunks(pool.name for pool in found):
        placed += tx.connection.execute(_PLACEMENTS_OF, {"keys": keys}).all()
        watched += tx.connection.execute(_MONITORS_OF, {"keys": keys}).all()
    return joined(found, placed=placed, watched=watched)


def joined(
    found: Iterable[Pool],
    *,
    placed: Iterable[AnyRow],
    watched: Iterable[AnyRow],
) -> tuple[Pool, ...]:
    """Gives the pools joined with rows of `PLACEMENTS` and `MONITORS`."""
    where = {row.pool: placement_of(row) for row in placed}
    monitors: defaultdict[str, list[str]] = defaultdict(list)
    for row in watched:
        monitors[row.pool].append(row.monitor)
    return tuple(
        dataclasses.replace(
            pool,
            placement=where.get(pool.name),
            health_monitors=tuple(monitors.get(pool.name, ())),
        )
        for pool in found
    )


def placement_of(row: AnyRow) -> Placement:
    """Gives the placement in a row of `PLACEMENTS`."""
    return Placement(
        fleet=row.fleet,
        reason=row.reason,
        time=row.time,
        rev=row.rev,
        leaving=row.leaving,
        closing=row.closing,
    )


def living(tx: Transaction, name: str) -> Pool:
    """Gives a whole pool that is not being deleted; raises as `Shelf.living` does."""
    return complete(tx, [POOLS.living(tx, name)])[0]


def living_vips(tx: Transaction, names: Iterable[str]) -> tuple[Vip, ...]:
    """Gives the VIPs of some pools that are not being deleted, sorted by name."""
    return tuple(vip for vip in VIPS.within(tx, "pool", names) if not vip.record.deleted_rev)


def shape(tx: Transaction, pool: Pool) -> PoolTree:
    """Gives a pool's tree without its members: all that a fleet's capabilities look at."""
    monitors = HEALTH_MONITORS.get_many(tx, pool.health_monitors)
    return PoolTree(
        pool=pool,
        health_monitors=tuple(monitors[name] for name in sorted(monitors)),
        vips=living_vips(tx, [pool.name]),
    )


def pools_of_monitors(tx: Transaction, names: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Gives the names of the pools that use each monitor; a monitor without one is not in it."""
    query = (
        select(pool_monitors.c.monitor, pool_monitors.c.pool)
        .where(pool_monitors.c.monitor.in_(_KEYS))
        .order_by(pool_monitors.c.pool)
    )
    found: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for keys in chunks(names):
        for row in tx.connection.execute(query, {"keys": keys}):
            found[row.monitor] += (row.pool,)
    return dict(found)

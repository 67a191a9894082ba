"""Commands on pools. References and stored state are checked here; plain rules in the model."""

import dataclasses
from collections.abc import Callable, Sequence

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, insert, select

from lbaas.model.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Violation,
)
from lbaas.model.filter import EVERY, Filter
from lbaas.model.names import HEALTH_MONITOR, project_of
from lbaas.model.objects import HealthMonitor, Pool
from lbaas.model.rules import changed_immutables, check_pool, rendered
from lbaas.store import drains, fitting, pings, placements, quotas
from lbaas.store.assembly import complete, living, living_vips, shape
from lbaas.store.feed import Action
from lbaas.store.parents import of_project
from lbaas.store.shelf import check_etag
from lbaas.store.shelves import HEALTH_MONITORS, MEMBERS, POOLS, SERVICE_TYPES
from lbaas.store.tables import members, pool_monitors
from lbaas.store.tables import placements as placed
from lbaas.store.tables import pools as table
from lbaas.store.transaction import Transaction


def create(tx: Transaction, pool: Pool) -> Pool:
    """Stores a new pool, its monitors associated; reconcile will place it.

    Raises:
        InvalidArgument, NotFound (a monitor or the service type), AlreadyExists, QuotaExceeded.
    """
    pool = _tidy(pool)
    _check(tx, pool)
    _monitors(tx, pool)
    POOLS.free(tx, pool.name)
    quotas.take(tx, project_of(pool.name), quotas.POOLS)
    stored = POOLS.add(tx, dataclasses.replace(pool, placement=None))
    _associate(tx, stored.name, stored.health_monitors)
    tx.record(stored.name, stored.name, Action.CREATED)
    return stored


def get(tx: Transaction, name: str) -> Pool:
    """Gives a pool, one being deleted too, or raises NotFound."""
    return complete(tx, [POOLS.get(tx, name)])[0]


def update(tx: Transaction, name: str, change: Callable[[Pool], Pool], *, etag: str = "") -> Pool:
    """Changes a pool; no difference, no write.

    Raises:
        NotFound, Aborted (etag), InvalidArgument, FailedPrecondition (being deleted; its fleet
        cannot serve the change).
    """
    before = living(tx, name)
    check_etag(name, before.record, etag)
    after = _tidy(
        dataclasses.replace(
            change(before), name=name, placement=before.placement, record=before.record
        )
    )
    return _change(tx, before, after)


def delete(tx: Transaction, name: str, *, etag: str = "", force: bool = False) -> Pool:
    """Marks a pool deleted, with `force` its members too; rows go when every Envoy let go.

    Raises:
        NotFound, Aborted (etag), FailedPrecondition (it has VIPs, or members without `force`).
    """
    pool = get(tx, name)
    check_etag(name, pool.record, etag)
    if pool.record.deleted_rev:
        return pool
    if blocking := living_vips(tx, [name]):
        raise FailedPrecondition(
            f"pool {name!r} has {len(blocking)} VIPs, such as {blocking[0].name!r}; delete them"
            " first, or delete the whole tree",
            reason="POOL_HAS_VIPS",
            subject=blocking[0].name,
        )
    having = MEMBERS.where(tx, members.c.pool == name, members.c.deleted_rev == 0)
    if having and not force:
        raise FailedPrecondition(
            f"pool {name!r} has {len(having)} members; delete them first, or set force",
            reason="POOL_HAS_MEMBERS",
            subject=having[0].name,
        )
    drains.cut(tx, name)
    for member in MEMBERS.where(tx, members.c.pool == name, members.c.deleted_rev == 0):
        MEMBERS.deleted(tx, dataclasses.replace(member, drained=True))
        tx.record(member.name, name, Action.DELETED)
    quotas.give_back(tx, project_of(name), quotas.MEMBERS, len(having))
    quotas.give_back(tx, project_of(name), quotas.POOLS)
    # A deleted pool renders nothing: its monitors are free.
    tx.connection.execute(sql_delete(pool_monitors).where(pool_monitors.c.pool == name))
    gone = POOLS.deleted(tx, pool)
    tx.record(name, name, Action.DELETED)
    return dataclasses.replace(gone, health_monitors=())


def page(
    tx: Transaction,
    parent: str,
    *,
    filter: Filter = EVERY,  # noqa: A002 - the API's word
    after: str = "",
    limit: int,
) -> tuple[Pool, ...]:
    """Gives pools after a name, sorted; those being deleted too. `projects/-`: of all projects."""
    return POOLS.page(
        tx,
        *of_project(parent, table),
        filter=filter,
        after=after,
        limit=limit,
        complete=lambda found: complete(tx, found),
    )


def associate(tx: Transaction, name: str, monitor: str) -> Pool:
    """Adds a monitor to a pool; all monitors of a pool count.

    Raises:
        NotFound, AlreadyExists, InvalidArgument (too many), FailedPrecondition.
    """
    pool = living(tx, name)
    if monitor in pool.health_monitors:
        raise AlreadyExists(
            HEALTH_MONITOR.title,
            monitor,
            f"health monitor {monitor!r} is associated with pool {name!r} already",
            reason="ALREADY_ASSOCIATED",
        )
    after = dataclasses.replace(pool, health_monitors=(*pool.health_monitors, monitor))
    return _change(tx, pool, _tidy(after))


def disassociate(tx: Transaction, name: str, monitor: str) -> Pool:
    """Takes a monitor off a pool; raises NotFound if it is not on it."""
    pool = living(tx, name)
    if monitor not in pool.health_monitors:
        raise NotFound(HEALTH_MONITOR.title, monitor)
    rest = tuple(each for each in pool.health_monitors if each != monitor)
    return _change(tx, pool, dataclasses.replace(pool, health_monitors=rest))


def unplaced(tx: Transaction) -> tuple[Pool, ...]:
    """Gives the living pools that no fleet carries: new, dropped, or without an eligible fleet."""
    somewhere = select(placed.c.pool).where(placed.c.fleet != "")
    found = POOLS.where(tx, table.c.deleted_rev == 0, table.c.name.not_in(somewhere))
    return complete(tx, found)


def carried_by(tx: Transaction, fleet: str) -> tuple[Pool, ...]:
    """Gives the pools that a fleet carries, those being deleted too."""
    found = POOLS.get_many(tx, placements.carried(tx, fleet))
    return complete(tx, [found[name] for name in sorted(found)])


def vip_names(tx: Transaction, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Gives the names of each pool's living VIPs; a pool without one is not in it."""
    found: dict[str, tuple[str, ...]] = {}
    for vip in living_vips(tx, names):
        found[vip.pool] = (*found.get(vip.pool, ()), vip.name)
    return found


def count(tx: Transaction) -> int:
    """Gives how many pools there are, those being deleted too."""
    return int(tx.connection.execute(select(func.count()).select_from(table)).scalar_one())


def _change(tx: Transaction, before: Pool, after: Pool) -> Pool:
    if after == before:
        return before
    _check(tx, after, changed_immutables(before, after))
    spec = rendered(after) != rendered(before)
    if spec:
        tree = shape(tx, before)
        monitors = _monitors(tx, after)
        fitting.admit(tx, tree, dataclasses.replace(tree, pool=after, health_monitors=monitors))
    stored = POOLS.changed(tx, after, spec=spec)
    if after.health_monitors != before.health_monitors:
        gone = [name for name in before.health_monitors if name not in after.health_monitors]
        new = [name for name in after.health_monitors if name not in before.health_monitors]
        tx.connection.execute(
            sql_delete(pool_monitors).where(
                pool_monitors.c.pool == after.name, pool_monitors.c.monitor.in_(gone)
            )
        )
        pings.end(tx, [after.name], gone)
        _associate(tx, after.name, new)
        pings.begin(tx, [after.name], HEALTH_MONITORS.get_many(tx, new).values())
    tx.record(after.name, after.name, Action.UPDATED)
    return dataclasses.replace(stored, placement=placements.find(tx, after.name))


def _check(tx: Transaction, pool: Pool, more: Sequence[Violation] = ()) -> None:
    """Checks a pool's own rules; another project's monitor is simply not there."""
    for monitor in pool.health_monitors:
        if HEALTH_MONITOR.parse(monitor) and project_of(monitor) != project_of(pool.name):
            raise NotFound(HEALTH_MONITOR.title, monitor)
    if violations := (*check_pool(pool), *more):
        raise InvalidArgument(violations)
    if pool.service_type:
        SERVICE_TYPES.living(tx, pool.service_type)


def _monitors(tx: Transaction, pool: Pool) -> tuple[HealthMonitor, ...]:
    return tuple(HEALTH_MONITORS.living(tx, name) for name in pool.health_monitors)


def _associate(tx: Transaction, name: str, monitors: Sequence[str]) -> None:
    if monitors:
        tx.connection.execute(
            insert(pool_monitors), [{"pool": name, "monitor": each} for each in monitors]
        )


def _tidy(pool: Pool) -> Pool:
    return dataclasses.replace(pool, health_monitors=tuple(sorted(pool.health_monitors)))

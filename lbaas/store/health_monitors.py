"""Commands on health monitors."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from lbaas.model.errors import FailedPrecondition, InvalidArgument
from lbaas.model.filter import EVERY, Filter
from lbaas.model.names import project_of
from lbaas.model.objects import HealthMonitor, PoolTree
from lbaas.model.rules import changed_immutables, check_health_monitor, rendered
from lbaas.store import fitting, pings, quotas
from lbaas.store.assembly import complete, pools_of_monitors, shape
from lbaas.store.feed import Action
from lbaas.store.parents import of_project
from lbaas.store.shelf import check_etag
from lbaas.store.shelves import HEALTH_MONITORS, POOLS
from lbaas.store.tables import health_monitors as table
from lbaas.store.transaction import Transaction


def create(tx: Transaction, monitor: HealthMonitor) -> HealthMonitor:
    """Stores a new monitor; raises InvalidArgument, AlreadyExists or QuotaExceeded."""
    if violations := check_health_monitor(monitor):
        raise InvalidArgument(violations)
    HEALTH_MONITORS.free(tx, monitor.name)
    quotas.take(tx, project_of(monitor.name), quotas.HEALTH_MONITORS)
    stored = HEALTH_MONITORS.add(tx, monitor)
    tx.record(stored.name, "", Action.CREATED)
    return stored


def get(tx: Transaction, name: str) -> HealthMonitor:
    """Gives a monitor, one being deleted too, or raises NotFound."""
    return HEALTH_MONITORS.get(tx, name)


def update(
    tx: Transaction,
    name: str,
    change: Callable[[HealthMonitor], HealthMonitor],
    *,
    etag: str = "",
) -> HealthMonitor:
    """Changes a monitor in every pool that uses it; no difference, no write.

    Raises:
        NotFound, Aborted (etag), InvalidArgument, FailedPrecondition (being deleted; the fleet
        of a pool that uses it cannot serve the change).
    """
    before = HEALTH_MONITORS.living(tx, name)
    check_etag(name, before.record, etag)
    after = dataclasses.replace(change(before), name=name, record=before.record)
    if after == before:
        return before
    if violations := (*check_health_monitor(after), *changed_immutables(before, after)):
        raise InvalidArgument(violations)
    spec = rendered(after) != rendered(before)
    if after.admin_state_up and not before.admin_state_up:
        for tree in _trees(tx, name):
            monitors = tuple(
                after if monitor.name == name else monitor for monitor in tree.health_monitors
            )
            fitting.admit(tx, tree, dataclasses.replace(tree, health_monitors=monitors))
    stored = HEALTH_MONITORS.changed(tx, after, spec=spec)
    if after.admin_state_up != before.admin_state_up:
        users = pools_of(tx, [name]).get(name, ())
        if after.admin_state_up:
            pings.begin(tx, users, [after])
        else:
            pings.end(tx, users, [name])
    tx.record(name, "", Action.UPDATED)
    return stored


def delete(tx: Transaction, name: str, *, etag: str = "") -> HealthMonitor:
    """Marks a monitor deleted; raises FailedPrecondition while a pool uses it."""
    monitor = HEALTH_MONITORS.get(tx, name)
    check_etag(name, monitor.record, etag)
    if monitor.record.deleted_rev:
        return monitor
    if users := pools_of(tx, [name]).get(name):
        raise FailedPrecondition(
            f"health monitor {name!r} is used by {len(users)} pools, such as {users[0]!r};"
            " disassociate it first",
            reason="HEALTH_MONITOR_IN_USE",
            subject=users[0],
        )
    quotas.give_back(tx, project_of(name), quotas.HEALTH_MONITORS)
    gone = HEALTH_MONITORS.deleted(tx, monitor)
    tx.record(name, "", Action.DELETED)
    return gone


def page(
    tx: Transaction,
    parent: str,
    *,
    filter: Filter = EVERY,  # noqa: A002 - the API's word
    after: str = "",
    limit: int,
) -> tuple[HealthMonitor, ...]:
    """Gives monitors after a name, sorted. `projects/-`: of all projects."""
    return HEALTH_MONITORS.page(
        tx, *of_project(parent, table), filter=filter, after=after, limit=limit
    )


def pools_of(tx: Transaction, names: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Gives the names of the pools that use each monitor; an unused monitor is not in it."""
    return pools_of_monitors(tx, names)


def _trees(tx: Transaction, name: str) -> list[PoolTree]:
    users = POOLS.get_many(tx, pools_of(tx, [name]).get(name, ()))
    return [shape(tx, pool) for pool in complete(tx, list(users.values()))]

"""Objects of whatever kind: by name, and those that are not yet as they were written."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, Table, or_

from lbaas.model.names import FLEET, HEALTH_MONITOR, MEMBER, POOL, SERVICE_TYPE, VIP, Kind, kind_of
from lbaas.model.objects import StoredObject, TenantObject
from lbaas.store.assembly import complete
from lbaas.store.shelves import FLEETS, HEALTH_MONITORS, MEMBERS, POOLS, SERVICE_TYPES, VIPS
from lbaas.store.tables import health_monitors, members, pools, vips
from lbaas.store.transaction import Transaction


def get_many(tx: Transaction, names: Iterable[str]) -> Mapping[str, StoredObject]:
    """Gives those that exist, by name, those being deleted too; a query or two per kind."""
    wanted = by_kind(names)
    found: dict[str, StoredObject] = {}
    if wanted[POOL]:
        whole = complete(tx, list(POOLS.get_many(tx, wanted[POOL]).values()))
        found.update((pool.name, pool) for pool in whole)
    found.update(MEMBERS.get_many(tx, wanted[MEMBER]))
    found.update(HEALTH_MONITORS.get_many(tx, wanted[HEALTH_MONITOR]))
    found.update(VIPS.get_many(tx, wanted[VIP]))
    found.update(SERVICE_TYPES.get_many(tx, wanted[SERVICE_TYPE]))
    found.update(FLEETS.get_many(tx, wanted[FLEET]))
    return found


def unsettled(tx: Transaction) -> tuple[TenantObject, ...]:
    """Gives every tenant's object with `live_rev` below `spec_rev`, or that is being deleted."""
    whole = complete(tx, POOLS.where(tx, _unsettled(pools)))
    return (
        *whole,
        *MEMBERS.where(tx, _unsettled(members)),
        *HEALTH_MONITORS.where(tx, _unsettled(health_monitors)),
        *VIPS.where(tx, _unsettled(vips)),
    )


def _unsettled(table: Table) -> ColumnElement[bool]:
    return or_(table.c.live_rev < table.c.spec_rev, table.c.deleted_rev > 0)


def by_kind(names: Iterable[str]) -> Mapping[Kind, Sequence[str]]:
    """Gives names sorted into their kinds; what is no object's name is left out."""
    sorted_: defaultdict[Kind, list[str]] = defaultdict(list)
    for name in names:
        kind = kind_of(name)
        if kind is not None:
            sorted_[kind].append(name)
    return sorted_

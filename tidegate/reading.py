"""Reading the store for reconcile: everything at the start, then what changed, consistently."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lbaas.model import names
from lbaas.model.objects import Fleet, PoolTree, ServiceType, StoredObject
from lbaas.store import changes, fleets, health_monitors, objects, pools, service_types, trees
from lbaas.store.feed import Action, Change
from lbaas.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What one consistent read gave: the state at `revision` of all that changed.

    `whole`: everything was read, not only changes. `devices`: fleets and service types, None if
    they did not change.
    """

    revision: int
    whole: bool
    changed: Mapping[str, StoredObject]
    purged: frozenset[str]
    touched_pools: frozenset[str]
    trees: Sequence[PoolTree]
    devices: tuple[Mapping[str, Fleet], Mapping[str, ServiceType]] | None


def _devices(tx: Transaction) -> tuple[Mapping[str, Fleet], Mapping[str, ServiceType]]:
    return (
        {fleet.name: fleet for fleet in fleets.every(tx)},
        {each.name: each for each in service_types.every(tx)},
    )


def read_all(tx: Transaction) -> View:
    """Gives everything, for the start."""
    unsettled = {obj.name: obj for obj in objects.unsettled(tx)}
    every = trees.read_all(tx)
    return View(
        revision=tx.revision,
        whole=True,
        changed=unsettled,
        purged=frozenset(),
        touched_pools=frozenset(tree.pool.name for tree in every),
        trees=every,
        devices=_devices(tx),
    )


def read_since(tx: Transaction, revision: int, *, retry: bool) -> View:
    """Gives what changed after `revision`; with `retry` devices and unplaced pools too."""
    found: Sequence[Change] = changes.since(tx, revision)
    touched = {change.pool for change in found if change.pool}
    monitors = [each.name for each in found if names.HEALTH_MONITOR.parse(each.name)]
    for using in health_monitors.pools_of(tx, monitors).values():
        touched.update(using)
    devices = any(
        names.FLEET.parse(each.name) or names.SERVICE_TYPE.parse(each.name) for each in found
    )
    room = any(
        each.action is Action.MOVED or (each.action is Action.PURGED and each.name == each.pool)
        for each in found
    )
    if devices or room or retry:
        touched.update(pool.name for pool in pools.unplaced(tx))
    current = objects.get_many(tx, sorted({each.name for each in found}))
    return View(
        revision=tx.revision,
        whole=False,
        changed=current,
        purged=frozenset({each.name for each in found} - set(current)),
        touched_pools=frozenset(touched),
        trees=trees.read(tx, sorted(touched)),
        devices=_devices(tx) if devices or room or retry else None,
    )

"""What is read beside objects to show them, in a few queries whatever their number."""

from collections.abc import Collection, Sequence

from api.conversion.statuses import Facts
from lbaas.model.names import pool_of_member
from lbaas.model.objects import HealthMonitor, Member, Pool, StoredObject, Vip
from lbaas.store import health_monitors, objects, pools, rejections
from lbaas.store.transaction import Transaction


def of_tenant_objects(tx: Transaction, shown: Sequence[StoredObject]) -> Facts:
    """Gives the facts of any tenant's objects, of all kinds at once."""
    homes = {pool_of_member(each.name) for each in shown if isinstance(each, Member)}
    homes |= {each.pool for each in shown if isinstance(each, Vip)}
    own = [each.name for each in shown if isinstance(each, Pool)]
    monitors = [each.name for each in shown if isinstance(each, HealthMonitor)]
    return Facts(
        rejections=rejections.of(tx, [each.name for each in shown]),
        pools=_pools(tx, homes),
        vips=pools.vip_names(tx, own) if own else {},
        monitored=health_monitors.pools_of(tx, monitors) if monitors else {},
    )


def none(tx: Transaction, shown: Sequence[StoredObject]) -> Facts:  # noqa: ARG001
    """Gives the facts of an operator's objects: there are none beside themselves."""
    return Facts()


def _pools(tx: Transaction, names: Collection[str]) -> dict[str, Pool]:
    found = objects.get_many(tx, sorted(names)) if names else {}
    return {name: pool for name, pool in found.items() if isinstance(pool, Pool)}

"""Traffic as the nodes' Envoys counted it: kept so that figures never fall.

A row is of one object on one node: what the Envoy that runs there has counted, and what those
before it did. Nothing here takes a revision. Rows go with their object; those of a node that is
gone for good are added up under no node.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, func, insert, select, update

from lbaas.model.names import MEMBER, POOL, VIP
from lbaas.model.objects import EPOCH
from lbaas.model.reports import COUNTERS, SAME_START, Traffic, fell, total
from lbaas.store import tables
from lbaas.store.objects import by_kind
from lbaas.store.shelf import AnyRow, chunks
from lbaas.store.tables import traffic as table
from lbaas.store.transaction import Transaction

NO_NODE = ""
"""The node of what is kept of nodes that are gone for good."""

Counted = tuple[str, str, datetime, Traffic]
"""An object's name, a node's, when that node's Envoy started, what it has counted since."""


@dataclass(frozen=True, slots=True)
class StoredTraffic:
    """What is stored of an object on a node.

    `traffic` is what the Envoy that started at `envoy_start` has counted, `before` what all
    those before it did on the node. What is open now is not stored: `active_connections` is 0.
    """

    envoy_start: datetime
    traffic: Traffic
    before: Traffic


def save(tx: Transaction, counted: Sequence[Counted]) -> None:
    """Stores what Envoys have counted, in place of what they had before.

    An Envoy that started anew, or a counter that fell, begins on top of what was counted till
    then. Of several figures of an object on a node the last one counts. Figures of an object
    that is not there, purged in the meantime, are passed over.
    """
    newest = {(name, node): (start, figures) for name, node, start, figures in counted}
    there = _there(tx, {name for name, _ in newest})
    stored = _read(tx, sorted(there))
    added: list[dict[str, object]] = []
    changed: list[dict[str, object]] = []
    for (name, node), (start, figures) in sorted(newest.items(), key=lambda item: item[0]):
        if name not in there:
            continue
        old = stored.get(name, {}).get(node)
        if old is None:
            added.append(_row(name, node, StoredTraffic(start, figures, Traffic())))
        else:
            now = _followed(old, start, figures)
            changed.append({f"new_{key}": value for key, value in _row(name, node, now).items()})
    if added:
        tx.connection.execute(insert(table), added)
    if changed:
        tx.connection.execute(_UPDATE, changed)


def totals(tx: Transaction) -> Mapping[str, Mapping[str, StoredTraffic]]:
    """Gives all that is stored, by object and node; of nodes gone for good under `NO_NODE`."""
    return _by_name(tx.connection.execute(select(table)))


def forget(tx: Transaction, names: Iterable[str]) -> None:
    """Takes away what is stored of objects."""
    for keys in chunks(names):
        tx.connection.execute(delete(table).where(table.c.name.in_(keys)))


def fold(tx: Transaction, nodes: Iterable[str]) -> None:
    """Adds up, under `NO_NODE`, what nodes counted that are gone for good."""
    for keys in chunks(node for node in nodes if node != NO_NODE):
        gone = table.c.node.in_(keys)
        # What is under no node already is added in, and stored anew with it.
        of = select(table.c.name).where(gone).distinct()
        mine = table.c.name.in_(of) & (gone | (table.c.node == NO_NODE))
        sums = [
            func.sum(table.c[each] + table.c[f"{each}_before"]).label(each) for each in COUNTERS
        ]
        rows = tx.connection.execute(select(table.c.name, *sums).where(mine).group_by(table.c.name))
        summed = [
            _row(row.name, NO_NODE, StoredTraffic(EPOCH, Traffic(), _traffic(row))) for row in rows
        ]
        if summed:
            tx.connection.execute(delete(table).where(mine))
            tx.connection.execute(insert(table), summed)


_UPDATE = (
    update(table)
    .where(table.c.name == bindparam("new_name"), table.c.node == bindparam("new_node"))
    .values(
        {
            column: bindparam(f"new_{column.name}")
            for column in table.columns
            if not column.primary_key
        }
    )
)


def _followed(old: StoredTraffic, start: datetime, figures: Traffic) -> StoredTraffic:
    """Gives what is stored after an Envoy's next figures."""
    if abs(start - old.envoy_start) <= SAME_START and not fell(figures, old.traffic):
        return StoredTraffic(old.envoy_start, figures, old.before)
    return StoredTraffic(start, figures, total(old.before, old.traffic))


def _there(tx: Transaction, names: Iterable[str]) -> frozenset[str]:
    """Gives those names of which there is an object."""
    kinds = by_kind(names)
    return frozenset(
        name
        for kind, shelf in ((POOL, tables.pools), (MEMBER, tables.members), (VIP, tables.vips))
        for keys in chunks(kinds.get(kind, ()))
        for name in tx.connection.execute(
            select(shelf.c.name).where(shelf.c.name.in_(keys))
        ).scalars()
    )


def _read(tx: Transaction, names: Iterable[str]) -> Mapping[str, Mapping[str, StoredTraffic]]:
    return _by_name(
        row
        for keys in chunks(names)
        for row in tx.connection.execute(select(table).where(table.c.name.in_(keys)))
    )


def _by_name(rows: Iterable[AnyRow]) -> dict[str, dict[str, StoredTraffic]]:
    found: defaultdict[str, dict[str, StoredTraffic]] = defaultdict(dict)
    for row in rows:
        found[row.name][row.node] = StoredTraffic(
            row.envoy_start, _traffic(row), _traffic(row, "_before")
        )
    return dict(found)


def _traffic(row: AnyRow, when: str = "") -> Traffic:
    # PostgreSQL's sums are decimals.
    return Traffic(**{each: int(getattr(row, f"{each}{when}")) for each in COUNTERS})


def _row(name: str, node: str, stored: StoredTraffic) -> dict[str, object]:
    return {
        "name": name,
        "node": node,
        "envoy_start": stored.envoy_start,
        **{each: getattr(stored.traffic, each) for each in COUNTERS},
        **{f"{each}_before": getattr(stored.before, each) for each in COUNTERS},
    }

"""Traffic: what each node's Envoy counted of an object, and what those before it did."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, tuple_

from lbaas.model.reports import Traffic
from lbaas.store.shelf import CHUNK
from lbaas.store.tables import COUNTERS, traffic
from lbaas.store.transaction import Transaction

SAME_START = timedelta(seconds=3)
"""Two starts of an Envoy that are nearer than this are one: agents know it to two seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTraffic:
    """What one node counted: `traffic` by the Envoy of `envoy_start`, `before` by earlier ones."""

    envoy_start: datetime
    traffic: Traffic
    before: Traffic


def save(tx: Transaction, counted: Iterable[tuple[str, str, datetime, Traffic]]) -> None:
    """Stores what Envoys counted: (object, node, the Envoy's start, its figures since then).

    Another start, or a figure that is lower than before, means another Envoy: what was stored is
    then of those before. Takes no revision.
    """
    rows = {(name, node): (start, figures) for name, node, start, figures in counted}
    every = list(rows)
    for keys in (every[at : at + CHUNK] for at in range(0, len(every), CHUNK)):
        own = tuple_(traffic.c.name, traffic.c.node).in_(keys)
        known = {
            (row.name, row.node): row for row in tx.connection.execute(select(traffic).where(own))
        }
        tx.connection.execute(delete(traffic).where(own))
        values = []
        for key in keys:
            start, figures = rows[key]
            now = {counter: getattr(figures, counter) for counter in COUNTERS}
            before = dict.fromkeys(COUNTERS, 0)
            if (row := known.get(key)) is not None:
                old = {counter: getattr(row, counter) for counter in COUNTERS}
                before = {counter: getattr(row, f"{counter}_before") for counter in COUNTERS}
                if abs(start - row.envoy_start) > SAME_START or any(
                    now[counter] < old[counter] for counter in COUNTERS
                ):
                    before = {counter: before[counter] + old[counter] for counter in COUNTERS}
            values.append(
                {
                    "name": key[0],
                    "node": key[1],
                    "envoy_start": start,
                    **now,
                    **{f"{counter}_before": before[counter] for counter in COUNTERS},
                }
            )
        tx.connection.execute(insert(traffic), values)


def totals(tx: Transaction) -> Mapping[str, Mapping[str, StoredTraffic]]:
    """Gives what is stored, by object and node."""
    found: defaultdict[str, dict[str, StoredTraffic]] = defaultdict(dict)
    for row in tx.connection.execute(select(traffic)):
        found[row.name][row.node] = StoredTraffic(
            envoy_start=row.envoy_start,
            traffic=Traffic(**{counter: getattr(row, counter) for counter in COUNTERS}),
            before=Traffic(**{counter: getattr(row, f"{counter}_before") for counter in COUNTERS}),
        )
    return found

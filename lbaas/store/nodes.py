"""Nodes as last seen, so that a restart of the control plane counts whom it counted before."""

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, delete, insert, select, true

from lbaas.model.names import fleet_of_node
from lbaas.model.objects import Node
from lbaas.store import traffic
from lbaas.store.shelf import chunks
from lbaas.store.tables import nodes
from lbaas.store.transaction import Transaction


def save(tx: Transaction, seen: Sequence[Node]) -> None:
    """Stores nodes, each in place of what was known of it; takes no revision."""
    newest = {node.name: node for node in seen}
    _remove(tx, newest)
    if newest:
        tx.connection.execute(
            insert(nodes),
            [
                {
                    "name": node.name,
                    "fleet": fleet_of_node(node.name),
                    "envoy_version": node.envoy_version,
                    "counted": node.counted,
                    "joined_rev": node.joined_rev,
                    "last_seen": node.last_seen,
                    "agent": node.agent,
                    "ping": node.ping,
                    "canary": node.canary,
                }
                for node in newest.values()
            ],
        )


def forget(tx: Transaction, names: Iterable[str]) -> None:
    """Takes nodes out of the store; what they counted is kept, though not by node."""
    gone = list(names)
    traffic.fold(tx, gone)
    _remove(tx, gone)


def _remove(tx: Transaction, names: Iterable[str]) -> None:
    for keys in chunks(names):
        tx.connection.execute(delete(nodes).where(nodes.c.name.in_(keys)))


def of(tx: Transaction, fleet: str) -> tuple[Node, ...]:
    """Gives the nodes of a fleet, as last seen, sorted by name."""
    return _read(tx, nodes.c.fleet == fleet)


def counted(tx: Transaction, fleet: str) -> tuple[Node, ...]:
    """Gives the nodes of a fleet that count, as last seen, sorted by name."""
    return _read(tx, nodes.c.fleet == fleet, nodes.c.counted == true())


def all(tx: Transaction) -> tuple[Node, ...]:  # noqa: A001 - read as `nodes.all(tx)`
    """Gives every node, sorted by name."""
    return _read(tx)


def _read(tx: Transaction, *conditions: ColumnElement[bool]) -> tuple[Node, ...]:
    return tuple(
        Node(
            name=row.name,
            envoy_version=row.envoy_version,
            counted=row.counted,
            joined_rev=row.joined_rev,
            last_seen=row.last_seen,
            agent=row.agent,
            ping=row.ping,
            canary=row.canary,
        )
        for row in tx.connection.execute(select(nodes).where(*conditions).order_by(nodes.c.name))
    )

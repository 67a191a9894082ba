"""Tombstones: what a node may hold though it does not say so, until every node is in step."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from sqlalchemy import and_, delete, insert, select

from lbaas.model.objects import Tombstone
from lbaas.store.shelf import chunks
from lbaas.store.tables import tombstones
from lbaas.store.transaction import Transaction

Key = tuple[str, str, str]
"""What identifies a tombstone: fleet, type URL, resource."""


def all(tx: Transaction) -> tuple[Tombstone, ...]:  # noqa: A001 - read as `tombstones.all(tx)`
    """Gives every tombstone, sorted by fleet, type and resource."""
    query = select(tombstones).order_by(
        tombstones.c.fleet, tombstones.c.type_url, tombstones.c.resource
    )
    return tuple(
        Tombstone(fleet=row.fleet, type_url=row.type_url, resource=row.resource, rev=row.rev)
        for row in tx.connection.execute(query)
    )


def save(tx: Transaction, new: Sequence[Tombstone]) -> None:
    """Stores tombstones, each in place of an older one of the same resource."""
    newest = {key_of(each): each for each in new}
    drop(tx, newest)
    if newest:
        tx.connection.execute(
            insert(tombstones),
            [
                {
                    "fleet": each.fleet,
                    "type_url": each.type_url,
                    "resource": each.resource,
                    "rev": each.rev,
                }
                for each in newest.values()
            ],
        )


def drop(tx: Transaction, keys: Iterable[Key]) -> None:
    """Takes tombstones away: every node is in step with what they stood for."""
    for (fleet, type_url), some in groupby(sorted(keys), key=lambda key: key[:2]):
        for names in chunks(resource for _, _, resource in some):
            tx.connection.execute(
                delete(tombstones).where(
                    and_(tombstones.c.fleet == fleet, tombstones.c.type_url == type_url),
                    tombstones.c.resource.in_(names),
                )
            )


def key_of(tombstone: Tombstone) -> Key:
    """Gives what identifies a tombstone."""
    return (tombstone.fleet, tombstone.type_url, tombstone.resource)

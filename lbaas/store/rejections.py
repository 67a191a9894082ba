"""Rejections: what an Envoy refused, in its own words, kept until it is out of force."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, insert, select

from lbaas.model.objects import Rejection
from lbaas.store.shelf import AnyRow, chunks
from lbaas.store.tables import rejection_objects, rejections
from lbaas.store.transaction import Transaction

Key = tuple[str, str, str, str]
"""What identifies a rejection: fleet, node, type URL, resource."""

_OBJECTS = select(
    rejection_objects.c.rejection, rejection_objects.c.name, rejection_objects.c.spec_rev
).order_by(rejection_objects.c.name)


def of(tx: Transaction, names: Iterable[str]) -> Mapping[str, tuple[Rejection, ...]]:
    """Gives the rejections attributed to each object; one without is not in it.

    Whether they are in force is the model's to say (`status.in_force`).
    """
    ids: set[int] = set()
    wanted = set(names)
    for keys in chunks(wanted):
        ids.update(
            tx.connection.execute(
                select(rejection_objects.c.rejection).where(rejection_objects.c.name.in_(keys))
            ).scalars()
        )
    found: defaultdict[str, list[Rejection]] = defaultdict(list)
    for rejection in _read(tx, ids):
        for name, _ in rejection.objects:
            if name in wanted:
                found[name].append(rejection)
    return {name: tuple(those) for name, those in found.items()}


def all(tx: Transaction) -> tuple[Rejection, ...]:  # noqa: A001 - read as `rejections.all(tx)`
    """Gives every rejection there is, sorted by fleet, node, type and resource."""
    return _read(tx, None)


def save(tx: Transaction, new: Sequence[Rejection]) -> None:
    """Stores rejections, each in place of the one of the same node and resource."""
    for rejection in new:
        drop(tx, [key_of(rejection)])
        added = tx.connection.execute(
            insert(rejections).values(
                fleet=rejection.fleet,
                node=rejection.node,
                type_url=rejection.type_url,
                resource=rejection.resource,
                version=rejection.version,
                message=rejection.message,
                time=rejection.time,
                last_good=rejection.last_good,
                last_good_version=rejection.last_good_version,
                translator_version=rejection.translator_version,
                alone=rejection.alone,
            )
        )
        (number,) = added.inserted_primary_key or (0,)
        rows = [
            {"rejection": number, "name": name, "spec_rev": rev}
            for name, rev in dict(rejection.objects).items()
        ]
        if rows:
            tx.connection.execute(insert(rejection_objects), rows)
        for name, _ in rejection.objects:
            tx.touch(name)


def drop(tx: Transaction, keys: Iterable[Key]) -> None:
    """Forgets rejections; the objects' statuses may change with it."""
    for fleet, node, type_url, resource in keys:
        number = tx.connection.execute(
            select(rejections.c.id).where(
                rejections.c.fleet == fleet,
                rejections.c.node == node,
                rejections.c.type_url == type_url,
                rejections.c.resource == resource,
            )
        ).scalar_one_or_none()
        if number is not None:
            _forget(tx, number)


def drop_of(tx: Transaction, names: Iterable[str]) -> None:
    """Forgets the rejections of objects that are gone, where no other object is left in them."""
    for keys in chunks(names):
        touched = set(
            tx.connection.execute(
                select(rejection_objects.c.rejection).where(rejection_objects.c.name.in_(keys))
            ).scalars()
        )
        tx.connection.execute(delete(rejection_objects).where(rejection_objects.c.name.in_(keys)))
        kept = set(
            tx.connection.execute(
                select(rejection_objects.c.rejection).where(
                    rejection_objects.c.rejection.in_(touched)
                )
            ).scalars()
        )
        for number in touched - kept:
            _forget(tx, number)


def key_of(rejection: Rejection) -> Key:
    """Gives what identifies a rejection."""
    return (rejection.fleet, rejection.node, rejection.type_url, rejection.resource)


def _forget(tx: Transaction, number: int) -> None:
    concerned = tx.connection.execute(
        select(rejection_objects.c.name).where(rejection_objects.c.rejection == number)
    )
    for name in concerned.scalars():
        tx.touch(name)
    tx.connection.execute(delete(rejections).where(rejections.c.id == number))


def _read(tx: Transaction, ids: set[int] | None) -> tuple[Rejection, ...]:
    query = select(rejections).order_by(
        rejections.c.fleet, rejections.c.node, rejections.c.type_url, rejections.c.resource
    )
    objects = _OBJECTS
    if ids is not None:
        if not ids:
            return ()
        query = query.where(rejections.c.id.in_(ids))
        objects = objects.where(rejection_objects.c.rejection.in_(ids))
    concerned: defaultdict[int, list[tuple[str, int]]] = defaultdict(list)
    for row in tx.connection.execute(objects):
        concerned[row.rejection].append((row.name, row.spec_rev))
    return tuple(
        _rejection(row, tuple(concerned.get(row.id, ()))) for row in tx.connection.execute(query)
    )


def _rejection(row: AnyRow, objects: tuple[tuple[str, int], ...]) -> Rejection:
    return Rejection(
        fleet=row.fleet,
        node=row.node,
        type_url=row.type_url,
        resource=row.resource,
        version=row.version,
        message=row.message,
        objects=objects,
        time=row.time,
        last_good=bytes(row.last_good),
        last_good_version=row.last_good_version,
        translator_version=row.translator_version,
        alone=row.alone,
    )

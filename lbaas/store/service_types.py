"""Commands on service types: what a tenant may ask for. At most one is the default."""

import dataclasses
from collections.abc import Callable

from sqlalchemy import select

from lbaas.model.errors import FailedPrecondition, InvalidArgument
from lbaas.model.filter import EVERY, Filter
from lbaas.model.objects import ServiceType
from lbaas.model.rules import changed_immutables, check_service_type, rendered
from lbaas.store.feed import Action
from lbaas.store.shelf import check_etag
from lbaas.store.shelves import FLEETS, SERVICE_TYPES
from lbaas.store.tables import pools
from lbaas.store.tables import service_types as table
from lbaas.store.transaction import Transaction

DEFAULT = "serviceTypes/default"


def ensure_default(tx: Transaction) -> None:
    """Makes the default service type in a store where nothing was ever written."""
    if tx.revision == 0:
        create(
            tx,
            ServiceType(
                name=DEFAULT,
                default=True,
                display_name="Default",
                description="What a pool gets that asks for nothing in particular.",
            ),
        )


def create(tx: Transaction, service_type: ServiceType) -> ServiceType:
    """Stores a new service type; as the default it takes the place of the one before.

    Raises:
        InvalidArgument, AlreadyExists.
    """
    if violations := check_service_type(service_type):
        raise InvalidArgument(violations)
    SERVICE_TYPES.free(tx, service_type.name)
    _yield_default(tx, service_type)
    stored = SERVICE_TYPES.add(tx, service_type)
    tx.record(stored.name, "", Action.CREATED)
    return stored


def get(tx: Transaction, name: str) -> ServiceType:
    """Gives a service type, or raises NotFound."""
    return SERVICE_TYPES.get(tx, name)


def default(tx: Transaction) -> ServiceType | None:
    """Gives the default service type, or None if the operator has none."""
    found = SERVICE_TYPES.where(tx, table.c.default.is_(True))
    return found[0] if found else None


def update(
    tx: Transaction,
    name: str,
    change: Callable[[ServiceType], ServiceType],
    *,
    etag: str = "",
) -> ServiceType:
    """Changes a service type; no difference, no write. Placed pools stay where they are.

    Raises:
        NotFound, Aborted (etag), InvalidArgument.
    """
    before = SERVICE_TYPES.get(tx, name)
    check_etag(name, before.record, etag)
    after = dataclasses.replace(change(before), name=name, record=before.record)
    if after == before:
        return before
    if violations := (*check_service_type(after), *changed_immutables(before, after)):
        raise InvalidArgument(violations)
    _yield_default(tx, after)
    stored = SERVICE_TYPES.changed(tx, after, spec=rendered(after) != rendered(before))
    tx.record(name, "", Action.UPDATED)
    return stored


def delete(tx: Transaction, name: str, *, etag: str = "") -> ServiceType:
    """Takes a service type away at once; raises FailedPrecondition while it is used."""
    found = SERVICE_TYPES.get(tx, name)
    check_etag(name, found.record, etag)
    user = tx.connection.execute(
        select(pools.c.name).where(pools.c.service_type == name).order_by(pools.c.name).limit(1)
    ).scalar_one_or_none()
    if user is None:
        user = next((fleet.name for fleet in FLEETS.where(tx) if name in fleet.service_types), None)
    if user is not None:
        raise FailedPrecondition(
            f"service type {name!r} is used by {user!r}",
            reason="SERVICE_TYPE_IN_USE",
            subject=str(user),
        )
    gone = SERVICE_TYPES.deleted(tx, found)
    SERVICE_TYPES.remove(tx, name)
    tx.record(name, "", Action.DELETED)
    return gone


def page(
    tx: Transaction,
    *,
    filter: Filter = EVERY,  # noqa: A002 - the API's word
    after: str = "",
    limit: int,
) -> tuple[ServiceType, ...]:
    """Gives service types after a name, sorted."""
    return SERVICE_TYPES.page(tx, filter=filter, after=after, limit=limit)


def every(tx: Transaction) -> tuple[ServiceType, ...]:
    """Gives all service types, sorted by name."""
    return SERVICE_TYPES.where(tx)


def _yield_default(tx: Transaction, new: ServiceType) -> None:
    """Takes the default mark off another service type if the new one bears it."""
    if not new.default:
        return
    for other in SERVICE_TYPES.where(tx, table.c.default.is_(True), table.c.name != new.name):
        SERVICE_TYPES.changed(tx, dataclasses.replace(other, default=False), spec=True)
        tx.record(other.name, "", Action.UPDATED)

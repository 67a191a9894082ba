"""Commands on fleets: the devices that pools are placed on."""

import dataclasses
from collections.abc import Callable

from lbaas.model.errors import FailedPrecondition, InvalidArgument
from lbaas.model.filter import EVERY, Filter
from lbaas.model.objects import Fleet
from lbaas.model.rules import changed_immutables, check_fleet, rendered
from lbaas.store import addresses, nodes
from lbaas.store.feed import Action
from lbaas.store.shelf import check_etag
from lbaas.store.shelves import FLEETS, SERVICE_TYPES
from lbaas.store.transaction import Transaction


def create(tx: Transaction, fleet: Fleet) -> Fleet:
    """Stores a new fleet, which carries nothing yet.

    Raises:
        InvalidArgument, NotFound (a service type), AlreadyExists.
    """
    _check(tx, fleet)
    FLEETS.free(tx, fleet.name)
    stored = FLEETS.add(tx, dataclasses.replace(fleet, pools=0))
    tx.record(stored.name, "", Action.CREATED)
    return stored


def get(tx: Transaction, name: str) -> Fleet:
    """Gives a fleet, or raises NotFound."""
    return FLEETS.get(tx, name)


def update(
    tx: Transaction, name: str, change: Callable[[Fleet], Fleet], *, etag: str = ""
) -> Fleet:
    """Changes a fleet; no difference, no write. Pools that it carries stay.

    VIPs that waited for an address may get one from wider ranges.

    Raises:
        NotFound (also a service type), Aborted (etag), InvalidArgument.
    """
    before = FLEETS.get(tx, name)
    check_etag(name, before.record, etag)
    after = dataclasses.replace(
        change(before),
        name=name,
        pools=before.pools,
        removals_allowed_rev=before.removals_allowed_rev,
        record=before.record,
    )
    if after == before:
        return before
    if violations := changed_immutables(before, after):
        raise InvalidArgument((*check_fleet(after), *violations))
    _check(tx, after)
    stored = FLEETS.changed(tx, after, spec=rendered(after) != rendered(before))
    tx.record(name, "", Action.UPDATED)
    if after.vip_ranges != before.vip_ranges:
        addresses.retry(tx, name)
    return stored


def set_draining(tx: Transaction, name: str, draining: bool) -> Fleet:
    """Says whether a fleet takes new pools; who moves those it carries reads it here."""
    return update(tx, name, lambda fleet: dataclasses.replace(fleet, draining=draining))


def allow_removals(tx: Transaction, name: str, *, etag: str = "") -> Fleet:
    """Says that the removals which are withheld from a fleet's nodes now may go.

    It takes a revision of its own: who withholds them lets go what was withheld before it.

    Raises:
        NotFound, Aborted (etag).
    """
    fleet = FLEETS.get(tx, name)
    check_etag(name, fleet.record, etag)
    word = dataclasses.replace(fleet, removals_allowed_rev=tx.next_revision())
    stored = FLEETS.changed(tx, word, spec=False)
    tx.record(name, "", Action.UPDATED)
    return stored


def delete(tx: Transaction, name: str, *, etag: str = "") -> Fleet:
    """Takes a fleet away at once, its nodes' rows too.

    Raises:
        NotFound, Aborted (etag), FailedPrecondition (it carries pools).
    """
    fleet = FLEETS.get(tx, name)
    check_etag(name, fleet.record, etag)
    if fleet.pools:
        raise FailedPrecondition(
            f"fleet {name!r} carries {fleet.pools} pools; those must go first",
            reason="FLEET_IN_USE",
            subject=name,
        )
    gone = FLEETS.deleted(tx, fleet)
    FLEETS.remove(tx, name)
    nodes.forget(tx, [node.name for node in nodes.of(tx, name)])
    tx.record(name, "", Action.DELETED)
    return gone


def page(
    tx: Transaction,
    *,
    filter: Filter = EVERY,  # noqa: A002 - the API's word
    after: str = "",
    limit: int,
) -> tuple[Fleet, ...]:
    """Gives fleets after a name, sorted."""
    return FLEETS.page(tx, filter=filter, after=after, limit=limit)


def every(tx: Transaction) -> tuple[Fleet, ...]:
    """Gives all fleets, sorted by name."""
    return FLEETS.where(tx)


def _check(tx: Transaction, fleet: Fleet) -> None:
    if violations := check_fleet(fleet):
        raise InvalidArgument(violations)
    for name in fleet.service_types:
        SERVICE_TYPES.get(tx, name)

"""Commands on VIPs."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from lbaas.model.errors import InvalidArgument, LbaasError, NotFound, Violation
from lbaas.model.filter import EVERY, Filter
from lbaas.model.names import POOL, project_of
from lbaas.model.objects import Pool, Vip
from lbaas.model.rules import changed_immutables, check_vip, check_vip_against_pool, rendered
from lbaas.store import addresses, fitting, placements, quotas
from lbaas.store.assembly import living, living_vips, shape
from lbaas.store.feed import Action
from lbaas.store.parents import of_project
from lbaas.store.shelf import check_etag
from lbaas.store.shelves import VIPS
from lbaas.store.tables import vips as table
from lbaas.store.transaction import Transaction


def create(tx: Transaction, vip: Vip) -> Vip:
    """Stores a new VIP; on a placed pool it gets and holds its address at once.

    That of a VIP of its project which is being deleted too.

    Raises:
        InvalidArgument, NotFound (the pool), AlreadyExists (the name; ADDRESS_IN_USE),
        QuotaExceeded, FailedPrecondition (the pool is being deleted; its fleet cannot serve it).
    """
    pool = _pool(tx, vip)
    VIPS.free(tx, vip.name)
    quotas.take(tx, project_of(vip.name), quotas.VIPS)
    before = shape(tx, pool)
    wanted = dataclasses.replace(vip, address_in_use_by="")
    after = dataclasses.replace(before, vips=(*before.vips, wanted))
    fleet = fitting.admit(tx, before, after)
    if fleet is None:
        stored = VIPS.add(tx, wanted)
    else:
        carrying = placements.homes(tx, pool.name)
        stored = VIPS.add(tx, addresses.claim(tx, carrying, wanted))
        addresses.hold(tx, carrying, stored, allocated=not vip.address)
    tx.record(stored.name, stored.pool, Action.CREATED)
    return stored


def get(tx: Transaction, name: str) -> Vip:
    """Gives a VIP, one being deleted too, or raises NotFound."""
    return VIPS.get(tx, name)


def update(tx: Transaction, name: str, change: Callable[[Vip], Vip], *, etag: str = "") -> Vip:
    """Changes a VIP; no difference, no write. An address left empty stays as it is.

    Raises:
        NotFound, Aborted (etag), InvalidArgument, AlreadyExists (ADDRESS_IN_USE, where another
        pool brings it to another fleet), FailedPrecondition (being deleted; the fleet cannot
        serve the change).
    """
    before = VIPS.living(tx, name)
    check_etag(name, before.record, etag)
    wanted = change(before)
    after = dataclasses.replace(
        wanted,
        name=name,
        address=wanted.address or before.address,
        address_in_use_by=before.address_in_use_by,
        record=before.record,
    )
    if after == before:
        return before
    pool = _pool(tx, after, changed_immutables(before, after))
    if after.pool != before.pool:
        after = _repoint(tx, before, after, pool=pool)
    elif rendered(after) != rendered(before):
        tree = shape(tx, pool)
        rest = tuple(vip for vip in tree.vips if vip.name != name)
        fitting.admit(tx, tree, dataclasses.replace(tree, vips=(*rest, after)))
        # Who loses the placement may lose an allocated address with it.
        now = VIPS.get(tx, name)
        after = dataclasses.replace(
            after, address=now.address, address_in_use_by=now.address_in_use_by
        )
    stored = VIPS.changed(tx, after, spec=rendered(after) != rendered(before))
    tx.record(name, stored.pool, Action.UPDATED)
    return stored


def delete(tx: Transaction, name: str, *, etag: str = "") -> Vip:
    """Marks a VIP deleted; it holds its address until every Envoy has let go of it.

    Or until another VIP of its project takes the address over: Envoys are told of both together.
    """
    vip = VIPS.get(tx, name)
    check_etag(name, vip.record, etag)
    if vip.record.deleted_rev:
        return vip
    quotas.give_back(tx, project_of(name), quotas.VIPS)
    gone = VIPS.deleted(tx, vip)
    tx.record(name, vip.pool, Action.DELETED)
    return gone


def page(
    tx: Transaction,
    parent: str,
    *,
    filter: Filter = EVERY,  # noqa: A002 - the API's word
    after: str = "",
    limit: int,
) -> tuple[Vip, ...]:
    """Gives VIPs after a name, sorted. `projects/-`: of all projects."""
    return VIPS.page(tx, *of_project(parent, table), filter=filter, after=after, limit=limit)


def vips_of(tx: Transaction, pools: Iterable[str]) -> Mapping[str, tuple[Vip, ...]]:
    """Gives the living VIPs of some pools, sorted by name; a pool without is not in it."""
    found: dict[str, tuple[Vip, ...]] = {}
    for vip in living_vips(tx, pools):
        found[vip.pool] = (*found.get(vip.pool, ()), vip)
    return found


def _pool(tx: Transaction, vip: Vip, more: Sequence[Violation] = ()) -> Pool:
    """Gives the VIP's pool after all rules, those that the pool sets included.

    Another project's pool is simply not there.
    """
    if POOL.parse(vip.pool) and project_of(vip.pool) != project_of(vip.name):
        raise NotFound(POOL.title, vip.pool)
    violations = (*check_vip(vip), *more)
    try:
        pool = living(tx, vip.pool)
    except LbaasError:
        # What is wrong whatever is stored is told first.
        if violations:
            raise InvalidArgument(violations) from None
        raise
    if violations := (*violations, *check_vip_against_pool(vip, pool)):
        raise InvalidArgument(violations)
    return pool


def _repoint(tx: Transaction, before: Vip, after: Vip, *, pool: Pool) -> Vip:
    """Brings a VIP to another pool, and so perhaps to another fleet, its address with it."""
    left = addresses.held_on(tx, [after.name])
    allocated = addresses.release(tx, [after.name])
    tx.record(after.name, before.pool, Action.UPDATED)
    for name in sorted(left):
        addresses.retry(tx, name)
    free = dataclasses.replace(after, address_in_use_by="")
    tree = shape(tx, pool)
    fleet = fitting.admit(tx, tree, dataclasses.replace(tree, vips=(*tree.vips, free)))
    if fleet is None:
        return free
    carrying = placements.homes(tx, pool.name)
    placed = addresses.claim(tx, carrying, free)
    held = after.name in allocated or not before.address
    addresses.hold(tx, carrying, placed, allocated=held)
    return placed

"""Placements: which fleet carries a pool, and what a fleet carries."""

import dataclasses

from sqlalchemy import delete, insert, or_, select, update

from lbaas.model.errors import FailedPrecondition
from lbaas.model.objects import Fleet, Placement, Vip
from lbaas.store import addresses, drains
from lbaas.store.assembly import PLACEMENTS, living_vips, placement_of
from lbaas.store.feed import Action
from lbaas.store.shelves import FLEETS, MEMBERS, POOLS, VIPS
from lbaas.store.tables import fleets, members, placements, pools, vips
from lbaas.store.transaction import Transaction


def find(tx: Transaction, pool: str) -> Placement | None:
    """Gives a pool's placement, or None if nobody has decided yet."""
    row = tx.connection.execute(PLACEMENTS.where(placements.c.pool == pool)).one_or_none()
    return None if row is None else placement_of(row)


def place(tx: Transaction, pool: str, *, fleet: str, reason: str) -> Placement:
    """Places a pool on a fleet, or notes why it can be nowhere.

    Takes a revision, unless this is how the pool is placed already. VIPs without an address get
    one from the fleet's ranges; a VIP whose address is taken there is marked, and the placement
    stands. A pool that moves is pending again with all its members and VIPs.

    Args:
        tx: the transaction.
        pool: the pool's name.
        fleet: the fleet's name, or "" for nowhere.
        reason: why this fleet, or every fleet's refusal.

    Raises:
        NotFound: no such pool or fleet.
        FailedPrecondition: the pool is being deleted; the fleet is full (FLEET_FULL), or cannot
            have a VIP's address (ADDRESS_NOT_ON_FLEET).
    """
    living = POOLS.living(tx, pool)
    before = find(tx, pool)
    if (
        before is not None
        and (before.fleet, before.reason) == (fleet, reason)
        # A refusal is of the pool as it was: one that changed since is refused anew.
        and (fleet or before.rev >= living.record.spec_rev)
    ):
        return before
    left = before.fleet if before is not None else ""
    after = Placement(fleet=fleet, reason=reason, time=tx.now, rev=tx.next_revision())
    if fleet != left:
        if left:
            _leave(tx, pool, left)
        if fleet:
            _arrive(tx, pool, FLEETS.get(tx, fleet))
    _put(tx, pool, after)
    tx.record(pool, pool, Action.MOVED if left and fleet != left else Action.PLACED)
    return after


def drop(tx: Transaction, pool: str) -> None:
    """Forgets a pool's placement, so that it is placed anew; nothing of it is live yet."""
    before = find(tx, pool)
    if before is None:
        return
    if before.fleet:
        _leave(tx, pool, before.fleet)
    drains.cut(tx, pool)
    tx.connection.execute(delete(placements).where(placements.c.pool == pool))
    tx.record(pool, pool, Action.UPDATED)


def count_out(tx: Transaction, fleet: str) -> None:
    """Counts one pool less on a fleet."""
    tx.connection.execute(
        update(fleets).where(fleets.c.name == fleet).values(pools=fleets.c.pools - 1)
    )


def _put(tx: Transaction, pool: str, placement: Placement) -> None:
    tx.connection.execute(delete(placements).where(placements.c.pool == pool))
    tx.connection.execute(
        insert(placements).values(
            pool=pool,
            fleet=placement.fleet,
            reason=placement.reason,
            time=placement.time,
            rev=placement.rev,
            leaving=placement.leaving,
        )
    )


def _leave(tx: Transaction, pool: str, fleet: str) -> None:
    """Takes a pool off a fleet; its VIPs give back what the fleet chose for them."""
    count_out(tx, fleet)
    mine = living_vips(tx, [pool])
    allocated = addresses.release(tx, [vip.name for vip in mine])
    for vip in mine:
        free = dataclasses.replace(
            vip,
            address="" if vip.name in allocated else vip.address,
            address_in_use_by="",
        )
        if free != vip:
            VIPS.put(tx, free)
    POOLS.unsettle(tx, pools.c.name == pool)
    MEMBERS.unsettle(tx, members.c.pool == pool)
    VIPS.unsettle(tx, vips.c.pool == pool)
    addresses.retry(tx, fleet)


def _arrive(tx: Transaction, pool: str, fleet: Fleet) -> None:
    counted = tx.connection.execute(
        update(fleets)
        .where(
            fleets.c.name == fleet.name,
            or_(fleets.c.max_pools == 0, fleets.c.pools < fleets.c.max_pools),
        )
        .values(pools=fleets.c.pools + 1)
    )
    if not counted.rowcount:
        raise FailedPrecondition(
            f"fleet {fleet.name!r} carries {fleet.max_pools} pools, and may carry no more",
            reason="FLEET_FULL",
            subject=fleet.name,
        )
    # Those that name their address first, or one that takes any might take theirs.
    for vip in sorted(living_vips(tx, [pool]), key=lambda vip: not vip.address):
        _bring(tx, fleet, vip)


def _bring(tx: Transaction, fleet: Fleet, vip: Vip) -> None:
    if why := addresses.lacking(fleet, vip):
        raise FailedPrecondition(
            f"fleet {fleet.name!r} cannot have VIP {vip.name!r}: {why}",
            reason="ADDRESS_NOT_ON_FLEET",
            subject=vip.name,
        )
    settled = addresses.settled(tx, fleet, vip)
    if settled != vip:
        VIPS.put(tx, settled)
        tx.record(vip.name, vip.pool, Action.UPDATED)
    addresses.hold(tx, fleet, settled, allocated=not vip.address)


def carried(tx: Transaction, fleet: str) -> tuple[str, ...]:
    """Gives the names of the pools that a fleet carries, those being deleted too."""
    query = select(placements.c.pool).where(placements.c.fleet == fleet)
    return tuple(tx.connection.execute(query.order_by(placements.c.pool)).scalars())

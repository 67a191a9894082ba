"""Placements: which fleet carries a pool, what a fleet carries, and how a pool moves.

A pool moves with an overlap: the fleet that it leaves serves it, and holds its VIPs' addresses,
until `release`. Till then both fleets count it.
"""

import dataclasses
from collections.abc import Collection, Sequence

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


def serving(placement: Placement | None) -> tuple[str, ...]:
    """Gives the fleets that carry a pool: the one it is placed on, then the one it leaves."""
    if placement is None:
        return ()
    return tuple(fleet for fleet in (placement.fleet, placement.leaving) if fleet)


def homes(tx: Transaction, pool: str) -> tuple[Fleet, ...]:
    """Gives the fleets that carry a pool, as `serving` does."""
    return tuple(FLEETS.get(tx, name) for name in serving(find(tx, pool)))


def place(
    tx: Transaction, pool: str, *, fleet: str, reason: str, overlap: bool = False
) -> Placement:
    """Places a pool on a fleet, or notes why it can be nowhere.

    Takes a revision, unless this is how the pool is placed already. VIPs without an address get
    one from the fleet's ranges; a VIP whose address is taken there is marked, and the placement
    stands. A pool that moves is pending again with all its members and VIPs.

    Args:
        tx: the transaction.
        pool: the pool's name.
        fleet: the fleet's name, or "" for nowhere.
        reason: why this fleet, or every fleet's refusal.
        overlap: a pool that is placed elsewhere is carried by both fleets until `release`. Its
            VIPs keep their addresses, those that a fleet chose too, and hold them on both. Moved
            on before it was released, it keeps the fleet that served it first.

    Raises:
        NotFound: no such pool or fleet.
        FailedPrecondition: the pool is being deleted; the fleet is full (FLEET_FULL), or cannot
            have a VIP's address (ADDRESS_NOT_ON_FLEET); with an overlap, another VIP has a
            VIP's address there (ADDRESS_IN_USE).
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
    carrying = serving(before)
    leaving = _stays(tx, pool, before, fleet) if overlap or carrying[:1] == (fleet,) else ""
    after = Placement(
        fleet=fleet, reason=reason, time=tx.now, rev=tx.next_revision(), leaving=leaving
    )
    moved = bool(carrying) and carrying[0] != fleet
    if moved:
        gone = [each for each in carrying if each not in (fleet, leaving)]
        _leave(tx, pool, gone, kept=len(gone) < len(carrying))
        _unsettle(tx, pool)
    if fleet and fleet not in carrying:
        _arrive(tx, pool, FLEETS.get(tx, fleet), leaving=leaving)
    if moved and not fleet:
        drains.cut(tx, pool)
    _put(tx, pool, after)
    tx.record(pool, pool, Action.MOVED if moved else Action.PLACED)
    if moved:
        _tell(tx, pool)
        if fleet in carrying and not leaving:
            addresses.retry(tx, fleet)
    return after


def close(tx: Transaction, pool: str) -> Placement | None:
    """Has the fleet that a pool leaves take no new connections. Gives the placement, if any.

    Takes a revision, unless the pool is not moving or that is so already; makes nothing pending.
    """
    before = find(tx, pool)
    if before is None or not before.leaving or before.closing:
        return before
    after = dataclasses.replace(before, closing=True)
    _put(tx, pool, after)
    tx.record(pool, pool, Action.MOVED)
    return after


def release(tx: Transaction, pool: str) -> Placement | None:
    """Ends a move: the fleet that a pool leaves lets go of it. Gives the placement, None if none.

    Takes a revision, unless the pool is not moving; makes nothing pending.
    """
    before = find(tx, pool)
    if before is None or not before.leaving:
        return before
    after = dataclasses.replace(before, leaving="", closing=False)
    _put(tx, pool, after)
    _let_go(tx, pool, before.leaving)
    # Marked VIPs had to wait: on the fleet that was left they had no address to serve on.
    addresses.retry(tx, before.fleet)
    tx.record(pool, pool, Action.MOVED)
    _tell(tx, pool)
    return after


def drop(tx: Transaction, pool: str) -> None:
    """Forgets a pool's placement, so that it is placed anew; nothing of it is live yet."""
    before = find(tx, pool)
    if before is None:
        return
    if carrying := serving(before):
        _leave(tx, pool, carrying, kept=False)
        _unsettle(tx, pool)
    drains.cut(tx, pool)
    tx.connection.execute(delete(placements).where(placements.c.pool == pool))
    tx.record(pool, pool, Action.UPDATED)
    _tell(tx, pool)


def count_out(tx: Transaction, fleet: str) -> None:
    """Counts one pool less on a fleet."""
    tx.connection.execute(
        update(fleets).where(fleets.c.name == fleet).values(pools=fleets.c.pools - 1)
    )


def carried(tx: Transaction, fleet: str) -> tuple[str, ...]:
    """Gives the names of the pools that a fleet carries.

    Those being deleted, and those that are leaving it, are among them.
    """
    query = select(placements.c.pool).where(
        or_(placements.c.fleet == fleet, placements.c.leaving == fleet)
    )
    return tuple(tx.connection.execute(query.order_by(placements.c.pool)).scalars())


def _stays(tx: Transaction, pool: str, before: Placement | None, fleet: str) -> str:
    """Gives which of the fleets that carry a pool serves on until `fleet` does, "" for none."""
    if before is None or not fleet or fleet == before.fleet:
        return before.leaving if before is not None and fleet else ""
    if fleet == before.leaving or not before.leaving or _is_live(tx, pool, before.rev):
        return before.fleet
    return before.leaving


def _is_live(tx: Transaction, pool: str, rev: int) -> bool:
    """Tells whether all of a pool that was ever live is live at a revision."""
    records = [POOLS.get(tx, pool).record, *(vip.record for vip in living_vips(tx, [pool]))]
    return not any(0 < record.live_rev < rev for record in records)


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
            closing=placement.closing,
        )
    )


def _leave(tx: Transaction, pool: str, gone: Collection[str], *, kept: bool) -> None:
    """Takes a pool off fleets.

    Unless some fleet is `kept`, its VIPs give back what a fleet chose for them.
    """
    given: set[str] = set()
    for fleet in gone:
        given |= _let_go(tx, pool, fleet)
    for vip in () if kept else living_vips(tx, [pool]):
        free = dataclasses.replace(
            vip, address="" if vip.name in given else vip.address, address_in_use_by=""
        )
        if free != vip:
            VIPS.put(tx, free)
    for fleet in gone:
        addresses.retry(tx, fleet)


def _let_go(tx: Transaction, pool: str, fleet: str) -> frozenset[str]:
    """Takes a pool off one fleet; gives the VIPs whose address there was the fleet's choice."""
    count_out(tx, fleet)
    names = [vip.name for vip in living_vips(tx, [pool])]
    return addresses.release(tx, names, fleet=fleet)


def _unsettle(tx: Transaction, pool: str) -> None:
    POOLS.unsettle(tx, pools.c.name == pool)
    MEMBERS.unsettle(tx, members.c.pool == pool)
    VIPS.unsettle(tx, vips.c.pool == pool)


def _arrive(tx: Transaction, pool: str, fleet: Fleet, *, leaving: str) -> None:
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
        if why := addresses.lacking(fleet, vip):
            raise FailedPrecondition(
                f"fleet {fleet.name!r} cannot have VIP {vip.name!r}: {why}",
                reason="ADDRESS_NOT_ON_FLEET",
                subject=vip.name,
            )
        if leaving:
            _bring_beside(tx, fleet, vip, leaving=FLEETS.get(tx, leaving))
        else:
            _settle(tx, (fleet,), vip)


def _settle(tx: Transaction, carrying: Sequence[Fleet], vip: Vip) -> None:
    settled = addresses.settled(tx, carrying, vip)
    if settled != vip:
        VIPS.put(tx, settled)
        tx.record(vip.name, vip.pool, Action.UPDATED)
    addresses.hold(tx, carrying, settled, allocated=not vip.address)


def _bring_beside(tx: Transaction, fleet: Fleet, vip: Vip, *, leaving: Fleet) -> None:
    """Has a VIP hold on the fleet that its pool moves to what it holds on the one that it leaves.

    A VIP whose address is taken where it comes from stays marked until the move is over: while
    both fleets serve its pool, it would be on that address of the one that it leaves too.
    """
    if not vip.address:
        _settle(tx, (fleet, leaving), vip)
    elif not vip.address_in_use_by:
        if addresses.settled(tx, (fleet,), vip).address_in_use_by:
            raise FailedPrecondition(
                f"another VIP has {vip.address}:{vip.port} on fleet {fleet.name!r}, so pool"
                f" {vip.pool!r} cannot move there with VIP {vip.name!r}",
                reason="ADDRESS_IN_USE",
                subject=vip.name,
            )
        allocated = addresses.is_allocated(tx, vip.name)
        addresses.hold(tx, (fleet,), vip, allocated=allocated)


def _tell(tx: Transaction, pool: str) -> None:
    """Notes that what lives in a pool may have another status: its place decides about that."""
    living = (
        select(members.c.name).where(members.c.pool == pool),
        select(vips.c.name).where(vips.c.pool == pool),
    )
    for query in living:
        for name in tx.connection.execute(query).scalars():
            tx.touch(name)

"""Drains: members on their way out that keep their sessions and connections for a while.

A member that is deleted or switched off with a `drain_timeout` drains until its `drain_end`, if a
fleet carries its pool: no new sessions, none cut. `drained` says that a leaving member is out of
its cluster, at once where nothing was to be drained.
"""

import dataclasses
from collections.abc import Iterable

from sqlalchemy import ColumnElement, and_, false, select, update

from lbaas.model.names import pool_of_member
from lbaas.model.objects import Member
from lbaas.store.feed import Action
from lbaas.store.shelf import chunks
from lbaas.store.shelves import MEMBERS
from lbaas.store.tables import members, placements
from lbaas.store.transaction import Transaction

DRAINING: ColumnElement[bool] = and_(members.c.drain_end.is_not(None), members.c.drained == false())
"""The condition for members that drain at this moment, deleted ones and switched off ones."""


def is_draining(member: Member) -> bool:
    """Tells whether a member drains at this moment."""
    return member.drain_end is not None and not member.drained


def settled(tx: Transaction, before: Member | None, after: Member) -> Member:
    """Gives a member that was written with the drain fields that follow from the change.

    They are the store's own: whatever `after` has in them is ignored.

    Args:
        tx: the transaction.
        before: as stored, None for a new member.
        after: as its owner wants it, living.
    """
    if after.admin_state_up:
        return dataclasses.replace(after, drain_end=None, drained=False)
    if before is None:
        return dataclasses.replace(after, drain_end=None, drained=True)
    if before.admin_state_up:
        return _leaving(tx, after)
    if not is_draining(before):
        return dataclasses.replace(after, drain_end=before.drain_end, drained=before.drained)
    # A drain under way ends by the timeout that stands, counted from when it began.
    end = before.drain_end
    if end is not None and after.drain_timeout != before.drain_timeout:
        end += after.drain_timeout - before.drain_timeout
    return dataclasses.replace(after, drain_end=end, drained=False)


def on_delete(tx: Transaction, member: Member) -> Member:
    """Gives a member that is about to be deleted with its drain begun, or with nothing to drain.

    One that drains already goes when that drain ends.
    """
    if is_draining(member):
        return member
    if not member.admin_state_up:
        return dataclasses.replace(member, drain_end=None, drained=True)
    return _leaving(tx, member)


def end(tx: Transaction, names: Iterable[str]) -> tuple[Member, ...]:
    """Notes that drains are over; gives the members as they are now.

    Takes a revision, with a change row for each, unless none of them drains. No object becomes
    pending by it: what its owner wrote stands as it stood.
    """
    found = MEMBERS.get_many(tx, names)
    return _end(tx, [found[name] for name in sorted(found) if is_draining(found[name])])


def cut(tx: Transaction, pool: str) -> None:
    """Ends all drains of a pool: no fleet serves it any longer, so there is nothing to wait for."""
    _end(tx, MEMBERS.where(tx, members.c.pool == pool, DRAINING))


def under_way(tx: Transaction) -> tuple[Member, ...]:
    """Gives every member that drains, sorted by name."""
    return MEMBERS.where(tx, DRAINING)


def _leaving(tx: Transaction, member: Member) -> Member:
    if not member.drain_timeout or not _is_served(tx, pool_of_member(member.name)):
        return dataclasses.replace(member, drain_end=None, drained=True)
    return dataclasses.replace(member, drain_end=tx.now + member.drain_timeout, drained=False)


def _is_served(tx: Transaction, pool: str) -> bool:
    placed = select(placements.c.pool).where(placements.c.pool == pool, placements.c.fleet != "")
    return tx.connection.execute(placed).one_or_none() is not None


def _end(tx: Transaction, draining: Iterable[Member]) -> tuple[Member, ...]:
    ended = tuple(dataclasses.replace(member, drained=True) for member in draining)
    for keys in chunks(member.name for member in ended):
        tx.connection.execute(update(members).where(members.c.name.in_(keys)).values(drained=True))
    for member in ended:
        tx.record(member.name, pool_of_member(member.name), Action.UPDATED)
    return ended

"""Commands on members."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from sqlalchemy import and_, bindparam, or_, select

from lbaas.model.errors import AlreadyExists, InvalidArgument, NotFound, Violation
from lbaas.model.filter import EVERY, Filter
from lbaas.model.names import MEMBER, POOL, leaf, pool_of_member, project_of
from lbaas.model.objects import Member, Pool
from lbaas.model.rules import changed_immutables, check_member, check_members, rendered
from lbaas.store import drains, quotas, traffic
from lbaas.store.feed import Action
from lbaas.store.parents import of_pool
from lbaas.store.shelf import check_etag, chunks
from lbaas.store.shelves import MEMBERS, POOLS
from lbaas.store.tables import members as table
from lbaas.store.transaction import Transaction

# Built once: to build a statement costs as much as to run it. Each half has an index of its own,
# so that a member costs the same whatever the size of its pool.
_NEAR = select(table.c.name, table.c.address, table.c.port, table.c.deleted_rev).where(
    or_(
        table.c.name.in_(bindparam("names", expanding=True)),
        and_(
            table.c.pool == bindparam("of"),
            table.c.address.in_(bindparam("addresses", expanding=True)),
        ),
    )
)


def create(tx: Transaction, member: Member) -> Member:
    """Stores a new member.

    Raises:
        InvalidArgument, NotFound (the pool), AlreadyExists (the name, or address and port in the
        pool), QuotaExceeded, FailedPrecondition (the pool is being deleted).
    """
    if violations := check_member(member, policy=tx.policy):
        raise InvalidArgument(violations)
    return _add(tx, [member])[0]


def create_many(tx: Transaction, members: Sequence[Member]) -> tuple[Member, ...]:
    """Stores new members of one or several pools, all or none; raises as `create` does.

    Violations are of `members[i]`.
    """
    if violations := check_members(members, policy=tx.policy):
        raise InvalidArgument(violations)
    return _add(tx, members)


def get(tx: Transaction, name: str) -> Member:
    """Gives a member, one being deleted too, or raises NotFound."""
    return MEMBERS.get(tx, name)


def update(
    tx: Transaction, name: str, change: Callable[[Member], Member], *, etag: str = ""
) -> Member:
    """Changes a member; no difference, no write. Switched off with a `drain_timeout` it drains.

    Raises:
        NotFound, Aborted (etag), InvalidArgument, FailedPrecondition (being deleted).
    """
    before = MEMBERS.living(tx, name)
    check_etag(name, before.record, etag)
    wanted = dataclasses.replace(change(before), name=name, record=before.record)
    after = drains.settled(tx, before, wanted)
    if after == before:
        return before
    violations = (*check_member(after, policy=tx.policy), *changed_immutables(before, after))
    if violations:
        raise InvalidArgument(violations)
    stored = MEMBERS.changed(tx, after, spec=rendered(after) != rendered(before))
    tx.record(name, pool_of_member(name), Action.UPDATED)
    return stored


def delete(tx: Transaction, name: str, *, etag: str = "") -> Member:
    """Marks a member deleted; its row goes when every Envoy has let go of it.

    With a `drain_timeout` it serves what it has until that is over, see `end_drains`.
    """
    member = MEMBERS.get(tx, name)
    check_etag(name, member.record, etag)
    if member.record.deleted_rev:
        return member
    quotas.give_back(tx, project_of(name), quotas.MEMBERS)
    gone = MEMBERS.deleted(tx, drains.on_delete(tx, member))
    tx.record(name, pool_of_member(name), Action.DELETED)
    return gone


def draining(tx: Transaction) -> tuple[Member, ...]:
    """Gives every member that drains, sorted by name: switched off or deleted, not yet out."""
    return drains.under_way(tx)


def end_drains(tx: Transaction, names: Iterable[str]) -> tuple[Member, ...]:
    """Takes members out of their clusters, for their drains are over; gives those that drained.

    Takes a revision, with a change row for each, unless none of them drains. Neither etags nor
    statuses change by it.
    """
    return drains.end(tx, names)


def move(tx: Transaction, name: str, to_pool: str, *, member_id: str = "") -> Member:
    """Moves a member to another pool of its project; it keeps its uid, so sessions survive.

    Watchers see the old name purged and the new one created at one revision.

    Args:
        tx: the transaction.
        name: the member's name now.
        to_pool: the other pool's name.
        member_id: its id there; the same as here if "".

    Raises:
        NotFound, AlreadyExists, InvalidArgument, FailedPrecondition (either is being deleted).
    """
    before = MEMBERS.living(tx, name)
    if POOL.parse(to_pool) is None or project_of(to_pool) != project_of(name):
        raise NotFound(POOL.title, to_pool)
    old_pool = pool_of_member(name)
    if to_pool == old_pool:
        raise InvalidArgument(
            [Violation("pool", f"{to_pool} has the member already: name another pool")]
        )
    after = dataclasses.replace(before, name=f"{to_pool}/members/{member_id or leaf(name)}")
    if violations := check_member(after, policy=tx.policy):
        raise InvalidArgument(violations)
    POOLS.living(tx, to_pool)
    _check_free(tx, [after])
    MEMBERS.remove(tx, name)
    traffic.forget(tx, [name])
    tx.record(name, old_pool, Action.PURGED)
    stored = MEMBERS.readd(tx, after)
    tx.record(stored.name, to_pool, Action.CREATED)
    return stored


def page(
    tx: Transaction,
    parent: str,
    *,
    filter: Filter = EVERY,  # noqa: A002 - the API's word
    after: str = "",
    limit: int,
) -> tuple[Member, ...]:
    """Gives members after a name, sorted. Parents: a pool, `projects/x/pools/-`, and all."""
    return MEMBERS.page(tx, *of_pool(parent, table), filter=filter, after=after, limit=limit)


def members_of(tx: Transaction, pools: Iterable[str]) -> Mapping[str, tuple[Member, ...]]:
    """Gives the living members of some pools, sorted by name; a pool without is not in it."""
    found: defaultdict[str, list[Member]] = defaultdict(list)
    for member in MEMBERS.within(tx, "pool", pools):
        if not member.record.deleted_rev:
            found[pool_of_member(member.name)].append(member)
    return {pool: tuple(those) for pool, those in found.items()}


def _add(tx: Transaction, members: Sequence[Member]) -> tuple[Member, ...]:
    pools: dict[str, Pool] = {}
    for name in sorted({pool_of_member(member.name) for member in members}):
        pools[name] = POOLS.living(tx, name)
    _check_free(tx, members)
    for project, many in Counter(project_of(member.name) for member in members).items():
        quotas.take(tx, project, quotas.MEMBERS, many)
    stored = MEMBERS.add_many(tx, [drains.settled(tx, None, member) for member in members])
    for member in stored:
        tx.record(member.name, pool_of_member(member.name), Action.CREATED)
    return stored


def _check_free(tx: Transaction, members: Sequence[Member]) -> None:
    """Makes sure that names, and addresses and ports within their pool, are free."""
    of_pool_: defaultdict[str, list[Member]] = defaultdict(list)
    for member in members:
        of_pool_[pool_of_member(member.name)].append(member)
    for pool, those in of_pool_.items():
        names = {member.name: member for member in those}
        places = {(member.address, member.port): member for member in those}
        for keys in chunks(names):
            near = sorted({names[key].address for key in keys})
            key = {"of": pool, "names": keys, "addresses": near}
            for row in tx.connection.execute(_NEAR, key):
                if row.name in names:
                    MEMBERS.free(tx, row.name)
                if (row.address, row.port) in places:
                    raise _taken(row.name, row.address, row.port, leaving=bool(row.deleted_rev))


def _taken(name: str, address: str, port: int, *, leaving: bool) -> AlreadyExists:
    until = ", which is being deleted; repeat when it is gone" if leaving else ""
    return AlreadyExists(
        MEMBER.title,
        name,
        f"{address} port {port} is member {name!r} of the pool already{until}",
        reason="MEMBER_ADDRESS_IN_USE",
    )

"""The change rows: what happened since a revision, for watchers that resume."""

from sqlalchemy import select

from lbaas.model.errors import FailedPrecondition
from lbaas.store.feed import Action, Change
from lbaas.store.tables import changes, revision
from lbaas.store.transaction import Transaction


def since(tx: Transaction, rev: int) -> tuple[Change, ...]:
    """Gives every change after a revision, in order.

    Raises:
        FailedPrecondition: REVISION_COMPACTED; so old changes are not kept, read anew instead.
    """
    compacted = tx.connection.execute(select(revision.c.compacted_rev)).scalar_one()
    if rev < compacted:
        raise FailedPrecondition(
            f"changes up to revision {compacted} are no longer kept, {rev} is before that;"
            " list the objects and watch from the list's revision",
            reason="REVISION_COMPACTED",
            subject=f"revision {rev}",
            metadata={"compacted_revision": str(compacted)},
        )
    rows = tx.connection.execute(
        select(changes.c.rev, changes.c.name, changes.c.pool, changes.c.action)
        .where(changes.c.rev > rev)
        .order_by(changes.c.rev, changes.c.seq)
    )
    return tuple(Change(row.rev, row.name, row.pool, Action(row.action)) for row in rows)

"""Whether a placed pool's fleet can serve what its tenant asks for next."""

from collections.abc import Sequence

from lbaas.model.capabilities import hindrance, missing, needed, offered
from lbaas.model.errors import FailedPrecondition
from lbaas.model.objects import Capabilities, Fleet, PoolTree
from lbaas.store import addresses, nodes, placements
from lbaas.store.shelves import FLEETS
from lbaas.store.transaction import Transaction


def effective(tx: Transaction, fleet: Fleet) -> Capabilities:
    """Gives what a fleet really offers: declared, built, and known to its nodes as last seen."""
    return offered(fleet, built=tx.built, nodes=nodes.counted(tx, fleet.name))


def carrier(tx: Transaction, tree: PoolTree) -> Fleet | None:
    """Gives the fleet that carries a pool, or None."""
    placement = tree.pool.placement
    return FLEETS.get(tx, placement.fleet) if placement is not None and placement.fleet else None


def admit(tx: Transaction, before: PoolTree, after: PoolTree) -> Fleet | None:
    """Lets a pool's tree change, as far as its fleet is concerned.

    A placed pool whose fleet cannot serve the change loses its placement if none of its VIPs is
    live yet: it will be placed anew. What the fleet could not serve before is not asked again.

    Args:
        tx: the transaction.
        before: the tree as stored, with its placement.
        after: the tree as it would be.

    Returns:
        The fleet that goes on carrying the pool, or None: not placed, or not any longer.

    Raises:
        FailedPrecondition: CAPABILITY_MISSING; a live VIP keeps the pool where it is.
    """
    fleet = carrier(tx, before)
    if fleet is None:
        return None
    lack = _lack(tx, fleet, before, after)
    if not lack:
        return fleet
    live = [vip.name for vip in before.vips if vip.record.live_rev]
    if live:
        raise FailedPrecondition(
            f"fleet {fleet.name!r} carries pool {after.pool.name!r} and cannot serve"
            f" {', '.join(_explained(tx, fleet, lack))}; the pool cannot move, for {live[0]!r} is"
            " live: use another pool",
            reason="CAPABILITY_MISSING",
            subject=fleet.name,
            metadata={"fleet": fleet.name, "missing": ", ".join(lack)},
        )
    placements.drop(tx, after.pool.name)
    return None


def _lack(tx: Transaction, fleet: Fleet, before: PoolTree, after: PoolTree) -> Sequence[str]:
    able = effective(tx, fleet)
    already = set(missing(needed(before), able))
    lack = [word for word in missing(needed(after), able) if word not in already]
    wanted = after.pool.service_type
    if wanted != before.pool.service_type and wanted not in fleet.service_types:
        lack.append(f"service_type={wanted or 'default'}")
    known = {vip.name for vip in before.vips}
    lack += (addresses.lacking(fleet, vip) for vip in after.vips if vip.name not in known)
    return [word for word in lack if word]


def _explained(tx: Transaction, fleet: Fleet, lack: Sequence[str]) -> Sequence[str]:
    """Gives what is lacking with the node that it is lacking on, where it is a node's fault."""
    serving = nodes.counted(tx, fleet.name)
    reasons = ((word, hindrance(word, serving)) for word in lack)
    return [f"{word} ({why})" if why else word for word, why in reasons]

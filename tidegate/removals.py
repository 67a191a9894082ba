"""Which listeners go because somebody asked for it; too many others are withheld.

Rows that vanish (a store restored from an old backup, or truncated), a fleet's row that does, a
defect of the translator: to the Envoys these look like tenants who delete all they have.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from lbaas.model.objects import HeldRemovals, Pool, Vip
from tidegate.impact import Move, Published
from tidegate.reading import View
from xds.cache.cache import SnapshotCache
from xds.cache.types import LISTENER, Key
from xds.translate import listens

log = structlog.get_logger("tidegate.removals")


def explained(view: View, moves: Sequence[Move], published: Published) -> dict[str, set[Key]]:
    """Gives, per fleet id, the listeners that are removed for a reason that the store knows.

    A VIP that was deleted or purged, switched off, or has lost its address to another; one that
    is in another pool now; a pool that was purged, or is served by other fleets. That a row is
    not there is no reason.
    """
    found: dict[str, set[Key]] = {}
    for move in moves:
        for place, rendered in move.old.resources.items() if move.old else ():
            key = place.key
            if key.type_url != LISTENER or published.get(place.fleet, {}).get(key, key) is not None:
                continue
            if _is_left(view, move, place.fleet) or any(
                _is_off(view, move, name) for name in rendered.objects
            ):
                found.setdefault(place.fleet, set()).add(key)
    return found


def _is_left(view: View, move: Move, fleet: str) -> bool:
    """Tells whether a pool is known to be gone, or to have nothing listening on a fleet."""
    if move.pool in view.purged:
        return True
    pool = move.tree.pool if move.tree is not None else view.changed.get(move.pool)
    if not isinstance(pool, Pool):
        return False
    if pool.record.deleted_rev:
        return True
    placement, name = pool.placement, f"fleets/{fleet}"
    if placement is None:
        return False
    return name != placement.fleet and (name != placement.leaving or placement.closing)


def _is_off(view: View, move: Move, name: str) -> bool:
    """Tells whether a VIP is known not to listen, or to be another pool's."""
    if name in view.purged:
        return True
    vip = view.changed.get(name)
    if vip is None and move.tree is not None:
        vip = next((each for each in move.tree.vips if each.name == name), None)
    if not isinstance(vip, Vip):
        return False
    return bool(vip.record.deleted_rev) or not listens(vip) or vip.pool != move.pool


class Withholding:
    """What of each fleet is withheld, since when, for the log and for operators."""

    def __init__(self, cache: SnapshotCache) -> None:
        """Takes who withholds, and is told by it."""
        self._cache = cache
        self._since: dict[str, datetime] = {}
        cache.on_withheld = self._begun

    def of(self, fleet: str) -> HeldRemovals | None:
        """Gives what is withheld on a fleet (its resource name); None: nothing."""
        listeners = self._cache.withheld(fleet.removeprefix("fleets/"))
        if not listeners:
            self._since.pop(fleet, None)
            return None
        return HeldRemovals(
            count=len(listeners), since=self._since.setdefault(fleet, datetime.now(UTC))
        )

    def _begun(self, fleet: str) -> None:
        held = self.of(f"fleets/{fleet}")
        if held is not None:
            log.warning(
                "removals are withheld: nobody asked for them",
                fleet=f"fleets/{fleet}",
                listeners=held.count,
                next=f"is the store the right one? if so: tidegate fleet allow-removals {fleet}",
            )

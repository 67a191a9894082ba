"""Where a pass of reconcile landed: per object that is not settled, the places it touched."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from lbaas.model import names
from lbaas.model.objects import (
    HealthMonitor,
    Member,
    Pool,
    PoolTree,
    TenantObject,
    Vip,
)
from tidegate.reading import View
from tidegate.rendering import Place, PoolRendering
from xds.cache.resource import Resource
from xds.cache.types import CLUSTER, ENDPOINT, LISTENER, Key
from xds.translate.limits import LIMITS

Published = Mapping[str, Mapping[Key, Resource | None]]
"""What a pass published, per fleet id."""


@dataclass(frozen=True, slots=True)
class Move:
    """One pool in a pass: its rendering before and after, and its tree (None: gone)."""

    old: PoolRendering | None
    new: PoolRendering | None
    tree: PoolTree | None

    @property
    def pool(self) -> str:
        """Gives the pool's name."""
        if self.tree is not None:
            return self.tree.pool.name
        return "" if self.old is None else self.old.pool

    @property
    def fleets(self) -> tuple[str, ...]:
        """Gives the fleets (their ids) that are to serve the pool now, its own first."""
        return () if self.new is None else self.new.fleets

    @property
    def left(self) -> frozenset[str]:
        """Gives the fleets (their ids) that serve the pool no more."""
        return frozenset(() if self.old is None else self.old.fleets).difference(self.fleets)

    @property
    def arrived(self) -> bool:
        """Tells whether the pool comes to a fleet, or leaves its last one."""
        return (self.old and self.old.home) != (self.new and self.new.home)


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """An object to settle: its revision `rev`, the places that this pass touched for it.

    `uid` tells it from an earlier object of the same name.
    `published` is the revision under which that was published: the streams know no other.
    `placed` False: no node can confirm it yet, its pool or its address has no place.
    `arrived`: its pool comes to a fleet, so that all of it was published anew though nobody
    wrote the object. `drain_end`: until when a member that was deleted serves on. `committed`: when
    `rev` was; None if that is live already.
    """

    name: str
    uid: str
    rev: int
    published: int
    touched: frozenset[Place]
    deleted: bool = False
    placed: bool = True
    arrived: bool = False
    drain_end: datetime | None = None
    committed: datetime | None = None


def impacts(
    view: View, moves: Sequence[Move], published: Published, *, broken: Collection[str]
) -> Iterator[Impact]:
    """Gives what has to be settled after a pass, each object once.

    Of a pool's tree those that changed, not their neighbours in the same resource; all of them
    when the pool comes to a fleet. `broken` are pools that could not be rendered: what changed
    in them was not published.
    """
    pending = _pending(view, moves)
    deleted = {
        name: obj
        for name, obj in view.changed.items()
        if isinstance(obj, TenantObject) and obj.record.deleted_rev and _home(obj) not in broken
    }
    touched = _touched(view, moves, published, living=pending.keys(), deleted=deleted.keys())
    _limited(touched, view, moves, living=pending.keys())
    pools = {move.tree.pool.name: move.tree.pool for move in moves if move.tree is not None}
    arrived = {
        obj.name
        for move in moves
        if move.arrived and move.tree is not None
        for obj in objects_of(move.tree)
    }
    draining = {
        member.name: member.drain_end
        for move in moves
        if move.tree is not None
        for member in move.tree.members
        if member.record.deleted_rev and not member.drained
    }
    for name, (obj, placed) in pending.items():
        places = frozenset(touched.get(name, ()))
        if view.whole and isinstance(obj, Vip):
            places |= _remains(obj, pools.get(obj.pool), leaving=False)
        yield Impact(
            name=name,
            uid=obj.record.uid,
            rev=obj.record.spec_rev,
            published=view.revision,
            touched=places,
            placed=placed,
            arrived=name in arrived,
            committed=obj.record.update_time if obj.record.live_rev < obj.record.spec_rev else None,
        )
    for name, obj in deleted.items():
        places = frozenset(touched.get(name, ()))
        if view.whole:
            home = view.changed.get(_home(obj))
            where = home if isinstance(home, Pool) else pools.get(_home(obj))
            places |= _remains(obj, where, leaving=True)
        yield Impact(
            name=name,
            uid=obj.record.uid,
            rev=obj.record.deleted_rev,
            published=view.revision,
            touched=places,
            deleted=True,
            drain_end=draining.get(name),
            committed=obj.record.update_time,
        )


def objects_of(tree: PoolTree) -> Iterable[TenantObject]:
    """Gives every object of a tree."""
    return (tree.pool, *tree.members, *tree.health_monitors, *tree.vips)


def _pending(view: View, moves: Sequence[Move]) -> dict[str, tuple[TenantObject, bool]]:
    """Gives the living objects to settle, each with whether nodes can confirm it."""
    pending: dict[str, tuple[TenantObject, bool]] = {}
    for move in moves:
        for obj in () if move.tree is None else objects_of(move.tree):
            record = obj.record
            if record.spec_rev <= record.live_rev or record.deleted_rev or obj.name in pending:
                continue
            if view.whole or move.arrived or obj.name in view.changed:
                pending[obj.name] = obj, _can_be_live(obj, placed=move.new is not None)
    for name, changed in view.changed.items():
        if isinstance(changed, HealthMonitor) and name not in pending:
            record = changed.record
            if record.spec_rev > record.live_rev and not record.deleted_rev:
                pending[name] = changed, True
    return pending


def _touched(
    view: View,
    moves: Sequence[Move],
    published: Published,
    *,
    living: AbstractSet[str],
    deleted: AbstractSet[str],
) -> dict[str, set[Place]]:
    """Gives, per object, where what was published renders it; at the start, all its places.

    What changed though nobody in it did, such as the route of a pool's VIP, was touched by the
    pool; when a pool comes to its fleet all of it was, for it may be there already from a move
    that was called off. A living object is judged by its pool's own fleet alone; one that is
    deleted has to go from the fleet that the pool leaves, or left, as well.
    """
    touched: dict[str, set[Place]] = {}
    # Once: at a start with 10,000 pools that no node has confirmed, both are 110,000 names.
    either = living | deleted
    for move in moves:
        home = move.new and move.new.home
        for rendering in (move.old, move.new):
            if rendering is None:
                continue
            for place, rendered in rendering.resources.items():
                comes_home = move.arrived and rendering is move.new and place.fleet == home
                changed = place.key in published.get(place.fleet, {})
                if not (view.whole or changed or comes_home):
                    continue
                mattering = either if place.fleet == home else deleted
                mine = mattering & rendered.objects or mattering & {rendering.pool}
                for name in mine:
                    touched.setdefault(name, set()).add(place)
    return touched


def _limited(
    touched: dict[str, set[Place]],
    view: View,
    moves: Sequence[Move],
    *,
    living: AbstractSet[str],
) -> None:
    """Adds the nodes' limits to what touched the VIPs whose connection limit changed.

    At the start of the process all may have changed, one that is gone as well.
    """
    before = {
        (move.old.home, vip): limit
        for move in moves
        if move.old is not None
        for vip, limit in move.old.limits.items()
    }
    for move in moves:
        if move.new is None or move.tree is None:
            continue
        home, limits = move.new.home, move.new.limits
        for vip in living & {vip.name for vip in move.tree.vips}:
            if view.whole or limits.get(vip) != before.get((home, vip)):
                touched.setdefault(vip, set()).add(Place(home, LIMITS))


def _can_be_live(obj: TenantObject, *, placed: bool) -> bool:
    """Tells whether nodes can confirm the object: a monitor always, the rest on a fleet only."""
    if isinstance(obj, HealthMonitor):
        return True
    if isinstance(obj, Vip) and (obj.address_in_use_by or not obj.address):
        return False
    return placed


def _home(obj: TenantObject) -> str:
    """Gives the pool that an object is rendered with, "" for a monitor."""
    match obj:
        case Pool():
            return obj.name
        case Vip():
            return obj.pool
        case Member():
            return names.pool_of_member(obj.name)
        case _:
            return ""


def _remains(obj: TenantObject, home: Pool | None, *, leaving: bool) -> frozenset[Place]:
    """Gives where a node may still hold what an object was before a restart.

    With `leaving` on the fleet that its pool leaves, too: what is deleted has to go from both.
    """
    if home is None or home.placement is None:
        return frozenset()
    match obj:
        case Pool():
            key = Key(CLUSTER, obj.name)
        case Vip():
            key = Key(LISTENER, obj.name)
        case Member():
            key = Key(ENDPOINT, home.name)
        case _:
            return frozenset()
    fleets = (home.placement.fleet, home.placement.leaving if leaving else "")
    return frozenset(Place(fleet.removeprefix("fleets/"), key) for fleet in fleets if fleet)

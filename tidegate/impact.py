"""Where a pass of reconcile landed: per object that is not settled, the places it touched."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lbaas.model import names
from lbaas.model.objects import (
    Fleet,
    HealthMonitor,
    Member,
    Pool,
    PoolTree,
    ServiceType,
    TenantObject,
    Vip,
)
from tidegate.reading import View
from tidegate.rendering import Place, PoolRendering
from xds.cache.resource import Resource
from xds.cache.types import CLUSTER, ENDPOINT, LISTENER, Key

Published = Mapping[str, Mapping[Key, Resource | None]]
"""What a pass published, per fleet id."""


@dataclass(frozen=True, slots=True)
class Move:
    """One pool in a pass: its rendering before and after, and its tree (None: gone)."""

    old: PoolRendering | None
    new: PoolRendering | None
    tree: PoolTree | None

    @property
    def left(self) -> str:
        """Gives the fleet (its id) that the pool left, or ""."""
        if self.old is None or (self.new is not None and self.new.fleet == self.old.fleet):
            return ""
        return self.old.fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """An object to settle: its revision `rev`, the places that this pass touched for it.

    `published` is the revision under which that was published: the streams know no other.
    `placed` False: no node can confirm it yet, its pool or its address has no place.
    """

    name: str
    rev: int
    published: int
    touched: frozenset[Place]
    deleted: bool = False
    placed: bool = True


def impacts(view: View, moves: Sequence[Move], published: Published) -> Iterator[Impact]:
    """Gives what has to be settled after a pass, each object once."""
    touched = _touched(view, moves, published)
    said: set[str] = set()
    for move in moves:
        for obj in () if move.tree is None else objects_of(move.tree):
            if obj.record.spec_rev > obj.record.live_rev and obj.name not in said:
                said.add(obj.name)
                yield Impact(
                    name=obj.name,
                    rev=obj.record.spec_rev,
                    published=view.revision,
                    touched=frozenset(touched.get(obj.name, ())),
                    placed=_can_be_live(obj, placed=move.new is not None),
                )
    for name, changed in view.changed.items():
        if name in said or isinstance(changed, Fleet | ServiceType):
            continue
        places = frozenset(touched.get(name, ()))
        record = changed.record
        if record.deleted_rev:
            if view.whole:
                places |= _remains(changed, view)
            yield Impact(
                name=name,
                rev=record.deleted_rev,
                published=view.revision,
                touched=places,
                deleted=True,
            )
        elif isinstance(changed, HealthMonitor) and record.spec_rev > record.live_rev:
            yield Impact(name=name, rev=record.spec_rev, published=view.revision, touched=places)


def objects_of(tree: PoolTree) -> Iterable[TenantObject]:
    """Gives every object of a tree."""
    return (tree.pool, *tree.members, *tree.health_monitors, *tree.vips)


def _touched(view: View, moves: Sequence[Move], published: Published) -> Mapping[str, set[Place]]:
    """Gives, per object, where what was published renders it; at the start, all its places.

    A pool that left a fleet is judged by the new one alone, unless it has none.
    """
    touched: dict[str, set[Place]] = {}
    for move in moves:
        for rendering in (move.old, move.new):
            if rendering is None or (rendering is move.old and move.left and move.new):
                continue
            changed = published.get(rendering.fleet, {})
            for key, rendered in rendering.resources.items():
                if key in changed or view.whole:
                    for name in rendered.objects:
                        touched.setdefault(name, set()).add(Place(rendering.fleet, key))
    return touched


def _can_be_live(obj: TenantObject, *, placed: bool) -> bool:
    """Tells whether nodes can confirm the object: a monitor always, the rest on a fleet only."""
    if isinstance(obj, HealthMonitor):
        return True
    if isinstance(obj, Vip) and (obj.address_in_use_by or not obj.address):
        return False
    return placed


def _remains(obj: TenantObject, view: View) -> frozenset[Place]:
    """Gives where a node may still hold an object that was deleted before a restart."""
    match obj:
        case Pool():
            owner, key = obj.name, Key(CLUSTER, obj.name)
        case Vip():
            owner, key = obj.pool, Key(LISTENER, obj.name)
        case Member():
            owner = names.pool_of_member(obj.name)
            key = Key(ENDPOINT, owner)
        case _:
            return frozenset()
    pool = _pool(owner, view)
    if pool is None or pool.placement is None or not pool.placement.fleet:
        return frozenset()
    return frozenset({Place(pool.placement.fleet.removeprefix("fleets/"), key)})


def _pool(name: str, view: View) -> Pool | None:
    obj = view.changed.get(name)
    if isinstance(obj, Pool):
        return obj
    return next((tree.pool for tree in view.trees if tree.pool.name == name), None)

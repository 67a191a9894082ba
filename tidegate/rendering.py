"""What the control plane has rendered: per pool its resources, and who they belong to.

Reconcile writes it, feedback and the fleet view read it. It holds no objects, only their names
and the revision of each that was rendered.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xds.cache.resource import Resource
from xds.cache.types import Key
from xds.translate import Rendered


@dataclass(frozen=True, slots=True)
class Place:
    """A resource on a fleet: what a verdict is about. `fleet` is the fleet's id."""

    fleet: str
    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRendering:
    """One pool's resources on its fleet, and the `spec_rev` of each object in its tree."""

    pool: str
    fleet: str
    resources: Mapping[Key, Rendered]
    spec_revs: Mapping[str, int]

    def places_of(self, name: str) -> set[Place]:
        """Gives where the object is rendered."""
        return {
            Place(self.fleet, key)
            for key, rendered in self.resources.items()
            if name in rendered.objects
        }


@dataclass(slots=True)
class Renderings:
    """All pools' renderings, and the way from an object or a resource to them."""

    pools: dict[str, PoolRendering] = field(default_factory=dict)
    _pools_of: dict[str, set[str]] = field(default_factory=dict)
    _pool_at: dict[Place, str] = field(default_factory=dict)

    def replace(self, pool: str, new: PoolRendering | None) -> PoolRendering | None:
        """Puts a pool's new rendering (None: the pool is gone) and gives the old one."""
        old = self.pools.pop(pool, None)
        if old is not None:
            for name in old.spec_revs:
                pools = self._pools_of[name]
                pools.discard(pool)
                if not pools:
                    del self._pools_of[name]
            for key in old.resources:
                # A VIP may have gone to a pool that was put before this one.
                if self._pool_at.get(place := Place(old.fleet, key)) == pool:
                    del self._pool_at[place]
        if new is not None:
            self.pools[pool] = new
            for name in new.spec_revs:
                self._pools_of.setdefault(name, set()).add(pool)
            for key in new.resources:
                self._pool_at[Place(new.fleet, key)] = pool
        return old

    def places_of(self, name: str) -> set[Place]:
        """Gives every place where an object is rendered; a monitor may be in several pools."""
        places: set[Place] = set()
        for pool in self._pools_of.get(name, ()):
            places |= self.pools[pool].places_of(name)
        return places

    def pools_of(self, name: str) -> Iterable[str]:
        """Gives the pools an object is rendered in."""
        return self._pools_of.get(name, ())

    def wanted(self, place: Place) -> bool:
        """Tells whether some pool's rendering has this resource."""
        return place in self._pool_at

    def on(self, fleet: str) -> dict[Key, Resource]:
        """Gives all that a fleet (by its id) should hold; looks at every pool."""
        return {
            key: rendered.resource
            for rendering in self.pools.values()
            if rendering.fleet == fleet
            for key, rendered in rendering.resources.items()
        }

    def owners(self, place: Place) -> Mapping[str, int]:
        """Gives the objects that a resource renders, each with the spec_rev rendered."""
        pool = self._pool_at.get(place)
        if pool is None:
            return {}
        rendering = self.pools[pool]
        return {
            name: rendering.spec_revs[name]
            for name in rendering.resources[place.key].objects
            if name in rendering.spec_revs
        }


def difference(
    old: PoolRendering | None, new: PoolRendering | None
) -> dict[str, dict[Key, Resource | None]]:
    """Gives, per fleet, what changes from one rendering to the next (None: removed)."""
    changes: dict[str, dict[Key, Resource | None]] = {}
    if old is not None:
        kept = new.resources if new is not None and new.fleet == old.fleet else {}
        gone = {key: None for key in old.resources if key not in kept}
        if gone:
            changes.setdefault(old.fleet, {}).update(gone)
    if new is not None:
        before = old.resources if old is not None and old.fleet == new.fleet else {}
        put = {
            key: rendered.resource
            for key, rendered in new.resources.items()
            if key not in before or before[key].resource.version != rendered.resource.version
        }
        if put:
            changes.setdefault(new.fleet, {}).update(put)
    return changes

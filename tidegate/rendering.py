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
    """One pool's resources, and the `spec_rev` of each object in its tree.

    `fleets` are the ids of those that serve it: its own first, then the one that it leaves.
    `limits` has the connection limit of each VIP that listens and has one.
    """

    pool: str
    fleets: tuple[str, ...]
    resources: Mapping[Place, Rendered]
    spec_revs: Mapping[str, int]
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def home(self) -> str:
        """Gives the fleet that decides whether the pool's objects are live."""
        return self.fleets[0]

    def places_of(self, name: str) -> set[Place]:
        """Gives where the object is rendered on the pool's own fleet."""
        return {
            place
            for place, rendered in self.resources.items()
            if place.fleet == self.home and name in rendered.objects
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
            for place in old.resources:
                # A VIP may have gone to a pool that was put before this one.
                if self._pool_at.get(place) == pool:
                    del self._pool_at[place]
        if new is not None:
            self.pools[pool] = new
            for name in new.spec_revs:
                self._pools_of.setdefault(name, set()).add(pool)
            for place in new.resources:
                self._pool_at[place] = pool
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
            place.key: rendered.resource
            for rendering in self.pools.values()
            if fleet in rendering.fleets
            for place, rendered in rendering.resources.items()
            if place.fleet == fleet
        }

    def owners(self, place: Place) -> Mapping[str, int]:
        """Gives the objects that a resource renders, each with the spec_rev rendered."""
        pool = self._pool_at.get(place)
        if pool is None:
            return {}
        rendering = self.pools[pool]
        return {
            name: rendering.spec_revs[name]
            for name in rendering.resources[place].objects
            if name in rendering.spec_revs
        }


def difference(
    old: PoolRendering | None, new: PoolRendering | None
) -> dict[str, dict[Key, Resource | None]]:
    """Gives, per fleet, what changes from one rendering to the next (None: removed)."""
    before = {} if old is None else old.resources
    after = {} if new is None else new.resources
    changes: dict[str, dict[Key, Resource | None]] = {}
    for place in before.keys() - after.keys():
        changes.setdefault(place.fleet, {})[place.key] = None
    for place, rendered in after.items():
        had = before.get(place)
        if had is None or had.resource.version != rendered.resource.version:
            changes.setdefault(place.fleet, {})[place.key] = rendered.resource
    return changes

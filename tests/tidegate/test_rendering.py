"""What changes from one rendering of a pool to the next, and whose it is."""

from tidegate.rendering import Place, PoolRendering, Renderings, difference
from xds.cache.resource import Resource
from xds.cache.types import CLUSTER, ENDPOINT, Key
from xds.translate import Rendered

POOL = "projects/a/pools/p"
CLUSTERS, ENDPOINTS = Key(CLUSTER, POOL), Key(ENDPOINT, POOL)


def rendering(fleet: str = "edge", *, endpoints: bytes = b"1", members: int = 1) -> PoolRendering:
    names = [f"{POOL}/members/m{number}" for number in range(members)]
    resources = {
        Place(fleet, CLUSTERS): Rendered(Resource.packed(CLUSTERS, b"c"), frozenset({POOL})),
        Place(fleet, ENDPOINTS): Rendered(
            Resource.packed(ENDPOINTS, endpoints), frozenset({POOL, *names})
        ),
    }
    revs = {POOL: 3, **{name: 4 + number for number, name in enumerate(names)}}
    return PoolRendering(pool=POOL, fleets=(fleet,), resources=resources, spec_revs=revs)


def test_only_what_changed_is_published():
    changes = difference(rendering(), rendering(endpoints=b"2"))
    assert list(changes) == ["edge"]
    assert list(changes["edge"]) == [ENDPOINTS]
    assert difference(rendering(), rendering()) == {}


def test_a_pool_that_moves_leaves_one_fleet_and_comes_to_the_other():
    changes = difference(rendering("old"), rendering("new"))
    assert set(changes["old"].values()) == {None}
    assert set(changes["new"]) == {CLUSTERS, ENDPOINTS}


def test_a_pool_that_is_gone_is_removed_whole():
    assert difference(rendering(), None) == {"edge": {CLUSTERS: None, ENDPOINTS: None}}


def test_the_index_finds_places_and_owners_and_forgets():
    renderings = Renderings()
    renderings.replace(POOL, rendering(members=2))
    member = f"{POOL}/members/m1"
    assert renderings.places_of(member) == {Place("edge", ENDPOINTS)}
    assert renderings.owners(Place("edge", CLUSTERS)) == {POOL: 3}
    assert renderings.owners(Place("edge", ENDPOINTS))[member] == 5
    renderings.replace(POOL, rendering(members=1))
    assert renderings.places_of(member) == set()
    renderings.replace(POOL, None)
    assert renderings.owners(Place("edge", CLUSTERS)) == {}
    assert renderings.places_of(POOL) == set()

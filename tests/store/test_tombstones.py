"""Tombstones, and an operator's word on removals, on both databases."""

import pytest

from lbaas.model.errors import Aborted, NotFound
from lbaas.model.objects import Tombstone
from lbaas.store import fleets, tombstones
from lbaas.store.store import Store
from tests.store import make

CLUSTER, LISTENER = "type.example/Cluster", "type.example/Listener"


def stone(resource: str, rev: int = 5, *, type_url: str = LISTENER, fleet: str = make.EDGE):
    return Tombstone(fleet=fleet, type_url=type_url, resource=resource, rev=rev)


async def test_they_are_kept_by_fleet_type_and_name_and_the_newest_counts(store: Store):
    stones = [
        stone("b"),
        stone("a"),
        stone("a", type_url=CLUSTER),
        stone("a", fleet="fleets/other"),
        stone("b", 7),
    ]
    await store.write(lambda tx: tombstones.save(tx, stones))
    assert await store.read(tombstones.all) == (stones[2], stones[1], stones[4], stones[3])
    await store.write(lambda tx: tombstones.save(tx, [stone("a", 9)]))
    gone = [
        tombstones.key_of(each) for each in (*stones[1:4], stone("never"), stone("b", type_url="x"))
    ]
    await store.write(lambda tx: tombstones.drop(tx, gone))
    assert await store.read(tombstones.all) == (stones[4],)


async def test_more_than_one_query_takes(store: Store):
    stones = [stone(f"vip-{number:04}") for number in range(1200)]
    await store.write(lambda tx: tombstones.save(tx, stones))
    assert len(await store.read(tombstones.all)) == 1200
    await store.write(lambda tx: tombstones.drop(tx, map(tombstones.key_of, stones)))
    assert await store.read(tombstones.all) == ()


async def test_a_word_has_its_revision_and_no_other_write_takes_it_back(store: Store):
    await store.write(lambda tx: fleets.create(tx, make.fleet()))
    before = await store.read(lambda tx: fleets.get(tx, make.EDGE))
    said = await store.write(lambda tx: fleets.allow_removals(tx, make.EDGE))
    assert said.removals_allowed_rev == said.record.rev > before.record.rev
    assert said.record.spec_rev == before.record.spec_rev
    drained = await store.write(lambda tx: fleets.update(tx, make.EDGE, lambda _: make.fleet()))
    assert drained.removals_allowed_rev == said.removals_allowed_rev
    with pytest.raises(Aborted):
        await store.write(lambda tx: fleets.allow_removals(tx, make.EDGE, etag="old"))
    with pytest.raises(NotFound):
        await store.write(lambda tx: fleets.allow_removals(tx, "fleets/none"))

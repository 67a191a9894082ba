"""Invariants that need two processes, or one after the other: docs/invariants.md names them."""

import random
import shutil
from collections.abc import Mapping
from pathlib import Path

from lbaas.model.objects import PoolTree
from lbaas.store import members, pools, trees, vips
from lbaas.store.store import Store
from tests.store import make
from tests.store.make import POOL
from tests.tidegate.world import World
from xds.cache import LISTENER, SnapshotCache
from xds.translate import BUILT


def versions(cache: SnapshotCache, fleet: str = "edge") -> Mapping[str, Mapping[str, str]]:
    """What a fleet should hold: each resource's version, and that of each type as a whole."""
    snapshot = cache.snapshot(fleet)
    assert snapshot is not None
    return {
        type_url: {
            "": snapshot.version(type_url),
            **{name: one.version for name, one in snapshot.of_type(type_url).items()},
        }
        for type_url in snapshot.types()
    }


async def history(world: World) -> None:
    """Changes of every kind, some of which leave no trace."""
    await world.ready("member", "vip", "monitor")
    for number in range(2, 9):
        await world.write(lambda tx, n=number: members.create(tx, make.member(n, weight=n)))
        await world.catch_up()
    await world.write(lambda tx: members.delete(tx, make.member(3).name))
    await world.write(
        lambda tx: pools.update(
            tx, POOL, lambda it: make.pool(health_monitors=(make.monitor().name,))
        )
    )
    await world.write(lambda tx: vips.create(tx, make.vip("kept", port=81)))
    await world.settle()
    await world.write(lambda tx: vips.delete(tx, make.vip("kept").name))
    await world.catch_up()


async def test_9_the_same_revision_gives_the_same_versions_in_every_process(
    world: World, tmp_path: Path, sqlite_url: str
):
    await history(world)
    made = versions(world.cache)
    # Another process, on a copy of the store, that has seen none of the changes happen.
    where = Path(sqlite_url.removeprefix("sqlite:///"))
    await world.store.close()
    copied = tmp_path / "copy"
    shutil.copytree(where.parent, copied, ignore=shutil.ignore_patterns("copy"))
    world.store = await Store.open(sqlite_url, built=BUILT)
    second = await Store.open(f"sqlite:///{copied / where.name}", built=BUILT)
    other = await World(second).start()
    try:
        assert other.reconcile.revision == world.reconcile.revision
        assert versions(other.cache) == made
    finally:
        await second.close()
    # The same process again, which has forgotten how it came about.
    await world.restart()
    assert versions(world.cache) == made
    await world.store.close()


async def test_11_the_revision_a_node_is_served_never_falls_over_restarts(world: World):
    node = await world.ready("member", "vip")
    choose, served = random.Random(11), 0
    for number in range(200):
        match choose.randrange(6):
            case 0:
                world.pass_time(1.0)
                await world.restart()
            case 1 if node.stream is not None:
                world.disconnect(node)
            case 2 | 3:
                weight = 1 + number % 200
                await world.write(
                    lambda tx, w=weight: members.update(
                        tx, make.member(1).name, lambda it: make.member(1, weight=w)
                    )
                )
            case 4:
                await world.catch_up()
            case _:
                await world.feedback.flush()
        if node.stream is None:
            world.connect(node)
        world.exchange(node)
        if node.stream is not None and node.stream.revision:
            assert node.stream.revision >= served
            served = node.stream.revision
    await world.settle()
    assert node.stream is not None
    assert node.stream.in_step(world.reconcile.revision)
    assert served > 20


async def test_14_a_vip_on_anothers_address_is_live_and_the_other_gone_in_one_response(
    world: World,
):
    node = await world.ready("member")

    def tree(name: str) -> PoolTree:
        vip = make.vip(name, address="10.0.0.5")
        return PoolTree(pool=make.pool(), members=(make.member(1),), vips=(vip,))

    await world.write(lambda tx: trees.apply(tx, tree("a")))
    await world.settle()
    await world.write(lambda tx: trees.apply(tx, tree("b")))
    await world.settle()  # the honest Envoy refuses a second listener on an address
    assert await world.live(make.vip("b").name)
    assert await world.get(make.vip("a").name) is None
    assert set(node.envoy.held[LISTENER]) == {make.vip("b").name}
    assert await world.unsettled() == set()

"""Tombstones in the store: only for nodes that are away, and only until they are in step."""

from lbaas.store import tombstones, vips
from tests.store import make
from tests.tidegate.world import LOST_AFTER, VIP, World, listener

OTHER = make.vip("other").name


async def kept(world: World) -> set[str]:
    return {each.resource for each in await world.store.read(tombstones.all)}


async def delete(world: World, name: str = VIP) -> None:
    await world.write(lambda tx: vips.delete(tx, name))
    await world.settle()


async def test_what_every_node_confirms_is_never_stored(world: World, monkeypatch):
    saved: list[object] = []
    save = tombstones.save
    monkeypatch.setattr(tombstones, "save", lambda tx, new: (saved.extend(new), save(tx, new)))
    await world.ready("member", "vip")
    await delete(world)
    assert await world.get(VIP) is None
    assert not saved


async def test_a_node_that_is_away_is_told_though_it_was_lost_and_the_row_is_gone(world: World):
    node = await world.ready("member", "vip")
    world.disconnect(node)
    await delete(world)
    assert await world.get(VIP) is not None
    world.pass_time(LOST_AFTER + 1)
    await world.settle()
    assert await world.get(VIP) is None
    assert VIP in await kept(world)

    node.envoy.listed[listener().type_url].clear()  # it lists nothing of it
    await world.restart()
    world.connect(node)
    await world.settle()
    assert VIP not in node.envoy.held[listener().type_url]
    assert await kept(world) == set()


async def test_it_is_written_with_the_purge_and_not_later(world: World):
    """The process may die right after the row is gone."""
    node = await world.ready("member", "vip")
    world.disconnect(node)
    await world.write(lambda tx: vips.delete(tx, VIP))
    await world.catch_up()
    world.pass_time(LOST_AFTER + 1)
    await world.feedback.flush()
    await world.restart()
    assert await world.get(VIP) is None
    assert VIP in await kept(world)


async def test_what_came_and_went_while_all_were_away_leaves_nothing(world: World):
    node = await world.ready("member", "vip")
    world.disconnect(node)
    await world.write(lambda tx: vips.create(tx, make.vip("other", port=81)))
    await world.settle()
    await delete(world, OTHER)
    await delete(world)
    assert await kept(world) == {VIP}


async def test_a_name_that_is_wanted_again_is_sent_again(world: World):
    node = await world.ready("member", "vip")
    world.disconnect(node)
    await delete(world)
    world.pass_time(LOST_AFTER + 1)
    await world.settle()
    await world.write(lambda tx: vips.create(tx, make.vip(port=82)))
    await world.settle()
    await world.restart()
    world.connect(node)
    await world.settle()
    assert node.envoy.version(listener()) == world.wanted(listener()).version
    assert await world.live(VIP)
    assert await kept(world) == set()


async def test_nodes_that_are_forgotten_take_their_tombstones_along(world: World):
    node = await world.ready("member", "vip")
    world.disconnect(node)
    await delete(world)
    world.pass_time(25 * 3600.0)
    world.pass_time(25 * 3600.0)
    await world.settle()
    assert await kept(world) == set()

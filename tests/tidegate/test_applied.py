"""What is told of changes that every counted node has confirmed: each once, with its commit."""

import dataclasses
from datetime import timedelta

from lbaas.store import drains, members, pools, vips
from tests.store import make
from tests.tidegate.world import POOL, VIP, World, listener


def told(world: World) -> list[tuple[str, int]]:
    """Has what is told from now on written down."""
    heard: list[tuple[str, int]] = []

    def applied(fleet: str, revision: int, seconds: float) -> None:
        assert -1 < seconds < 600
        heard.append((fleet, revision))

    world.feedback.on_applied = applied
    return heard


async def spec_rev(world: World, name: str) -> int:
    return (await world.get(name)).record.spec_rev


async def test_a_change_is_told_once_when_the_last_node_has_it(world: World):
    await world.ready("member", "vip")
    slow = world.node("n2")
    world.connect(slow)
    await world.settle()
    heard = told(world)
    slow.held_back = True
    await world.write(lambda tx: members.create(tx, make.member(2)))
    await world.catch_up()
    world.talk()
    assert heard == []
    slow.held_back = False
    world.talk()
    for _ in range(3):  # looked at again before it is written
        world.feedback.sweep()
    await world.settle()
    assert heard == [("edge", await spec_rev(world, make.member(2).name))]


async def test_what_touches_no_resource_and_what_is_refused_is_not_told(world: World):
    await world.ready("member")
    heard = told(world)
    await world.write(
        lambda tx: pools.update(tx, POOL, lambda pool: dataclasses.replace(pool, description="x"))
    )
    await world.settle()
    assert heard == []
    await world.write(lambda tx: vips.create(tx, make.vip()))
    await world.catch_up()
    world.refuse(listener())
    await world.settle()
    assert heard == []


async def test_a_delete_is_told_and_a_drain_is_no_slowness(world: World):
    await world.ready("member", "vip")
    heard = told(world)
    await world.write(lambda tx: vips.delete(tx, VIP))
    await world.settle()
    assert await world.get(VIP) is None
    assert len(heard) == 1
    slow = make.member(2, drain_timeout=timedelta(hours=1))
    await world.write(lambda tx: members.create(tx, slow))
    await world.settle()
    heard.clear()
    await world.write(lambda tx: members.delete(tx, slow.name))
    await world.settle()
    assert await world.get(slow.name) is not None
    await world.write(lambda tx: drains.end(tx, [slow.name]))
    await world.settle()
    assert await world.get(slow.name) is None
    assert heard == []

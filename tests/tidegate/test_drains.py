"""Members that drain: they serve on until their time is over, over restarts too."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from lbaas.store import members
from tests.store import make
from tests.tidegate.world import POOL, World, endpoints

MEMBER = make.member().name


def drain_for(seconds: float):
    return lambda tx: members.update(
        tx, MEMBER, lambda old: replace(old, drain_timeout=timedelta(seconds=seconds))
    )


async def draining(world: World, seconds: float = 3600.0):
    node = await world.ready("member", "vip")
    await world.write(drain_for(seconds))
    await world.settle()
    return node


async def test_a_deleted_member_stays_until_its_drain_ends_and_then_goes(world: World):
    node = await draining(world)
    before = world.wanted(endpoints()).version
    await world.write(lambda tx: members.delete(tx, MEMBER))
    await world.settle()
    while_draining = world.wanted(endpoints()).version
    assert while_draining != before
    gone = await world.get(MEMBER)
    assert gone.drain_end is not None
    assert gone.record.deleted_rev
    waiting = world.view.progress(MEMBER, 0).waiting
    assert waiting is not None
    assert waiting.reason == "DRAINING"
    node.held_back = True
    await world.write(lambda tx: members.end_drains(tx, [MEMBER]))
    await world.settle()
    assert world.wanted(endpoints()).version != while_draining
    assert await world.get(MEMBER) is not None  # the node has not confirmed that it is out
    node.held_back = False
    await world.settle()
    assert await world.get(MEMBER) is None
    assert world.view.progress(MEMBER, 0).waiting is None


async def test_a_member_that_drains_does_so_after_a_restart(world: World):
    node = await draining(world)
    await world.write(lambda tx: members.delete(tx, MEMBER))
    await world.settle()
    held = world.wanted(endpoints()).version
    await world.restart()
    world.connect(node)
    await world.settle()
    assert world.wanted(endpoints()).version == held
    assert await world.get(MEMBER) is not None
    await world.write(lambda tx: members.end_drains(tx, [MEMBER]))
    await world.settle()
    assert await world.get(MEMBER) is None


async def test_switching_off_drains_and_the_end_flips_no_status(world: World):
    await draining(world)
    await world.write(
        lambda tx: members.update(tx, MEMBER, lambda old: replace(old, admin_state_up=False))
    )
    await world.settle()
    assert await world.live(MEMBER)
    held = world.wanted(endpoints()).version
    await world.write(lambda tx: members.end_drains(tx, [MEMBER]))
    await world.catch_up()
    assert world.wanted(endpoints()).version != held
    assert await world.live(MEMBER)
    await world.write(
        lambda tx: members.update(tx, MEMBER, lambda old: replace(old, admin_state_up=True))
    )
    await world.settle()
    assert (await world.get(MEMBER)).drain_end is None
    assert await world.live(MEMBER)


async def test_the_clock_ends_drains_by_itself(world: World):
    await draining(world, 0.2)
    clock = asyncio.create_task(world.drains.run())
    feed = world.store.feed.subscribe()
    try:
        await world.write(lambda tx: members.delete(tx, MEMBER))
        await world.settle()
        async with asyncio.timeout(10):
            while not (member := await world.get(MEMBER)) or not member.drained:
                await feed.get()
        await world.settle()
        assert await world.get(MEMBER) is None
        assert (await world.get(POOL)).record.live_rev
    finally:
        clock.cancel()
        feed.close()


async def test_a_member_whose_drain_cannot_be_ended_keeps_no_other_from_it(
    world: World, monkeypatch
):
    await draining(world, 0.1)
    bad = make.member(2, drain_timeout=timedelta(seconds=0.1))
    await world.write(lambda tx: members.create(tx, bad))
    await world.settle()
    ending = members.end_drains

    def broken(tx, names):
        if bad.name in names:
            raise ValueError("a defect")
        return ending(tx, names)

    monkeypatch.setattr(members, "end_drains", broken)
    await world.write(lambda tx: [members.delete(tx, each) for each in (bad.name, MEMBER)])
    await world.catch_up()
    clock = asyncio.create_task(world.drains.run())
    feed = world.store.feed.subscribe()
    try:
        async with asyncio.timeout(10):
            while not (await world.get(MEMBER)).drained:
                await feed.get()
        assert not clock.done()
        assert not (await world.get(bad.name)).drained
    finally:
        clock.cancel()
        feed.close()

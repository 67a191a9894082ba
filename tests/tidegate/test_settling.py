"""What must become live or gone does, and nothing does before its time."""

import dataclasses

import pytest

from lbaas.model.enums import HealthMonitorType, LbMethod, Protocol
from lbaas.model.status import failure
from lbaas.store import fleets, health_monitors, members, placements, pools, trees, verdicts, vips
from tests.store import make
from tests.tidegate.world import POOL, VIP, World, add_fleet, listener, route
from tidegate.rendering import Place
from xds.translate import tree as translate_tree

MEMBER = make.member(1).name
MONITOR = make.monitor().name


def with_weight(weight: int):
    return lambda member: dataclasses.replace(member, weight=weight)


async def test_a_tenants_tree_becomes_live_and_goes(world: World):
    await world.ready("member", "vip", "monitor")
    assert await world.unsettled() == set()
    await world.write(lambda tx: trees.delete(tx, POOL))
    await world.settle()
    assert await world.get(POOL) is None
    assert await world.get(VIP) is None
    assert await world.get(MEMBER) is None
    assert not world.feedback.outbox
    assert world.feedback.unsettled(POOL) is None


async def test_a_monitor_shared_by_two_fleets_is_confirmed_on_each_at_its_own_revision(
    world: World,
):
    first = await world.ready("monitor")
    other = "projects/acme/pools/other"
    third = "projects/acme/pools/third"
    for name in (other, third):
        await world.write(lambda tx, name=name: pools.create(tx, make.pool(name)))
    await world.write(add_fleet("two", vip_ranges=("10.9.0.0/24",)))
    await world.write(lambda tx: placements.place(tx, other, fleet="fleets/two", reason="-"))
    await world.write(lambda tx: placements.place(tx, third, fleet="fleets/edge", reason="-"))
    second = world.node("n2", fleet="two")
    world.connect(second)
    for name in (POOL, other):
        await world.write(lambda tx, name=name: pools.associate(tx, name, MONITOR))
    await world.settle()
    first.held_back = second.held_back = True
    await world.write(
        lambda tx: health_monitors.update(
            tx, MONITOR, lambda each: dataclasses.replace(each, max_retries=5)
        )
    )
    await world.catch_up()
    await world.write(lambda tx: pools.associate(tx, third, MONITOR))  # on one fleet alone
    await world.catch_up()
    first.held_back = second.held_back = False
    await world.settle()
    assert await world.unsettled() == set()


async def test_a_vip_brought_to_another_pool_keeps_its_listener(world: World):
    node = await world.ready("member", "vip")
    for earlier in ("projects/acme/pools/aaa", "projects/acme/pools/zzz"):
        await world.write(lambda tx, name=earlier: pools.create(tx, make.pool(name)))
        await world.settle()
        await world.write(
            lambda tx, name=earlier: vips.update(
                tx, VIP, lambda vip: dataclasses.replace(vip, pool=name)
            )
        )
        await world.catch_up()
        assert world.wanted(listener()) is not None
        assert set(world.renderings.owners(Place("edge", listener()))) == {VIP}
        await world.settle()
        assert await world.live(VIP)
        assert VIP in node.envoy.held[listener().type_url]


async def test_a_pool_that_leaves_a_fleet_without_nodes_waits_for_none_of_them(world: World):
    await world.write(add_fleet("edge"))
    await world.write(add_fleet("two", vip_ranges=("10.9.0.0/24",)))
    node = world.node("n2", fleet="two")
    world.connect(node)
    await world.write(lambda tx: pools.create(tx, make.pool()))
    await world.write(lambda tx: placements.place(tx, POOL, fleet="fleets/edge", reason="-"))
    await world.settle()
    assert not await world.live(POOL)
    await world.write(lambda tx: placements.drop(tx, POOL))
    await world.reconcile.step()  # sees it nowhere; places it anew
    await world.settle()
    assert (await world.get(POOL)).placement.fleet == "fleets/two"
    assert await world.live(POOL)


async def test_a_vip_is_held_until_a_node_that_may_serve_it_is_away_for_thirty_seconds(
    world: World,
):
    await world.ready("member", "vip")
    joining = world.node("n2")
    world.connect(joining)
    for _ in range(12):
        world.exchange(joining)
    joining.held_back = True
    await world.write(lambda tx: vips.delete(tx, VIP))
    await world.catch_up()
    world.talk()
    world.disconnect(joining)
    world.nodes.remove(joining)
    await world.settle()
    world.pass_time(12)
    await world.settle()
    held = await world.get(VIP)
    world.pass_time(12)
    await world.settle()
    assert await world.get(VIP) is None
    assert held is not None


async def test_an_object_is_live_though_its_neighbours_change_without_end(world: World):
    """A version that holds the object is confirmed: newer ones of others do not put it off."""
    node = await world.ready("member")
    await world.write(lambda tx: members.create(tx, make.member(2)))
    await world.catch_up()
    for weight in range(2, 8):
        node.envoy.inbox.extend(node.stream.run(world.now))
        while node.envoy.inbox:
            node.envoy.take()
        # Before the answer arrives, a neighbour changes again.
        await world.write(lambda tx, to=weight: members.update(tx, MEMBER, with_weight(to)))
        await world.catch_up()
        while node.envoy.outbox:
            node.stream.receive(node.envoy.outbox.popleft(), world.now)
        await world.feedback.flush()
    assert await world.live(make.member(2).name)
    assert not await world.live(MEMBER)


async def test_a_pools_change_is_live_when_its_vips_routes_are(world: World):
    node = await world.ready("member", "vip")
    node.envoy.muted = False
    await world.write(
        lambda tx: pools.update(
            tx, POOL, lambda each: dataclasses.replace(each, lb_method=LbMethod.SOURCE_IP)
        )
    )
    await world.catch_up()
    for _ in range(50):
        world.exchange(node)
        await world.feedback.flush()
        held = node.envoy.version(route())
        assert held == world.wanted(route()).version or not await world.live(POOL)
    assert await world.live(POOL)


async def test_an_objects_own_next_change_is_waited_for(world: World):
    node = await world.ready("member")
    for weight in (2, 3):
        await world.write(lambda tx, to=weight: members.update(tx, MEMBER, with_weight(to)))
        await world.catch_up()
        node.envoy.inbox.extend(node.stream.run(world.now))
    first = (await world.get(MEMBER)).record.live_rev
    while node.envoy.inbox:
        node.envoy.take()
    node.stream.receive(node.envoy.outbox.popleft(), world.now)
    await world.feedback.flush()
    assert not await world.live(MEMBER)
    await world.settle()
    assert await world.live(MEMBER)
    assert (await world.get(MEMBER)).record.live_rev > first


async def test_a_description_makes_nothing_pending_and_nothing_live(world: World):
    node = await world.ready("member")
    node.held_back = True
    await world.write(lambda tx: members.update(tx, MEMBER, with_weight(7)))
    await world.settle()
    await world.write(
        lambda tx: members.update(tx, MEMBER, lambda m: dataclasses.replace(m, description="x"))
    )
    await world.settle()
    assert not await world.live(MEMBER)
    node.held_back = False
    await world.settle()
    assert await world.live(MEMBER)


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.HTTP])
async def test_a_vip_whose_stream_broke_before_the_answer_goes_when_its_node_is_back(
    world: World, protocol: Protocol
):
    node = world.node()
    world.connect(node)
    await world.write(add_fleet("edge"))
    await world.write(lambda tx: pools.create(tx, make.pool(protocol=protocol)))
    await world.write(lambda tx: vips.create(tx, make.vip(protocol=protocol)))
    await world.settle()
    assert await world.live(VIP)
    await world.write(lambda tx: vips.delete(tx, VIP))
    await world.catch_up()
    node.envoy.inbox.extend(node.stream.run(world.now))
    while node.envoy.inbox:
        node.envoy.take()  # the last listener is gone from the Envoy, and nobody heard
    world.disconnect(node)
    await world.settle()
    assert await world.get(VIP) is not None
    world.connect(node)
    await world.settle()
    world.pass_time(6)
    await world.settle()
    assert await world.get(VIP) is None


async def test_a_pool_that_cannot_be_rendered_keeps_what_it_deletes(world: World, monkeypatch):
    node = await world.ready("member", "vip")

    def broken(*_: object) -> None:
        raise ValueError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(translate_tree, "build_cluster", broken)
        await world.write(lambda tx: vips.delete(tx, VIP))
        await world.settle()
        assert await world.get(VIP) is not None
        assert VIP in node.envoy.held[listener().type_url]
    await world.write(lambda tx: members.update(tx, MEMBER, with_weight(2)))
    await world.settle()
    assert await world.get(VIP) is None
    assert await world.live(MEMBER)


async def test_a_vip_taken_down_before_a_restart_is_down_when_its_listener_is_gone(world: World):
    node = await world.ready("member", "vip")
    node.held_back = True
    await world.write(
        lambda tx: vips.update(tx, VIP, lambda v: dataclasses.replace(v, admin_state_up=False))
    )
    await world.restart()
    await world.feedback.flush()
    assert not await world.live(VIP)
    node.held_back = False
    world.connect(node)
    await world.settle()
    assert await world.live(VIP)
    assert VIP not in node.envoy.held[listener().type_url]


async def test_after_a_restart_nothing_is_pending_that_was_live(world: World):
    node = await world.ready("member", "vip", "monitor")
    await world.restart()
    assert await world.unsettled() == set()
    world.connect(node)
    await world.settle()
    assert node.envoy.received == 0


async def test_a_deleted_tree_goes_after_a_restart(world: World):
    node = await world.ready("member", "vip")
    await world.write(lambda tx: trees.delete(tx, POOL))
    await world.restart()
    await world.feedback.flush()
    assert await world.get(VIP) is not None
    world.connect(node)
    await world.settle()
    assert [await world.get(name) for name in (VIP, MEMBER, POOL)] == [None, None, None]


async def test_a_name_used_again_is_another_object(world: World):
    """Purged and made again between two passes: what was said of the first settles it not."""
    node = await world.ready("member")
    await world.write(lambda tx: members.create(tx, make.member(2)))
    node.held_back = True
    await world.catch_up()
    world.talk()
    await world.write(lambda tx: members.delete(tx, make.member(2).name))
    await world.catch_up()
    await world.write(lambda tx: verdicts.record(tx, live={}, gone=[make.member(2).name]))
    await world.write(lambda tx: members.create(tx, make.member(2)))
    await world.catch_up()
    await world.feedback.flush()
    assert not await world.live(make.member(2).name)
    node.held_back = False
    await world.settle()
    assert await world.live(make.member(2).name)
    assert world.feedback.unsettled(make.member(2).name) is None


async def test_the_older_of_two_streams_decides_when_the_newer_is_gone(world: World):
    node = await world.ready("member")
    await world.write(lambda tx: members.update(tx, MEMBER, with_weight(9)))
    await world.catch_up()
    ghost = world.cache.connect(
        fleet="edge", node=dataclasses.replace(node.stream.node), delta=True, now=world.now
    )
    world.talk()
    await world.feedback.flush()
    assert not await world.live(MEMBER)
    world.cache.disconnect(ghost)
    await world.feedback.flush()
    assert await world.live(MEMBER)


async def test_a_vip_gets_the_address_that_another_left(world: World):
    await world.ready("member", "vip")
    other = "projects/other/pools/p"
    second = make.vip("w", project="other", pool=other, address=(await world.get(VIP)).address)
    await world.write(lambda tx: pools.create(tx, make.pool(other)))
    await world.write(lambda tx: vips.create(tx, second))
    await world.settle()
    assert (await world.get(second.name)).address_in_use_by == VIP
    assert not await world.live(second.name)
    await world.write(lambda tx: vips.delete(tx, VIP))
    await world.settle()
    assert await world.live(second.name)


async def test_a_moved_member_is_live_in_its_new_pool_only_when_confirmed(world: World):
    node = await world.ready("member")
    other = "projects/acme/pools/other"
    await world.write(lambda tx: pools.create(tx, make.pool(other)))
    await world.settle()
    node.held_back = True
    moved = await world.write(lambda tx: members.move(tx, MEMBER, other))
    await world.settle()
    assert not await world.live(moved.name)
    assert world.feedback.unsettled(MEMBER) is None
    node.held_back = False
    await world.settle()
    assert await world.live(moved.name)


async def test_a_member_that_goes_costs_no_look_at_other_pools(world: World):
    await world.ready("member")
    reads = []
    real = fleets.every
    await world.write(lambda tx: members.delete(tx, MEMBER))
    fleets.every = lambda tx: reads.append(tx) or real(tx)
    try:
        await world.settle()
    finally:
        fleets.every = real
    assert await world.get(MEMBER) is None
    assert reads == []


async def test_a_vip_that_comes_back_to_a_fleet_is_live_when_it_is_there_again(world: World):
    node = await world.ready("member", "vip")
    other = "projects/acme/pools/other"
    await world.write(lambda tx: pools.create(tx, make.pool(other)))
    await world.write(add_fleet("two", vip_ranges=("10.9.0.0/24",)))
    await world.write(lambda tx: placements.place(tx, other, fleet="fleets/two", reason="-"))
    await world.catch_up()
    # The other pool's fleet cannot have the address: pool and VIP lose their place.
    await world.write(
        lambda tx: vips.update(tx, VIP, lambda vip: dataclasses.replace(vip, pool=other))
    )
    await world.reconcile.step()
    assert world.wanted(listener()) is None
    world.talk()
    assert listener().name not in node.envoy.held[listener().type_url]
    # Placed where it was, by a change that is not the VIP's own.
    await world.catch_up()
    assert world.wanted(listener()) is not None
    world.feedback.sweep()
    assert VIP not in world.feedback.outbox.live
    await world.settle()
    assert await world.live(VIP)
    assert listener().name in node.envoy.held[listener().type_url]


async def test_nothing_is_gone_while_a_lost_node_is_back_with_it(world: World):
    node = await world.ready("member", "vip")
    world.disconnect(node)
    world.pass_time(31)
    await world.write(lambda tx: trees.delete(tx, POOL))
    await world.catch_up()
    assert POOL in world.feedback.outbox.gone
    world.connect(node)
    assert POOL not in world.feedback.outbox.gone
    await world.settle()
    assert await world.get(POOL) is None
    assert not node.envoy.held[listener().type_url]


async def test_a_refusal_of_the_pool_as_it_was_does_not_stand_on_the_pool_as_it_is(world: World):
    ping = make.monitor("ping", type=HealthMonitorType.PING)
    await world.write(lambda tx: health_monitors.create(tx, ping))
    await world.write(add_fleet("edge", vip_ranges=("10.0.0.0/24",)))
    await world.write(lambda tx: pools.create(tx, make.pool(health_monitors=(ping.name,))))
    store_choice = world.placing._store_choice
    changed = []

    async def store_late(tree, decision, *, move):
        """The tenant is quicker than the transaction that stores the choice."""
        if not changed:
            changed.append(decision)
            await world.write(lambda tx: pools.disassociate(tx, POOL, ping.name))
        await store_choice(tree, decision, move=move)

    world.placing._store_choice = store_late
    await world.reconcile.step()
    assert changed[0].fleet == ""
    pool = await world.get(POOL)
    assert failure(pool, (), pool) is None
    await world.catch_up()
    assert (await world.get(POOL)).placement.fleet == "fleets/edge"


async def test_a_vip_that_is_deleted_while_it_is_switched_off_is_gone_when_its_listener_is(
    world: World,
):
    node = await world.ready("member", "vip")
    off = lambda vip: dataclasses.replace(vip, admin_state_up=False)  # noqa: E731
    await world.write(lambda tx: vips.update(tx, VIP, off))
    await world.catch_up()
    await world.write(lambda tx: trees.delete(tx, POOL))
    await world.catch_up()
    await world.feedback.flush()
    assert VIP in node.envoy.held[listener().type_url]
    assert await world.get(VIP) is not None
    await world.settle()
    assert await world.get(VIP) is None

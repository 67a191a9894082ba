"""Whom a refusal is blamed on, for how long, and what remains of it."""

import dataclasses

from lbaas.model.enums import LbMethod, Protocol, SessionPersistenceType
from lbaas.model.objects import SessionPersistence, Vip
from lbaas.store import members, pools, rejections, vips
from tests.store import make
from tests.tidegate.world import POOL, VIP, World, clusters, listener, route

MEMBER = make.member(1).name
TCP_POOL = "projects/acme/pools/tcp"


def method(lb_method: LbMethod):
    return lambda pool: dataclasses.replace(pool, lb_method=lb_method)


def by_source(vip: Vip) -> Vip:
    persistence = SessionPersistence(type=SessionPersistenceType.SOURCE_IP)
    return dataclasses.replace(vip, session_persistence=persistence)


def by_cookie(vip: Vip) -> Vip:
    persistence = SessionPersistence(type=SessionPersistenceType.HTTP_COOKIE)
    return dataclasses.replace(vip, session_persistence=persistence)


async def refused_vip(world: World) -> None:
    """A VIP whose listener its node refuses, on a live pool."""
    await world.ready("member")
    await world.write(lambda tx: vips.create(tx, make.vip()))
    await world.catch_up()
    world.refuse(listener())
    await world.settle()


async def kept(world: World) -> tuple:
    return await world.store.read(rejections.all)


async def test_a_refused_listener_is_its_vips_alone(world: World):
    await refused_vip(world)
    assert await world.refused(VIP)
    assert not await world.refused(POOL)
    assert await world.live(POOL)
    assert not await world.live(VIP)


async def test_a_change_that_leaves_what_was_refused_as_it_is_stays_refused(world: World):
    """The listener is as it was and is not sent again: the node's words still hold."""
    await refused_vip(world)
    await world.write(lambda tx: vips.update(tx, VIP, by_source))
    await world.settle()
    assert await world.refused(VIP)
    await world.restart()
    assert await world.refused(VIP)


async def test_off_and_on_is_a_new_try_when_the_cause_is_gone(world: World):
    await refused_vip(world)
    world.poison.clear()
    await world.settle()
    assert await world.refused(VIP)
    for up in (False, True):
        await world.write(
            lambda tx, up=up: vips.update(
                tx, VIP, lambda vip: dataclasses.replace(vip, admin_state_up=up)
            )
        )
        await world.settle()
        assert await world.live(VIP)
    assert not await world.refused(VIP)


async def test_a_pool_does_not_wait_for_the_routes_of_a_refused_listener(world: World):
    await refused_vip(world)
    await world.write(lambda tx: pools.update(tx, POOL, method(LbMethod.SOURCE_IP)))
    await world.settle()
    assert await world.live(POOL)
    assert world.view.progress(POOL, 1).missing == ()
    assert not await world.live(VIP)


async def test_a_pool_is_not_blamed_for_a_listener_that_its_change_made_anew(world: World):
    """A VIP that cannot bind cannot bind with another hash policy either."""
    await world.ready("member")
    await world.write(lambda tx: pools.create(tx, make.pool(TCP_POOL, protocol=Protocol.TCP)))
    tcp = make.vip(pool=TCP_POOL, protocol=Protocol.TCP)
    await world.write(lambda tx: vips.create(tx, tcp))
    for lb_method in (LbMethod.ROUND_ROBIN, LbMethod.SOURCE_IP):
        await world.write(lambda tx, new=lb_method: pools.update(tx, TCP_POOL, method(new)))
        for _ in range(2):
            await world.catch_up()
        world.refuse(listener())
        await world.settle()
        assert await world.refused(VIP)
        assert not await world.refused(TCP_POOL)
        assert await world.live(TCP_POOL)


async def test_a_member_waits_for_its_sessions_and_neither_for_nor_with_a_refused_vip(world: World):
    """Its id is in the routes of a VIP with a cookie: refused, they are the VIP's trouble."""
    await world.ready("member", "vip")
    await world.write(lambda tx: vips.update(tx, VIP, by_cookie))
    await world.settle()
    second, third = make.member(2).name, make.member(3).name
    await world.write(lambda tx: members.create(tx, make.member(2)))
    await world.catch_up()
    assert {name for _, name in world.view.progress(second, 1).missing} == {POOL, VIP}
    await world.settle()
    assert await world.live(second)

    await world.write(lambda tx: members.create(tx, make.member(3)))
    await world.catch_up()
    world.refuse(route())
    await world.settle()
    assert await world.live(third)
    assert not await world.refused(third)
    assert await world.refused(VIP)
    # One that goes does not wait either.
    await world.write(lambda tx: members.delete(tx, second))
    await world.catch_up()
    world.refuse(route())
    await world.settle()
    assert await world.get(second) is None


async def test_a_refused_cluster_is_blamed_on_what_changed(world: World):
    await world.ready("member", "vip")
    await world.write(lambda tx: pools.update(tx, POOL, method(LbMethod.LEAST_CONNECTIONS)))
    await world.catch_up()
    world.refuse(clusters())
    await world.settle()
    assert await world.refused(POOL)
    assert not await world.refused(VIP)
    await world.write(lambda tx: members.create(tx, make.member(2)))
    await world.settle()
    assert await world.live(make.member(2).name)


async def test_back_to_the_last_good_content_is_live_and_blameless(world: World):
    await world.ready("member", "vip")
    await world.write(lambda tx: pools.update(tx, POOL, method(LbMethod.LEAST_CONNECTIONS)))
    await world.catch_up()
    world.refuse(clusters())
    await world.settle()
    assert await world.refused(POOL)
    await world.write(lambda tx: pools.update(tx, POOL, method(LbMethod.ROUND_ROBIN)))
    await world.settle()
    assert await world.live(POOL)
    assert await kept(world) == ()


async def test_a_refusal_of_an_older_version_is_not_blamed_on_the_newer(world: World):
    node = await world.ready("member", "vip")
    await world.write(lambda tx: pools.update(tx, POOL, method(LbMethod.LEAST_CONNECTIONS)))
    await world.catch_up()
    world.refuse(clusters())
    node.envoy.inbox.extend(node.stream.run(world.now))
    while node.envoy.inbox:
        node.envoy.take()
    await world.write(lambda tx: pools.update(tx, POOL, method(LbMethod.SOURCE_IP)))
    await world.catch_up()
    while node.envoy.outbox:
        node.stream.receive(node.envoy.outbox.popleft(), world.now)
    await world.feedback.flush()
    assert not await world.refused(POOL)
    await world.settle()
    assert await world.live(POOL)
    assert await kept(world) == ()


async def test_a_refused_vip_that_is_deleted_leaves_nothing(world: World):
    await refused_vip(world)
    await world.write(lambda tx: vips.delete(tx, VIP))
    await world.settle()
    assert await world.get(VIP) is None
    assert await kept(world) == ()


async def test_a_refusal_outlives_a_restart_and_is_not_sent_again(world: World):
    await refused_vip(world)
    node = world.nodes[0]
    await world.restart()
    assert await world.refused(VIP)
    world.connect(node)
    await world.settle()
    assert node.envoy.received == 0
    assert await world.refused(VIP)
    await world.write(
        lambda tx: vips.update(tx, VIP, lambda vip: dataclasses.replace(vip, admin_state_up=False))
    )
    await world.settle()
    assert await world.live(VIP)
    assert await kept(world) == ()


async def test_a_refusal_of_what_was_deleted_before_a_restart_is_forgotten(world: World):
    await refused_vip(world)
    node = world.nodes[0]
    await world.write(lambda tx: vips.delete(tx, VIP))
    await world.restart()
    world.connect(node)
    await world.settle()
    assert await world.get(VIP) is None
    assert await kept(world) == ()
    assert world.feedback.rejections_at("edge", "n1") == []


async def test_a_lost_nodes_refusal_holds_nobody_in_error(world: World):
    await refused_vip(world)
    first = world.nodes[0]
    world.disconnect(first)
    world.nodes.remove(first)
    world.poison.clear()
    world.connect(world.node("n2"))
    await world.settle()
    assert await world.refused(VIP)  # it may be back within its time
    world.pass_time(31)
    await world.settle()
    assert not await world.refused(VIP)
    assert await world.live(VIP)
    assert await kept(world) == ()


async def test_a_lost_node_that_is_back_refuses_anew(world: World):
    await refused_vip(world)
    node = world.nodes[0]
    world.disconnect(node)
    world.pass_time(31)
    await world.settle()
    assert not await world.refused(VIP)
    world.connect(node)
    await world.settle()
    assert await world.refused(VIP)
    assert not await world.live(VIP)


async def test_a_refusal_by_one_of_two_nodes_is_cleared_when_both_take_the_next(world: World):
    await world.ready("member")
    world.connect(world.node("n2"))
    await world.settle()
    await world.write(lambda tx: vips.create(tx, make.vip()))
    await world.catch_up()
    world.poison[f"n2/{world.wanted(listener()).version}"] = "named"
    await world.settle()
    assert await world.refused(VIP)
    assert not await world.live(VIP)
    await world.write(
        lambda tx: vips.update(tx, VIP, lambda vip: dataclasses.replace(vip, admin_state_up=False))
    )
    await world.settle()
    assert not await world.refused(VIP)
    assert await world.live(VIP)

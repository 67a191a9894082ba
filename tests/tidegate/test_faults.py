"""What breaks a constraint of Envoy's, and what refused resources make of the others' statuses."""

import dataclasses

import pytest

from lbaas.model.enums import LbMethod
from lbaas.model.status import Progress
from lbaas.store import members, pools, rejections, vips
from tests.store import make
from tests.tidegate.test_rejections import by_source, kept, method
from tests.tidegate.world import POOL, VIP, World, clusters, endpoints, listener, route
from tidegate import reconcile
from tidegate.refusals import Refusals
from xds.cache import Key
from xds.cache.constraints import UNKEPT
from xds.translate import translate

MEMBER = make.member(1).name
FAULT = f"{UNKEPT} (connect_timeout: value must be greater than 0s)"


@pytest.fixture
def broken(monkeypatch) -> dict[Key, bool]:
    """The resources that the translator makes so that they break a constraint; False: no more."""
    faulty: dict[Key, bool] = {}

    def translated(tree, fleet):
        made = translate(tree, fleet)
        for key in faulty.keys() & made.keys():
            if faulty[key]:
                resource = dataclasses.replace(made[key].resource, fault=FAULT)
                made[key] = dataclasses.replace(made[key], resource=resource)
        return made

    monkeypatch.setattr(reconcile, "translate", translated)
    return faulty


async def change(world: World, lb_method: LbMethod) -> None:
    await world.write(lambda tx: pools.update(tx, POOL, method(lb_method)))
    await world.settle()


def progress(world: World, name: str) -> Progress:
    return world.view.progress(name, 1)


async def test_it_is_never_sent_and_blamed_on_what_changed(world: World, broken):
    node = await world.ready("member", "vip")
    before = node.envoy.version(clusters())
    broken[clusters()] = True
    await change(world, LbMethod.LEAST_CONNECTIONS)
    assert node.envoy.version(clusters()) == before  # the last good one serves on
    assert await world.refused(POOL)
    assert not await world.refused(VIP)
    assert await world.live(VIP)
    (rejection,) = await kept(world)
    assert rejection.message == FAULT
    assert rejection.last_good_version == before
    broken[clusters()] = False
    await change(world, LbMethod.ROUND_ROBIN)
    assert await world.live(POOL)
    assert await kept(world) == ()


async def test_it_is_found_while_an_older_version_is_unanswered(world: World, broken, monkeypatch):
    """The older one is confirmed afterwards: that is no word for the newer one."""
    cleared = []
    monkeypatch.setattr(Refusals, "clear", lambda self, identity: cleared.append(identity))
    node = await world.ready("member", "vip")
    node.envoy.muted = True
    await change(world, LbMethod.LEAST_CONNECTIONS)
    on_its_way = node.envoy.version(clusters())
    broken[clusters()] = True
    await change(world, LbMethod.SOURCE_IP)
    assert await world.refused(POOL)
    node.envoy.muted = False
    node.envoy.release()
    await world.settle()
    assert await world.refused(POOL)
    assert node.envoy.version(clusters()) == on_its_way
    (rejection,) = await kept(world)
    assert rejection.last_good_version == on_its_way
    assert cleared == []  # not for a moment


async def test_it_outlives_a_restart_and_is_not_sent_then(world: World, broken):
    node = await world.ready("member", "vip")
    broken[clusters()] = True
    await change(world, LbMethod.LEAST_CONNECTIONS)
    await world.restart()
    world.connect(node)
    await world.settle()
    assert await world.refused(POOL)
    assert await world.live(VIP)


async def test_what_a_newer_release_finds_no_fault_with_is_sent(world: World, broken):
    node = await world.ready("member", "vip")
    broken[clusters()] = True
    await change(world, LbMethod.LEAST_CONNECTIONS)
    broken.clear()
    await world.restart()
    world.connect(node)
    await world.settle()
    assert await world.live(POOL)
    assert await kept(world) == ()


async def test_a_new_pool_with_a_fault_blocks_what_is_on_it(world: World, broken):
    broken[clusters()] = True
    await world.ready("member", "vip")
    assert await world.refused(POOL)
    for name in (VIP, MEMBER):
        assert not await world.refused(name)
        assert not await world.live(name)
        waiting = progress(world, name).waiting
        assert (waiting.reason, waiting.resource) == ("BLOCKED_BY", POOL)
        assert waiting.node == "fleets/edge/nodes/n1"
        assert FAULT in waiting.message
    broken.clear()
    await change(world, LbMethod.LEAST_CONNECTIONS)
    for name in (POOL, VIP, MEMBER):
        assert await world.live(name)


async def test_a_vip_whose_routes_have_a_fault_does_not_listen_without(world: World, broken):
    broken[route()] = True
    node = await world.ready("member", "vip")
    assert await world.refused(VIP)
    assert node.envoy.version(listener()) is None
    assert await world.live(POOL)
    broken.clear()
    await world.write(lambda tx: vips.update(tx, VIP, by_source))
    await world.settle()
    assert await world.live(VIP)
    assert node.envoy.version(listener()) is not None


async def test_members_of_a_pool_whose_change_was_refused_still_come_and_go(world: World):
    """The cluster is refused, not its endpoints: they go to the version that serves."""
    node = await world.ready("member", "vip")
    await world.write(lambda tx: pools.update(tx, POOL, method(LbMethod.LEAST_CONNECTIONS)))
    await world.catch_up()
    world.refuse(clusters())
    await world.settle()
    assert await world.refused(POOL)
    await world.write(lambda tx: members.create(tx, make.member(2)))
    await world.settle()
    assert await world.live(make.member(2).name)
    assert node.envoy.version(endpoints()) == world.wanted(endpoints()).version


async def test_another_release_of_envoy_is_given_what_the_older_one_refused(world: World):
    node = await world.ready("member")
    await world.write(lambda tx: vips.create(tx, make.vip()))
    await world.catch_up()
    world.refuse(listener())
    await world.settle()
    assert await world.refused(VIP)
    world.disconnect(node)
    world.poison.clear()
    world.connect(node)
    await world.settle()
    assert await world.refused(VIP)  # the same Envoy: it is not sent again
    world.disconnect(node)
    node.version = "1.41.0"
    world.connect(node)
    await world.settle()
    assert not await world.refused(VIP)
    assert await world.live(VIP)
    assert await world.store.read(rejections.all) == ()

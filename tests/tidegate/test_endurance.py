"""One bad thing stops no other, and nothing grows without end."""

import dataclasses

import pytest

from lbaas.model.errors import FailedPrecondition, Unavailable
from lbaas.store import fleets, members, nodes, placements, pools, service_types, trees, vips
from lbaas.store.service_types import update as update_service_type
from tests.store import make
from tests.tidegate.world import LOST_AFTER, POOL, VIP, World, add_fleet, clusters
from tidegate import reconcile
from tidegate.nodes import FORGOTTEN_AFTER

MEMBER = make.member(1).name
OTHER = "projects/acme/pools/other"


def one_pool_at_most(name: str = "edge"):
    return add_fleet(name, max_pools=1)


async def test_a_nodes_id_may_be_anything(world: World):
    await world.ready("member")
    odd = world.node("router~10.0.0.1/zone a/nodes/x")
    world.connect(odd)
    await world.settle()
    await world.restart()
    assert len(world.register.counted("edge")) == 2
    world.connect(world.nodes[0])
    world.connect(odd)
    await world.settle()
    assert len(world.register.of("edge")) == 2


async def test_one_verdict_that_cannot_be_stored_does_not_lose_the_others(world, monkeypatch):
    await world.ready("member")
    await world.write(lambda tx: vips.create(tx, make.vip()))
    await world.catch_up()
    world.talk()
    real = nodes.save

    def picky(tx: object, seen: tuple) -> None:
        if any("n2" in node.name for node in seen):
            raise ValueError("a NUL, say")
        real(tx, seen)

    monkeypatch.setattr(nodes, "save", picky)
    world.connect(world.node("n2"))
    await world.feedback.flush()
    assert await world.live(VIP)


async def test_reading_everything_anew_takes_away_what_is_gone(world, monkeypatch):
    node = await world.ready("member", "vip")
    await world.write(lambda tx: pools.create(tx, make.pool(OTHER)))
    await world.settle()
    await world.write(lambda tx: trees.delete(tx, POOL))

    def compacted(*_: object) -> None:
        raise FailedPrecondition("too old", reason="REVISION_COMPACTED", subject="revision 1")

    with monkeypatch.context() as patch:
        patch.setattr(reconcile, "read_since", lambda tx, revision, *, retry: compacted())
        await world.reconcile.step()
    await world.reconcile.step()
    assert world.wanted(clusters()) is None
    assert world.wanted(clusters(OTHER)) is not None
    await world.settle()
    assert await world.get(POOL) is None
    assert POOL not in node.envoy.held[clusters().type_url]


async def test_a_store_that_fails_while_everything_is_read_anew_is_waited_for(world, monkeypatch):
    await world.ready("member")
    monkeypatch.setattr(reconcile, "RETRY_SECONDS", 0.0)

    def compacted(*_: object, **__: object) -> None:
        raise FailedPrecondition("too old", reason="REVISION_COMPACTED", subject="revision 1")

    def away(_: object) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(reconcile, "read_since", compacted)
        patch.setattr(reconcile, "read_all", away)
        await world.reconcile.step()
        await world.reconcile.step()
    await world.write(lambda tx: members.create(tx, make.member(2)))
    await world.settle()
    assert await world.live(make.member(2).name)


async def test_a_pass_that_broke_is_made_good(world: World, monkeypatch):
    """A defect between rendering and publishing: the next pass publishes what is missing."""
    node = await world.ready("member")
    monkeypatch.setattr(reconcile, "RETRY_SECONDS", 0.0)

    def broken(*_: object, **__: object) -> None:
        raise KeyError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(world.cache, "advance", broken)
        await world.write(lambda tx: vips.create(tx, make.vip()))
        await world.reconcile.step()
    await world.settle()
    assert await world.live(VIP)
    assert VIP in node.envoy.held["type.googleapis.com/envoy.config.listener.v3.Listener"]


async def test_a_pool_that_leaves_makes_room_for_one_that_waits(world: World):
    await world.write(one_pool_at_most())
    await world.write(lambda tx: pools.create(tx, make.pool()))
    await world.settle()
    await world.write(lambda tx: pools.create(tx, make.pool(OTHER)))
    await world.settle()
    assert not (await world.get(OTHER)).placement.fleet
    await world.write(add_fleet("two", project="acme", labels={"a": "b"}, draining=True))
    await world.write(lambda tx: placements.place(tx, POOL, fleet="", reason="moved by hand"))
    await world.write(lambda tx: placements.place(tx, POOL, fleet="fleets/two", reason="-"))
    await world.settle()
    assert (await world.get(OTHER)).placement.fleet == "fleets/edge"


async def test_a_pool_purged_makes_room_for_one_that_waits(world: World):
    await world.write(one_pool_at_most())
    for name in (POOL, OTHER):
        await world.write(lambda tx, name=name: pools.create(tx, make.pool(name)))
        await world.settle()
    assert not (await world.get(OTHER)).placement.fleet
    await world.write(lambda tx: pools.delete(tx, POOL))
    await world.settle()
    assert (await world.get(OTHER)).placement.fleet == "fleets/edge"


async def test_without_a_default_service_type_a_pool_is_told_so(world: World):
    await world.write(add_fleet("edge"))
    default = "serviceTypes/default"
    await world.write(
        lambda tx: update_service_type(
            tx, default, lambda each: dataclasses.replace(each, default=False)
        )
    )
    await world.write(lambda tx: pools.create(tx, make.pool()))
    await world.settle()
    placement = (await world.get(POOL)).placement
    assert placement is not None
    assert "service type" in placement.reason
    await world.write(
        lambda tx: service_types.update(
            tx, default, lambda each: dataclasses.replace(each, default=True)
        )
    )
    await world.settle()
    assert (await world.get(POOL)).placement.fleet == "fleets/edge"


async def test_a_choice_that_breaks_takes_no_other_with_it(world: World, monkeypatch):
    await world.write(add_fleet("edge"))
    real = placements.place

    def picky(tx: object, pool: str, *, fleet: str, reason: str) -> object:
        if pool == POOL:
            raise ValueError("a defect")
        return real(tx, pool, fleet=fleet, reason=reason)

    monkeypatch.setattr(placements, "place", picky)
    for name in (POOL, OTHER):
        await world.write(lambda tx, name=name: pools.create(tx, make.pool(name)))
    await world.settle()
    assert (await world.get(OTHER)).placement.fleet == "fleets/edge"


async def test_nodes_long_gone_are_forgotten(world: World):
    await world.ready("member")
    for number in range(3):
        node = world.node(f"pod-{number}")
        world.connect(node)
        await world.settle()
        world.disconnect(node)
    world.pass_time(LOST_AFTER + 1)
    await world.settle()
    assert len(world.register.of("edge")) == 4
    world.pass_time(FORGOTTEN_AFTER + 1)
    await world.settle()
    assert [node.name for node in world.register.of("edge")] == ["fleets/edge/nodes/n1"]
    assert [node.name for node in await world.store.read(nodes.all)] == ["fleets/edge/nodes/n1"]


async def test_a_lost_nodes_old_envoy_limits_nobody(world: World):
    await world.ready("member")
    old = world.node("old")
    old.version = "1.30.0"
    world.connect(old)
    await world.settle()
    fleet = await world.store.read(lambda tx: fleets.get(tx, "fleets/edge"))
    assert not world.offered(fleet).multiple_monitors
    world.disconnect(old)
    world.pass_time(LOST_AFTER + 1)
    assert world.offered(fleet).multiple_monitors


@pytest.mark.parametrize("many", [10, 1000])
async def test_an_unsettled_neighbour_costs_a_change_nothing(world: World, many: int, monkeypatch):
    """A member among a thousand that are not live yet: one object is looked at, not all."""
    node = await world.ready("member")
    node.held_back = True
    crowd = [make.member(10 + number) for number in range(many)]
    await world.write(lambda tx: members.create_many(tx, crowd))
    await world.settle()
    seen = []
    real = type(world.feedback).track
    monkeypatch.setattr(
        type(world.feedback),
        "track",
        lambda self, impact: seen.append(impact) or real(self, impact),
    )
    await world.write(
        lambda tx: members.update(tx, MEMBER, lambda each: dataclasses.replace(each, weight=5))
    )
    await world.catch_up()
    assert [impact.name for impact in seen] == [MEMBER]

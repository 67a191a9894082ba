"""Which removals are explained, over the real store: what tenants and operators do never waits."""

import dataclasses

import pytest
from sqlalchemy import delete

from lbaas.model.objects import Quota
from lbaas.store import fleets, placements, quotas, tables, trees, vips
from lbaas.store.feed import Action
from tests.store import make
from tests.tidegate.test_limits import share
from tests.tidegate.world import POOL, World, add_fleet, listener
from xds.cache import LISTENER

MANY = 24
QUOTA = "projects/acme/quota"


def name(number: int) -> str:
    return make.vip(f"v{number}").name


async def many_vips(world: World) -> None:
    await world.ready("member")

    def add(tx):
        quotas.update(tx, QUOTA, lambda _: Quota(name=QUOTA, vips=-1))
        for number in range(MANY):
            vips.create(tx, make.vip(f"v{number}", port=1000 + number, address="10.0.0.1"))

    await world.write(add)
    await world.settle()
    assert await world.live(name(0))


def listening(world: World, fleet: str = "edge") -> int:
    return sum(world.wanted(listener(name(number)), fleet) is not None for number in range(MANY))


def every_vip(command):
    def work(tx):
        for number in range(MANY):
            command(tx, name(number))

    return work


def switched_off(vip):
    return dataclasses.replace(vip, admin_state_up=False)


TENANTS = {
    "deleted": every_vip(vips.delete),
    "switched off": every_vip(lambda tx, vip: vips.update(tx, vip, switched_off)),
    "the tree deleted": lambda tx: trees.delete(tx, POOL),
}


@pytest.mark.parametrize("what", TENANTS)
async def test_what_tenants_do_never_waits(world: World, what):
    await many_vips(world)
    await world.write(TENANTS[what])
    await world.settle()
    assert listening(world) == 0
    assert world.view.held_removals("fleets/edge") is None
    await world.restart()
    world.connect(world.nodes[0])
    await world.settle()
    assert world.view.held_removals("fleets/edge") is None


async def test_a_pool_that_an_operator_moves_takes_its_vips_along(world: World):
    await many_vips(world)
    await world.write(add_fleet("other"))
    world.connect(world.node("n2", fleet="other"))
    await world.settle()

    def move(tx):
        placements.place(tx, POOL, fleet="fleets/other", reason="an operator's")

    await world.write(move)
    await world.settle()
    assert (listening(world), listening(world, "other")) == (0, MANY)
    assert world.view.held_removals("fleets/edge") is None


async def touch(world: World) -> None:
    """Something else changes in the pool, so that it is read again."""

    def describe(tx):
        tx.record(POOL, POOL, Action.UPDATED)

    await world.write(describe)
    await world.settle()


def lose(table):
    return lambda tx: tx.connection.execute(delete(table))


@pytest.mark.parametrize("table", [tables.vips, tables.placements, tables.fleets], ids=str)
async def test_rows_that_vanish_are_no_reason(world: World, table):
    await many_vips(world)
    before = len(world.nodes[0].envoy.held[listener().type_url])
    await world.write(lose(table))
    if table is tables.fleets:
        await world.write(add_fleet("another"))  # fleets are read again when one changes
    await touch(world)
    held = world.view.held_removals("fleets/edge")
    assert held is not None
    assert held.count == MANY
    assert len(world.nodes[0].envoy.held[listener().type_url]) == before


async def test_a_word_lets_them_go_and_is_not_heard_again_by_the_next_process(world: World):
    await many_vips(world)
    await world.write(lose(tables.vips))
    await touch(world)
    assert world.view.held_removals("fleets/edge") is not None
    await world.write(lambda tx: fleets.allow_removals(tx, "fleets/edge"))
    await world.settle()
    assert world.view.held_removals("fleets/edge") is None
    assert listening(world) == 0
    assert not world.nodes[0].envoy.held[listener().type_url]

    def add(tx):
        for number in range(MANY):
            vips.create(tx, make.vip(f"v{number}", port=1000 + number, address="10.0.0.1"))

    await world.write(add)
    await world.settle()
    await world.write(lose(tables.vips))
    await world.restart()  # with the word still in the store
    world.connect(world.nodes[0])
    await world.settle()
    held = world.view.held_removals("fleets/edge")
    assert held is not None
    assert held.count == MANY
    await world.write(lambda tx: fleets.allow_removals(tx, "fleets/edge"))
    await world.settle()
    assert world.view.held_removals("fleets/edge") is None
    assert not world.nodes[0].envoy.held[listener().type_url]


async def test_a_withheld_vip_keeps_its_connection_limit_until_it_may_go(world: World):
    await many_vips(world)

    def limit(tx):
        vips.update(tx, name(0), lambda vip: dataclasses.replace(vip, connection_limit=10))

    await world.write(limit)
    await world.settle()
    first = world.nodes[0]
    assert share(first, name(0)) == 10
    await world.write(lose(tables.vips))
    await touch(world)
    assert world.view.held_removals("fleets/edge") is not None
    second = world.node("n2")
    world.connect(second)
    await world.settle()
    assert name(0) in second.envoy.held[LISTENER]
    assert (share(first, name(0)), share(second, name(0))) == (5, 5)
    await world.write(lambda tx: fleets.allow_removals(tx, "fleets/edge"))
    await world.settle()
    for node in (first, second):
        assert not node.envoy.held[LISTENER]
        assert share(node, name(0)) is None

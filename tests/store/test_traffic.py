"""Traffic: what Envoys counted never falls, and goes with its object."""

from datetime import timedelta

import pytest

from lbaas.model.objects import EPOCH
from lbaas.model.reports import Traffic
from lbaas.store import fleets, members, nodes, placements, pools, traffic, trees, verdicts, vips
from lbaas.store.store import Store
from lbaas.store.traffic import NO_NODE, StoredTraffic
from tests.store import make
from tests.store.make import EDGE, NOON, POOL

ONE, TWO = f"{EDGE}/nodes/n1", f"{EDGE}/nodes/n2"
MEMBER, VIP = make.member().name, make.vip().name
OTHER = "projects/acme/pools/other"
NOTHING = Traffic()


def figures(many: int) -> Traffic:
    return Traffic(
        bytes_in=many,
        bytes_out=2 * many,
        total_connections=3 * many,
        requests=4 * many,
        errors=5 * many,
        refused_connections=6 * many,
    )


def prepare(tx):
    make.placed_pool(tx)
    members.create(tx, make.member())
    vips.create(tx, make.vip())


@pytest.fixture
async def serving(store: Store) -> Store:
    await store.write(prepare)
    return store


def save(store: Store, name: str, node: str, many: int | Traffic, *, start: float = 0):
    counted = many if isinstance(many, Traffic) else figures(many)
    row = (name, node, NOON + timedelta(seconds=start), counted)
    return store.write(lambda tx: traffic.save(tx, [row]))


def totals(store: Store):
    return store.read(traffic.totals)


async def test_what_an_envoy_counts_stands_in_place_of_what_it_had(serving: Store):
    revision = await serving.read(lambda tx: tx.revision)
    await save(serving, VIP, ONE, 10)
    await save(serving, VIP, TWO, 7)
    # An agent knows the start of its Envoy to a second.
    await save(serving, VIP, ONE, 12, start=1)
    assert await totals(serving) == {
        VIP: {
            ONE: StoredTraffic(NOON, figures(12), NOTHING),
            TWO: StoredTraffic(NOON, figures(7), NOTHING),
        }
    }
    assert await serving.read(lambda tx: tx.revision) == revision


async def test_an_envoy_that_starts_anew_begins_on_top_of_the_last_one(serving: Store):
    await save(serving, VIP, ONE, 10)
    await save(serving, VIP, ONE, 30, start=60)
    await save(serving, VIP, ONE, 31, start=61)
    stored = (await totals(serving))[VIP][ONE]
    assert stored == StoredTraffic(NOON + timedelta(seconds=60), figures(31), figures(10))
    await save(serving, VIP, ONE, 1, start=99)
    assert (await totals(serving))[VIP][ONE].before == figures(41)


async def test_a_counter_that_fell_begins_on_top_of_what_it_was(serving: Store):
    await save(serving, VIP, ONE, 10)
    await save(serving, VIP, ONE, Traffic(bytes_in=99, requests=1), start=1)
    stored = (await totals(serving))[VIP][ONE]
    assert stored.traffic == Traffic(bytes_in=99, requests=1)
    assert stored.before == figures(10)


async def test_what_is_open_now_is_not_stored(serving: Store):
    await save(serving, VIP, ONE, Traffic(active_connections=5, requests=1))
    await save(serving, VIP, ONE, Traffic(active_connections=2, requests=1))
    assert (await totals(serving))[VIP][ONE].traffic == Traffic(requests=1)


async def test_many_figures_are_stored_together(serving: Store):
    many = [make.member(number) for number in range(2, 1202)]
    await serving.write(lambda tx: members.create_many(tx, many))
    for count in (1, 2):
        rows = [(member.name, ONE, NOON, figures(count)) for member in many]
        await serving.write(lambda tx, rows=rows: traffic.save(tx, rows))
    stored = await totals(serving)
    assert len(stored) == len(many)
    assert {each[ONE].traffic for each in stored.values()} == {figures(2)}


async def test_of_two_figures_at_once_the_last_one_counts(serving: Store):
    rows = [(VIP, ONE, NOON, figures(1)), (VIP, ONE, NOON, figures(3))]
    await serving.write(lambda tx: traffic.save(tx, rows))
    assert (await totals(serving))[VIP][ONE].traffic == figures(3)


async def test_figures_go_with_their_object_and_do_not_come_back(serving: Store):
    for name in (VIP, MEMBER, POOL):
        await save(serving, name, ONE, 10)
    await serving.write(lambda tx: vips.delete(tx, VIP))
    assert set(await totals(serving)) == {VIP, MEMBER, POOL}
    await serving.write(lambda tx: verdicts.record(tx, live={}, gone=[VIP]))
    assert set(await totals(serving)) == {MEMBER, POOL}
    await save(serving, VIP, ONE, 11)
    assert set(await totals(serving)) == {MEMBER, POOL}
    await serving.write(lambda tx: trees.delete(tx, POOL))
    await serving.write(lambda tx: verdicts.record(tx, live={}, gone=[POOL]))
    assert await totals(serving) == {}
    for name in (MEMBER, POOL, "no/name"):
        await save(serving, name, ONE, 11)
    assert await totals(serving) == {}


async def test_a_member_that_moves_counts_anew(serving: Store):
    await save(serving, MEMBER, ONE, 10)
    await serving.write(lambda tx: pools.create(tx, make.pool(OTHER)))
    await serving.write(lambda tx: members.move(tx, MEMBER, OTHER))
    assert await totals(serving) == {}


async def test_what_a_node_counted_outlives_it(serving: Store):
    gone = [make.node("n1"), make.node("n2")]
    await serving.write(lambda tx: nodes.save(tx, gone))
    for name, node in ((VIP, ONE), (VIP, TWO), (POOL, ONE), (POOL, f"{EDGE}/nodes/n3")):
        await save(serving, name, node, 10)
        await save(serving, name, node, 1, start=60)
    await serving.write(lambda tx: nodes.forget(tx, [ONE]))
    await serving.write(lambda tx: nodes.forget(tx, [TWO, f"{EDGE}/nodes/none"]))
    assert await totals(serving) == {
        VIP: {NO_NODE: StoredTraffic(EPOCH, NOTHING, figures(22))},
        POOL: {
            NO_NODE: StoredTraffic(EPOCH, NOTHING, figures(11)),
            f"{EDGE}/nodes/n3": StoredTraffic(
                NOON + timedelta(seconds=60), figures(1), figures(10)
            ),
        },
    }
    # Seen again, it begins at nothing; a word about a node that is there is none that it went.
    await save(serving, VIP, ONE, 4, start=90)
    await serving.write(lambda tx: nodes.save(tx, [make.node("n1")]))
    assert set((await totals(serving))[VIP]) == {NO_NODE, ONE}


async def test_what_the_nodes_of_a_fleet_counted_outlives_the_fleet(serving: Store):
    def leave(tx):
        nodes.save(tx, [make.node("n1")])
        fleets.create(tx, make.fleet("fleets/other"))
        placements.place(tx, POOL, fleet="fleets/other", reason="moved")

    await serving.write(leave)
    await save(serving, VIP, ONE, 10)
    await serving.write(lambda tx: fleets.delete(tx, EDGE))
    assert await serving.read(nodes.all) == ()
    assert await totals(serving) == {VIP: {NO_NODE: StoredTraffic(EPOCH, NOTHING, figures(10))}}

"""Stores of older tables: what is in them goes on after the upgrade."""

from sqlalchemy import Engine, MetaData, create_engine, inspect

from lbaas.model.capabilities import EVERYTHING
from lbaas.model.objects import Placement
from lbaas.model.reports import Traffic
from lbaas.store import (
    engines,
    fleets,
    members,
    migrate,
    nodes,
    placements,
    traffic,
    trees,
    vips,
)
from lbaas.store.store import Store
from tests.store import make

OLD_RECORD = {
    "display_name": "",
    "description": "",
    "labels": "{}",
    "uid": "12345678-0000",
    "rev": 3,
    "spec_rev": 2,
    "live_rev": 2,
    "deleted_rev": 0,
    "create_time": make.NOON,
    "update_time": make.NOON,
}
OLD_MEMBER = {
    "project": "acme",
    "pool": make.POOL,
    "port": 80,
    "weight": 1,
    "backup": False,
    "drain_timeout": 30_000_000,
    "admin_state_up": True,
    **OLD_RECORD,
}
OLD_VIP = {
    "project": "acme",
    "pool": make.POOL,
    "protocol": "HTTP",
    "port": 80,
    "admin_state_up": True,
    "session_persistence": '{"type": "SOURCE_IP", "cookie_name": "", "ttl": 0}',
    "connection_limit": -1,
    "address_in_use_by": "",
    **OLD_RECORD,
}
OLD_ROWS: list[tuple[str, dict[str, object]]] = [
    (
        "fleets",
        {
            "name": make.EDGE,
            "kind": "EDGE",
            "service_types": '["serviceTypes/default"]',
            "capabilities": None,
            "project": "",
            "vip_ranges": '["10.0.0.0/29"]',
            "max_pools": 0,
            "draining": False,
            "pools": 1,
            **OLD_RECORD,
        },
    ),
    (
        "pools",
        {
            "name": make.POOL,
            "project": "acme",
            "protocol": "HTTP",
            "lb_method": "ROUND_ROBIN",
            "admin_state_up": True,
            "service_type": "",
            **OLD_RECORD,
        },
    ),
    (
        "placements",
        {
            "pool": make.POOL,
            "fleet": make.EDGE,
            "reason": "the only one",
            "time": make.NOON,
            "rev": 2,
        },
    ),
    ("members", {**OLD_MEMBER, "name": make.member(1).name, "address": "10.1.0.1"}),
    (
        "members",
        {
            **OLD_MEMBER,
            "name": make.member(2).name,
            "address": "10.1.0.2",
            "admin_state_up": False,
        },
    ),
    (
        "members",
        {**OLD_MEMBER, "name": make.member(3).name, "address": "10.1.0.3", "deleted_rev": 3},
    ),
    ("vips", {**OLD_VIP, "name": make.vip().name, "address": "10.0.0.1"}),
    (
        "addresses",
        {
            "fleet": make.EDGE,
            "address": "10.0.0.1",
            "port": 80,
            "vip": make.vip().name,
            "allocated": True,
        },
    ),
    (
        "nodes",
        {
            "name": f"{make.EDGE}/nodes/n1",
            "fleet": make.EDGE,
            "envoy_version": "1.40.0",
            "counted": True,
            "joined_rev": 1,
            "last_seen": make.NOON,
        },
    ),
]
"""What a Tidegate of the first tables wrote, as it lies in them."""


async def test_a_store_of_the_first_tables_goes_on_with_all_that_is_in_it(store_url: str):
    engine = engines.writer(engines.parse(store_url))
    migrate.upgrade(engine, "0001")
    old = MetaData()
    with engine.begin() as connection:
        old.reflect(connection)
        connection.execute(old.tables["revision"].update().values(n=3))
        for table, row in OLD_ROWS:
            connection.execute(old.tables[table].insert().values(row))
    engine.dispose()

    store = await Store.open(store_url, built=EVERYTHING)
    (tree,) = await store.read(trees.read_all)
    assert (tree.pool.name, tree.pool.lb_method) == (make.POOL, "ROUND_ROBIN")
    assert tree.pool.placement == Placement(
        fleet=make.EDGE, reason="the only one", time=make.NOON, rev=2
    )
    # Nobody drained then: who was switched off or deleted was out of its cluster at once.
    assert [(each.name, each.drained, each.drain_end) for each in tree.members] == [
        (make.member(1).name, False, None),
        (make.member(2).name, True, None),
    ]
    gone = await store.read(lambda tx: members.get(tx, make.member(3).name))
    assert (gone.drained, gone.drain_end, gone.drain_timeout.total_seconds()) == (True, None, 30)
    (vip,) = tree.vips
    assert (vip.address, vip.session_persistence.type) == ("10.0.0.1", "SOURCE_IP")
    assert {each.record.etag for each in (tree.pool, *tree.members, vip)} == {'"12345678-3"'}
    assert tree.unreachable == set()
    (node,) = await store.read(nodes.all)
    assert (node.counted, node.agent, node.ping) == (True, False, False)
    assert await store.read(traffic.totals) == {}

    def go_on(tx):
        """What the new columns and keys are for works on old rows."""
        fleets.create(tx, make.fleet("fleets/other", service_types=()))
        placements.place(tx, make.POOL, fleet="fleets/other", reason="moved", overlap=True)
        return members.delete(tx, make.member(1).name)

    assert (await store.write(go_on)).drain_end is not None
    await store.write(lambda tx: placements.release(tx, make.POOL))
    assert (await store.read(lambda tx: vips.get(tx, vip.name))).address == "10.0.0.1"
    await store.close()


async def test_down_to_the_first_tables_and_up_again_keeps_what_they_can_hold(store_url: str):
    store = await Store.open(store_url, built=EVERYTHING)

    def fill(tx):
        make.placed_pool(tx)
        members.create(tx, make.member(1, admin_state_up=False))
        vips.create(tx, make.vip())
        nodes.save(tx, [make.node()])
        traffic.save(tx, [(make.POOL, make.node().name, make.NOON, Traffic(requests=1))])

    await store.write(fill)
    before = await store.read(trees.read_all)
    await store.close()
    engine = engines.writer(engines.parse(store_url))
    first = create_engine("sqlite://")
    migrate.upgrade(first, "0001")
    migrate.downgrade(engine, "0001")
    assert columns(engine) == columns(first)
    engine.dispose()
    store = await Store.open(store_url, built=EVERYTHING)
    assert await store.read(trees.read_all) == before
    await store.close()


def columns(engine: Engine) -> dict[str, set[str]]:
    with engine.connect() as connection:
        found = inspect(connection)
        return {
            name: {column["name"] for column in found.get_columns(name)}
            for name in found.get_table_names()
        }

"""Each kind of object: stored, read back equal, changed, listed, deleted, isolated."""

import dataclasses
from datetime import UTC, timedelta

import pytest

from lbaas.model import filter as filters
from lbaas.model.enums import LbMethod, Protocol, SessionPersistenceType
from lbaas.model.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from lbaas.model.objects import Capabilities, Pool, Record, ServiceType, SessionPersistence
from lbaas.store import fleets, health_monitors, members, pools, service_types, vips
from lbaas.store.store import Store
from tests.store import make
from tests.store.make import POOL


def without_record(obj):
    return dataclasses.replace(obj, record=Record())


RICH = {"display_name": "Größe", "description": "d", "labels": {"a": "b", "c": ""}}
CASES = {
    "pool": (pools, lambda: make.pool(admin_state_up=False, **RICH)),
    "member": (
        members,
        lambda: make.member(weight=0, backup=True, drain_timeout=timedelta(seconds=1.5), **RICH),
    ),
    "monitor": (health_monitors, lambda: make.monitor(rise=3, **RICH)),
    "vip": (
        vips,
        lambda: make.vip(
            address="10.9.9.9",
            connection_limit=7,
            session_persistence=SessionPersistence(
                type=SessionPersistenceType.HTTP_COOKIE, ttl=timedelta(hours=1)
            ),
            **RICH,
        ),
    ),
    "fleet": (fleets, lambda: make.fleet(capabilities=Capabilities(), max_pools=3, **RICH)),
    "service_type": (
        service_types,
        lambda: ServiceType(
            name="serviceTypes/gold",
            required=Capabilities(protocols=frozenset({Protocol.TCP}), connection_limit=True),
            fleet_labels={"disk": "fast"},
            **RICH,
        ),
    ),
}


@pytest.fixture(params=sorted(CASES))
async def kind(request, store: Store):
    commands, build = CASES[request.param]
    if request.param in {"member", "vip"}:
        await store.write(lambda tx: pools.create(tx, make.pool()))
    return commands, build()


async def test_an_object_is_read_back_as_it_was_written(store: Store, kind):
    commands, obj = kind
    created = await store.write(lambda tx: commands.create(tx, obj))
    found = await store.read(lambda tx: commands.get(tx, obj.name))
    assert found == created
    assert without_record(found) == obj
    assert found.record.uid
    assert found.record.rev == found.record.spec_rev > 1
    assert (found.record.live_rev, found.record.deleted_rev) == (0, 0)
    assert found.record.create_time.tzinfo is UTC


async def test_a_second_one_of_the_name_is_refused(store: Store, kind):
    commands, obj = kind
    await store.write(lambda tx: commands.create(tx, obj))
    with pytest.raises(AlreadyExists) as refused:
        await store.write(lambda tx: commands.create(tx, obj))
    assert refused.value.reason == "RESOURCE_ALREADY_EXISTS"


async def test_a_change_for_people_moves_rev_alone(store: Store, kind):
    commands, obj = kind
    before = await store.write(lambda tx: commands.create(tx, obj))
    after = await store.write(
        lambda tx: commands.update(
            tx,
            obj.name,
            lambda old: dataclasses.replace(old, description="new", labels={"z": "1"}),
            etag=before.record.etag,
        )
    )
    assert (after.description, after.labels) == ("new", {"z": "1"})
    assert after.record.rev == before.record.rev + 1
    assert after.record.spec_rev == before.record.spec_rev
    assert after.record.etag != before.record.etag
    assert after == await store.read(lambda tx: commands.get(tx, obj.name))


async def test_a_change_of_nothing_takes_no_revision(store: Store, kind):
    commands, obj = kind
    before = await store.write(lambda tx: commands.create(tx, obj))
    same = await store.write(lambda tx: commands.update(tx, obj.name, lambda old: old))
    assert same == before
    assert await store.read(lambda tx: tx.revision) == before.record.rev


async def test_an_old_etag_aborts_update_and_delete(store: Store, kind):
    commands, obj = kind
    old = await store.write(lambda tx: commands.create(tx, obj))
    new = await store.write(
        lambda tx: commands.update(
            tx, obj.name, lambda it: dataclasses.replace(it, description="2")
        )
    )
    with pytest.raises(Aborted) as aborted:
        await store.write(
            lambda tx: commands.update(tx, obj.name, lambda it: it, etag=old.record.etag)
        )
    assert aborted.value.metadata["etag"] == new.record.etag
    with pytest.raises(Aborted):
        await store.write(lambda tx: commands.delete(tx, obj.name, etag=old.record.etag))
    await store.write(lambda tx: commands.delete(tx, obj.name, etag=new.record.etag))


async def test_what_breaks_a_rule_is_not_stored(store: Store, kind):
    commands, obj = kind
    bad = dataclasses.replace(obj, labels={"-": "\n"}, display_name="\x00")
    before = await store.read(lambda tx: tx.revision)
    with pytest.raises(InvalidArgument) as refused:
        await store.write(lambda tx: commands.create(tx, bad))
    assert len(refused.value.violations) >= 2
    with pytest.raises(NotFound):
        await store.read(lambda tx: commands.get(tx, obj.name))
    await store.write(lambda tx: commands.create(tx, obj))
    with pytest.raises(InvalidArgument):
        await store.write(lambda tx: commands.update(tx, obj.name, lambda _: bad))
    assert await store.read(lambda tx: tx.revision) == before + 1


async def test_the_owner_of_server_fields_is_the_server(store: Store, kind):
    commands, obj = kind
    forged = dataclasses.replace(obj, record=Record(uid="x", rev=99, live_rev=99, deleted_rev=3))
    created = await store.write(lambda tx: commands.create(tx, forged))
    assert len(created.record.uid) == 36
    assert (created.record.live_rev, created.record.deleted_rev) == (0, 0)
    described = dataclasses.replace(forged, description="more")
    updated = await store.write(lambda tx: commands.update(tx, obj.name, lambda _: described))
    assert updated.record.uid == created.record.uid
    assert (updated.record.live_rev, updated.record.deleted_rev) == (0, 0)


async def test_lists_are_sorted_paged_filtered_and_by_parent(store: Store):
    def fill(tx):
        for project in ("acme", "acme-2"):
            for number in (3, 1, 2, 10):
                name = f"projects/{project}/pools/p{number}"
                method = LbMethod.SOURCE_IP if number % 2 else LbMethod.ROUND_ROBIN
                pools.create(tx, make.pool(name, lb_method=method))

    await store.write(fill)

    async def names(parent, text="", after="", limit=50):
        wanted = filters.parse(text, Pool)
        page = await store.read(
            lambda tx: pools.page(tx, parent, filter=wanted, after=after, limit=limit)
        )
        return [pool.name.removeprefix("projects/") for pool in page]

    mine = ["acme/pools/p1", "acme/pools/p10", "acme/pools/p2", "acme/pools/p3"]
    assert await names("projects/acme") == mine
    every = await names("projects/-")
    assert every == sorted(every)
    assert len(every) == 8
    assert await names("projects/acme", limit=2) == mine[:2]
    assert await names("projects/acme", after=f"projects/{mine[1]}", limit=9) == mine[2:]
    assert await names("projects/acme", "lb_method = SOURCE_IP", limit=2) == [mine[0], mine[3]]
    assert await names("projects/acme", "lb_method = SOURCE_IP", limit=1) == [mine[0]]
    with pytest.raises(InvalidArgument):
        await names("projects/ACME")


async def test_members_are_listed_of_a_pool_a_project_or_all(store: Store):
    other = "projects/acme/pools/other"
    foreign = "projects/zeta/pools/web"

    def fill(tx):
        for name in (POOL, other, foreign):
            pools.create(tx, make.pool(name))
            members.create_many(tx, [make.member(n, pool=name) for n in range(3)])

    await store.write(fill)

    async def count(parent):
        return len(await store.read(lambda tx: members.page(tx, parent, limit=100)))

    assert await count(POOL) == 3
    assert await count("projects/acme/pools/-") == 6
    assert await count("projects/-/pools/-") == 9
    with pytest.raises(InvalidArgument):
        await count("projects/acme")


async def test_another_projects_objects_are_not_there(store: Store):
    await store.write(lambda tx: pools.create(tx, make.pool()))
    await store.write(lambda tx: health_monitors.create(tx, make.monitor(project="zeta")))
    theirs = "projects/zeta/healthMonitors/tcp"
    with pytest.raises(NotFound):
        await store.write(lambda tx: vips.create(tx, make.vip(project="zeta")))
    with pytest.raises(NotFound):
        await store.write(lambda tx: pools.associate(tx, POOL, theirs))
    with pytest.raises(NotFound):
        await store.write(lambda tx: pools.create(tx, make.pool(health_monitors=(theirs,))))
    await store.write(lambda tx: members.create(tx, make.member()))
    await store.write(lambda tx: pools.create(tx, make.pool("projects/zeta/pools/web")))
    with pytest.raises(NotFound):
        await store.write(
            lambda tx: members.move(tx, f"{POOL}/members/m1", "projects/zeta/pools/web")
        )


async def test_references_must_exist(store: Store):
    with pytest.raises(NotFound):
        await store.write(lambda tx: members.create(tx, make.member()))
    with pytest.raises(NotFound):
        await store.write(lambda tx: vips.create(tx, make.vip()))
    with pytest.raises(NotFound):
        await store.write(lambda tx: pools.create(tx, make.pool(service_type="serviceTypes/none")))
    gold = make.fleet(service_types=("serviceTypes/gold",))
    with pytest.raises(NotFound):
        await store.write(lambda tx: fleets.create(tx, gold))


async def test_a_vip_speaks_its_pools_protocol(store: Store):
    await store.write(lambda tx: pools.create(tx, make.pool()))
    with pytest.raises(InvalidArgument) as refused:
        await store.write(lambda tx: vips.create(tx, make.vip(protocol=Protocol.TCP)))
    assert refused.value.violations[0].reason == "PROTOCOL_MISMATCH"


async def test_a_member_is_once_in_its_pool(store: Store):
    await store.write(lambda tx: pools.create(tx, make.pool()))
    await store.write(lambda tx: members.create(tx, make.member(1)))
    twin = make.member(1, name=f"{POOL}/members/twin")
    with pytest.raises(AlreadyExists) as refused:
        await store.write(lambda tx: members.create(tx, twin))
    assert refused.value.reason == "MEMBER_ADDRESS_IN_USE"
    await store.write(lambda tx: members.create(tx, dataclasses.replace(twin, port=81)))
    pair = [make.member(5), make.member(5, name=f"{POOL}/members/m6")]
    with pytest.raises(InvalidArgument):
        await store.write(lambda tx: members.create_many(tx, pair))


async def test_a_member_moves_with_its_uid_at_one_revision(store: Store):
    other = "projects/acme/pools/other"

    def prepare(tx):
        pools.create(tx, make.pool())
        pools.create(tx, make.pool(other))
        return members.create(tx, make.member())

    before = await store.write(prepare)
    subscription = store.feed.subscribe()
    moved = await store.write(lambda tx: members.move(tx, before.name, other))
    assert moved.name == f"{other}/members/m1"
    assert moved.record.uid == before.record.uid
    assert moved.record.create_time == before.record.create_time
    notice = await subscription.get()
    assert [(each.name, each.pool, each.action) for each in notice.changes] == [
        (before.name, POOL, "PURGED"),
        (moved.name, other, "CREATED"),
    ]
    assert {each.rev for each in notice.changes} == {moved.record.spec_rev}
    with pytest.raises(NotFound):
        await store.read(lambda tx: members.get(tx, before.name))
    with pytest.raises(InvalidArgument):
        await store.write(lambda tx: members.move(tx, moved.name, other))


async def test_monitors_are_associated_and_in_use(store: Store):
    name = make.monitor().name

    def prepare(tx):
        health_monitors.create(tx, make.monitor())
        health_monitors.create(tx, make.monitor("http"))
        return pools.create(tx, make.pool(health_monitors=(name,)))

    created = await store.write(prepare)
    assert created.health_monitors == (name,)
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: pools.associate(tx, POOL, name))
    both = await store.write(lambda tx: pools.associate(tx, POOL, make.monitor("http").name))
    assert both.health_monitors == (make.monitor("http").name, name)
    assert both.record.spec_rev > created.record.spec_rev
    users = await store.read(lambda tx: health_monitors.pools_of(tx, [name]))
    assert users == {name: (POOL,)}
    with pytest.raises(FailedPrecondition) as refused:
        await store.write(lambda tx: health_monitors.delete(tx, name))
    assert (refused.value.reason, refused.value.subject) == ("HEALTH_MONITOR_IN_USE", POOL)
    left = await store.write(lambda tx: pools.disassociate(tx, POOL, name))
    assert left.health_monitors == (make.monitor("http").name,)
    with pytest.raises(NotFound):
        await store.write(lambda tx: pools.disassociate(tx, POOL, name))
    gone = await store.write(lambda tx: health_monitors.delete(tx, name))
    assert gone.record.deleted_rev == gone.record.rev


async def test_a_pool_is_deleted_after_its_vips_and_with_force_with_its_members(store: Store):
    def prepare(tx):
        pools.create(tx, make.pool())
        members.create(tx, make.member())
        vips.create(tx, make.vip())

    await store.write(prepare)
    with pytest.raises(FailedPrecondition) as refused:
        await store.write(lambda tx: pools.delete(tx, POOL, force=True))
    assert refused.value.reason == "POOL_HAS_VIPS"
    await store.write(lambda tx: vips.delete(tx, make.vip().name))
    with pytest.raises(FailedPrecondition) as refused:
        await store.write(lambda tx: pools.delete(tx, POOL))
    assert refused.value.reason == "POOL_HAS_MEMBERS"
    gone = await store.write(lambda tx: pools.delete(tx, POOL, force=True))
    assert gone.record.deleted_rev == gone.record.rev
    member = await store.read(lambda tx: members.get(tx, make.member().name))
    assert member.record.deleted_rev == gone.record.deleted_rev
    again = await store.write(lambda tx: pools.delete(tx, POOL))
    assert again.record == gone.record


async def test_what_is_being_deleted_keeps_its_name_and_cannot_change(store: Store):
    await store.write(lambda tx: pools.create(tx, make.pool()))
    await store.write(lambda tx: pools.delete(tx, POOL))
    with pytest.raises(AlreadyExists, match="being deleted"):
        await store.write(lambda tx: pools.create(tx, make.pool()))
    with pytest.raises(FailedPrecondition) as refused:
        await store.write(lambda tx: members.create(tx, make.member()))
    assert refused.value.reason == "BEING_DELETED"
    with pytest.raises(FailedPrecondition):
        await store.write(lambda tx: pools.update(tx, POOL, lambda old: old))
    listed = await store.read(lambda tx: pools.page(tx, "projects/acme", limit=9))
    assert [pool.name for pool in listed] == [POOL]


async def test_one_service_type_is_the_default(store: Store):
    first = await store.read(service_types.default)
    assert first is not None
    assert first.name == "serviceTypes/default"
    gold = ServiceType(name="serviceTypes/gold", default=True)
    await store.write(lambda tx: service_types.create(tx, gold))
    now = await store.read(service_types.default)
    assert now is not None
    assert now.name == gold.name
    every = await store.read(service_types.every)
    assert [each.default for each in every] == [False, True]
    await store.write(lambda tx: fleets.create(tx, make.fleet()))
    with pytest.raises(FailedPrecondition):
        await store.write(lambda tx: service_types.delete(tx, "serviceTypes/default"))
    await store.write(lambda tx: service_types.delete(tx, gold.name))
    assert await store.read(service_types.default) is None


async def test_a_fleet_that_carries_pools_stays(store: Store):
    await store.write(make.placed_pool)
    with pytest.raises(FailedPrecondition) as refused:
        await store.write(lambda tx: fleets.delete(tx, make.EDGE))
    assert refused.value.reason == "FLEET_IN_USE"
    drained = await store.write(lambda tx: fleets.set_draining(tx, make.EDGE, draining=True))
    assert drained.draining


async def test_a_vips_own_faults_and_its_pools_are_told_at_once(store):
    pool = make.pool()
    await store.write(lambda tx: pools.create(tx, pool))
    wrong = dataclasses.replace(
        make.vip(pool=pool.name), port=99_999, protocol=Protocol.TCP, address="10.0.0.300"
    )
    with pytest.raises(InvalidArgument) as caught:
        await store.write(lambda tx: vips.create(tx, wrong))
    assert {each.field for each in caught.value.violations} == {"address", "port", "protocol"}

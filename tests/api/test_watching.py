"""Watch: what was, what comes, resuming, heartbeats, the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.server import ApiServer
from lbaas.store import placements, tables, verdicts
from lbaas.store.store import Store
from lbaas.v1.load_balancer_service_pb2 import WatchRequest
from lbaas.v1.member_service_pb2 import MoveMemberRequest
from lbaas.v1.pool_service_pb2 import DeletePoolRequest, UpdatePoolRequest
from lbaas.v1.status_pb2 import ProvisioningStatus
from lbaas.v1.watch_pb2 import ChangeType, WatchEvent
from tests.api import make
from tests.api.client import Client, Code, refused

VIP = f"{make.ACME}/vips/web"


class Watching:
    def __init__(self, call) -> None:
        self._call = call

    async def next(self, *, heartbeats: bool = False) -> WatchEvent:
        while True:
            event = await self._call.read()
            if heartbeats or event.WhichOneof("event") != "heartbeat":
                return event

    async def caught_up(self) -> list[WatchEvent]:
        """Gives the events before the first heartbeat, and that too."""
        events = [await self.next(heartbeats=True)]
        while events[-1].WhichOneof("event") != "heartbeat":
            events.append(await self.next(heartbeats=True))
        return events


@asynccontextmanager
async def watching(
    client: Client, from_revision: int = 0, parent: str = make.ACME
) -> AsyncIterator[Watching]:
    call = client.trees.Watch(WatchRequest(parent=parent, from_revision=from_revision))
    yield Watching(call)
    call.cancel()


def changed(event: WatchEvent):
    return getattr(event.change, event.change.WhichOneof("object"))


async def test_it_begins_with_what_is_there(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.members.CreateMember(make.create_member())
    await client.monitors.CreateHealthMonitor(make.create_monitor())
    last = await client.vips.CreateVip(make.create_vip())
    await client.pools.CreatePool(make.create_pool(parent="projects/other"))

    async with watching(client) as watch:
        *events, beat = await watch.caught_up()

    assert [event.change.WhichOneof("object") for event in events] == [
        "pool",
        "member",
        "health_monitor",
        "vip",
    ]
    assert {event.change.type for event in events} == {ChangeType.CURRENT}
    assert {event.revision for event in events} == {0}
    assert changed(events[3]) == last
    assert beat.revision > last.revision


async def test_it_goes_on_with_what_happens(client: Client, store: Store) -> None:
    async with watching(client) as watch:
        await watch.caught_up()
        made = await client.pools.CreatePool(make.create_pool())
        event = await watch.next()
        assert event.revision == made.revision
        assert event.change.type == ChangeType.CREATED
        assert event.change.pool == made

        await client.pools.CreatePool(make.create_pool(parent="projects/other"))
        after = await client.pools.UpdatePool(
            UpdatePoolRequest(pool=make.Pool(name=make.WEB, description="new"))
        )
        event = await watch.next()
        assert event.change.type == ChangeType.UPDATED
        assert event.change.pool == after

        await store.write(lambda tx: verdicts.record(tx, live={make.WEB: after.revision}))
        event = await watch.next()
        assert event.status.name == make.WEB
        assert event.status.provisioning_status == ProvisioningStatus.ACTIVE
        assert event.revision >= after.revision

        await client.pools.DeletePool(DeletePoolRequest(name=make.WEB))
        event = await watch.next()
        assert event.change.type == ChangeType.DELETED
        assert event.change.pool.provisioning_status == ProvisioningStatus.PENDING_DELETE

        await store.write(lambda tx: verdicts.record(tx, live={}, gone=[make.WEB]))
        event = await watch.next()
        assert event.removal.name == make.WEB


async def test_a_placement_is_told_with_the_statuses_that_hang_on_it(
    client: Client, store: Store
) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.vips.CreateVip(make.create_vip())
    async with watching(client) as watch:
        await watch.caught_up()
        await store.write(lambda tx: placements.place(tx, make.WEB, fleet="", reason="none"))

        event = await watch.next()
        assert event.change.type == ChangeType.PLACED
        assert event.change.pool.status_detail.reason == "NO_ELIGIBLE_FLEET"
        event = await watch.next()
        assert event.status.name == VIP
        assert event.status.provisioning_status == ProvisioningStatus.ERROR


async def test_a_move_is_a_removal_and_a_creation_at_one_revision(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.pools.CreatePool(make.create_pool("api"))
    member = await client.members.CreateMember(make.create_member())
    async with watching(client) as watch:
        await watch.caught_up()
        moved = await client.members.MoveMember(
            MoveMemberRequest(name=member.name, destination_pool=f"{make.ACME}/pools/api")
        )
        events = [await watch.next(), await watch.next()]

    assert {event.revision for event in events} == {moved.revision}
    removals = [event.removal.name for event in events if event.HasField("removal")]
    created = [event.change for event in events if event.HasField("change")]
    assert removals == [member.name]
    assert created[0].type == ChangeType.CREATED
    assert created[0].member.uid == member.uid


async def test_an_operator_watches_all_projects(client: Client) -> None:
    await client.fleets.CreateFleet(make.create_fleet())
    async with watching(client, parent="projects/-") as watch:
        await watch.caught_up()
        await client.fleets.CreateFleet(make.create_fleet("other"))
        made = [
            await client.pools.CreatePool(make.create_pool(parent=parent))
            for parent in (make.ACME, "projects/other")
        ]
        events = [await watch.next(), await watch.next()]

    assert [event.change.pool.name for event in events] == [pool.name for pool in made]


async def test_it_resumes_where_it_broke_off(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool("a"))
    async with watching(client) as watch:
        *_, beat = await watch.caught_up()
    await client.pools.CreatePool(make.create_pool("b"))
    await client.pools.UpdatePool(
        UpdatePoolRequest(pool=make.Pool(name=f"{make.ACME}/pools/a", description="x"))
    )

    async with watching(client, beat.revision) as watch:
        *events, _ = await watch.caught_up()

    replayed = [event for event in events if event.HasField("change")]
    assert [changed(event).name for event in replayed] == [
        f"{make.ACME}/pools/b",
        f"{make.ACME}/pools/a",
    ]
    assert [event.change.type for event in replayed] == [ChangeType.CREATED, ChangeType.UPDATED]
    assert [event.revision for event in replayed] == sorted(event.revision for event in replayed)
    statuses = [event.status.name for event in events if event.HasField("status")]
    assert statuses == [f"{make.ACME}/pools/a", f"{make.ACME}/pools/b"]


async def test_no_change_is_lost_between_what_was_and_what_comes(client: Client) -> None:
    """Writes go on while watches begin; each watch sees every pool once it has caught up."""
    names = [f"p{n}" for n in range(10)]
    watches = []
    for name in names:
        call = client.trees.Watch(WatchRequest(parent=make.ACME))
        watches.append(call)
        await client.pools.CreatePool(make.create_pool(name))
    for call in watches:
        seen: set[str] = set()
        while len(seen) < len(names):
            event = await call.read()
            if event.HasField("change"):
                seen.add(event.change.pool.name.rsplit("/", 1)[-1])
        call.cancel()


async def test_heartbeats_come_while_nothing_happens(client: Client) -> None:
    async with watching(client) as watch:
        await watch.caught_up()
        event = await watch.next(heartbeats=True)

    assert event.WhichOneof("event") == "heartbeat"
    assert event.heartbeat.time.seconds


async def test_a_stopping_server_says_so(client: Client, server: ApiServer) -> None:
    async with watching(client) as watch:
        *_, beat = await watch.caught_up()
        await server.stop()
        event = await watch.next()

    assert event.end.reason == "SERVER_STOPPING"
    assert event.revision == beat.revision


async def test_bad_watches_are_refused(client: Client, store: Store) -> None:
    call = client.trees.Watch(WatchRequest(parent="acme", from_revision=-1))
    refusal = await refused(call.read(), Code.INVALID_ARGUMENT)
    assert set(refusal.fields) == {"parent", "from_revision"}
    call = client.trees.Watch(WatchRequest(parent=make.ACME, from_revision=10**9))
    await refused(call.read(), Code.INVALID_ARGUMENT)
    await client.pools.CreatePool(make.create_pool())
    compacted = tables.revision.update().values(compacted_rev=2)
    await store.write(lambda tx: tx.connection.execute(compacted))
    call = client.trees.Watch(WatchRequest(parent=make.ACME, from_revision=1))
    await refused(call.read(), Code.FAILED_PRECONDITION, "REVISION_COMPACTED")

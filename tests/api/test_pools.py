"""PoolService: the standard methods, associations."""

import uuid

from google.protobuf.field_mask_pb2 import FieldMask

from lbaas.model.status import Progress
from lbaas.store import verdicts
from lbaas.store.store import Store
from lbaas.v1.enums_pb2 import LbMethod, Protocol
from lbaas.v1.pool_service_pb2 import (
    AssociateHealthMonitorRequest,
    DeletePoolRequest,
    DisassociateHealthMonitorRequest,
    GetPoolRequest,
    ListPoolsRequest,
    UpdatePoolRequest,
)
from lbaas.v1.status_pb2 import OperatingStatus, ProvisioningStatus
from tests.api import make
from tests.api.client import Client, Code, refused
from tests.api.fleet_side import FleetSide


async def test_a_created_pool_is_answered_at_once_and_pending(client: Client) -> None:
    made = await client.pools.CreatePool(make.create_pool(labels={"team": "shop"}))

    assert made.name == make.WEB
    assert made.uid
    assert made.etag
    assert made.revision > 0
    assert made.admin_state_up is True
    assert made.labels == {"team": "shop"}
    assert made.provisioning_status == ProvisioningStatus.PENDING_CREATE
    assert made.operating_status == OperatingStatus.UNKNOWN
    assert made.reconciling
    assert made.create_time.seconds
    assert await client.pools.GetPool(GetPoolRequest(name=make.WEB)) == made


async def test_a_pool_without_an_id_gets_one(client: Client) -> None:
    made = await client.pools.CreatePool(make.create_pool(""))

    assert len(made.name.removeprefix("projects/acme/pools/")) == 16


async def test_an_id_taken_is_already_exists(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())

    refusal = await refused(client.pools.CreatePool(make.create_pool()), Code.ALREADY_EXISTS)

    assert refusal.kinds == ["ResourceInfo"]
    assert refusal.reason == "RESOURCE_ALREADY_EXISTS"


async def test_an_update_without_a_mask_writes_what_is_set(client: Client) -> None:
    made = await client.pools.CreatePool(make.create_pool(description="before"))

    after = await client.pools.UpdatePool(
        UpdatePoolRequest(
            pool=make.Pool(name=make.WEB, lb_method=LbMethod.LEAST_CONNECTIONS, description="")
        )
    )

    assert after.lb_method == LbMethod.LEAST_CONNECTIONS
    assert after.description == "before"
    assert after.protocol == Protocol.HTTP
    assert after.etag != made.etag


async def test_a_mask_clears_what_it_names_and_nothing_else(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool(description="x", display_name="y"))

    after = await client.pools.UpdatePool(
        UpdatePoolRequest(
            pool=make.Pool(name=make.WEB), update_mask=FieldMask(paths=["description"])
        )
    )

    assert after.description == ""
    assert after.display_name == "y"


async def test_a_read_object_can_be_sent_back_whole(client: Client) -> None:
    made = await client.pools.CreatePool(make.create_pool())
    made.admin_state_up = False

    after = await client.pools.UpdatePool(UpdatePoolRequest(pool=made))

    assert after.admin_state_up is False


async def test_an_update_that_changes_nothing_makes_no_revision(client: Client) -> None:
    made = await client.pools.CreatePool(make.create_pool())

    after = await client.pools.UpdatePool(UpdatePoolRequest(pool=made))

    assert after.revision == made.revision
    assert after.etag == made.etag


async def test_a_stale_etag_aborts(client: Client) -> None:
    made = await client.pools.CreatePool(make.create_pool())
    await client.pools.UpdatePool(
        UpdatePoolRequest(pool=make.Pool(name=make.WEB, description="newer"))
    )
    made.description = "mine"

    refusal = await refused(
        client.pools.UpdatePool(UpdatePoolRequest(pool=made)), Code.ABORTED, "ETAG_MISMATCH"
    )

    assert refusal.metadata["etag"]
    await refused(
        client.pools.DeletePool(DeletePoolRequest(name=make.WEB, etag=made.etag)), Code.ABORTED
    )


async def test_a_deleted_pool_is_pending_and_its_id_stays_taken(client: Client) -> None:
    made = await client.pools.CreatePool(make.create_pool())

    gone = await client.pools.DeletePool(DeletePoolRequest(name=make.WEB))

    assert gone.provisioning_status == ProvisioningStatus.PENDING_DELETE
    assert gone.revision > made.revision
    refusal = await refused(client.pools.CreatePool(make.create_pool()), Code.ALREADY_EXISTS)
    assert "being deleted" in refusal.message


async def test_a_pool_with_members_needs_force(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.members.CreateMember(make.create_member())

    refusal = await refused(
        client.pools.DeletePool(DeletePoolRequest(name=make.WEB)), Code.FAILED_PRECONDITION
    )
    assert refusal.kinds == ["PreconditionFailure"]

    await client.pools.DeletePool(DeletePoolRequest(name=make.WEB, force=True))


async def test_monitors_are_put_on_and_taken_off(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    monitor = await client.monitors.CreateHealthMonitor(make.create_monitor())
    both = {"name": make.WEB, "health_monitor": monitor.name}

    on = await client.pools.AssociateHealthMonitor(AssociateHealthMonitorRequest(**both))
    again = await client.pools.AssociateHealthMonitor(AssociateHealthMonitorRequest(**both))

    assert list(on.health_monitors) == [monitor.name]
    assert again.revision == on.revision

    off = await client.pools.DisassociateHealthMonitor(DisassociateHealthMonitorRequest(**both))

    assert not off.health_monitors
    await refused(
        client.pools.DisassociateHealthMonitor(DisassociateHealthMonitorRequest(**both)),
        Code.NOT_FOUND,
    )


async def test_a_pool_shows_its_vips(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    vip = await client.vips.CreateVip(make.create_vip())

    shown = await client.pools.GetPool(GetPoolRequest(name=make.WEB))

    assert list(shown.vips) == [vip.name]


async def test_validate_only_checks_all_and_stores_nothing(client: Client) -> None:
    request = make.create_pool()
    request.validate_only = True

    would = await client.pools.CreatePool(request)

    assert would.name == make.WEB
    await refused(client.pools.GetPool(GetPoolRequest(name=make.WEB)), Code.NOT_FOUND)
    request.pool.lb_method = LbMethod.CODE_UNSPECIFIED
    refusal = await refused(client.pools.CreatePool(request), Code.INVALID_ARGUMENT)
    assert set(refusal.fields) == {"lb_method"}


async def test_a_repeated_request_gets_the_first_answer_byte_by_byte(client: Client) -> None:
    call = client.channel.unary_unary(
        "/lbaas.v1.PoolService/CreatePool",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=lambda data: data,
    )
    request = make.create_pool(labels={f"k{each}": "x" for each in range(20)})
    request.request_id = str(uuid.uuid4())

    first = await call(request)
    await client.pools.UpdatePool(
        UpdatePoolRequest(pool=make.Pool(name=make.WEB, description="later"))
    )

    assert await call(request) == first
    request.pool.description = "another request"
    await refused(call(request), Code.INVALID_ARGUMENT)


async def test_lists_come_in_pages(client: Client) -> None:
    for number in range(5):
        await client.pools.CreatePool(make.create_pool(f"p{number}"))
    names, token = [], ""
    while True:
        page = await client.pools.ListPools(
            ListPoolsRequest(parent=make.ACME, page_size=2, page_token=token)
        )
        names += [pool.name.rsplit("/", 1)[-1] for pool in page.pools]
        token = page.next_page_token
        if not token:
            break

    assert names == ["p0", "p1", "p2", "p3", "p4"]


async def test_what_was_just_written_is_on_no_node_yet(
    client: Client, store: Store, fleet_side: FleetSide
) -> None:
    made = await client.pools.CreatePool(make.create_pool())
    await store.write(lambda tx: verdicts.record(tx, live={make.WEB: made.revision}))
    fleet_side.progresses[make.WEB] = Progress(applied=4, total=4)

    words = await client.pools.UpdatePool(
        UpdatePoolRequest(pool=make.Pool(name=make.WEB, description="words"))
    )
    assert words.provisioning_status == ProvisioningStatus.ACTIVE
    assert (words.nodes_applied, words.nodes_total) == (4, 4)
    method = await client.pools.UpdatePool(
        UpdatePoolRequest(pool=make.Pool(name=make.WEB, lb_method=LbMethod.SOURCE_IP))
    )
    assert method.provisioning_status == ProvisioningStatus.PENDING_UPDATE
    assert (method.nodes_applied, method.nodes_total) == (0, 4)
    member = await client.members.CreateMember(make.create_member())
    assert (member.nodes_applied, member.nodes_total) == (0, 4)


async def test_a_name_in_a_created_object_means_nothing(client: Client) -> None:
    made = await client.pools.CreatePool(make.create_pool(name="projects/other/pools/x", uid="me"))

    assert made.name == make.WEB
    assert made.uid != "me"

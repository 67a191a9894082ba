"""VipService and HealthMonitorService."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from lbaas.v1.enums_pb2 import Protocol, SessionPersistenceType
from lbaas.v1.health_monitor_pb2 import HealthMonitor
from lbaas.v1.health_monitor_service_pb2 import (
    DeleteHealthMonitorRequest,
    GetHealthMonitorRequest,
    UpdateHealthMonitorRequest,
)
from lbaas.v1.pool_service_pb2 import DeletePoolRequest
from lbaas.v1.vip_pb2 import SessionPersistence, Vip
from lbaas.v1.vip_service_pb2 import GetVipRequest, ListVipsRequest, UpdateVipRequest
from tests.api import make
from tests.api.client import Client, Code, refused

VIP = f"{make.ACME}/vips/web"
STICKY = SessionPersistence(
    type=SessionPersistenceType.HTTP_COOKIE, cookie_name="lb", ttl=Duration(seconds=60)
)


async def test_persistence_is_never_cleared_by_leaving_it_out(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.vips.CreateVip(make.create_vip(session_persistence=STICKY))

    after = await client.vips.UpdateVip(
        UpdateVipRequest(vip=Vip(name=VIP, description="other", connection_limit=10))
    )
    assert after.session_persistence == STICKY
    assert after.connection_limit == 10

    narrow = await client.vips.UpdateVip(
        UpdateVipRequest(
            vip=Vip(name=VIP, session_persistence=SessionPersistence(ttl=Duration(seconds=5))),
            update_mask=FieldMask(paths=["session_persistence.ttl"]),
        )
    )
    assert narrow.session_persistence.ttl.seconds == 5
    assert narrow.session_persistence.cookie_name == "lb"

    cleared = await client.vips.UpdateVip(
        UpdateVipRequest(vip=Vip(name=VIP), update_mask=FieldMask(paths=["session_persistence"]))
    )
    assert not cleared.HasField("session_persistence")


async def test_replacing_all_keeps_what_never_changes(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    made = await client.vips.CreateVip(
        make.create_vip(address="203.0.113.9", session_persistence=STICKY, description="x")
    )

    after = await client.vips.UpdateVip(
        UpdateVipRequest(
            vip=Vip(name=VIP, pool=make.WEB, port=80, protocol=Protocol.HTTP),
            update_mask=FieldMask(paths=["*"]),
        )
    )

    assert after.address == made.address
    assert after.description == ""
    assert not after.HasField("session_persistence")


async def test_another_projects_pool_is_not_found(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool(parent="projects/other"))

    refusal = await refused(
        client.vips.CreateVip(make.create_vip(pool="projects/other/pools/web")), Code.NOT_FOUND
    )

    assert refusal.kinds == ["ResourceInfo"]


async def test_protocols_must_match(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())

    refusal = await refused(
        client.vips.CreateVip(make.create_vip(protocol=Protocol.TCP)), Code.INVALID_ARGUMENT
    )

    assert set(refusal.fields) == {"protocol"}


async def test_a_pool_with_vips_stays(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.vips.CreateVip(make.create_vip())

    refusal = await refused(
        client.pools.DeletePool(DeletePoolRequest(name=make.WEB, force=True)),
        Code.FAILED_PRECONDITION,
    )

    assert refusal.kinds == ["PreconditionFailure"]


async def test_the_quota_of_vips_is_ten(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    for number in range(10):
        await client.vips.CreateVip(make.create_vip(f"v{number}", port=8000 + number))

    refusal = await refused(
        client.vips.CreateVip(make.create_vip("v11", port=9000)),
        Code.RESOURCE_EXHAUSTED,
        "QUOTA_EXCEEDED",
    )

    assert refusal.kinds == ["QuotaFailure"]
    page = await client.vips.ListVips(ListVipsRequest(parent=make.ACME))
    assert len(page.vips) == 10


async def test_filters(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.vips.CreateVip(make.create_vip("a", labels={"env": "prod"}))
    await client.vips.CreateVip(make.create_vip("b", port=81))

    page = await client.vips.ListVips(
        ListVipsRequest(parent="projects/-", filter='labels.env = "prod"')
    )

    assert [vip.name for vip in page.vips] == [f"{make.ACME}/vips/a"]


async def test_labels_are_written_one_by_one(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.vips.CreateVip(make.create_vip(labels={"env": "prod", "team": "shop"}))

    after = await client.vips.UpdateVip(
        UpdateVipRequest(
            vip=Vip(name=VIP, labels={"env": "test"}),
            update_mask=FieldMask(paths=["labels.env", "labels.team"]),
        )
    )

    assert after.labels == {"env": "test"}


async def test_mask_errors_come_together(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    before = await client.vips.CreateVip(make.create_vip())

    refusal = await refused(
        client.vips.UpdateVip(
            UpdateVipRequest(
                vip=Vip(name=VIP, connection_limit=0),
                update_mask=FieldMask(
                    paths=["connection_limit", "uid", "nonsense", "name", "labels.a.b.c"]
                ),
            )
        ),
        Code.INVALID_ARGUMENT,
    )

    assert "connection_limit" in refusal.fields
    assert "update_mask" in refusal.fields
    described = [each for each in refusal.message.split("; ") if each.startswith("update_mask: ")]
    assert len(described) == 3
    assert await client.vips.GetVip(GetVipRequest(name=VIP)) == before


async def test_an_empty_mask_is_a_mistake(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.vips.CreateVip(make.create_vip())

    refusal = await refused(
        client.vips.UpdateVip(UpdateVipRequest(vip=Vip(name=VIP), update_mask=FieldMask())),
        Code.INVALID_ARGUMENT,
    )

    assert refusal.reasons["update_mask"] == "EMPTY_MASK"


async def test_a_monitor_has_defaults_and_shows_its_pools(client: Client) -> None:
    monitor = await client.monitors.CreateHealthMonitor(make.create_monitor())
    assert (monitor.rise, monitor.http_method, monitor.url_path, monitor.expected_codes) == (
        1,
        "GET",
        "/",
        "200",
    )
    await client.pools.CreatePool(make.create_pool(health_monitors=[monitor.name]))

    shown = await client.monitors.GetHealthMonitor(GetHealthMonitorRequest(name=monitor.name))
    assert list(shown.pools) == [make.WEB]

    refusal = await refused(
        client.monitors.DeleteHealthMonitor(DeleteHealthMonitorRequest(name=monitor.name)),
        Code.FAILED_PRECONDITION,
    )
    assert refusal.kinds == ["PreconditionFailure"]


async def test_a_monitors_update_keeps_the_rest(client: Client) -> None:
    made = await client.monitors.CreateHealthMonitor(make.create_monitor(url_path="/health"))

    after = await client.monitors.UpdateHealthMonitor(
        UpdateHealthMonitorRequest(
            health_monitor=HealthMonitor(name=made.name, delay=Duration(seconds=9))
        )
    )

    assert after.delay.seconds == 9
    assert after.timeout == made.timeout
    assert after.url_path == "/health"


async def test_another_projects_monitor_is_not_found(client: Client) -> None:
    foreign = await client.monitors.CreateHealthMonitor(
        make.create_monitor(parent="projects/other")
    )

    await refused(
        client.pools.CreatePool(make.create_pool(health_monitors=[foreign.name])), Code.NOT_FOUND
    )

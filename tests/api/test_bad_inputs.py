"""The catalogue of bad inputs: the code, the field, and that nothing was stored."""

from collections.abc import Callable

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from lbaas.store.store import Store
from lbaas.v1.enums_pb2 import Protocol, SessionPersistenceType
from lbaas.v1.pool_service_pb2 import (
    AssociateHealthMonitorRequest,
    GetPoolRequest,
    ListPoolsRequest,
    UpdatePoolRequest,
)
from lbaas.v1.vip_pb2 import SessionPersistence
from lbaas.v1.vip_service_pb2 import ListVipsRequest
from tests.api import make
from tests.api.client import Client, Code, refused

COOKIE = SessionPersistenceType.APP_COOKIE
WIDE = 315_576_000_001


def sticky(name: str = "sid", **fields) -> SessionPersistence:
    return SessionPersistence(**{"type": COOKIE, "cookie_name": name, **fields})


POOLS: list[tuple[str, Message, set[str]]] = [
    ("control characters in an id", make.create_pool("a\nb"), {"pool_id"}),
    ("NUL in an id", make.create_pool("a\0b"), {"pool_id"}),
    ("right-to-left marks", make.create_pool("a\u202eb"), {"pool_id"}),
    ("upper case", make.create_pool("Web"), {"pool_id"}),
    ("64 characters", make.create_pool("a" * 64), {"pool_id"}),
    ("a name of 64 KiB", make.create_pool("a" * 65536), {"pool_id"}),
    ("no parent", make.create_pool(parent=""), {"parent"}),
    ("all projects as a parent", make.create_pool(parent="projects/-"), {"parent"}),
    ("a parent of another kind", make.create_pool(parent="fleets/edge"), {"parent"}),
    ("a parent's newline", make.create_pool(parent="projects/acme\n"), {"parent"}),
    ("an unknown protocol", make.create_pool(protocol=99), {"protocol"}),
    ("a negative enum", make.create_pool(lb_method=-1), {"lb_method"}),
    ("NUL in a description", make.create_pool(description="a\0b"), {"description"}),
    ("a long display name", make.create_pool(display_name="x" * 256), {"display_name"}),
    ("a bad label", make.create_pool(labels={"No Key": "x"}), {"labels"}),
    (
        "nine monitors",
        make.create_pool(health_monitors=[f"{make.ACME}/healthMonitors/m{n}" for n in range(9)]),
        {"health_monitors"},
    ),
    ("no monitor's name", make.create_pool(health_monitors=["check"]), {"health_monitors[0]"}),
    ("no service type's name", make.create_pool(service_type="fast"), {"service_type"}),
]
MEMBERS = [
    (address, make.create_member(address=address), {"address"})
    for address in (
        "",
        "db.example.org",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "169.254.169.254",
        "127.0.0.1",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "010.0.0.1",
        "10.1",
        "/var/run/app.sock",
        "unix:/var/run/app.sock",
        "10.0.0.1:80",
        "10.0.0.1\n",
    )
]
MEMBERS += [
    ("port 0", make.create_member(port=0), {"port"}),
    ("port 65536", make.create_member(port=65536), {"port"}),
    ("a negative port", make.create_member(port=-1), {"port"}),
    ("weight 257", make.create_member(weight=257), {"weight"}),
    ("a negative weight", make.create_member(weight=-1), {"weight"}),
    ("a negative drain", make.create_member(drain_timeout=Duration(seconds=-1)), {"drain_timeout"}),
    (
        "signs that differ",
        make.create_member(drain_timeout=Duration(seconds=1, nanos=-1)),
        {"drain_timeout"},
    ),
    ("too long", make.create_member(drain_timeout=Duration(seconds=WIDE)), {"drain_timeout"}),
    ("2^63", make.create_member(drain_timeout=Duration(seconds=2**63 - 1)), {"drain_timeout"}),
    ("too fine", make.create_member(drain_timeout=Duration(nanos=1)), {"drain_timeout"}),
]
MONITORS = [
    (f"path {path[:20]!r}", make.create_monitor(url_path=path), {"url_path"})
    for path in ("health", "/a b", "/a\r\nX: y", "http://evil/", "/" + "a" * 2**20, "/%REQ(x)%")
]
MONITORS += [
    (f"codes {codes}", make.create_monitor(expected_codes=codes), {"expected_codes"})
    for codes in ("99", "1000", "204-200", "200,", "2xx", "200 - 204x", "-200")
]
MONITORS += [
    ("CONNECT", make.create_monitor(http_method="CONNECT"), {"http_method"}),
    ("a host of its own line", make.create_monitor(host="a\r\nb"), {"host"}),
    ("no delay", make.create_monitor(delay=None), {"delay"}),
    ("delay of 1 ns", make.create_monitor(delay=Duration(nanos=1)), {"delay"}),
    ("timeout over delay", make.create_monitor(timeout=Duration(seconds=6)), {"timeout"}),
    ("retries 0", make.create_monitor(max_retries=0), {"max_retries"}),
    ("retries 11", make.create_monitor(max_retries=11), {"max_retries"}),
    ("rise 0", make.create_monitor(rise=0), {"rise"}),
    ("no type", make.create_monitor(type=0), {"type"}),
]
VIPS = [
    (
        f"cookie {name!r}",
        make.create_vip(session_persistence=sticky(name)),
        {"session_persistence.cookie_name"},
    )
    for name in ("", "a\r\nb", "a;b", "a=b", "a b", "жук", "%REQ(x)%", "x" * 5000)
]
VIPS += [
    (
        "a negative lifetime",
        make.create_vip(
            session_persistence=SessionPersistence(
                type=SessionPersistenceType.HTTP_COOKIE, ttl=Duration(seconds=-1)
            )
        ),
        {"session_persistence.ttl"},
    ),
    (
        "no persistence type",
        make.create_vip(session_persistence=SessionPersistence(cookie_name="x")),
        {"session_persistence.type"},
    ),
    ("port 0", make.create_vip(port=0), {"port"}),
    ("limit 0", make.create_vip(connection_limit=0), {"connection_limit"}),
    ("limit -2", make.create_vip(connection_limit=-2), {"connection_limit"}),
    ("no address", make.create_vip(address="nowhere"), {"address"}),
    ("multicast", make.create_vip(address="224.0.0.1"), {"address"}),
    ("no pool", make.create_vip(pool=""), {"pool"}),
]
FLEETS = [
    ("a bad range", make.create_fleet(vip_ranges=["10.0.0.0/33"]), {"vip_ranges[0]"}),
    ("host bits", make.create_fleet(vip_ranges=["10.0.0.1/24"]), {"vip_ranges[0]"}),
    ("negative capacity", make.create_fleet(max_pools=-1), {"max_pools"}),
    ("an unknown kind", make.create_fleet(kind=77), {"kind"}),
]


def cases(of: list[tuple[str, Message, set[str]]]):
    return pytest.mark.parametrize(
        ("request_", "fields"),
        [pytest.param(request, fields, id=name or "empty") for name, request, fields in of],
    )


async def check(
    client: Client, store: Store, call: Callable, *, request: Message, fields: set[str]
) -> None:
    await client.pools.CreatePool(make.create_pool("web"))
    before = await store.read(lambda tx: tx.revision)

    refusal = await refused(call(request), Code.INVALID_ARGUMENT)

    assert set(refusal.fields) == fields, refusal.fields
    assert all(refusal.fields.values())
    assert all(refusal.reasons.values())
    assert await store.read(lambda tx: tx.revision) == before


@cases(POOLS)
async def test_pools(client: Client, store: Store, request_, fields) -> None:
    await check(client, store, client.pools.CreatePool, request=request_, fields=fields)


@cases(MEMBERS)
async def test_members(client: Client, store: Store, request_, fields) -> None:
    await check(client, store, client.members.CreateMember, request=request_, fields=fields)


@cases(MONITORS)
async def test_monitors(client: Client, store: Store, request_, fields) -> None:
    await check(client, store, client.monitors.CreateHealthMonitor, request=request_, fields=fields)


@cases(VIPS)
async def test_vips(client: Client, store: Store, request_, fields) -> None:
    await check(client, store, client.vips.CreateVip, request=request_, fields=fields)


@cases(FLEETS)
async def test_fleets(client: Client, store: Store, request_, fields) -> None:
    await check(client, store, client.fleets.CreateFleet, request=request_, fields=fields)


async def test_cookies_need_http(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool(protocol=Protocol.TCP))

    refusal = await refused(
        client.vips.CreateVip(make.create_vip(protocol=Protocol.TCP, session_persistence=sticky())),
        Code.INVALID_ARGUMENT,
    )

    assert set(refusal.fields) == {"session_persistence.type"}


async def test_all_violations_come_at_once(client: Client) -> None:
    request = make.create_pool(
        "Bad_Id", parent="acme", protocol=0, lb_method=9, description="\0", service_type="x"
    )
    request.request_id = "not-a-uuid"

    refusal = await refused(client.pools.CreatePool(request), Code.INVALID_ARGUMENT)

    assert set(refusal.fields) == {
        "parent",
        "pool_id",
        "protocol",
        "lb_method",
        "description",
        "service_type",
        "request_id",
    }


async def test_an_object_left_out_is_required(client: Client) -> None:
    request = make.create_pool()
    request.ClearField("pool")

    refusal = await refused(client.pools.CreatePool(request), Code.INVALID_ARGUMENT)

    assert refusal.reasons["pool"] == "REQUIRED"


@pytest.mark.parametrize("path", ["protocol", "uid", "name", "revision", "vips", "nonsense", ""])
async def test_masks_that_name_what_nobody_may_write(client: Client, path: str) -> None:
    before = await client.pools.CreatePool(make.create_pool())

    refusal = await refused(
        client.pools.UpdatePool(
            UpdatePoolRequest(pool=before, update_mask=FieldMask(paths=[path]))
        ),
        Code.INVALID_ARGUMENT,
    )

    assert "update_mask" in refusal.fields
    assert await client.pools.GetPool(GetPoolRequest(name=make.WEB)) == before


@pytest.mark.parametrize("paths", [[], ["*"]])
async def test_an_immutable_field_that_would_change(client: Client, paths: list[str]) -> None:
    made = await client.pools.CreatePool(make.create_pool())
    made.protocol = Protocol.TCP
    request = UpdatePoolRequest(pool=made)
    if paths:
        request.update_mask.paths.extend(paths)

    refusal = await refused(client.pools.UpdatePool(request), Code.INVALID_ARGUMENT)

    assert "protocol" in refusal.fields


async def test_a_foreign_monitor_is_not_found_as_if_there_were_none(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    there = await client.monitors.CreateHealthMonitor(make.create_monitor(parent="projects/other"))
    messages = []
    for name in (there.name, "projects/other/healthMonitors/none"):
        refusal = await refused(
            client.pools.AssociateHealthMonitor(
                AssociateHealthMonitorRequest(name=make.WEB, health_monitor=name)
            ),
            Code.NOT_FOUND,
        )
        messages.append(refusal.message.replace(name, "X"))

    assert messages[0] == messages[1]


async def test_page_tokens_are_of_one_list(client: Client) -> None:
    for number in range(3):
        await client.pools.CreatePool(make.create_pool(f"p{number}"))
        await client.pools.CreatePool(make.create_pool(f"p{number}", parent="projects/other"))
    first = await client.pools.ListPools(ListPoolsRequest(parent=make.ACME, page_size=1))
    token = first.next_page_token
    flipped = token[:-1] + ("A" if token[-1] != "A" else "B")
    bad = [
        client.pools.ListPools(ListPoolsRequest(parent="projects/other", page_token=token)),
        client.pools.ListPools(ListPoolsRequest(parent="projects/-", page_token=token)),
        client.pools.ListPools(
            ListPoolsRequest(parent=make.ACME, page_token=token, filter="protocol = HTTP")
        ),
        client.vips.ListVips(ListVipsRequest(parent=make.ACME, page_token=token)),
        client.pools.ListPools(ListPoolsRequest(parent=make.ACME, page_token=flipped)),
        client.pools.ListPools(ListPoolsRequest(parent=make.ACME, page_token="жук")),
        client.pools.ListPools(ListPoolsRequest(parent=make.ACME, page_token="A" * 5000)),
        client.pools.ListPools(ListPoolsRequest(parent=make.ACME, page_token="AAAA")),
    ]
    for call in bad:
        refusal = await refused(call, Code.INVALID_ARGUMENT, "INVALID_PAGE")
        assert set(refusal.fields) == {"page_token"}
    again = await client.pools.ListPools(
        ListPoolsRequest(parent=make.ACME, page_size=5, page_token=token)
    )
    assert [pool.name for pool in again.pools] == [f"{make.ACME}/pools/p1", f"{make.ACME}/pools/p2"]


@pytest.mark.parametrize(
    "filter_", ["protocol", "protocol = ", "nonsense = 1", "protocol = UDP", "a" * 3000, "a = 'x"]
)
async def test_filters_that_are_none(client: Client, filter_: str) -> None:
    refusal = await refused(
        client.pools.ListPools(ListPoolsRequest(parent=make.ACME, filter=filter_)),
        Code.INVALID_ARGUMENT,
        "INVALID_FILTER",
    )

    assert set(refusal.fields) == {"filter"}


async def test_lists_refuse_a_negative_size_and_a_bad_parent(client: Client) -> None:
    refusal = await refused(
        client.pools.ListPools(ListPoolsRequest(parent=make.ACME, page_size=-1)),
        Code.INVALID_ARGUMENT,
    )
    assert set(refusal.fields) == {"page_size"}
    await refused(client.pools.ListPools(ListPoolsRequest(parent="x")), Code.INVALID_ARGUMENT)

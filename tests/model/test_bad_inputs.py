"""The catalogue of bad inputs: one field broken, one violation, with its reason and advice.

A number at the head of an id is the entry in the catalogue of faults that it answers.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lbaas.model import rules
from lbaas.model.enums import FleetKind, HealthMonitorType, Protocol
from lbaas.model.errors import Violation
from tests.model import samples
from tests.model.samples import FLEET, MEMBER, MONITOR, POOL, QUOTA, SERVICE_TYPE, VIP, persistence

CHECKS: dict[type, Callable[[Any], tuple[Violation, ...]]] = {
    type(POOL): rules.check_pool,
    type(MEMBER): rules.check_member,
    type(MONITOR): rules.check_health_monitor,
    type(VIP): rules.check_vip,
    type(SERVICE_TYPE): rules.check_service_type,
    type(FLEET): rules.check_fleet,
    type(QUOTA): rules.check_quota,
}
GOOD = (POOL, MEMBER, MONITOR, VIP, SERVICE_TYPE, FLEET, QUOTA)
TCP_MONITOR = replace(MONITOR, type=HealthMonitorType.TCP)
PING_MONITOR = replace(MONITOR, type=HealthMonitorType.PING)
SIDECAR = replace(FLEET, kind=FleetKind.SIDECAR, vip_ranges=("127.0.0.0/8",))
BILLION = timedelta(seconds=10**9)


def bad(case: str, obj: Any, field: str, reason: str, /, **broken: Any) -> Any:
    return pytest.param(replace(obj, **broken), field, reason, id=case)


def monitors(count: int) -> tuple[str, ...]:
    return tuple(f"projects/acme/healthMonitors/m{index}" for index in range(count))


CATALOGUE = [
    # names and text for people
    bad("6-nul-in-display-name", POOL, "display_name", "CONTROL_CHARACTER", display_name="a\0b"),
    bad("6-newline-in-name", POOL, "name", "INVALID_NAME", name=POOL.name + "\n"),
    bad("6-newline-in-description", VIP, "description", "CONTROL_CHARACTER", description="a\nb"),
    bad("6-rtl-override", MEMBER, "display_name", "CONTROL_CHARACTER", display_name="a\u202eb"),
    bad("6-lone-surrogate", POOL, "display_name", "CONTROL_CHARACTER", display_name="\ud800"),
    bad("6-line-separator", POOL, "description", "CONTROL_CHARACTER", description="a\u2028b"),
    bad("7-64-kib-name", POOL, "name", "INVALID_NAME", name="projects/a/pools/" + "b" * 65536),
    bad("7-id-of-64", POOL, "name", "INVALID_NAME", name="projects/a/pools/" + "b" * 64),
    bad("display-name-too-long", POOL, "display_name", "TOO_LONG", display_name="x" * 256),
    bad("description-too-long", POOL, "description", "TOO_LONG", description="x" * 1025),
    bad("upper-case-id", VIP, "name", "INVALID_NAME", name="projects/acme/vips/Web"),
    bad("empty-name", MEMBER, "name", "INVALID_NAME", name=""),
    bad("labels-65", POOL, "labels", "TOO_MANY", labels={f"k{i}": "" for i in range(65)}),
    bad("label-key-empty", POOL, "labels", "INVALID_LABEL", labels={"": "x"}),
    bad("label-key-space", FLEET, "labels", "INVALID_LABEL", labels={"a b": "x"}),
    bad("label-key-newline", FLEET, "labels", "INVALID_LABEL", labels={"a\n": "x"}),
    bad("label-key-64", POOL, "labels", "INVALID_LABEL", labels={"k" * 64: "x"}),
    bad("label-value-control", POOL, "labels.k", "CONTROL_CHARACTER", labels={"k": "\r"}),
    bad("label-value-256", POOL, "labels.k", "TOO_LONG", labels={"k": "v" * 256}),
    # pool
    bad("24-nine-monitors", POOL, "health_monitors", "TOO_MANY", health_monitors=monitors(9)),
    bad(
        "65-foreign-monitor", POOL, "health_monitors[1]", "OTHER_PROJECT",
        health_monitors=(*POOL.health_monitors, "projects/evil/healthMonitors/check"),
    ),
    bad(
        "monitor-twice", POOL, "health_monitors", "DUPLICATE",
        health_monitors=POOL.health_monitors * 2,
    ),
    bad("monitor-name", POOL, "health_monitors[0]", "INVALID_NAME", health_monitors=("x",)),
    bad("service-type-name", POOL, "service_type", "INVALID_NAME", service_type="gold"),
    # member
    bad("26-hostname", MEMBER, "address", "INVALID_ADDRESS", address="db.example.com"),
    bad("27-unspecified", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="0.0.0.0"),
    bad("27-unspecified-v6", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="::"),
    bad("28-multicast", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="224.0.0.1"),
    bad("28-multicast-v6", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="ff02::1"),
    bad("28-broadcast", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="255.255.255.255"),
    bad("29-metadata", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="169.254.169.254"),
    bad("29-metadata-v6", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="fd00:ec2::254"),
    bad("29-link-local", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="169.254.1.1"),
    bad("29-metadata-nat64", MEMBER, "address", "ADDRESS_NOT_ALLOWED",
        address="64:ff9b::a9fe:a9fe"),
    bad("30-loopback", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="127.0.0.1", port=9901),
    bad("30-loopback-v6", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="::1"),
    bad("31-v4-mapped", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="::ffff:127.0.0.1"),
    bad("31-v4-compatible", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="::7f00:1"),
    bad("32-scoped", MEMBER, "address", "INVALID_ADDRESS", address="fe80::1%eth0"),
    bad("32-link-local-v6", MEMBER, "address", "ADDRESS_NOT_ALLOWED", address="fe80::1"),
    bad("33-octal", MEMBER, "address", "INVALID_ADDRESS", address="010.0.0.1"),
    bad("33-hexadecimal", MEMBER, "address", "INVALID_ADDRESS", address="0x0a.0.0.1"),
    bad("33-decimal", MEMBER, "address", "INVALID_ADDRESS", address="167772161"),
    bad("33-short", MEMBER, "address", "INVALID_ADDRESS", address="10.1"),
    bad("33-unicode-digits", MEMBER, "address", "INVALID_ADDRESS", address="\uff110.0.0.1"),
    bad("34-unix-path", MEMBER, "address", "INVALID_ADDRESS", address="/run/admin.sock"),
    bad("34-abstract-socket", MEMBER, "address", "INVALID_ADDRESS", address="@admin"),
    bad("address-empty", MEMBER, "address", "INVALID_ADDRESS", address=""),
    bad("address-with-port", MEMBER, "address", "INVALID_ADDRESS", address="10.0.0.1:80"),
    bad("address-with-newline", MEMBER, "address", "INVALID_ADDRESS", address="10.0.0.1\n"),
    bad("address-other-spelling", MEMBER, "address", "INVALID_ADDRESS", address="2001:DB8::1"),
    bad("address-1-mib", MEMBER, "address", "INVALID_ADDRESS", address="1" * 2**20),
    bad("35-port-0", MEMBER, "port", "OUT_OF_RANGE", port=0),
    bad("35-port-65536", MEMBER, "port", "OUT_OF_RANGE", port=65536),
    bad("36-weight-negative", MEMBER, "weight", "OUT_OF_RANGE", weight=-1),
    bad("37-weight-257", MEMBER, "weight", "OUT_OF_RANGE", weight=257),
    bad("10-drain-negative", MEMBER, "drain_timeout", "OUT_OF_RANGE",
        drain_timeout=timedelta(seconds=-1)),
    bad("10-drain-1e9-s", MEMBER, "drain_timeout", "OUT_OF_RANGE", drain_timeout=BILLION),
    # monitor
    bad("13-path-empty", MONITOR, "url_path", "INVALID_PATH", url_path=""),
    bad("14-path-without-slash", MONITOR, "url_path", "INVALID_PATH", url_path="healthz"),
    bad("15-path-with-space", MONITOR, "url_path", "INVALID_PATH", url_path="/a b"),
    bad("16-path-with-crlf", MONITOR, "url_path", "INVALID_PATH", url_path="/a\r\nX: y"),
    bad("16-path-ends-in-newline", MONITOR, "url_path", "INVALID_PATH", url_path="/a\n"),
    bad("17-absolute-url", MONITOR, "url_path", "INVALID_PATH", url_path="http://h/healthz"),
    bad("18-path-1-mib", MONITOR, "url_path", "TOO_LONG", url_path="/" * 2**20),
    bad("18-path-256", MONITOR, "url_path", "TOO_LONG", url_path="/" * 256),
    bad("49-environment", MONITOR, "url_path", "INVALID_PATH", url_path="/%ENVIRONMENT(HOME)%"),
    bad("49-cel", MONITOR, "url_path", "INVALID_PATH", url_path="/%CEL(request.path)%41"),
    bad("path-fragment", MONITOR, "url_path", "INVALID_PATH", url_path="/a#b"),
    bad("path-not-ascii", MONITOR, "url_path", "INVALID_PATH", url_path="/ä"),
    bad("19-delay-0", MONITOR, "delay", "OUT_OF_RANGE", delay=timedelta(0), timeout=timedelta(0)),
    bad("19-delay-1-us", MONITOR, "delay", "OUT_OF_RANGE", delay=timedelta(microseconds=1)),
    bad("19-delay-1-ms", MONITOR, "delay", "OUT_OF_RANGE", delay=timedelta(milliseconds=1)),
    bad("19-delay-1e9-s", MONITOR, "delay", "OUT_OF_RANGE", delay=BILLION),
    bad("10-delay-negative", MONITOR, "delay", "OUT_OF_RANGE", delay=timedelta(seconds=-5)),
    bad("timeout-0", MONITOR, "timeout", "OUT_OF_RANGE", timeout=timedelta(0)),
    bad("20-timeout-above-delay", MONITOR, "timeout", "TIMEOUT_ABOVE_DELAY",
        timeout=timedelta(seconds=6)),
    bad("21-max-retries-0", MONITOR, "max_retries", "OUT_OF_RANGE", max_retries=0),
    bad("21-max-retries-11", MONITOR, "max_retries", "OUT_OF_RANGE", max_retries=11),
    bad("21-rise-0", MONITOR, "rise", "OUT_OF_RANGE", rise=0),
    bad("22-code-99", MONITOR, "expected_codes", "INVALID_CODES", expected_codes="099"),
    bad("22-code-600", MONITOR, "expected_codes", "INVALID_CODES", expected_codes="200,600"),
    bad("22-code-1000", MONITOR, "expected_codes", "INVALID_CODES", expected_codes="99-1000"),
    bad("22-reversed", MONITOR, "expected_codes", "INVALID_CODES", expected_codes="204-200"),
    bad("codes-empty", MONITOR, "expected_codes", "INVALID_CODES", expected_codes=""),
    bad("codes-comma", MONITOR, "expected_codes", "INVALID_CODES", expected_codes="200,"),
    bad("codes-unicode", MONITOR, "expected_codes", "INVALID_CODES", expected_codes="\uff1200"),
    bad("codes-newline", MONITOR, "expected_codes", "INVALID_CODES", expected_codes="200\n"),
    bad("codes-long", MONITOR, "expected_codes", "INVALID_CODES", expected_codes="200," * 20),
    bad("23-connect", MONITOR, "http_method", "INVALID_METHOD", http_method="CONNECT"),
    bad("23-lower-case", MONITOR, "http_method", "INVALID_METHOD", http_method="get"),
    bad("16-method-crlf", MONITOR, "http_method", "INVALID_METHOD", http_method="GET\r\n"),
    bad("16-host-crlf", MONITOR, "host", "INVALID_HOST", host="a\r\nX: y"),
    bad("49-host-formatter", MONITOR, "host", "INVALID_HOST", host="%ENVIRONMENT(HOME)%"),
    bad("host-space", MONITOR, "host", "INVALID_HOST", host="a b"),
    bad("host-port-0", MONITOR, "host", "INVALID_HOST", host="a:0"),
    bad("host-port-65536", MONITOR, "host", "INVALID_HOST", host="a:65536"),
    bad("host-254", MONITOR, "host", "TOO_LONG", host="a" * 254),
    bad("tcp-with-path", TCP_MONITOR, "url_path", "NOT_APPLICABLE", url_path="/x"),
    bad("tcp-with-codes", TCP_MONITOR, "expected_codes", "NOT_APPLICABLE", expected_codes="204"),
    bad("ping-with-method", PING_MONITOR, "http_method", "NOT_APPLICABLE", http_method="HEAD"),
    bad("ping-with-host", PING_MONITOR, "host", "NOT_APPLICABLE", host="a"),
    # VIP
    bad("39-cookie-name-empty", VIP, "session_persistence.cookie_name", "REQUIRED",
        session_persistence=persistence("APP_COOKIE")),
    bad("40-cookie-name-crlf", VIP, "session_persistence.cookie_name", "INVALID_COOKIE_NAME",
        session_persistence=persistence("HTTP_COOKIE", "a\r\nSet-Cookie: b")),
    bad("40-cookie-name-newline", VIP, "session_persistence.cookie_name", "INVALID_COOKIE_NAME",
        session_persistence=persistence("APP_COOKIE", "JSESSIONID\n")),
    bad("41-cookie-name-separators", VIP, "session_persistence.cookie_name",
        "INVALID_COOKIE_NAME", session_persistence=persistence("APP_COOKIE", "a;=b")),
    bad("49-cookie-name-formatter", VIP, "session_persistence.cookie_name",
        "INVALID_COOKIE_NAME", session_persistence=persistence("APP_COOKIE", "%START_TIME%")),
    bad("cookie-name-256", VIP, "session_persistence.cookie_name", "TOO_LONG",
        session_persistence=persistence("APP_COOKIE", "a" * 256)),
    bad("cookie-name-for-source-ip", VIP, "session_persistence.cookie_name", "NOT_APPLICABLE",
        session_persistence=persistence("SOURCE_IP", "a")),
    bad("42-ttl-negative", VIP, "session_persistence.ttl", "OUT_OF_RANGE",
        session_persistence=persistence("HTTP_COOKIE", ttl=timedelta(seconds=-1))),
    bad("10-ttl-1e9-s", VIP, "session_persistence.ttl", "OUT_OF_RANGE",
        session_persistence=persistence("HTTP_COOKIE", ttl=BILLION)),
    bad("ttl-fraction", VIP, "session_persistence.ttl", "OUT_OF_RANGE",
        session_persistence=persistence("HTTP_COOKIE", ttl=timedelta(seconds=1.5))),
    bad("ttl-for-source-ip", VIP, "session_persistence.ttl", "NOT_APPLICABLE",
        session_persistence=persistence("SOURCE_IP", ttl=timedelta(seconds=60))),
    bad("cookie-on-tcp", VIP, "session_persistence.type", "PERSISTENCE_NEEDS_HTTP",
        protocol=Protocol.TCP, session_persistence=persistence("HTTP_COOKIE")),
    bad("cookie-on-https", VIP, "session_persistence.type", "PERSISTENCE_NEEDS_HTTP",
        protocol=Protocol.HTTPS, session_persistence=persistence("APP_COOKIE", "SID")),
    bad("44-port-0", VIP, "port", "OUT_OF_RANGE", port=0),
    bad("44-port-65536", VIP, "port", "OUT_OF_RANGE", port=65536),
    bad("46-wildcard", VIP, "address", "ADDRESS_NOT_ALLOWED", address="0.0.0.0"),
    bad("46-wildcard-v6", VIP, "address", "ADDRESS_NOT_ALLOWED", address="::"),
    bad("vip-hostname", VIP, "address", "INVALID_ADDRESS", address="www.example.com"),
    bad("vip-multicast", VIP, "address", "ADDRESS_NOT_ALLOWED", address="224.0.0.5"),
    bad("vip-metadata", VIP, "address", "ADDRESS_NOT_ALLOWED", address="169.254.169.254"),
    bad("vip-octal", VIP, "address", "INVALID_ADDRESS", address="203.0.113.010"),
    bad("48-limit-0", VIP, "connection_limit", "OUT_OF_RANGE", connection_limit=0),
    bad("48-limit-minus-7", VIP, "connection_limit", "OUT_OF_RANGE", connection_limit=-7),
    bad("48-limit-2^63", VIP, "connection_limit", "OUT_OF_RANGE", connection_limit=2**63),
    bad("63-pool-of-another", VIP, "pool", "OTHER_PROJECT", pool="projects/evil/pools/web"),
    bad("pool-missing", VIP, "pool", "INVALID_NAME", pool=""),
    # what operators write
    bad("selector", SERVICE_TYPE, "fleet_selector", "INVALID_LABEL", fleet_labels={"!": "x"}),
    bad("range-no-cidr", FLEET, "vip_ranges[0]", "INVALID_CIDR", vip_ranges=("10.0.0.1",)),
    bad("range-host-bits", FLEET, "vip_ranges[0]", "INVALID_CIDR", vip_ranges=("10.0.0.1/8",)),
    bad("range-netmask", FLEET, "vip_ranges[0]", "INVALID_CIDR",
        vip_ranges=("10.0.0.0/255.0.0.0",)),
    bad("range-everything", FLEET, "vip_ranges[0]", "ADDRESS_NOT_ALLOWED",
        vip_ranges=("0.0.0.0/0",)),
    bad("range-multicast", FLEET, "vip_ranges[0]", "ADDRESS_NOT_ALLOWED",
        vip_ranges=("239.1.0.0/16",)),
    bad("range-overlap", FLEET, "vip_ranges[1]", "OVERLAP",
        vip_ranges=("10.0.0.0/8", "10.1.0.0/16")),
    bad("range-overlap-around", FLEET, "vip_ranges[1]", "OVERLAP",
        vip_ranges=("2001:db8:1::/48", "2001:db8::/32")),
    bad("ranges-65", FLEET, "vip_ranges", "TOO_MANY",
        vip_ranges=tuple(f"10.{index}.0.0/16" for index in range(65))),
    bad("sidecar-range", SIDECAR, "vip_ranges[0]", "ADDRESS_NOT_ALLOWED",
        vip_ranges=("10.0.0.0/8",)),
    bad("fleet-project", FLEET, "project", "INVALID_ID", project="projects/acme"),
    bad("fleet-service-type", FLEET, "service_types[0]", "INVALID_NAME", service_types=("gold",)),
    bad("fleet-service-type-twice", FLEET, "service_types", "DUPLICATE",
        service_types=("serviceTypes/gold",) * 2),
    bad("fleet-max-pools", FLEET, "max_pools", "OUT_OF_RANGE", max_pools=-1),
    bad("quota-minus-2", QUOTA, "pools", "OUT_OF_RANGE", pools=-2),
    bad("quota-2^31", QUOTA, "members", "OUT_OF_RANGE", members=2**31),
]  # fmt: skip


@pytest.mark.parametrize("obj", GOOD, ids=lambda obj: type(obj).__name__)
def test_a_good_object_breaks_no_rule(obj):
    assert CHECKS[type(obj)](obj) == ()


@pytest.mark.parametrize(("obj", "field", "reason"), CATALOGUE)
def test_bad_input_is_refused(obj, field, reason):
    found = CHECKS[type(obj)](obj)
    assert (field, reason) in [(each.field, each.reason) for each in found]
    for each in found:
        assert len(each.description) < 500
        assert each.description.isprintable(), "a message must not carry what it refuses"


def test_all_violations_come_at_once():
    found = rules.check_vip(
        replace(
            VIP,
            name="projects/Acme/vips/web",
            pool="web",
            port=0,
            address="0.0.0.0",
            protocol=Protocol.TCP,
            connection_limit=0,
            session_persistence=persistence("APP_COOKIE", ttl=timedelta(seconds=-1)),
            display_name="\0",
            labels={"": ""},
        )
    )
    assert [each.field for each in found] == [
        "name",
        "display_name",
        "labels",
        "pool",
        "address",
        "port",
        "session_persistence.type",
        "session_persistence.cookie_name",
        "session_persistence.ttl",
        "connection_limit",
    ]


def test_the_number_of_violations_is_bounded():
    pool = replace(POOL, health_monitors=("!",) * 50_000, labels={f"{i}": "" for i in range(9999)})
    assert len(rules.check_pool(pool)) < 100


GOOD_CHANGES = [
    pytest.param(replace(POOL, display_name="Grüße 👨‍👩‍👧 العربية"), id="any-script"),
    pytest.param(replace(POOL, health_monitors=monitors(8)), id="eight-monitors"),
    pytest.param(replace(POOL, labels={"k8s.io/name": "x y", "A": ""}), id="labels"),
    pytest.param(replace(MEMBER, address="2001:db8::1"), id="ipv6"),
    pytest.param(replace(MEMBER, address="fd00::1"), id="unique-local"),
    pytest.param(replace(MEMBER, address="100.64.0.1"), id="carrier-grade"),
    pytest.param(replace(MEMBER, weight=0), id="weight-0"),
    pytest.param(replace(MEMBER, weight=256, port=65535), id="largest"),
    pytest.param(
        replace(MONITOR, url_path="/a%20b?x=[1]".replace("[1]", "(1)")), id="percent-encoded"
    ),
    pytest.param(replace(MONITOR, expected_codes="200, 202 ,204-206"), id="codes-mixed"),
    pytest.param(replace(MONITOR, host="app.example.com:8080"), id="host-and-port"),
    pytest.param(replace(MONITOR, host="[2001:db8::1]:80"), id="host-v6"),
    pytest.param(
        replace(MONITOR, delay=timedelta(seconds=0.1), timeout=timedelta(seconds=0.1)),
        id="fastest",
    ),
    pytest.param(TCP_MONITOR, id="tcp-monitor"),
    pytest.param(replace(VIP, address=""), id="address-to-allocate"),
    pytest.param(replace(VIP, address="127.0.0.1"), id="sidecar-address"),
    pytest.param(replace(VIP, connection_limit=2**31 - 1), id="limit"),
    pytest.param(replace(VIP, session_persistence=persistence("HTTP_COOKIE")), id="our-cookie"),
    pytest.param(
        replace(VIP, session_persistence=persistence("HTTP_COOKIE", "LB", timedelta(days=400))),
        id="our-cookie-named",
    ),
    pytest.param(
        replace(VIP, protocol=Protocol.TCP, session_persistence=persistence("SOURCE_IP")),
        id="source-ip-on-tcp",
    ),
    pytest.param(SIDECAR, id="sidecar"),
    pytest.param(replace(FLEET, vip_ranges=("10.0.0.0/24", "2001:db8::/64")), id="two-ranges"),
    pytest.param(replace(QUOTA, vips=0, members=-1), id="quota"),
]


@pytest.mark.parametrize("obj", GOOD_CHANGES)
def test_good_input_is_accepted(obj):
    assert CHECKS[type(obj)](obj) == ()


def test_a_vip_speaks_its_pools_protocol():
    assert rules.check_vip_against_pool(VIP, POOL) == ()
    (found,) = rules.check_vip_against_pool(replace(VIP, protocol=Protocol.HTTPS), POOL)
    assert (found.field, found.reason) == ("protocol", "PROTOCOL_MISMATCH")
    assert "use HTTP" in found.description


def test_38_members_of_a_tree_do_not_repeat():
    twin = replace(MEMBER, name="projects/acme/pools/web/members/m2")
    found = rules.check_tree(replace(samples.TREE, members=(MEMBER, twin)))
    assert [(each.field, each.reason) for each in found] == [("members[1]", "DUPLICATE")]


def test_a_trees_violations_have_the_path_from_its_root():
    tree = replace(
        samples.TREE,
        members=(MEMBER, replace(MEMBER, name="projects/acme/pools/api/members/m2", port=0)),
        health_monitors=(replace(MONITOR, rise=0),),
        vips=(replace(VIP, protocol=Protocol.TCP, pool="projects/acme/pools/api"),),
    )
    assert [each.field for each in rules.check_tree(tree)] == [
        "members[1].port",
        "members[1].name",
        "health_monitors[0].rise",
        "vips[0].protocol",
        "vips[0].pool",
    ]

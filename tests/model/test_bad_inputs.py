"""Rules: bad input is refused with its reason, good input is accepted."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lbaas.model import rules
from lbaas.model.enums import Protocol
from lbaas.model.errors import Violation
from tests.model import samples
from tests.model.catalogue import CATALOGUE, SIDECAR, TCP_MONITOR, monitors
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
        # The application sets it, behind who ends its clients' TLS.
        replace(VIP, session_persistence=persistence("APP_COOKIE", "__Host-session")),
        id="cookie-of-an-application-that-knows-of-tls",
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

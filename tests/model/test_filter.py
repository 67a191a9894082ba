"""The filter language of lists."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbaas.model import filter as filters
from lbaas.model.enums import NodeState
from lbaas.model.errors import InvalidArgument
from lbaas.model.objects import (
    EPOCH,
    Fleet,
    HealthMonitor,
    Member,
    NodeView,
    Placement,
    Pool,
    ServiceType,
    Vip,
)
from tests.model.samples import FLEET, MEMBER, MONITOR, POOL, SERVICE_TYPE, VIP, persistence

LABELLED = replace(POOL, labels={"team": 'the "shop"', "k8s.io/tier": "web"})
NODE = NodeView(
    name="fleets/edge/nodes/e1",
    state=NodeState.SYNCED,
    connected=True,
    envoy_version="1.40.0",
    base_rev=7,
    pending=(),
    last_seen=EPOCH,
)


@pytest.mark.parametrize(
    ("text", "obj"),
    [
        ("", POOL),
        ("  ", POOL),
        ("protocol = HTTP", POOL),
        ("protocol=HTTP AND lb_method=ROUND_ROBIN", POOL),
        (f'name = "{POOL.name}"', POOL),
        (f"name = {POOL.name}", POOL),
        ("admin_state_up = true", POOL),
        ("health_monitors = projects/acme/healthMonitors/check", POOL),
        ("placement.fleet = fleets/edge", replace(POOL, placement=Placement(fleet="fleets/edge"))),
        ('placement.fleet = ""', POOL),
        ('labels.team = "the \\"shop\\""', LABELLED),
        ("labels.team = 'the \"shop\"' AND labels.k8s.io/tier = web", LABELLED),
        ("display_name = 'Grüße AND so on'", replace(POOL, display_name="Grüße AND so on")),
        ("address = 10.0.0.1 AND port = 08080", MEMBER),
        ("weight = 1 AND backup = false", MEMBER),
        ("address = 2001:db8::1", replace(MEMBER, address="2001:db8::1")),
        ("type = HTTP", MONITOR),
        ("pool = projects/acme/pools/web AND port = 80", VIP),
        (
            "session_persistence.type = SOURCE_IP",
            replace(VIP, session_persistence=persistence("SOURCE_IP")),
        ),
        ("default = true", SERVICE_TYPE),
        ("kind = EDGE AND draining = false", FLEET),
        ("service_types = serviceTypes/gold", replace(FLEET, service_types=("serviceTypes/gold",))),
        ("state = SYNCED AND connected = true AND envoy_version = 1.40.0", NODE),
    ],
)
def test_matches(text, obj):
    assert filters.parse(text, type(obj)).matches(obj)


@pytest.mark.parametrize(
    ("text", "obj"),
    [
        ("protocol = TCP", POOL),
        ("protocol = HTTP AND lb_method = SOURCE_IP", POOL),
        ("labels.team = shop", POOL),
        ("labels.Team = web", replace(POOL, labels={"team": "web"})),
        ('labels.team = ""', POOL),
        ("health_monitors = check", POOL),
        ("port = 80", MEMBER),
        ("fleet_kind = EDGE", SERVICE_TYPE),
        ("session_persistence.type = SOURCE_IP", VIP),
        ("connected = false", NODE),
    ],
)
def test_does_not_match(text, obj):
    assert not filters.parse(text, type(obj)).matches(obj)


@pytest.mark.parametrize(
    ("text", "kind", "advice"),
    [
        ("protocol", Pool, "write it like"),
        ("protocol =", Pool, "write it like"),
        ("= HTTP", Pool, "write it like"),
        ('display_name = "x', Pool, "write it like"),
        ("(protocol = HTTP)", Pool, "write it like"),
        ("NOT protocol = HTTP", Pool, "write it like"),
        ("protocol = HTTP OR protocol = TCP", Pool, "needs AND"),
        ("protocol = HTTP and port = 80", Vip, "needs AND"),
        ("protocol = HTTP AND", Pool, "needs AND"),
        ("protocol = HTTP port = 80", Vip, "needs AND"),
        ("protocol = HTTP ANDport = 80", Vip, "needs AND"),
        ("protocol != HTTP", Pool, "only '='"),
        ("weight > 3", Member, "only '='"),
        ("protocol = http", Pool, "use TCP, HTTP, HTTPS"),
        ("admin_state_up = yes", Pool, "use true, false"),
        ("port = http", Vip, "whole number"),
        ("port = " + "9" * 5000, Vip, "shorten"),
        ("colour = red", Pool, "lb_method"),
        ("uid = x", HealthMonitor, "type or labels.KEY"),
        ("weight = 3", Vip, "labels.KEY"),
        ("labels.a = b", NodeView, "envoy_version, name, state"),
        ("max_pools = 3", Fleet, "draining"),
        ("fleet_kind = BOX", ServiceType, "EDGE, SIDECAR"),
        (" AND ".join(["port = 1"] * 21), Vip, "at most 20"),
    ],
)
def test_a_bad_filter_is_refused_with_advice(text, kind, advice):
    with pytest.raises(InvalidArgument) as raised:
        filters.parse(text, kind)
    (found,) = raised.value.violations
    assert found.field == "filter"
    assert raised.value.reason == found.reason == "INVALID_FILTER"
    assert advice in found.description


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text):
    try:
        filters.parse(text, Pool)
    except InvalidArgument as error:
        assert error.message.isprintable()  # noqa: PT017 - most texts are refused, some are not


@given(st.text(max_size=40))
def test_any_value_can_be_quoted(value):
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    parsed = filters.parse(f'display_name = "{escaped}"', Pool)
    assert parsed.terms == (filters.Term("display_name", value),)
    assert parsed.matches(replace(POOL, display_name=value))

"""What may never change, what a change renders anew, and which status codes are meant."""

import itertools
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbaas.model.enums import FleetKind, HealthMonitorType, LbMethod, Protocol
from lbaas.model.errors import InvalidArgument
from lbaas.model.objects import Capabilities, Placement, Record
from lbaas.model.rules import changed_immutables, expected_ranges, rendered
from tests.model.samples import FLEET, MEMBER, MONITOR, POOL, SERVICE_TYPE, VIP, persistence

OBJECTS = (POOL, MEMBER, MONITOR, VIP, SERVICE_TYPE, FLEET)
FOR_PEOPLE = {
    "display_name": "Web",
    "description": "the shop",
    "labels": {"team": "shop"},
    "record": Record(uid="u", rev=7, spec_rev=5, live_rev=3),
}
OUTPUTS = [
    (POOL, {"placement": Placement(fleet="fleets/edge", rev=3)}),
    (VIP, {"address_in_use_by": "projects/evil/vips/web"}),
    (MEMBER, {"drain_end": datetime(2026, 1, 2, tzinfo=UTC)}),
    (MEMBER, {"drained": True}),
    (FLEET, {"pools": 3}),
    (FLEET, {"removals_allowed_rev": 3}),
]
PUT_OUT = {field for _, output in OUTPUTS for field in output}
OTHER = {
    "protocol": Protocol.TCP,
    "lb_method": LbMethod.SOURCE_IP,
    "admin_state_up": False,
    "health_monitors": (),
    "service_type": "serviceTypes/gold",
    "address": "10.9.9.9",
    "port": 9999,
    "weight": 7,
    "backup": True,
    "drain_timeout": timedelta(seconds=1),
    "type": HealthMonitorType.TCP,
    "delay": timedelta(seconds=9),
    "timeout": timedelta(seconds=1),
    "max_retries": 9,
    "rise": 9,
    "http_method": "HEAD",
    "url_path": "/other",
    "expected_codes": "204",
    "host": "other",
    "pool": "projects/acme/pools/other",
    "session_persistence": persistence("SOURCE_IP"),
    "connection_limit": 9,
    "default": False,
    "fleet_kind": FleetKind.SIDECAR,
    "required": Capabilities(connection_limit=True),
    "fleet_labels": {"zone": "a"},
    "kind": FleetKind.SIDECAR,
    "service_types": ("serviceTypes/gold",),
    "capabilities": Capabilities(),
    "project": "acme",
    "vip_ranges": (),
    "max_pools": 9,
    "canary": True,
    "draining": True,
}
"""Another value for every field that is rendered; a new field of the model must be added."""


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: type(obj).__name__)
def test_what_is_for_people_is_not_rendered(obj):
    assert rendered(replace(obj, **FOR_PEOPLE)) == rendered(obj)


@pytest.mark.parametrize(("obj", "output"), OUTPUTS)
def test_what_the_server_puts_out_is_not_rendered(obj, output):
    assert rendered(replace(obj, **output)) == rendered(obj)


def test_the_order_of_monitors_is_not_rendered():
    pool = replace(POOL, health_monitors=("projects/acme/healthMonitors/z", *POOL.health_monitors))
    turned = replace(pool, health_monitors=pool.health_monitors[::-1])
    assert rendered(pool) == rendered(turned)


@pytest.mark.parametrize(
    ("obj", "field"),
    [
        pytest.param(obj, each.name, id=f"{type(obj).__name__}.{each.name}")
        for obj in OBJECTS
        for each in fields(obj)
        if each.name not in {"name", *FOR_PEOPLE, *PUT_OUT}
    ],
)
def test_every_other_field_is_rendered(obj, field):
    assert rendered(replace(obj, **{field: OTHER[field]})) != rendered(obj)


IMMUTABLE = [
    (POOL, "protocol"),
    (MEMBER, "address"),
    (MEMBER, "port"),
    (MONITOR, "type"),
    (VIP, "address"),
    (VIP, "port"),
    (VIP, "protocol"),
    (FLEET, "kind"),
]


@pytest.mark.parametrize(("obj", "field"), IMMUTABLE)
def test_an_immutable_field_does_not_change(obj, field):
    (found,) = changed_immutables(obj, replace(obj, **{field: OTHER[field]}))
    assert (found.field, found.reason) == (field, "IMMUTABLE")


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: type(obj).__name__)
def test_every_other_field_may_change(obj):
    fixed = {field for each, field in IMMUTABLE if each is obj}
    others = {
        each.name: OTHER[each.name]
        for each in fields(obj)
        if each.name in OTHER and each.name not in fixed
    }
    assert changed_immutables(obj, replace(obj, **others, **FOR_PEOPLE)) == ()


@pytest.mark.parametrize(
    ("codes", "ranges"),
    [
        ("200", ((200, 200),)),
        ("200,202", ((200, 200), (202, 202))),
        ("200-204", ((200, 204),)),
        ("404, 200-201 ,202", ((200, 202), (404, 404))),
        ("200-299,204", ((200, 299),)),
        ("100-599", ((100, 599),)),
    ],
)
def test_expected_codes_are_sorted_and_merged(codes, ranges):
    assert expected_ranges(codes) == ranges


code = st.integers(100, 599)


@given(st.lists(st.tuples(code, code).map(sorted), min_size=1, max_size=8))
def test_expected_codes_mean_what_is_written(pairs):
    text = ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in pairs)
    meant = {each for first, last in pairs for each in range(first, last + 1)}
    ranges = expected_ranges(text)
    assert {each for first, last in ranges for each in range(first, last + 1)} == meant
    assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(ranges))


def test_bad_codes_raise_from_the_translators_side():
    with pytest.raises(InvalidArgument):
        expected_ranges("204-200")

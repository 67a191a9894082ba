"""Each filter: what it refuses, in which words, and what it lets through."""

from dataclasses import replace

import pytest

from lbaas.model.capabilities import EVERYTHING
from lbaas.model.enums import FleetKind, HealthMonitorType, SessionPersistenceType
from lbaas.model.objects import Node, PoolTree
from tests.model.samples import MONITOR, TREE, VIP, persistence
from tests.scheduler.samples import DEFAULT, GOLD, candidate, living_on
from xds.scheduler import fits

NO_PING = replace(EVERYTHING, health_monitor_types=frozenset({HealthMonitorType.HTTP}))
NO_COOKIES = replace(EVERYTHING, session_persistences=frozenset({SessionPersistenceType.SOURCE_IP}))
PINGED = replace(TREE, health_monitors=(replace(MONITOR, type=HealthMonitorType.PING),))
COOKIES = replace(TREE, vips=(replace(VIP, session_persistence=persistence("HTTP_COOKIE")),))
NAMELESS = replace(TREE, vips=(replace(VIP, address=""),))
LOOPBACK = replace(TREE, vips=(replace(VIP, address="127.0.0.5"),))


def test_a_fleet_that_can_do_all_fits():
    assert fits(TREE, DEFAULT, candidate()) == ()


REFUSED = [
    pytest.param(
        TREE, DEFAULT, candidate(project="other"), "belongs to another project", id="project"
    ),
    pytest.param(
        TREE,
        GOLD,
        candidate(service_types=("serviceTypes/a", "serviceTypes/b")),
        "does not offer serviceTypes/gold, only serviceTypes/a, serviceTypes/b",
        id="service-type",
    ),
    pytest.param(
        TREE,
        GOLD,
        candidate(),
        "does not offer serviceTypes/gold, only the default service type",
        id="only-default",
    ),
    pytest.param(
        TREE,
        DEFAULT,
        candidate(service_types=("serviceTypes/gold",)),
        "does not offer serviceTypes/default, only serviceTypes/gold",
        id="not-default",
    ),
    pytest.param(
        TREE,
        replace(DEFAULT, fleet_kind=FleetKind.SIDECAR),
        candidate(),
        "is EDGE, but serviceTypes/default wants SIDECAR",
        id="kind",
    ),
    pytest.param(
        TREE,
        replace(DEFAULT, fleet_labels={"zone": "a", "tier": "x"}),
        candidate(labels={"zone": "b", "tier": "x"}),
        "lacks the labels zone=a that serviceTypes/default selects by",
        id="labels",
    ),
    pytest.param(
        PINGED,
        DEFAULT,
        candidate(offered=NO_PING),
        "needs health_monitor_type=PING, which no node of this fleet can do",
        id="capability",
    ),
    pytest.param(
        PINGED,
        DEFAULT,
        replace(candidate(offered=NO_PING), nodes=(Node(name="fleets/edge/nodes/n1"),)),
        "needs health_monitor_type=PING, which it cannot do: no node of it has an agent",
        id="capability-of-nodes",
    ),
    pytest.param(
        COOKIES,
        DEFAULT,
        candidate(offered=NO_COOKIES, capabilities=NO_COOKIES),
        "needs session_persistence=HTTP_COOKIE, which this fleet is not set up to offer",
        id="capability-withheld",
    ),
    pytest.param(
        TREE,
        replace(DEFAULT, required=EVERYTHING),
        candidate(offered=replace(EVERYTHING, connection_limit=False)),
        "cannot do connection_limit, which serviceTypes/default requires",
        id="capability-of-the-type",
    ),
    pytest.param(
        TREE,
        DEFAULT,
        candidate(vip_ranges=("10.0.0.0/8", "2001:db8::/64")),
        "has the VIP ranges 10.0.0.0/8, 2001:db8::/64, without web 203.0.113.7",
        id="range",
    ),
    pytest.param(
        NAMELESS,
        DEFAULT,
        candidate(vip_ranges=()),
        "has no VIP ranges to give an address from to web",
        id="nothing-to-give",
    ),
    pytest.param(
        TREE,
        DEFAULT,
        candidate(kind=FleetKind.SIDECAR, vip_ranges=()),
        "binds loopback addresses only (it is SIDECAR), not web 203.0.113.7",
        id="sidecar",
    ),
    pytest.param(
        TREE,
        DEFAULT,
        candidate(max_pools=3, pools=3),
        "is full: it carries 3 of at most 3 pools",
        id="capacity",
    ),
    pytest.param(
        TREE, DEFAULT, candidate(draining=True), "is draining and takes no new pools", id="draining"
    ),
]


@pytest.mark.parametrize(("tree", "service_type", "fleet", "words"), REFUSED)
def test_a_fleet_is_refused_in_words(tree, service_type, fleet, words):
    assert fits(tree, service_type, fleet) == (words,)


FITS = [
    pytest.param(TREE, DEFAULT, candidate(project="acme"), id="own"),
    pytest.param(TREE, GOLD, candidate(service_types=("serviceTypes/gold",)), id="offered"),
    pytest.param(
        TREE, DEFAULT, candidate(service_types=("serviceTypes/default",)), id="default-listed"
    ),
    pytest.param(
        TREE,
        replace(DEFAULT, fleet_labels={"zone": "a"}),
        candidate(labels={"zone": "a", "more": "x"}),
        id="labels",
    ),
    pytest.param(TREE, replace(DEFAULT, fleet_kind=FleetKind.EDGE), candidate(), id="wanted-kind"),
    pytest.param(TREE, DEFAULT, candidate(vip_ranges=()), id="any-given-address"),
    pytest.param(NAMELESS, DEFAULT, candidate(), id="address-to-give"),
    pytest.param(
        LOOPBACK,
        DEFAULT,
        candidate(kind=FleetKind.SIDECAR, vip_ranges=("127.0.0.0/8",)),
        id="sidecar-loopback",
    ),
    pytest.param(TREE, DEFAULT, candidate(live=0), id="no-live-node"),
    pytest.param(TREE, DEFAULT, candidate(max_pools=3, pools=2), id="room"),
    pytest.param(
        living_on("fleets/edge"), DEFAULT, candidate(max_pools=3, pools=3), id="one-of-the-full"
    ),
    pytest.param(living_on("fleets/edge"), DEFAULT, candidate(draining=True), id="lives-there"),
    pytest.param(
        replace(TREE, vips=(), health_monitors=()),
        DEFAULT,
        candidate(vip_ranges=()),
        id="bare-pool",
    ),
]


@pytest.mark.parametrize(("tree", "service_type", "fleet"), FITS)
def test_a_fleet_fits(tree, service_type, fleet):
    assert fits(tree, service_type, fleet) == ()


def test_every_reason_is_told_at_once():
    fleet = candidate(offered=NO_PING, draining=True, max_pools=1, pools=1, vip_ranges=())
    tree = PoolTree(pool=PINGED.pool, health_monitors=PINGED.health_monitors, vips=NAMELESS.vips)
    assert len(fits(tree, GOLD, fleet)) == 5


def test_long_lists_are_cut_short():
    many = tuple(replace(VIP, name=f"projects/acme/vips/v{n}", address="") for n in range(50))
    (why,) = fits(replace(TREE, vips=many), DEFAULT, candidate(vip_ranges=()))
    assert why.endswith("v9 and 40 more")

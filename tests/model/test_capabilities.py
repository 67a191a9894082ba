"""What a tree needs, what a fleet offers, what is missing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbaas.model import capabilities as caps
from lbaas.model.enums import HealthMonitorType, LbMethod, Protocol, SessionPersistenceType
from lbaas.model.objects import Capabilities, Fleet, Node
from tests.model.samples import MONITOR, TREE, VIP, persistence

some = st.builds(
    Capabilities,
    lb_methods=st.frozensets(st.sampled_from(LbMethod)),
    protocols=st.frozensets(st.sampled_from(Protocol)),
    health_monitor_types=st.frozensets(st.sampled_from(HealthMonitorType)),
    session_persistences=st.frozensets(st.sampled_from(SessionPersistenceType)),
    connection_limit=st.booleans(),
    multiple_monitors=st.booleans(),
)


def test_a_tree_needs_what_its_objects_ask_for():
    ping = replace(MONITOR, name="projects/acme/healthMonitors/p", type=HealthMonitorType.PING)
    limited = replace(VIP, connection_limit=5, session_persistence=persistence("HTTP_COOKIE"))
    need = caps.needed(replace(TREE, health_monitors=(MONITOR, ping), vips=(VIP, limited)))
    assert need == Capabilities(
        lb_methods=frozenset({LbMethod.ROUND_ROBIN}),
        protocols=frozenset({Protocol.HTTP}),
        health_monitor_types=frozenset({HealthMonitorType.HTTP, HealthMonitorType.PING}),
        session_persistences=frozenset({SessionPersistenceType.HTTP_COOKIE}),
        connection_limit=True,
        multiple_monitors=True,
    )
    assert caps.missing(need, caps.needed(TREE)) == (
        "connection_limit",
        "health_monitor_type=PING",
        "multiple_monitors",
        "session_persistence=HTTP_COOKIE",
    )


def test_a_monitor_that_is_off_needs_nothing():
    off = replace(MONITOR, admin_state_up=False)
    assert caps.needed(replace(TREE, health_monitors=(off,))).health_monitor_types == frozenset()


@given(some, some)
def test_nothing_is_missing_where_everything_needed_is_offered(one, other):
    assert caps.missing(one, caps.union(one, other)) == ()
    assert caps.missing(one, caps.EVERYTHING) == ()
    both = caps.intersection(one, other)
    assert caps.missing(both, one) == caps.missing(both, other) == ()
    assert (caps.missing(one, other) == ()) == (caps.intersection(one, other) == one)


PING = "health_monitor_type=PING"
COOKIES = {SessionPersistenceType.HTTP_COOKIE, SessionPersistenceType.APP_COOKIE}


def node(name: str = "n1", version: str = "1.40.0", **fields: bool) -> Node:
    given = {"counted": True, "agent": True, "ping": True, **fields}
    return Node(name=f"fleets/edge/nodes/{name}", envoy_version=version, **given)


def offered(*nodes: Node, built: Capabilities = caps.EVERYTHING, **fields: object):
    return caps.offered(Fleet(name="fleets/edge", **fields), built=built, nodes=nodes)


def test_a_fleet_offers_what_it_declares_of_what_is_built():
    assert offered(node()) == caps.EVERYTHING
    few = Capabilities(lb_methods=frozenset({LbMethod.ROUND_ROBIN}), connection_limit=True)
    assert offered(node(), capabilities=few) == few
    assert offered(node(), built=few) == few
    assert offered(node(), capabilities=Capabilities()) == Capabilities()


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ((), "no node of it has an agent"),
        ((node(agent=False, ping=False),), "no node of it has an agent"),
        ((node(counted=False),), "no node of it has an agent"),
        ((node("n2", agent=False, ping=False), node("n1")), "node n2 has no agent"),
        (
            (node("n2", ping=False), node("n1")),
            "the agent of node n2 may not send ICMP echo requests",
        ),
        ((node("n2", counted=False, agent=False, ping=False), node("n1")), ""),
        ((node("a/nodes/b", ping=False),), "the agent of node a/nodes/b may not"),
    ],
)
def test_ping_takes_an_agent_that_can_on_every_node_that_counts(nodes, why):
    assert caps.hindrance(PING, nodes)[: len(why)] == why
    types = offered(*nodes).health_monitor_types
    assert types == frozenset(HealthMonitorType) - ({HealthMonitorType.PING} if why else set())


@pytest.mark.parametrize(
    ("version", "old"),
    [("1.40.0", False), ("1.41.2", False), ("2.0.0", False), ("1.39.9", True), ("", False)],
)
def test_several_monitors_and_cookies_take_a_new_envoy_on_every_node(version, old):
    able = offered(node("n1"), node("n2", version, counted=False))
    assert able.multiple_monitors is not old
    assert able.session_persistences == frozenset(SessionPersistenceType) - (
        COOKIES if old else set()
    )
    why = caps.hindrance("multiple_monitors", [node("n2", version)])
    assert why == (f"node n2 runs Envoy {version}, it takes 1.40" if old else "")


def test_nodes_hinder_nothing_else():
    old = node(version="1.0.0", agent=False, ping=False)
    hindered = set(caps.missing(caps.EVERYTHING, offered(old)))
    assert hindered == {
        PING,
        "multiple_monitors",
        "session_persistence=APP_COOKIE",
        "session_persistence=HTTP_COOKIE",
    }

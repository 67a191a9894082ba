"""What a tree needs, what a fleet offers, what is missing."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lbaas.model import capabilities as caps
from lbaas.model.enums import HealthMonitorType, LbMethod, Protocol, SessionPersistenceType
from lbaas.model.objects import Capabilities
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

"""The tables of operating status, line by line, and what holds whatever the nodes find."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbaas.model.enums import OperatingStatus
from lbaas.model.health import NO_AGENT, Finding, Health, finding, member_health
from lbaas.model.objects import EPOCH
from lbaas.model.pool_health import Standing, monitor_health, pool_health, vip_health
from lbaas.model.reports import MemberObservation, MemberState, PingVerdict

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MEMBER = "projects/acme/pools/web/members/m1"
WEB = "projects/acme/healthMonitors/web-check"
PING = "projects/acme/healthMonitors/ping"
UP, DOWN, PENDING = MemberState.UP, MemberState.DOWN, MemberState.PENDING
O = OperatingStatus  # noqa: E741 - the table's column


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def found(node: int, state: MemberState = UP, cause: str = "", monitor: str = "") -> Finding:
    return Finding(
        node=f"fleets/edge/nodes/e{node}",
        state=state,
        monitor=monitor or (WEB if cause else ""),
        cause=cause,
        time=later(node),
    )


def nodes(*states: MemberState) -> list[Finding]:
    return [found(number, state) for number, state in enumerate(states, 1)]


@pytest.mark.parametrize(
    ("facts", "states", "expected"),
    [
        ({"pool_up": False}, [UP], (O.OFFLINE, "POOL_ADMIN_DOWN")),
        ({"draining": True, "admin_state_up": False}, [UP], (O.DRAINING, "DRAINING")),
        ({"draining": True}, [DOWN], (O.DRAINING, "DRAINING")),
        ({"admin_state_up": False}, [], (O.OFFLINE, "ADMIN_DOWN")),
        ({"weight": 0}, [UP], (O.DRAINING, "WEIGHT_ZERO")),
        ({"monitored": False}, [UP], (O.NO_MONITOR, "NO_MONITOR")),
        ({"monitored": False}, [], (O.NO_MONITOR, "NO_MONITOR")),
        ({}, [], (O.UNKNOWN, "NO_AGENT")),
        ({"unreachable": True}, [], (O.UNKNOWN, "NO_AGENT")),
        ({"unreachable": True}, [UP, DOWN], (O.OFFLINE, "MONITOR_FAILED")),
        ({"unreachable": True}, [UP], (O.OFFLINE, "CHECK_PENDING")),
        ({}, [PENDING, PENDING], (O.OFFLINE, "CHECK_PENDING")),
        ({}, [UP, UP], (O.ONLINE, "")),
        ({}, [DOWN, DOWN], (O.OFFLINE, "MONITOR_FAILED")),
        ({}, [DOWN, PENDING], (O.OFFLINE, "MONITOR_FAILED")),
        ({}, [UP, DOWN], (O.DEGRADED, "MONITOR_FAILED")),
        ({}, [UP, DOWN, PENDING], (O.DEGRADED, "MONITOR_FAILED")),
        ({}, [UP, PENDING], (O.DEGRADED, "CHECK_PENDING")),
    ],
)
def test_the_table_of_members(facts, states, expected):
    health = member_health(findings=nodes(*states), **{"monitored": True, **facts})
    assert (health.status, health.reason) == expected
    assert len(health.verdicts) == len(states)


def test_a_member_that_fails_everywhere_says_which_monitor_with_what_and_on_which_nodes():
    down = [found(1, DOWN, "HTTP 503, wanted 200"), found(2, DOWN, "HTTP 503, wanted 200")]
    health = member_health(findings=down, monitored=True)
    assert health.message == "fails web-check on e1, e2: HTTP 503, wanted 200"
    assert health.node == ""
    assert health.time == later(2)


def test_a_member_that_fails_on_one_node_names_the_node_and_who_finds_it_well():
    health = member_health(findings=[found(1, DOWN, "timeout after 2 s"), found(2)], monitored=True)
    assert health.message == "fails web-check on e1: timeout after 2 s; passes on e2"
    assert health.node == "fleets/edge/nodes/e1"


def test_nodes_that_fail_differently_are_told_apart_and_many_are_counted():
    down = [found(1, DOWN, "refused"), found(2, DOWN, "timeout")]
    health = member_health(findings=down, monitored=True)
    assert health.message == "fails web-check on e1: refused; fails web-check on e2: timeout"
    many = [found(number, DOWN, "refused") for number in range(1, 10)]
    health = member_health(findings=many, monitored=True)
    assert health.message == "fails web-check on e1, e2, e3 and 6 more: refused"


def test_a_cause_that_nobody_knows_is_left_out():
    assert member_health(findings=nodes(DOWN), monitored=True).message == "fails on e1"


def test_the_verdict_of_a_node_whose_first_check_has_not_ended_says_so():
    verdict = member_health(findings=nodes(PENDING), monitored=True).verdicts[0]
    assert (verdict.status, verdict.cause) == (O.OFFLINE, "its first check has not ended")


# -- one node's finding ----------------------------------------------------------------------


def seen(state: MemberState, monitor: str = "", cause: str = "") -> MemberObservation:
    return MemberObservation(member=MEMBER, state=state, monitor=monitor, cause=cause, time=NOON)


def ping(*, up: bool, monitor: str = PING) -> PingVerdict:
    cause = "" if up else "no answer in 1 s"
    return PingVerdict(member=MEMBER, monitor=monitor, up=up, cause=cause, time=later(9))


@pytest.mark.parametrize(
    ("said", "pings", "unreachable", "expected"),
    [
        (None, [], False, None),
        (None, [ping(up=True)], False, None),  # without the Envoy's word it may be anything
        (None, [ping(up=False)], False, (DOWN, PING)),
        (seen(UP), [], False, (UP, "")),
        (seen(UP), [ping(up=False)], False, (DOWN, PING)),
        (seen(DOWN, WEB, "HTTP 503"), [ping(up=False)], True, (DOWN, WEB)),
        (seen(DOWN), [ping(up=False)], True, (DOWN, PING)),
        (seen(DOWN), [], False, (DOWN, "")),
        (seen(DOWN), [], True, (PENDING, "")),  # only because no ping has reached it yet
        (seen(DOWN), [ping(up=True)], True, (UP, "")),  # only because other nodes' pings fail
        (seen(PENDING), [ping(up=True)], False, (PENDING, "")),
    ],
)
def test_what_a_node_finds_by_its_envoy_and_its_pings(said, pings, unreachable, expected):
    got = finding("n", said, pings, awaited=[PING], unreachable=unreachable)
    assert (got and (got.state, got.monitor)) == expected


# -- pools -------------------------------------------------------------------------------------


def member(status: OperatingStatus, name: str = "m", **fields) -> Standing:
    reason = {"reason": "", "eligible": True, "backup": False, "time": NOON, **fields}
    return Standing(name=f"projects/acme/pools/web/members/{name}", status=status, **reason)


OFF = member(O.OFFLINE, reason="ADMIN_DOWN", eligible=False)
DRAINS = member(O.DRAINING, eligible=False)
SPARE = member(O.ONLINE, "spare", backup=True)


@pytest.mark.parametrize(
    ("facts", "members", "expected"),
    [
        ({"admin_state_up": False}, [member(O.ONLINE)], (O.OFFLINE, "ADMIN_DOWN")),
        ({}, [], (O.OFFLINE, "NO_MEMBERS")),
        ({"monitored": False}, [], (O.OFFLINE, "NO_MEMBERS")),
        ({}, [DRAINS, OFF], (O.DRAINING, "ALL_DRAINING")),
        ({}, [OFF, OFF], (O.OFFLINE, "ALL_MEMBERS_DOWN")),
        ({"monitored": False}, [member(O.NO_MONITOR)], (O.NO_MONITOR, "NO_MONITOR")),
        ({}, [member(O.ONLINE), member(O.ONLINE), OFF, DRAINS], (O.ONLINE, "")),
        ({}, [member(O.UNKNOWN), member(O.UNKNOWN)], (O.UNKNOWN, "NO_AGENT")),
        ({}, [member(O.OFFLINE), member(O.OFFLINE)], (O.OFFLINE, "ALL_MEMBERS_DOWN")),
        ({}, [member(O.OFFLINE, reason="CHECK_PENDING")], (O.OFFLINE, "CHECK_PENDING")),
        ({}, [member(O.OFFLINE), SPARE], (O.DEGRADED, "ONLY_BACKUPS_UP")),
        ({}, [member(O.ONLINE), member(O.OFFLINE)], (O.DEGRADED, "MEMBERS_DOWN")),
        ({}, [member(O.ONLINE), member(O.DEGRADED)], (O.DEGRADED, "MEMBERS_DOWN")),
        ({}, [member(O.ONLINE), member(O.UNKNOWN)], (O.DEGRADED, "MEMBERS_UNKNOWN")),
        ({}, [member(O.OFFLINE), member(O.UNKNOWN)], (O.DEGRADED, "MEMBERS_DOWN")),
    ],
)
def test_the_table_of_pools(facts, members, expected):
    health = pool_health(members, **{"monitored": True, **facts})
    assert (health.status, health.reason) == expected


def test_a_pool_says_who_is_down_and_how_many_can_serve():
    some = [member(O.ONLINE, "a"), member(O.OFFLINE, "b", time=later(5)), member(O.ONLINE, "c")]
    health = pool_health(some, monitored=True)
    assert health.message == "1 of 3 members is OFFLINE: b"
    assert (health.members_up, health.members_total) == (2, 3)
    assert health.time == later(5)


# -- VIPs and monitors -------------------------------------------------------------------------


def test_a_vip_is_what_its_pool_is_unless_it_has_troubles_of_its_own():
    pool = Health(status=O.DEGRADED, reason="MEMBERS_DOWN", members_up=1, members_total=2)
    whole = {"admin_state_up": True, "served": True}
    assert vip_health(pool, **whole) == pool
    assert vip_health(pool, **{**whole, "admin_state_up": False}).reason == "ADMIN_DOWN"
    assert vip_health(pool, **{**whole, "served": False}).reason == "NOT_SERVED"
    one = vip_health(pool, **whole, refusals={"fleets/edge/nodes/e1": "cannot bind"}, nodes=2)
    assert (one.status, one.reason) == (O.DEGRADED, "REJECTED_BY_ENVOY")
    assert one.message == "1 of 2 nodes refuse it, e1 with: cannot bind"
    assert one.node == "fleets/edge/nodes/e1"
    both = vip_health(pool, **whole, refusals={"a/e1": "no", "a/e2": "no"}, nodes=2)
    assert both.status is O.OFFLINE


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"admin_state_up": False}, (O.OFFLINE, "ADMIN_DOWN")),
        ({"pools": 0}, (O.UNKNOWN, "NOT_IN_USE")),
        ({}, (O.UNKNOWN, "NO_MEMBERS")),
        ({"unknown": 2}, (O.UNKNOWN, "NO_AGENT")),
        ({"passing": 2}, (O.ONLINE, "")),
        ({"passing": 2, "unknown": 1}, (O.ONLINE, "")),
        ({"passing": 1, "failing": ["m1"]}, (O.DEGRADED, "MEMBERS_DOWN")),
        ({"failing": ["m1"]}, (O.OFFLINE, "ALL_MEMBERS_DOWN")),
    ],
)
def test_the_table_of_monitors(facts, expected):
    given_ = {"admin_state_up": True, "pools": 1, "passing": 0, "failing": (), "unknown": 0}
    health = monitor_health(**{**given_, **facts})
    assert (health.status, health.reason) == expected


# -- what always holds -------------------------------------------------------------------------

FINDINGS = st.lists(st.sampled_from(MemberState), max_size=6).map(lambda states: nodes(*states))
STANDINGS = st.lists(
    st.builds(
        member,
        st.sampled_from(OperatingStatus),
        st.sampled_from("abc"),
        eligible=st.booleans(),
        backup=st.booleans(),
    ),
    max_size=6,
)


@given(FINDINGS, st.booleans(), st.booleans())
def test_a_member_is_online_exactly_if_every_node_that_speaks_finds_it_so(
    findings, monitored, unreachable
):
    health = member_health(findings=findings, monitored=monitored, unreachable=unreachable)
    states = {each.state for each in findings}
    assert (health.status is O.ONLINE) == (monitored and not unreachable and states == {UP})
    assert (health.status is O.UNKNOWN) == (monitored and not findings)
    assert health.status is O.ONLINE or health.reason
    assert health.time == (EPOCH if not monitored or not findings else findings[-1].time)


@given(FINDINGS, st.permutations(range(6)))
def test_a_member_s_health_does_not_hang_on_the_order_of_reports(findings, order):
    shuffled = [findings[index] for index in order if index < len(findings)]
    one, other = (member_health(findings=each, monitored=True) for each in (findings, shuffled))
    assert (one.status, one.reason, one.message, one.time) == (
        other.status,
        other.reason,
        other.message,
        other.time,
    )


@given(STANDINGS)
def test_a_pool_never_claims_more_than_its_members(members):
    health = pool_health(members, monitored=True)
    counted = [each.status for each in members if each.eligible]
    assert (health.status is O.ONLINE) == (bool(counted) and set(counted) == {O.ONLINE})
    assert health.members_up <= health.members_total == len(counted)
    if health.status is O.OFFLINE:
        assert health.members_up == 0
    assert health == pool_health(members, monitored=True, silence=NO_AGENT)

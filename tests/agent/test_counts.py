"""Counters that never fall while an Envoy runs, and what is read from its answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.addresses import endpoint
from agent.counts import NOTHING, Accumulator, Counts
from agent.findings import Findings
from agent.pools import Pools
from agent.readings import cluster_counts, host_readings, server_reading, vip_counts
from lbaas.v1.agent_service_pb2 import AgentSpec, MemberObservation, MemberState, TrafficSample
from lbaas.v1.enums_pb2 import HealthMonitorType
from tests.agent.control_plane import monitor, pool_spec


def requests(count: int, *, active: int = 0) -> Counts:
    return Counts(requests=count, active_connections=active)


def test_a_pool_is_the_sum_of_its_clusters() -> None:
    accumulator = Accumulator()
    assert accumulator.take({"p": {"a": requests(1, active=2), "b": requests(2, active=3)}}) == {
        "p": requests(3, active=5)
    }


def test_a_cluster_that_goes_takes_nothing_along_and_its_gauge_is_gone() -> None:
    accumulator = Accumulator()
    accumulator.take({"p": {"a": requests(100, active=1), "b": requests(50, active=1)}})
    assert accumulator.take({"p": {"a": requests(101)}})["p"] == requests(151)
    # It comes back and counts from 0.
    assert accumulator.take({"p": {"a": requests(101), "b": requests(2)}})["p"] == requests(153)


def test_a_listener_that_counts_anew_goes_on() -> None:
    accumulator = Accumulator()
    accumulator.take({"v": {"v": requests(100)}})
    assert accumulator.take({"v": {"v": NOTHING}})["v"] == requests(100)
    assert accumulator.take({"v": {"v": requests(3)}})["v"] == requests(103)


def test_an_object_that_is_made_again_starts_at_0() -> None:
    accumulator = Accumulator()
    accumulator.take({"v": {"v": requests(100)}})
    accumulator.keep({"w"})
    assert accumulator.take({"v": {"v": requests(3)}})["v"] == requests(3)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 5)), max_size=20))
def test_totals_never_fall(steps: list[dict[str, int]]) -> None:
    accumulator = Accumulator()
    before = 0
    for step in steps:
        sources = {name: requests(count) for name, count in step.items()}
        total = accumulator.take({"p": sources})["p"].requests
        assert total >= max(before, sum(step.values()))
        before = total


def test_absent_counters_are_0() -> None:
    assert vip_counts({}, "v") == NOTHING
    assert cluster_counts({}, "p") == NOTHING


def test_a_pool_without_members_counts_what_nobody_answered() -> None:
    http = {"cluster.p.upstream_cx_none_healthy": 3, "cluster.p.upstream_rq_5xx": 4}
    assert cluster_counts({**http, "cluster.p.upstream_rq_total": 10}, "p") == Counts(
        requests=13, errors=4
    )
    assert cluster_counts({"cluster.p.upstream_cx_none_healthy": 3}, "p") == Counts(
        requests=3, errors=3
    )


def answer(*hosts: dict) -> bytes:
    return json.dumps({"cluster_statuses": [{"name": "p", "host_statuses": list(hosts)}]}).encode()


def host(address: str = "10.0.0.1", **health: object) -> dict:
    return {
        "address": {"socket_address": {"address": address, "port_value": 80}},
        "stats": [{"name": "cx_total", "value": "7"}, {"name": "rq_total"}],
        "health_status": {"eds_health_status": "HEALTHY", **health},
    }


@pytest.mark.parametrize(
    ("health", "state", "timed_out"),
    [
        ({}, MemberState.UP, False),
        ({"eds_health_status": "UNHEALTHY"}, MemberState.UP, False),
        ({"eds_health_status": "DRAINING"}, MemberState.UP, False),
        ({"failed_active_health_check": True}, MemberState.DOWN, False),
        ({"failed_active_health_check": True, "active_hc_timeout": True}, MemberState.DOWN, True),
        (
            {"failed_active_health_check": True, "pending_active_hc": True},
            MemberState.PENDING,
            False,
        ),
    ],
)
def test_how_envoy_finds_a_member(health, state, timed_out) -> None:
    found = host_readings(answer(host(**health)), {"p"})["p", ("10.0.0.1", 80)]
    assert (found.state, found.timed_out) == (state, timed_out)
    assert found.counts == Counts(total_connections=7)


def test_other_clusters_and_addresses_that_are_none_are_left_out() -> None:
    assert host_readings(answer(host()), {"q"}) == {}
    pipe = {"address": {"pipe": {"path": "/x"}}}
    assert host_readings(answer(pipe), {"p"}) == {}
    assert host_readings(b"{}", {"p"}) == {}


def test_ipv6_addresses_are_one_however_they_are_written() -> None:
    assert endpoint("2001:DB8:0::1", 80) == endpoint("2001:db8::1", 80)
    assert endpoint("::ffff:10.0.0.1", 80) == endpoint("::ffff:a00:1", 80)


@pytest.mark.parametrize(
    ("one", "other", "state"),
    [
        ({}, {"failed_active_health_check": True}, MemberState.DOWN),
        ({"pending_active_hc": True}, {"failed_active_health_check": True}, MemberState.DOWN),
        ({}, {"pending_active_hc": True}, MemberState.PENDING),
        ({}, {}, MemberState.UP),
    ],
)
def test_the_worst_of_a_pools_clusters_counts(one, other, state) -> None:
    ping = monitor("ping", type=HealthMonitorType.PING)
    pools = Pools()
    spec = pool_spec(
        "p", [("m", "10.0.0.1:80")], clusters=("p", "q"), monitors=[monitor("http"), ping]
    )
    pools.apply(AgentSpec(pools=[spec]))
    read = host_readings(answer(host(**one)), {"p"})
    read |= {
        ("q", where): found
        for (_, where), found in host_readings(answer(host(**other)), {"p"}).items()
    }
    (found,) = pools.found(read)
    assert (found.member, found.state) == ("m", state)
    # Envoy has no PING.
    assert [one.name for one in found.monitors] == ["http"]


def test_a_whole_spec_is_all_there_is() -> None:
    pools = Pools()
    pools.apply(AgentSpec(whole=True, pools=[pool_spec("p", []), pool_spec("q", [])]))
    pools.apply(AgentSpec(removed_pools=["q", "never"], pools=[pool_spec("r", [])]))
    assert pools.clusters() == {"p", "r"}
    pools.apply(AgentSpec(whole=True))
    assert pools.clusters() == frozenset()


def test_server_info() -> None:
    text = {
        "version": "9e55/1.40.0/Clean/RELEASE/BoringSSL",
        "state": "LIVE",
        "uptime_current_epoch": "3s",
        "node": {"id": "n", "cluster": "f"},
    }
    read = server_reading(json.dumps(text).encode())
    assert (read.version, read.state, read.uptime) == ("1.40.0", "LIVE", 3)
    assert (read.fleet, read.node) == ("f", "n")


def test_what_is_the_same_is_not_told_again() -> None:
    findings = Findings()
    findings.members({"m": MemberObservation(member="m")})
    findings.traffic({"v": TrafficSample(name="v", requests=1)})
    findings.warming(["v", "p"])
    (report,) = findings.take(whole=False)
    assert [one.member for one in report.members] == ["m"]
    assert [one.name for one in report.traffic] == ["v"]
    assert report.warming == ["p", "v"]
    assert not findings._changed.is_set()
    findings.members({"m": MemberObservation(member="m")})
    findings.traffic({"v": TrafficSample(name="v", requests=1)})
    findings.warming(["p", "v"])
    findings.envoy(running=False, start=None)
    assert not findings._changed.is_set()
    findings.traffic({"v": TrafficSample(name="v", requests=2)})
    (report,) = findings.take(whole=False)
    assert not report.members
    assert report.warming == ["p", "v"]
    assert report.traffic[0].requests == 2


def test_a_loss_is_told_by_all_that_is_left() -> None:
    findings = Findings()
    findings.members({"m": MemberObservation(member="m"), "n": MemberObservation(member="n")})
    list(findings.take(whole=True))
    findings.members({"m": MemberObservation(member="m")}, wanted={"m", "n"})
    (report,) = findings.take(whole=False)
    assert report.whole
    assert [one.member for one in report.members] == ["m"]
    (report,) = findings.take(whole=False)
    assert not report.whole
    findings.members({}, wanted={"n"})  # who no longer asks for m knows that it is gone
    (report,) = findings.take(whole=False)
    assert not report.whole

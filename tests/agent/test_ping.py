"""What the Pinger asks and reports as specs change; its requests go to a script, not a network.

tests/host has it send real ones.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from icmplib import ICMPSocketError

from agent import ping
from agent.echo import Address, EchoSocket, NoAnswer
from agent.ping import Pinger
from lbaas.v1.agent_service_pb2 import MemberAddress, PingVerdict, PoolSpec
from lbaas.v1.enums_pb2 import HealthMonitorType
from lbaas.v1.health_monitor_pb2 import HealthMonitor
from tests.harness.waiting import until


class Network:
    """Stands for both sockets: addresses answer unless they are among the silent."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.opened: list[int] = []
        self.closed = 0

    def __call__(self, version: int) -> "Network":
        self.opened.append(version)
        return self

    async def ask(self, address: Address, *, within: float) -> None:
        await asyncio.sleep(0)
        self.asked[str(address)] += 1
        if str(address) in self.silent:
            raise NoAnswer(f"no answer in {within:g} s")

    def close(self) -> None:
        self.closed += 1


class Reports(list[PingVerdict]):
    """What the Pinger reported, in order, and what had been asked by then."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.asked: list[Counter[str]] = []

    def take(self, verdict: PingVerdict) -> None:
        self.append(verdict)
        self.asked.append(self.network.asked.copy())

    def of(self, member: str) -> list[bool]:
        return [verdict.up for verdict in self if verdict.member == member]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    made = Network()
    monkeypatch.setattr(ping, "EchoSocket", made)
    return made


@pytest.fixture
def reports(network: Network) -> Reports:
    return Reports(network)


@pytest.fixture
async def pinger(reports: Reports) -> AsyncIterator[Pinger]:
    made = Pinger(reports.take)
    yield made
    made.close()


def monitor(
    name: str = "alive",
    *,
    delay: float = 0.01,
    max_retries: int = 3,
    rise: int = 1,
    kind: HealthMonitorType.Code.ValueType = HealthMonitorType.PING,
) -> HealthMonitor:
    made = HealthMonitor(name=name, type=kind, max_retries=max_retries, rise=rise)
    made.delay.FromTimedelta(timedelta(seconds=delay))
    made.timeout.FromTimedelta(timedelta(seconds=delay))
    return made


def pool(
    members: dict[str, str], monitors: Sequence[HealthMonitor], *, name: str = "web"
) -> PoolSpec:
    return PoolSpec(
        pool=name,
        members=[
            MemberAddress(member=member, address=address, port=80)
            for member, address in members.items()
        ],
        health_monitors=monitors,
    )


async def test_first_verdicts_and_changes(
    pinger: Pinger, network: Network, reports: Reports
) -> None:
    network.silent = {"10.0.0.2"}
    pinger.watch([pool({"a": "10.0.0.1", "b": "10.0.0.2"}, [monitor()])])

    async def both() -> bool:
        return bool(reports.of("a") and reports.of("b"))

    await until(both, within=5, what="both members have a verdict")
    assert (reports.of("a"), reports.of("b")) == ([True], [False])
    at, down = next((at, each) for at, each in enumerate(reports) if each.member == "b")
    assert reports.asked[at]["10.0.0.2"] == 3
    assert down.cause == "no answer in 0.01 s"
    assert down.health_monitor == "alive"
    assert down.time.seconds

    network.silent = {"10.0.0.1"}

    async def swapped() -> bool:
        return reports.of("a") == [True, False] and reports.of("b") == [False, True]

    await until(swapped, within=5, what="one went down, the other came up")
    assert reports[-1].cause == "" or not reports[-1].up
    assert {verdict.member: verdict.up for verdict in pinger.verdicts()} == {"a": False, "b": True}


async def test_a_verdict_is_said_once(pinger: Pinger, network: Network, reports: Reports) -> None:
    pinger.watch([pool({"a": "10.0.0.1"}, [monitor()])])

    async def asked_often() -> bool:
        return network.asked["10.0.0.1"] >= 10

    await until(asked_often, within=5, what="ten requests")
    assert reports.of("a") == [True]


async def test_members_on_one_address_share_a_request_and_a_late_one_has_the_verdict_at_once(
    pinger: Pinger, network: Network, reports: Reports
) -> None:
    slow = monitor(delay=3600)
    pinger.watch([pool({"a": "10.0.0.1"}, [slow])])

    async def known() -> bool:
        return bool(reports.of("a"))

    await until(known, within=5, what="the first verdict")
    pinger.watch([pool({"a": "10.0.0.1"}, [slow]), pool({"b": "10.0.0.1"}, [slow], name="api")])
    assert reports.of("b") == [True]
    assert reports.of("a") == [True]
    assert network.asked == {"10.0.0.1": 1}


async def test_other_changes_restart_no_counts(
    pinger: Pinger, network: Network, reports: Reports
) -> None:
    network.silent = {"10.0.0.1"}
    members = {"a": "10.0.0.1"}
    for late in range(4):
        pinger.watch([pool(members, [monitor(max_retries=3)])])
        members[f"late{late}"] = f"10.0.1.{late + 1}"
        wanted = min(late + 1, 3)

        async def asked(wanted: int = wanted) -> bool:
            return network.asked["10.0.0.1"] >= wanted

        await until(asked, within=5, what="the next request")
    assert reports.of("a") == [False]


async def test_new_times_keep_the_verdict_and_count_on(
    pinger: Pinger, network: Network, reports: Reports
) -> None:
    members = {"a": "10.0.0.1"}
    pinger.watch([pool(members, [monitor(delay=3600)])])

    async def known() -> bool:
        return bool(reports)

    await until(known, within=5, what="the first verdict")
    network.silent = {"10.0.0.1"}
    pinger.watch([pool(members, [monitor(delay=0.01, max_retries=2)])])

    async def down() -> bool:
        return reports.of("a") == [True, False]

    await until(down, within=5, what="it is down, an hour before the next request was due")
    assert reports.asked[1]["10.0.0.1"] == 3


@pytest.mark.parametrize(
    "left",
    [
        pytest.param([], id="the pool is gone"),
        pytest.param([pool({}, [monitor()])], id="the member is gone"),
        pytest.param([pool({"a": "10.0.0.1"}, [])], id="the monitor is gone or switched off"),
        pytest.param(
            [pool({"a": "10.0.0.1"}, [monitor(kind=HealthMonitorType.TCP)])], id="another type"
        ),
    ],
)
async def test_what_is_no_more_watched_is_asked_no_more(
    pinger: Pinger, network: Network, reports: Reports, left: list[PoolSpec]
) -> None:
    pinger.watch([pool({"a": "10.0.0.1"}, [monitor()])])

    async def known() -> bool:
        return bool(reports)

    await until(known, within=5, what="the first verdict")
    pinger.watch([*left, pool({"witness": "10.9.9.9"}, [monitor("other")], name="other")])
    asked = network.asked["10.0.0.1"]

    async def time_passed() -> bool:
        return network.asked["10.9.9.9"] >= 5

    await until(time_passed, within=5, what="the others are asked")
    assert network.asked["10.0.0.1"] == asked
    assert [verdict.member for verdict in pinger.verdicts()] == ["witness"]


async def test_two_monitors_of_a_member_are_counted_apart(
    pinger: Pinger, network: Network, reports: Reports
) -> None:
    network.silent = {"10.0.0.1"}
    pinger.watch([pool({"a": "10.0.0.1"}, [monitor("quick", max_retries=1), monitor("calm")])])

    async def both() -> bool:
        return len(reports) == 2

    await until(both, within=5, what="two verdicts")
    assert [verdict.health_monitor for verdict in reports] == ["quick", "calm"]


async def test_one_socket_per_family(pinger: Pinger, network: Network, reports: Reports) -> None:
    members = {f"m{n}": f"10.0.0.{n + 1}" for n in range(20)} | {"six": "fd00::1"}
    pinger.watch([pool(members, [monitor()])])

    async def all_known() -> bool:
        return len(reports) == len(members)

    await until(all_known, within=5, what="a verdict each")
    assert sorted(network.opened) == [4, 6]
    pinger.close()
    assert network.closed == 2


async def test_a_socket_that_cannot_be_opened_is_said_once_and_tried_with_the_next_spec(
    monkeypatch, capsys
) -> None:
    tried = []

    def refused(version: int) -> EchoSocket:
        tried.append(version)
        raise ICMPSocketError("no")

    monkeypatch.setattr(ping, "EchoSocket", refused)
    pinger = Pinger(lambda _: None)
    members = [MemberAddress(member=f"m{each}", address=f"127.0.0.{each}") for each in range(1, 50)]
    monitor = HealthMonitor(name="ping", type=HealthMonitorType.PING)
    for spec in range(1, 3):
        pinger.watch([PoolSpec(pool="p", members=members, health_monitors=[monitor])])
        assert tried == [4] * spec
    assert capsys.readouterr().out.count("no echo requests can be sent") == 2
    pinger.close()

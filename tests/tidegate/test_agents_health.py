"""What reports make of the statuses of objects, who is told, and when it is no longer believed."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from google.protobuf.any_pb2 import Any

from lbaas.store import members, pools, vips
from tests.store import make
from tests.tidegate.agents import DOWN, M1, M2, PENDING, START, TCP, UP, Agent, Heard, health
from tests.tidegate.world import POOL, VIP, World, listener
from tidegate.agents import assessment
from tidegate.agents.hub import GRACE
from tidegate.agents.observations import WHOLE_SECONDS
from xds.cache.types import LISTENER

FAILS = (TCP, "connection refused")


@pytest.fixture
async def two(world: World) -> tuple[Agent, Agent]:
    """A pool with a monitor and two members on two nodes, each with an agent that has reported."""
    await world.ready("member", "vip", "monitor")
    world.connect(world.node("n2"))
    await world.write(lambda tx: members.create(tx, make.member(2)))
    await world.write(lambda tx: pools.associate(tx, POOL, TCP))
    await world.settle()
    agents = Agent(world), Agent(world, "n2")
    for agent in agents:
        await agent.told()
        agent.report({M1: UP, M2: UP}, whole=True)
    look(world)
    return agents


def look(world: World) -> None:
    """What `run` does when it is woken."""
    world.agents.expire()
    while world.agents.assessment.look():
        pass


def wait(world: World, seconds: float) -> None:
    world.now += seconds
    look(world)


async def test_without_an_agent_nobody_can_tell(world: World):
    await world.ready("member", "vip", "monitor")
    await world.write(lambda tx: pools.associate(tx, POOL, TCP))
    await world.settle()
    for name in (M1, POOL, VIP, TCP):
        assert health(world, name) == ("UNKNOWN", "NO_AGENT")


async def test_without_a_monitor_members_are_taken_to_be_up(world: World):
    await world.ready("member", "vip", "monitor")
    for name in (M1, POOL, VIP):
        assert health(world, name) == ("NO_MONITOR", "NO_MONITOR")
    assert health(world, TCP) == ("UNKNOWN", "NOT_IN_USE")
    assert health(world, "projects/acme/pools/other") == ("UNKNOWN", "NOT_PLACED")


async def test_members_that_pass_everywhere_make_all_of_it_online(world: World, two):
    for name in (M1, M2, POOL, VIP, TCP):
        assert health(world, name) == ("ONLINE", "")
    assert (world.view.health(POOL).members_up, world.view.health(VIP).members_total) == (2, 2)


async def test_a_member_that_one_node_finds_down_is_degraded_and_says_where(world: World, two):
    two[0].report({M1: FAILS}, at=5)
    found = world.view.health(M1)
    assert (found.status, found.node) == ("DEGRADED", two[0].name)
    assert found.message == "fails tcp on n1: connection refused; passes on n2"
    assert [(each.node, each.status, each.monitor, each.cause) for each in found.verdicts] == [
        (two[0].name, "OFFLINE", TCP, "connection refused"),
        (two[1].name, "ONLINE", "", ""),
    ]
    assert found.verdicts[0].time == START + timedelta(seconds=5)
    assert world.view.health(POOL).message == "1 of 2 members is DEGRADED: m1"
    assert health(world, VIP) == health(world, POOL) == ("DEGRADED", "MEMBERS_DOWN")
    assert health(world, TCP) == ("DEGRADED", "MEMBERS_DOWN")


async def test_a_member_that_all_nodes_find_down_is_offline(world: World, two):
    for agent in two:
        agent.report({M1: FAILS})
    assert health(world, M1) == ("OFFLINE", "MONITOR_FAILED")
    assert world.view.health(M1).message == "fails tcp on n1, n2: connection refused"
    assert world.view.health(POOL).message == "1 of 2 members is OFFLINE: m1"
    assert world.view.health(POOL).members_up == 1
    for agent in two:
        agent.report({M2: DOWN})
    assert health(world, POOL) == health(world, VIP) == ("OFFLINE", "ALL_MEMBERS_DOWN")
    assert health(world, TCP) == ("OFFLINE", "ALL_MEMBERS_DOWN")  # the only one it can be


async def test_a_member_awaits_its_first_check(world: World, two):
    for agent in two:
        agent.report({M1: PENDING})
    assert health(world, M1) == ("OFFLINE", "CHECK_PENDING")


async def test_watchers_are_told_once_a_turn_and_only_of_what_is_new(world: World, two):
    heard = Heard(world.store)
    two[0].report({M1: FAILS})
    two[1].report({M1: FAILS})
    look(world)
    assert await heard.names() == {M1, POOL, VIP, TCP}
    two[0].report({M1: FAILS})
    look(world)
    assert await heard.names() == set()
    two[0].report({M1: UP, M2: UP})
    look(world)
    assert await heard.names() == {M1, POOL, VIP}  # DEGRADED it was, and is, to the monitor
    assert health(world, TCP) == ("DEGRADED", "MEMBERS_DOWN")


async def test_who_asks_before_the_turn_is_answered_as_of_now_and_watchers_are_told(
    world: World, two
):
    heard = Heard(world.store)
    two[0].report({M1: FAILS})
    assert health(world, POOL) == ("DEGRADED", "MEMBERS_DOWN")
    look(world)
    assert await heard.names() == {M1, POOL, VIP, TCP}


async def test_run_tells_by_itself(world: World, two):
    heard = Heard(world.store)
    running = asyncio.create_task(world.agents.run())
    two[0].report({M1: FAILS})
    async with asyncio.timeout(5):
        assert (await heard._subscription.get()).statuses == {M1, POOL, VIP, TCP}
    running.cancel()


async def test_what_is_not_named_in_a_whole_report_is_not_known(world: World, two):
    two[0].report({M1: UP}, whole=True)
    two[1].report({M1: UP}, whole=True)
    two[1].report({M2: UP})  # the rest of it, in a message of its own
    wait(world, WHOLE_SECONDS)
    assert [each.node for each in world.view.health(M2).verdicts] == [two[1].name]
    assert len(world.view.health(M1).verdicts) == 2


async def test_since_when_outlives_a_restart_of_the_agent(world: World, two):
    two[0].report({M1: FAILS}, at=10)
    two[0].session.close()
    two[0].connect()
    two[0].report({M1: (TCP, "timeout after 1 s"), M2: UP}, whole=True, at=60)
    found = world.view.health(M1).verdicts[0]
    assert found.time == START + timedelta(seconds=10)
    assert found.cause == "timeout after 1 s"


async def test_an_agent_s_word_outlives_it_for_a_moment(world: World, two):
    two[0].report({M1: FAILS})
    two[0].session.close()
    wait(world, GRACE - 0.1)
    assert health(world, M1) == ("DEGRADED", "MONITOR_FAILED")
    wait(world, 0.2)
    assert health(world, M1) == ("ONLINE", "")
    assert len(world.view.health(M1).verdicts) == 1
    two[1].session.close()
    wait(world, GRACE)
    assert health(world, M1) == health(world, POOL) == ("UNKNOWN", "NO_AGENT")
    assert health(world, TCP) == ("UNKNOWN", "NO_AGENT")


async def test_an_agent_that_is_back_but_says_nothing_is_not_believed_for_longer(world: World, two):
    two[0].report({M1: FAILS})
    two[0].connect()  # its old stream was not seen to end
    wait(world, GRACE)
    assert health(world, M1) == ("ONLINE", "")
    two[0].report({M1: FAILS, M2: UP}, whole=True)
    wait(world, GRACE)
    assert health(world, M1) == ("DEGRADED", "MONITOR_FAILED")


async def test_a_node_whose_envoy_does_not_run_judges_nobody(world: World, two):
    two[0].report({M1: FAILS})
    two[0].report(running=False)
    assert health(world, M1) == health(world, POOL) == ("ONLINE", "")
    views = {view.name: view for view in world.view.nodes("fleets/edge")}
    assert [views[agent.name].agent.envoy_running for agent in two] == [False, True]
    two[1].report(running=False)
    assert health(world, M1) == ("UNKNOWN", "ENVOY_NOT_RUNNING")
    two[1].report(running=True)
    assert health(world, M1) == ("ONLINE", "")


async def test_where_no_envoy_runs_nothing_is_taken_to_be_up(world: World, two):
    await world.write(lambda tx: pools.disassociate(tx, POOL, TCP))
    await world.settle()
    for agent in two:
        agent.report({M1: UP})
    assert health(world, M1) == health(world, VIP) == ("NO_MONITOR", "NO_MONITOR")
    two[0].report(running=False)
    assert health(world, M1) == health(world, VIP) == ("NO_MONITOR", "NO_MONITOR")
    two[1].report(running=False)
    for name in (M1, POOL, VIP):
        assert health(world, name) == ("UNKNOWN", "ENVOY_NOT_RUNNING")
    two[1].report({M1: UP}, running=True)
    assert health(world, M1) == health(world, VIP) == ("NO_MONITOR", "NO_MONITOR")


async def test_a_node_that_no_longer_counts_judges_nobody(world: World, two):
    two[0].report({M1: FAILS})
    look(world)
    heard = Heard(world.store)
    world.disconnect(world.nodes[0])
    world.pass_time(31)
    look(world)
    assert health(world, M1) == ("ONLINE", "")
    assert M1 in await heard.names()
    world.connect(world.nodes[0])
    await world.settle()
    assert health(world, M1) == ("DEGRADED", "MONITOR_FAILED")


async def test_a_slice_ends_by_the_work_that_pools_make_not_by_their_number(
    world: World, two, monkeypatch
):
    other = make.pool("projects/acme/pools/other")
    await world.write(lambda tx: pools.create(tx, other))
    await world.settle()
    look(world)
    monkeypatch.setattr(assessment, "WORK", 4)  # two members on two nodes
    for name in (POOL, other.name):
        world.agents.assessment.mark(name)
    assert world.agents.assessment.look()
    assert not world.agents.assessment.look()


async def test_a_pool_that_cannot_be_judged_keeps_no_other_from_it(world: World, two, monkeypatch):
    other = make.pool("projects/acme/pools/other")
    await world.write(lambda tx: pools.create(tx, other))
    await world.settle()
    look(world)
    heard = Heard(world.store)
    judging = assessment.judge

    def broken(pool, judges):
        if pool.name == other.name:
            raise ValueError("a defect")
        return judging(pool, judges)

    monkeypatch.setattr(assessment, "judge", broken)
    world.agents.assessment.mark(other.name)
    two[0].report({M1: FAILS})
    look(world)
    assert M1 in await heard.names()


async def test_what_an_agent_says_of_strangers_is_passed_over(world: World, two):
    strangers = {"projects/acme/pools/none/members/x": DOWN, f"{POOL}/members/none": DOWN, "": DOWN}
    two[0].report(strangers, pings={("x", "y"): False}, whole=True)
    assert world.agents._agents["edge"][two[0].name].pools() == {POOL}
    wait(world, WHOLE_SECONDS)
    assert not world.agents._agents["edge"][two[0].name]._seen[POOL]


async def test_a_vip_that_is_refused_is_not_online(world: World, two):
    poisoned = world.nodes[0]
    await world.write(lambda tx: vips.create(tx, make.vip("v2", port=81)))
    await world.catch_up()
    second = make.vip("v2").name
    world.refuse(listener(second))
    await world.settle()
    assert poisoned.stream is not None
    found = world.view.health(second)
    assert (found.status, found.reason) == ("OFFLINE", "REJECTED_BY_ENVOY")
    assert "2 of 2 nodes refuse it, n1 with:" in found.message
    assert health(world, VIP) == ("ONLINE", "")
    older_listener = Any(type_url=LISTENER).SerializeToString()
    older = make.rejection(VIP, (VIP, 1), version="newer", last_good=older_listener)
    world.feedback.restore([older])
    assert health(world, VIP) == ("ONLINE", "")  # what it was before serves on
    world.feedback.restore([replace(older, last_good=b"")])
    assert health(world, VIP) == ("DEGRADED", "REJECTED_BY_ENVOY")


async def test_objects_that_are_switched_off_say_so(world: World, two):
    off = make.vip(admin_state_up=False, address="10.0.0.1")
    await world.write(lambda tx: vips.update(tx, VIP, lambda was: off))
    await world.settle()
    assert health(world, VIP) == ("OFFLINE", "ADMIN_DOWN")
    await world.write(
        lambda tx: pools.update(
            tx, POOL, lambda was: make.pool(admin_state_up=False, health_monitors=(TCP,))
        )
    )
    await world.settle()
    assert health(world, POOL) == ("OFFLINE", "ADMIN_DOWN")
    assert health(world, M1) == ("OFFLINE", "POOL_ADMIN_DOWN")


async def test_a_new_process_knows_again_what_the_agents_tell_it(world: World, two):
    two[0].report({M1: FAILS})
    await world.settle()
    await world.restart()
    assert health(world, M1) == ("UNKNOWN", "NO_AGENT")
    views = world.view.nodes("fleets/edge")
    assert [(view.agent.connected, view.agent.version) for view in views] == [(False, "")] * 2
    for node in world.nodes:
        world.connect(node)
    for agent in two:
        agent.connect()
        assert (await agent.told()).whole
    two[0].report({M1: FAILS, M2: UP}, whole=True)
    two[1].report({M1: UP, M2: UP}, whole=True)
    assert health(world, M1) == ("DEGRADED", "MONITOR_FAILED")
    assert health(world, POOL) == ("DEGRADED", "MEMBERS_DOWN")


async def test_an_operator_sees_each_agent(world: World, two):
    two[0].report(warming=("projects/acme/pools/slow",), at=9)
    view = world.view.nodes("fleets/edge")[0].agent
    assert (view.connected, view.version, view.driver) == (True, "0.1", "process")
    assert view.envoy_running
    assert view.warming == ("projects/acme/pools/slow",)
    assert view.last_report == START + timedelta(seconds=9)

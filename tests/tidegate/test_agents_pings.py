"""PING: what most nodes find reaches traffic through the store; each node's own word is shown."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbaas.model.enums import HealthMonitorType
from lbaas.model.errors import FailedPrecondition, Unavailable
from lbaas.store import fleets, health_monitors, members, nodes, pools, trees
from tests.store import make
from tests.tidegate.agents import M1, M2, PING, UP, Agent, health
from tests.tidegate.world import POOL, World
from tidegate.agents.hub import GRACE
from tidegate.agents.ledger import Ledger
from tidegate.agents.quorum import quorum

PINGS = make.monitor(
    "ping", type=HealthMonitorType.PING, delay=timedelta(seconds=2), timeout=timedelta(seconds=1)
)
UP1, DOWN1 = {(M1, PING): True}, {(M1, PING): False}


async def settle(world: World) -> None:
    """Lets reports reach the store, and the store's change the fleet."""
    for _ in range(3):
        world.agents.expire()
        while world.agents.assessment.look():
            pass
        assert await world.agents.ledger.flush_pings()
        await world.settle()


async def unreachable(world: World) -> set[str]:
    tree = (await world.store.read(lambda tx: trees.read(tx, [POOL])))[0]
    return set(tree.unreachable)


async def pinged(world: World, count: int) -> list[Agent]:
    """A pool under PING on some nodes, each with an agent that reaches its one member."""
    await world.ready("member", "vip")
    agents = [Agent(world)]
    for number in range(2, count + 1):
        world.connect(world.node(f"n{number}"))
        agents.append(Agent(world, f"n{number}"))
    await world.settle()
    await world.write(lambda tx: health_monitors.create(tx, PINGS))
    await world.write(lambda tx: pools.associate(tx, POOL, PING))
    await world.settle()
    for agent in agents:
        await agent.told()
        agent.report({M1: UP}, pings=UP1, whole=True)
    await settle(world)
    return agents


async def test_most_nodes_take_a_member_from_all_and_give_it_back(world: World):
    agents = await pinged(world, 3)
    agents[0].report(pings=DOWN1)
    await settle(world)
    assert await unreachable(world) == set()
    assert health(world, M1) == ("DEGRADED", "MONITOR_FAILED")
    agents[1].report(pings=DOWN1)
    await settle(world)
    assert await unreachable(world) == {M1}
    found = world.view.health(M1)
    assert (found.status, found.reason) == ("OFFLINE", "MONITOR_FAILED")
    assert found.message == "fails ping on n1, n2: no answer in 1 s"
    assert [each.status for each in found.verdicts] == ["OFFLINE", "OFFLINE", "ONLINE"]
    agents[1].report(pings=UP1)
    await settle(world)
    assert await unreachable(world) == set()


async def test_of_two_that_differ_the_member_stays(world: World):
    agents = await pinged(world, 2)
    agents[0].report(pings=DOWN1)
    await settle(world)
    assert await unreachable(world) == set()
    agents[1].report(pings=DOWN1)
    await settle(world)
    assert await unreachable(world) == {M1}


async def test_nodes_that_come_and_go_are_counted_anew(world: World):
    agents = await pinged(world, 2)
    agents[0].report(pings=DOWN1)
    agents[1].session.close()
    world.now += GRACE
    await settle(world)
    assert await unreachable(world) == {M1}  # all that report say so
    agents[1].connect()
    agents[1].report({M1: UP}, pings=UP1, whole=True)
    await settle(world)
    assert await unreachable(world) == set()
    world.disconnect(world.nodes[1])
    world.pass_time(31)
    await settle(world)
    assert await unreachable(world) == {M1}  # the other does not count


@pytest.mark.parametrize("what", ["its agent is started anew", "its Envoy is started anew"])
async def test_a_node_that_begins_anew_does_not_leave_the_word_to_one_with_a_broken_path(
    world: World, what: str
):
    agents = await pinged(world, 2)
    agents[0].report(pings=DOWN1)
    await settle(world)
    if what.startswith("its agent"):
        agents[1].session.close()
        agents[1].connect()
        await agents[1].told()
        agents[1].report({M1: UP}, whole=True)  # it has sent no ping yet
    else:
        agents[1].report(running=False)
    world.now += 1
    await settle(world)
    assert await unreachable(world) == set()
    agents[1].report({M1: UP}, pings=DOWN1)
    await settle(world)
    assert await unreachable(world) == {M1}


async def test_without_anybody_who_reports_the_last_verdict_stays(world: World):
    agents = await pinged(world, 1)
    agents[0].report(pings=DOWN1)
    await settle(world)
    agents[0].session.close()
    world.now += GRACE
    await settle(world)
    assert await unreachable(world) == {M1}
    await world.restart()
    assert await unreachable(world) == {M1}
    world.connect(world.nodes[0])
    agents[0].connect()
    agents[0].report({M1: UP}, pings=UP1, whole=True)
    await settle(world)
    assert await unreachable(world) == set()


async def test_a_new_member_takes_no_traffic_until_it_is_reached(world: World):
    agents = await pinged(world, 1)
    await world.write(lambda tx: members.create(tx, make.member(2)))
    await settle(world)
    assert await unreachable(world) == {M2}
    agents[0].report({M2: UP})
    assert health(world, M2) == ("OFFLINE", "CHECK_PENDING")
    agents[0].report(pings={(M2, PING): True})
    await settle(world)
    assert await unreachable(world) == set()
    assert health(world, M2) == ("ONLINE", "")


async def test_a_verdict_that_changes_nothing_takes_no_revision(world: World):
    agents = await pinged(world, 1)
    before = await world.store.read(lambda tx: tx.revision)
    agents[0].report(pings=UP1, whole=True)
    await settle(world)
    assert await world.store.read(lambda tx: tx.revision) == before


async def test_a_monitor_that_was_off_and_on_again_between_two_looks_is_told_again(world: World):
    """Switching it on takes members for reachable, whatever was found before."""
    agents = await pinged(world, 1)
    agents[0].report(pings=DOWN1)
    await settle(world)
    for on in (False, True):
        change = make.monitor(
            "ping",
            type=HealthMonitorType.PING,
            admin_state_up=on,
            delay=PINGS.delay,
            timeout=PINGS.timeout,
        )
        await world.write(
            lambda tx, change=change: health_monitors.update(tx, PING, lambda was: change)
        )
    assert await unreachable(world) == set()
    await settle(world)
    assert await unreachable(world) == {M1}


async def test_the_store_is_away_and_the_verdict_waits(world: World, monkeypatch):
    agents = await pinged(world, 1)
    agents[0].report(pings=DOWN1)
    world.agents.assessment.look()
    ledger: Ledger = world.agents.ledger
    write = world.store.write

    async def away(work: object) -> None:
        raise Unavailable("the disk is gone")

    monkeypatch.setattr(world.store, "write", away)
    assert not await ledger.flush_pings()
    monkeypatch.setattr(world.store, "write", write)
    assert await ledger.flush_pings()
    assert await unreachable(world) == {M1}


async def test_ping_is_offered_only_while_all_nodes_can(world: World):
    await world.ready("member", "vip")
    await world.write(lambda tx: health_monitors.create(tx, PINGS))

    def associate(tx):
        return pools.associate(tx, POOL, PING)

    def offered() -> bool:
        fleet = make.fleet()
        return HealthMonitorType.PING in world.view.effective(fleet).health_monitor_types

    assert not offered()
    agent = Agent(world, ping="no CAP_NET_RAW")
    await world.settle()
    assert not offered()
    with pytest.raises(FailedPrecondition):
        await world.write(associate)
    agent.ping_refusal = ""
    agent.connect()
    await world.settle()
    assert offered()
    world.connect(world.node("n2"))
    await world.settle()
    assert not offered()  # the second has no agent
    Agent(world, "n2")
    await world.settle()
    assert offered()
    await world.write(associate)
    stored = {node.name: (node.agent, node.ping) for node in await world.store.read(nodes.all)}
    assert set(stored.values()) == {(True, True)}
    await world.restart()
    assert offered()  # it is remembered


async def test_a_pool_that_waits_for_ping_is_placed_when_an_agent_can(world: World):
    await world.write(lambda tx: fleets.create(tx, make.fleet()))
    await world.write(lambda tx: health_monitors.create(tx, PINGS))
    await world.write(lambda tx: pools.create(tx, make.pool(health_monitors=(PING,))))
    world.connect(world.node())
    await world.settle()
    assert not world.renderings.pools
    Agent(world)
    await world.settle()
    assert POOL in world.renderings.pools


@given(st.lists(st.booleans()), st.integers(0, 5))
def test_the_quorum_is_more_than_half_of_those_who_will_have_a_word(verdicts, undecided):
    up = quorum(verdicts, undecided=undecided)
    ends = [verdicts + [word] * undecided for word in (True, False)]
    certain = {end.count(False) <= end.count(True) for end in ends}
    if not verdicts or len(certain) > 1:
        assert up is None
    else:
        assert up is certain.pop()

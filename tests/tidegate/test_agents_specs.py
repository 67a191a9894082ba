"""What agents are told to watch, and that the newest stream of a node wins."""

import asyncio
from datetime import timedelta

import pytest

from lbaas.model.enums import SessionPersistenceType
from lbaas.model.errors import NotFound
from lbaas.model.objects import SessionPersistence
from lbaas.model.reports import MemberAddress
from lbaas.store import fleets, health_monitors, members, placements, pools, vips
from tests.store import make
from tests.tidegate.agents import M1, M2, UP, Agent, health
from tests.tidegate.world import POOL, VIP, World


async def nothing_to_tell(agent: Agent) -> bool:
    waiting = asyncio.ensure_future(agent.session.next())
    await asyncio.sleep(0)
    done = waiting.done()
    waiting.cancel()
    return not done


async def test_the_first_that_an_agent_is_told_is_the_whole_of_its_fleet(world: World):
    await world.ready("member", "vip", "monitor")
    await world.write(lambda tx: pools.associate(tx, POOL, make.monitor().name))
    await world.catch_up()
    told = await Agent(world).told()
    assert (told.whole, told.removed, [spec.pool for spec in told.pools]) == (True, (), [POOL])
    spec = told.pools[0]
    assert spec.members == (MemberAddress(name=M1, address="10.1.0.2", port=80),)
    assert [monitor.name for monitor in spec.monitors] == [make.monitor().name]
    assert (spec.clusters, spec.vips) == ((POOL,), (VIP,))


async def test_an_agent_may_come_before_its_envoy_and_before_any_pool(world: World):
    await world.write(lambda tx: fleets.create(tx, make.fleet()))
    await world.catch_up()
    agent = Agent(world)
    told = await agent.told()
    assert (told.whole, told.pools) == (True, ())
    view = world.view.nodes("fleets/edge")[0]
    assert (view.state, view.connected, view.agent.connected) == ("JOINING", False, True)
    assert world.register.counted("edge") == []
    assert world.register.holding("edge") == []  # no removal waits for it
    world.connect(world.node())
    await world.settle()
    assert [node.name for node in world.register.counted("edge")] == [agent.name]


async def test_an_agent_of_a_fleet_that_is_not_there_is_refused(world: World):
    with pytest.raises(NotFound):
        Agent(world, fleet="nowhere")


async def test_what_changes_while_an_agent_is_slow_is_told_once_as_it_is_then(world: World):
    await world.ready("member")
    agent = Agent(world)
    await agent.told()
    for number in (2, 3):
        await world.write(lambda tx, number=number: members.create(tx, make.member(number)))
        await world.catch_up()
    await world.write(lambda tx: members.delete(tx, M2))
    await world.catch_up()
    told = await agent.told()
    assert (told.whole, told.removed) == (False, ())
    assert [each.name for each in told.pools[0].members] == [M1, make.member(3).name]
    assert await nothing_to_tell(agent)
    other = f"{POOL}-2"
    await world.write(lambda tx: pools.create(tx, make.pool(other)))
    await world.catch_up()
    assert [spec.pool for spec in (await agent.told()).pools] == [other]


async def test_what_is_none_of_an_agent_s_business_is_not_told(world: World):
    await world.ready("member", "vip")
    agent = Agent(world)
    await agent.told()
    await world.write(
        lambda tx: members.update(tx, M1, lambda was: make.member(weight=7, description="x"))
    )
    await world.catch_up()
    assert await nothing_to_tell(agent)


async def test_a_draining_member_is_watched_until_its_drain_is_over(world: World):
    await world.ready("member")
    await world.write(
        lambda tx: members.create(tx, make.member(2, drain_timeout=timedelta(seconds=30)))
    )
    await world.settle()
    agent = Agent(world)
    await agent.told()
    agent.report({M1: UP, M2: UP})
    await world.write(lambda tx: members.delete(tx, M2))
    await world.catch_up()
    assert await nothing_to_tell(agent)
    assert health(world, M2) == ("DRAINING", "DRAINING")
    await world.write(lambda tx: members.end_drains(tx, [M2]))
    await world.catch_up()
    assert [each.name for each in (await agent.told()).pools[0].members] == [M1]
    assert health(world, M2) == ("UNKNOWN", "NOT_PLACED")


async def test_a_member_that_is_switched_off_is_not_watched(world: World):
    await world.ready("member")
    agent = Agent(world)
    await agent.told()
    await world.write(
        lambda tx: members.update(tx, M1, lambda was: make.member(admin_state_up=False))
    )
    await world.catch_up()
    assert (await agent.told()).pools[0].members == ()
    assert health(world, M1) == ("OFFLINE", "ADMIN_DOWN")


async def test_a_pool_that_moves_is_told_to_both_fleets_then_to_the_new_one_alone(world: World):
    await world.ready("member")
    await world.write(lambda tx: fleets.create(tx, make.fleet("fleets/other")))
    await world.catch_up()
    here, there = Agent(world), Agent(world, fleet="other")
    assert len((await here.told()).pools) == 1
    assert (await there.told()).pools == ()
    await world.write(
        lambda tx: placements.place(tx, POOL, fleet="fleets/other", reason="moved", overlap=True)
    )
    await world.catch_up()
    assert [spec.pool for spec in (await there.told()).pools] == [POOL]
    assert await nothing_to_tell(here)
    await world.write(lambda tx: placements.release(tx, POOL))
    await world.catch_up()
    assert (await here.told()).removed == (POOL,)
    assert await nothing_to_tell(there)


async def test_a_pool_that_is_gone_is_taken_from_the_agent(world: World):
    await world.ready("member")
    agent = Agent(world)
    await agent.told()
    await world.write(lambda tx: pools.delete(tx, POOL, force=True))
    await world.catch_up()
    assert (await agent.told()).removed == (POOL,)


async def test_both_clusters_of_a_pool_are_named_where_a_vip_hashes_by_source(world: World):
    await world.ready("member")
    sticky = SessionPersistence(type=SessionPersistenceType.SOURCE_IP)
    await world.write(lambda tx: vips.create(tx, make.vip(session_persistence=sticky)))
    await world.catch_up()
    assert (await Agent(world).told()).pools[0].clusters == (POOL, f"{POOL}/by-source")


async def test_the_newest_stream_of_a_node_wins(world: World):
    await world.ready("member", "monitor")
    await world.write(lambda tx: pools.associate(tx, POOL, make.monitor().name))
    await world.catch_up()
    agent = Agent(world)
    old = agent.session
    await agent.told()
    waiting = asyncio.ensure_future(old.next())
    await asyncio.sleep(0)
    agent.connect()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert (await agent.told()).whole
    agent.report({M1: UP}, whole=True)
    new, agent.session = agent.session, old
    agent.report({M1: ("", "late")}, whole=True)
    old.close()
    assert health(world, M1) == ("ONLINE", "")
    assert world.agents.agent(agent.name).connected
    new.close()
    assert not world.agents.agent(agent.name).connected


async def test_a_member_that_went_and_came_while_the_agent_was_slow_keeps_what_it_was_found(
    world: World,
):
    """The agent hears of nothing, so it says nothing: its last word must stand."""
    await world.ready("member", "monitor")
    await world.write(lambda tx: pools.associate(tx, POOL, make.monitor().name))
    await world.settle()
    agent = Agent(world)
    await agent.told()
    agent.report({M1: UP}, whole=True)
    await world.write(lambda tx: members.delete(tx, M1))
    await world.settle()
    await world.write(lambda tx: members.create(tx, make.member(1)))
    await world.catch_up()
    assert (await agent.told()).pools[0].members[0].name == M1
    assert health(world, M1) == ("ONLINE", "")
    await world.write(lambda tx: members.delete(tx, M1))
    await world.settle()
    await agent.told()
    await world.write(lambda tx: members.create(tx, make.member(1)))
    await world.catch_up()
    assert health(world, M1) == ("UNKNOWN", "NOT_SEEN_YET")


async def test_a_monitor_that_is_switched_off_is_not_told(world: World):
    await world.ready("member", "monitor")
    await world.write(lambda tx: pools.associate(tx, POOL, make.monitor().name))
    await world.catch_up()
    agent = Agent(world)
    await agent.told()
    off = make.monitor(admin_state_up=False)
    await world.write(lambda tx: health_monitors.update(tx, off.name, lambda was: off))
    await world.catch_up()
    assert (await agent.told()).pools[0].monitors == ()
    assert health(world, M1) == ("NO_MONITOR", "NO_MONITOR")

"""The snapshots for gRPC clients: made when asked for, whatever happens just then, and followed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import pytest
from envoy.config.core.v3 import health_check_pb2 as health
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.any_pb2 import Any

from lbaas.model.errors import Unavailable
from lbaas.model.objects import Quota
from lbaas.store import health_monitors, members, pools, quotas, vips
from lbaas.store.store import Store
from lbaas.store.transaction import Transaction
from tests.harness.waiting import until
from tests.store import make
from tests.tidegate.agents import DOWN, M1, PENDING, UP, Agent
from tests.tidegate.test_moves import DRAIN, OVERLAP, drain, move_on, two_fleets
from tests.tidegate.world import POOL, VIP, World, add_fleet, endpoints, listener
from tidegate import proxyless
from tidegate.proxyless import snapshot_of
from xds.cache import Key, NodeInfo, NodeStream

T = TypeVar("T")
QUOTA = "projects/acme/quota"


def client(world: World, fleet: str = "edge", name: str = "shop") -> NodeStream:
    """A gRPC client connects."""
    node = NodeInfo(name, fleet, "gRPC C-core linux Python")
    return world.cache.connect(fleet=snapshot_of(node), node=node, delta=False, now=world.now)


def given(world: World, key: Key, fleet: str = "edge"):
    """What a fleet's gRPC clients are given of a name; None: nothing."""
    return world.wanted(key, f"{fleet}/grpc")


def statuses(world: World) -> list[int]:
    made = ClusterLoadAssignment()
    assert Any.FromString(given(world, endpoints()).body).Unpack(made)
    return [each.health_status for group in made.endpoints for each in group.lb_endpoints]


@contextlib.asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    task = asyncio.create_task(world.proxyless.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def made(world: World, fleet: str = "edge") -> None:
    async def there() -> bool:
        return world.cache.snapshot(f"{fleet}/grpc") is not None

    await until(there, within=10, what=f"there is a snapshot for gRPC clients of {fleet}")


@pytest.fixture
async def live(world: World) -> AsyncIterator[World]:
    """A pool with a member and a VIP live on a node."""
    await world.ready("member", "vip")
    async with running(world):
        yield world


class Held:
    """Reads of the store, each held back when it has read, until it is let go."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reading = asyncio.Event()
        self.go = asyncio.Event()
        self._read = store.read
        monkeypatch.setattr(proxyless, "_read", self._noted)
        monkeypatch.setattr(store, "read", self.read)
        self._ours = False

    def _noted(self, tx: Transaction, names: list[str]) -> object:
        self._ours = True
        return tx.revision, proxyless.trees.read(tx, names)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        found = await self._read(work)
        if self._ours:
            self._ours = False
            self.reading.set()
            await self.go.wait()
        return found


async def test_it_is_made_when_the_first_client_asks_and_nobody_counts_it(live: World):
    assert live.cache.snapshot("edge/grpc") is None
    stream = client(live)
    await made(live)
    assert given(live, listener()) is not None
    assert given(live, endpoints()) is not None
    assert [node.name for node in live.register.all()] == ["fleets/edge/nodes/n1"]
    assert not await live.unsettled()
    live.cache.disconnect(stream)
    assert [node.name for node in live.register.all()] == ["fleets/edge/nodes/n1"]


async def test_it_follows_and_a_change_elsewhere_costs_it_nothing(live: World):
    client(live)
    await made(live)
    before = live.cache.snapshot("edge/grpc")
    await live.write(add_fleet("spare"))
    await live.write(lambda tx: pools.create(tx, make.pool("projects/acme/pools/b")))
    await live.write(lambda tx: health_monitors.create(tx, make.monitor()))
    await live.catch_up()
    assert live.cache.snapshot("edge/grpc") is before
    await live.write(lambda tx: vips.delete(tx, VIP))
    await live.catch_up()
    assert given(live, listener()) is None
    assert given(live, endpoints()) is None


async def test_what_happens_while_it_is_being_read_is_not_lost(live: World, monkeypatch):
    other = "projects/acme/pools/b"
    held = Held(live.store, monkeypatch)
    await live.write(lambda tx: pools.create(tx, make.pool(other)))
    await live.write(lambda tx: vips.create(tx, make.vip("w", pool=other)))
    await live.settle()
    client(live)
    await held.reading.wait()
    await live.write(lambda tx: members.create(tx, make.member(2)))
    await live.write(lambda tx: vips.delete(tx, make.vip("w").name))
    await live.write(lambda tx: pools.delete(tx, other))
    await live.settle()
    assert live.cache.snapshot("edge/grpc") is None
    held.go.set()
    await made(live)
    assert len(statuses(live)) == 2
    assert given(live, listener(make.vip("w").name)) is None
    assert given(live, endpoints(other)) is None


async def test_a_store_out_of_reach_is_asked_again(live: World, monkeypatch):
    monkeypatch.setattr(proxyless, "RETRY_SECONDS", 0.01)
    tried: list[int] = []

    def read(tx: Transaction, names: list[str]) -> object:
        tried.append(tx.revision)
        if len(tried) < 3:
            raise Unavailable("gone")
        return tx.revision, proxyless.trees.read(tx, names)

    monkeypatch.setattr(proxyless, "_read", read)
    client(live)
    await made(live)
    assert len(tried) == 3
    assert given(live, listener()) is not None


async def test_a_pool_that_cannot_be_rendered_holds_up_no_other(live: World, monkeypatch):
    other = "projects/acme/pools/b"
    await live.write(lambda tx: pools.create(tx, make.pool(other)))
    await live.write(lambda tx: vips.create(tx, make.vip("w", pool=other)))
    await live.settle()
    translate = proxyless.translate_proxyless

    def broken(tree, **more):
        if tree.pool.name == POOL:
            raise RuntimeError("a defect")
        return translate(tree, **more)

    monkeypatch.setattr(proxyless, "translate_proxyless", broken)
    client(live)
    await made(live)
    assert given(live, listener()) is None
    assert given(live, listener(make.vip("w").name)) is not None
    await live.write(lambda tx: members.create(tx, make.member(2)))
    await live.catch_up()
    assert live.reconcile.revision
    monkeypatch.setattr(proxyless, "translate_proxyless", translate)
    await live.write(lambda tx: members.create(tx, make.member(3)))
    await live.catch_up()
    assert len(statuses(live)) == 3


async def test_a_pool_that_moves_is_on_both_fleets_until_the_old_one_lets_go(world: World):
    await two_fleets(world)
    async with running(world):
        for fleet in ("edge", "spare"):
            client(world, fleet)
            await made(world, fleet)
        assert given(world, listener()) is not None
        assert given(world, listener(), "spare") is None
        await drain(world, "edge")
        await move_on(world)
        assert given(world, listener(), "spare") is not None
        await move_on(world)
        await move_on(world, OVERLAP.total_seconds() + 1)
        await move_on(world)
        assert world.wanted(listener()) is None  # the old fleet's Envoys drain it
        assert given(world, listener()) is not None
        await move_on(world, DRAIN.total_seconds() + 1)
        assert given(world, listener()) is None
        assert given(world, listener(), "spare") is not None


async def test_only_who_is_found_down_is_out(world: World):
    await world.write(lambda tx: health_monitors.create(tx, make.monitor()))
    await world.ready("member", "vip")
    await world.write(lambda tx: pools.associate(tx, POOL, make.monitor().name))
    await world.settle()
    agent = Agent(world)

    def report(state) -> None:
        agent.report({M1: state})
        while world.agents.assessment.look():
            pass

    async def becomes(status: int) -> None:
        async def so() -> bool:
            return statuses(world) == [status]

        await until(so, within=10, what=f"the member is {status}")

    report(DOWN)
    async with running(world):
        client(world)
        await made(world)
        assert statuses(world) == [health.UNHEALTHY]
        report(UP)
        await becomes(health.UNKNOWN)
        report((make.monitor().name, "connection refused"))
        await becomes(health.UNHEALTHY)
        # An Envoy that was started anew has checked nobody, which says nothing about anybody.
        report(PENDING)
        await becomes(health.UNKNOWN)
        report(DOWN)
        await becomes(health.UNHEALTHY)
        world.agents._closed(world.agents._agents["edge"][agent.name])
        world.now += 60
        world.agents.expire()
        while world.agents.assessment.look():
            pass
        await becomes(health.UNKNOWN)


async def test_after_a_restart_the_agents_are_heard_first(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    await world.ready("member", "vip")
    Agent(world).report({M1: UP})
    await world.feedback.flush()
    await world.restart()
    world.connect(world.nodes[0])
    await world.settle()
    looked, unheard = asyncio.Semaphore(0), world.agents.unheard

    def look(fleet: str) -> bool:
        looked.release()
        return unheard(fleet)

    monkeypatch.setattr(world.agents, "unheard", look)
    async with running(world):
        client(world)
        for _ in range(3):
            await looked.acquire()
        assert world.cache.snapshot("edge/grpc") is None
        Agent(world).report({M1: UP})
        await made(world)


async def test_agents_that_say_nothing_are_waited_for_in_the_first_moments_alone(
    world: World, monkeypatch
):
    await world.ready("member", "vip")
    Agent(world).report({M1: UP})
    await world.feedback.flush()
    monkeypatch.setattr(proxyless, "GRACE", 0.1)
    await world.restart()
    assert world.agents.unheard("edge")
    async with running(world):
        client(world)
        await made(world)


async def test_a_fleet_that_there_is_not_is_answered_when_it_is_there(world: World):
    async with running(world):
        gone = client(world, "later")
        world.cache.disconnect(gone)
        stays = client(world, "soon")
        await world.write(add_fleet("soon"))
        await world.write(add_fleet("later"))
        await world.catch_up()
        await made(world, "soon")
        assert world.cache.snapshot("later/grpc") is None
        world.cache.disconnect(stays)


@pytest.mark.parametrize(
    ("cluster", "agent", "snapshot"),
    [
        ("edge", "envoy", "edge"),
        ("edge", "gRPC Go", "edge/grpc"),
        ("edge/grpc", "envoy", ""),
        ("edge/grpc", "gRPC Go", ""),
        ("", "gRPC Go", ""),
        ("", "envoy", ""),
    ],
)
def test_which_snapshot_a_node_is_given(cluster, agent, snapshot):
    assert snapshot_of(NodeInfo("n", cluster, agent)) == snapshot


async def test_a_tenant_who_deletes_all_at_once_waits_for_no_operator(live: World):
    client(live)
    await made(live)
    many = [make.vip(f"v{number}", port=1000 + number, address="10.0.0.1") for number in range(24)]

    def add(tx: Transaction) -> None:
        quotas.update(tx, QUOTA, lambda _: Quota(name=QUOTA, vips=-1))
        for vip in many:
            vips.create(tx, vip)

    await live.write(add)
    await live.settle()
    assert all(given(live, listener(vip.name)) for vip in many)
    await live.write(lambda tx: [vips.delete(tx, vip.name) for vip in many])
    await live.settle()
    assert not any(given(live, listener(vip.name)) for vip in many)
    assert not live.cache.withheld("edge/grpc")

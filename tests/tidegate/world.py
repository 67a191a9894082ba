"""A control plane without its doors: the real store, cache, reconcile and feedback, driven by hand.

Its Envoys are the honest ones of the cache's tests. Nothing runs by itself: a test says when
reconcile reads, when a node takes or answers, when verdicts are written.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from lbaas.model.objects import Capabilities, Fleet, TenantObject
from lbaas.store import (
    fleets,
    health_monitors,
    members,
    nodes,
    objects,
    rejections,
    tombstones,
    vips,
)
from lbaas.store.store import Store
from tests.cache.client import Envoy
from tests.store import make
from tidegate.agents.hub import AgentHub
from tidegate.canary import Canaries
from tidegate.drains import Drains
from tidegate.feedback import Feedback
from tidegate.fleet_view import StreamsFleetView
from tidegate.limits import Limits
from tidegate.moves import Moves
from tidegate.nodes import NodeRegister
from tidegate.pace import Pace
from tidegate.placing import Placing
from tidegate.proxyless import Proxyless
from tidegate.reconcile import Reconcile
from tidegate.removals import Withholding
from tidegate.rendering import Renderings
from tidegate.watcher import StreamWatcher
from xds.cache import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    Key,
    NodeInfo,
    NodeStream,
    RemovalGuard,
    SnapshotCache,
)

LOST_AFTER = 30.0
DEAD_AFTER = timedelta(seconds=120)
OVERLAP = timedelta(seconds=20)
DRAIN = timedelta(seconds=40)
POOL = make.POOL
VIP = make.vip().name


class Proxy(Envoy):
    """An honest Envoy whose tenants may take away the last member of a pool that serves."""

    def may_listen(self, listener: str) -> bool:
        del listener  # not every VIP has a limit
        return True

    def used(self, endpoints: str) -> bool:
        del endpoints
        return False


@dataclass(eq=False)
class Node:
    """One Envoy and its stream, if it has one."""

    envoy: Envoy
    fleet: str
    stream: NodeStream | None = None
    held_back: bool = False  # it takes what comes, and its answers do not arrive
    version: str = "1.40.0"


@dataclass
class World:
    """Everything of one process; `restart` begins the next one on the same store."""

    store: Store
    now: float = 1000.0
    poison: dict[str, str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    async def start(self) -> "World":
        self.cache = SnapshotCache(guard=RemovalGuard())
        self.renderings = Renderings()
        self.register = NodeRegister(lost_after=LOST_AFTER, clock=lambda: self.now)
        self.feedback = Feedback(self.store, self.cache, self.renderings, self.register)
        self.agents = AgentHub(
            self.store,
            self.register,
            known=lambda fleet: self.cache.snapshot(fleet) is not None,
            save=self.feedback.save,
            clock=lambda: self.now,
        )
        self.limits = Limits(self.cache, self.register)
        self.canaries = Canaries(
            self.cache,
            self.register,
            fleets=lambda: self.placing.fleets,
            save=self.feedback.save,
            clock=lambda: self.now,
        )
        self.canaries.on_spread = self.feedback.spread
        self.pace = Pace(self.cache, clock=lambda: self.now)
        self.view = StreamsFleetView(
            self.cache,
            self.renderings,
            self.feedback,
            self.register,
            self.agents,
            limits=self.limits,
            canaries=self.canaries,
            pace=self.pace,
            withholding=Withholding(self.cache),
        )
        self.agents.assessment.refusals = self.view.refusals
        self.placing = Placing(self.store, offered=self.offered, live_nodes=self.register.connected)
        self.drains = Drains(self.store)
        self.moves = Moves(
            self.store,
            self.register,
            self.placing,
            dead_after=DEAD_AFTER,
            overlap=OVERLAP,
            drain=DRAIN,
            clock=lambda: self.now,
        )
        self.proxyless = Proxyless(self.store, self.cache, self.renderings, self.agents)
        self.reconcile = Reconcile(
            self.store,
            self.cache,
            self.renderings,
            self.feedback,
            self.placing,
            followers=(
                self.canaries,
                self.limits,
                self.drains,
                self.moves,
                self.agents,
                self.pace,
                self.proxyless,
            ),
        )
        self.agents.on_ability = self.reconcile.retry_unplaced
        self.register.on_counted.append(lambda _: self.reconcile.retry_unplaced())
        self.cache.observer = StreamWatcher(
            self.feedback,
            self.limits,
            self.pace,
            self.proxyless,
            nodes_changed=self.reconcile.retry_unplaced,
        )
        self.register.restore(await self.store.read(nodes.all))
        self.feedback.restore(
            await self.store.read(rejections.all), await self.store.read(tombstones.all)
        )
        await self.reconcile.load()
        self.feedback.doubt_unsettled()
        await self.agents.load()
        return self

    def offered(self, fleet: Fleet) -> Capabilities:
        return self.view.effective(fleet)

    async def restart(self) -> None:
        """SIGKILL and a new process: what was not written is lost, the Envoys live on."""
        for node in self.nodes:
            if node.stream is not None:
                node.stream = None
                node.envoy.start_stream()
        await self.start()

    # -- nodes ---------------------------------------------------------------------------

    def node(self, name: str = "n1", *, fleet: str = "edge", delta: bool = True) -> Node:
        node = Node(Proxy(name, delta=delta, poison=self.poison, limited=True), fleet)
        self.nodes.append(node)
        return node

    def connect(self, node: Node) -> NodeStream:
        node.envoy.connect()
        node.stream = self.cache.connect(
            fleet=node.fleet,
            node=NodeInfo(node.envoy.name, version=node.version),
            delta=node.envoy.delta,
            now=self.now,
            variant=node.envoy.name,
        )
        return node.stream

    def disconnect(self, node: Node) -> None:
        stream, node.stream = node.stream, None
        node.envoy.start_stream()
        self.cache.disconnect(stream)

    def exchange(self, node: Node) -> bool:
        """Lets one message pass each way; tells whether any did."""
        stream = node.stream
        if stream is None:
            return False
        node.envoy.inbox.extend(stream.run(self.now))
        moved = bool(node.envoy.inbox)
        if moved:
            node.envoy.take()
        if node.envoy.outbox and not node.held_back:
            stream.receive(node.envoy.outbox.popleft(), self.now)
            node.envoy.inbox.extend(stream.run(self.now))
            moved = True
        return moved

    def talk(self, *some: Node) -> None:
        """Lets nodes (all, if none is named) and the control plane talk until nothing moves."""
        for _ in range(5000):
            moved = [self.exchange(node) for node in some or self.nodes]
            if not any(moved):
                return
        raise AssertionError("it never comes to rest")

    def pass_time(self, seconds: float) -> None:
        """Lets time pass, as the watcher of nodes would see it."""
        self.now += seconds
        self.feedback.expire_nodes()

    # -- what the rooms do ---------------------------------------------------------------

    async def write(self, work: Callable) -> object:
        return await self.store.write(work)

    async def catch_up(self) -> None:
        """Lets reconcile follow the store to its end."""
        for _ in range(6):
            before = self.reconcile.revision
            await self.reconcile.step()
            if self.reconcile.revision == before:
                return

    async def settle(self) -> None:
        """Lets everything run for some seconds, until nothing happens any more."""
        end = self.now + 6.0  # an Envoy that is back has asked for all it had
        while self.now < end:
            await self.catch_up()
            self.talk()
            self.feedback.sweep()
            self.limits.sweep()
            if not self.feedback.outbox:
                self.now += 1.1  # a refused name is tried at another version once a second
            await self.feedback.flush()

    async def ready(self, *names: str) -> Node:
        """A fleet with one connected node, and a pool with a member and a VIP, all live."""
        node = self.node()
        await self.write(make.placed_pool)
        self.connect(node)
        for name in names:
            await self.write(ADD[name])
        await self.settle()
        return node

    # -- what came of it -----------------------------------------------------------------

    async def get(self, name: str) -> TenantObject | None:
        return (await self.store.read(lambda tx: objects.get_many(tx, [name]))).get(name)

    async def live(self, name: str) -> bool:
        record = (await self.get(name)).record
        return record.live_rev >= record.spec_rev

    async def unsettled(self) -> set[str]:
        return {obj.name for obj in await self.store.read(objects.unsettled)}

    async def refused(self, name: str) -> bool:
        """Whether a rejection is in force on the object as it is now."""
        obj = await self.get(name)
        found = await self.store.read(lambda tx: rejections.of(tx, [name]))
        return any(
            who == name and rev >= obj.record.spec_rev
            for each in found.get(name, ())
            for who, rev in each.objects
        )

    def wanted(self, key: Key, fleet: str = "edge"):
        snapshot = self.cache.snapshot(fleet)
        return snapshot.get(key) if snapshot else None

    def refuse(self, key: Key, fleet: str = "edge") -> None:
        """Makes every Envoy refuse the version of a resource that is wanted now."""
        self.poison[f"*/{self.wanted(key, fleet).version}"] = "named"


def add_fleet(name: str, **fields: object) -> Callable:
    return lambda tx: fleets.create(tx, make.fleet(f"fleets/{name}", **fields))


def clusters(pool: str = POOL) -> Key:
    return Key(CLUSTER, pool)


def endpoints(pool: str = POOL) -> Key:
    return Key(ENDPOINT, pool)


def listener(vip: str = VIP) -> Key:
    return Key(LISTENER, vip)


def route(vip: str = VIP) -> Key:
    return Key(ROUTE, vip)


def _add(what: str) -> Callable:
    return {
        "member": lambda tx: members.create(tx, make.member(1)),
        "vip": lambda tx: vips.create(tx, make.vip()),
        "monitor": lambda tx: health_monitors.create(tx, make.monitor()),
    }[what]


ADD = {what: _add(what) for what in ("member", "vip", "monitor")}

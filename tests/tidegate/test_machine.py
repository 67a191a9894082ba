"""Random tenants, random Envoys, restarts: what must hold of statuses at every moment.

Real store, reconcile, feedback and cache; honest Envoys; nothing runs but by a rule.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.any_pb2 import Any
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lbaas.model.errors import LbaasError
from lbaas.model.names import MEMBER, POOL, VIP, pool_of_member
from lbaas.model.objects import HealthMonitor, Member, TenantObject, Vip
from lbaas.model.status import failure
from lbaas.store import (
    health_monitors,
    members,
    placements,
    pools,
    rejections,
    tables,
    trees,
    vips,
)
from lbaas.store.shelves import HEALTH_MONITORS, MEMBERS, POOLS, VIPS
from lbaas.store.store import Store
from lbaas.store.transaction import Transaction
from tests.store import make
from tests.tidegate.world import Node, World, add_fleet, clusters, endpoints, listener
from tidegate.feedback import Unsettled
from xds.translate import BUILT

FEW = st.integers(0, 1)
NAMES = [f"projects/acme/pools/p{number}" for number in range(2)]
CHANGES = st.sampled_from(["weight", "description", "vip", "method", "monitor"])


@cache
def template() -> Path:
    """A migrated, empty database: to migrate takes longer than a run."""
    path = Path(tempfile.mkdtemp(prefix="tg-machine-")) / "store.db"

    async def make_it() -> None:
        await (await Store.open(f"sqlite:///{path}", built=BUILT)).close()

    asyncio.run(make_it())
    return path


def everything(tx: Transaction) -> dict[str, TenantObject]:
    shelves = (POOLS, MEMBERS, VIPS, HEALTH_MONITORS)
    return {obj.name: obj for shelf in shelves for obj in shelf.where(tx)}


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="tg-machine-")
        path = Path(self.folder.name) / "store.db"
        shutil.copy(template(), path)
        self.runner = asyncio.Runner()
        self.store = self.run(Store.open(f"sqlite:///{path}", built=BUILT))
        self.world = World(self.store)
        self.weights = itertools.count(1)
        self.specs: dict[str, dict[int, TenantObject]] = {}
        self.live: dict[str, int] = {}
        self.judged: dict[str, int] = {}

    def run(self, work):
        return self.runner.run(work)

    @initialize(pools=st.integers(1, 2), settled=st.booleans(), canary=st.booleans())
    def begin(self, pools, settled, canary):
        self.run(self.world.start())
        self.write(add_fleet("edge", vip_ranges=("10.0.0.0/24",), canary=canary))
        self.write(add_fleet("two", vip_ranges=("10.9.0.0/24",), max_pools=1))
        # State of the world is tested in tests/cache: what such a node holds after a restart of the
        # control plane is not known, so the order of its removals is not proven (README).
        for name, fleet in (("a", "edge"), ("b", "edge"), ("c", "two")):
            self.world.connect(self.world.node(name, fleet=fleet, delta=True))
        for number in range(pools):
            self.pool(number)
        self.member(0, 0)
        self.vip(0, 0)
        if settled:
            self.run(self.world.settle())

    # -- tenants -------------------------------------------------------------------------

    def write(self, work: Callable[[Transaction], object]) -> None:
        with contextlib.suppress(LbaasError):
            self.run(self.store.write(work))

    @rule(number=FEW)
    def pool(self, number):
        self.write(lambda tx: pools.create(tx, make.pool(NAMES[number])))

    @rule(number=FEW, of=FEW)
    def member(self, number, of):
        weight = next(self.weights)
        self.write(
            lambda tx: members.create(tx, make.member(number, pool=NAMES[of], weight=weight))
        )

    @rule(number=FEW, of=FEW)
    def vip(self, number, of):
        self.write(lambda tx: vips.create(tx, make.vip(f"v{number}", pool=NAMES[of])))

    def change(self, what: str, number: int, of: int) -> Callable[[Transaction], object]:
        name = make.member(number, pool=NAMES[of]).name
        match what:
            case "weight":
                put = {"weight": next(self.weights)}
                return lambda tx: members.update(tx, name, _with(**put))
            case "description":
                put = {"description": str(next(self.weights))}
                return lambda tx: members.update(tx, name, _with(**put))
            case "vip":
                vip = make.vip(f"v{number}").name
                return lambda tx: vips.update(
                    tx, vip, lambda v: dataclasses.replace(v, admin_state_up=not v.admin_state_up)
                )
            case "method":
                return lambda tx: pools.update(tx, NAMES[of], _other_method)
            case _:
                return partial(_use_monitor, pool=NAMES[of], number=number)

    @rule(what=CHANGES, number=FEW, of=FEW)
    def update(self, what, number, of):
        self.write(self.change(what, number, of))

    @rule(what=CHANGES, number=FEW, of=FEW)
    def update_while_verdicts_are_written(self, what, number, of):
        async def race() -> None:
            await asyncio.gather(
                self.world.feedback.flush(),
                self.store.write(self.change(what, number, of)),
                self.world.reconcile.step(),
                return_exceptions=True,
            )

        self.run(race())

    @rule(number=FEW, of=FEW)
    def repoint(self, number, of):
        vip = make.vip(f"v{number}").name
        self.write(lambda tx: vips.update(tx, vip, _with(pool=NAMES[of])))

    @rule(number=FEW)
    def replace(self, number):
        """Another VIP takes a VIP's address, in one transaction."""

        def swap(tx: Transaction) -> None:
            names = make.vip(f"v{number}").name, make.vip(f"r{number}").name
            found = [vip for name in names if (vip := VIPS.find(tx, name)) is not None]
            if len(found) != 1:
                return
            (old,) = found
            new = next(name for name in names if name != old.name)
            vips.delete(tx, old.name)
            heir = make.vip("any", pool=old.pool, address=old.address)
            vips.create(tx, dataclasses.replace(heir, name=new))

        self.write(swap)

    @rule(number=FEW, of=FEW)
    def move(self, number, of):
        name = make.member(number, pool=NAMES[1 - of]).name
        self.write(lambda tx: members.move(tx, name, NAMES[of]))

    @rule(what=st.sampled_from(["member", "vip", "tree", "monitor"]), number=FEW, of=FEW)
    def delete(self, what, number, of):
        match what:
            case "member":
                name = make.member(number, pool=NAMES[of]).name
                self.write(lambda tx: members.delete(tx, name))
            case "vip":
                self.write(lambda tx: vips.delete(tx, make.vip(f"v{number}").name))
            case "tree":
                self.write(lambda tx: trees.delete(tx, NAMES[of]))
            case _:
                name = make.monitor(f"m{number}").name
                self.write(lambda tx: health_monitors.delete(tx, name))

    @rule(of=FEW)
    def displace(self, of):
        """What a change does that the pool's fleet cannot serve."""

        def drop(tx: Transaction) -> None:
            if not any(vip.record.live_rev for vip in VIPS.within(tx, "pool", [NAMES[of]])):
                POOLS.living(tx, NAMES[of])
                placements.drop(tx, NAMES[of])

        self.write(drop)

    # -- the control plane and the nodes ---------------------------------------------------

    @rule()
    def reconcile(self):
        self.run(self.world.reconcile.step())

    @rule()
    def flush(self):
        self.run(self.world.feedback.flush())

    @rule()
    def restart(self):
        self.run(self.world.restart())
        self.judged.clear()

    @rule(seconds=st.sampled_from([2.0, 12.0, 31.0]))
    def wait(self, seconds):
        self.world.pass_time(seconds)

    def nodes(self, number: int) -> Node:
        return self.world.nodes[number]

    @rule(number=st.integers(0, 2), many=st.integers(1, 12))
    def talk(self, number, many):
        for _ in range(many):
            self.world.exchange(self.nodes(number))
            self.check_verdicts()

    @rule(number=st.integers(0, 2))
    def hold(self, number):
        self.nodes(number).held_back ^= True

    @rule(number=st.integers(0, 2))
    def reconnect(self, number):
        node = self.nodes(number)
        self.world.connect(node) if node.stream is None else self.world.disconnect(node)

    @rule(what=st.sampled_from([clusters, listener]), number=FEW, where=st.sampled_from("*ab"))
    def refuse(self, what, number, where):
        key = what(NAMES[number] if what is clusters else make.vip(f"v{number}").name)
        resource = self.world.wanted(key)
        held = {node.envoy.version(key) for node in self.world.nodes}
        if resource is not None and resource.version not in held:
            self.world.poison[f"{where}/{resource.version}"] = "named"

    # -- what must hold --------------------------------------------------------------------

    @invariant()
    def check(self):
        self.check_verdicts()
        now = self.run(self.store.read(everything))
        for name, obj in now.items():
            self.specs.setdefault(name, {})[obj.record.spec_rev] = obj
            assert obj.record.live_rev >= self.live.get(obj.record.uid, 0), "live_rev fell"
            self.live[obj.record.uid] = obj.record.live_rev

    def check_verdicts(self):
        """Whoever is said to be live, or gone, is so on every node that counts."""
        feedback = self.world.feedback
        for name, rev in feedback.outbox.live.items():
            entry = feedback.unsettled(name)
            if self.judged.get(name, 0) < rev and entry is not None:
                for node in self.counted(entry):
                    assert self.has(node, name, rev), f"{name} at {rev} is not on {node.envoy.name}"
            self.judged[name] = rev
        for name in feedback.outbox.gone:
            for node in self.world.nodes:
                tracked = self.tracked(node)
                if tracked is not None and not tracked.lost and tracked.stream is not None:
                    assert not self.still(node, name), f"{name} is still on {node.envoy.name}"

    def tracked(self, node: Node):
        nodes = self.world.register.of(node.fleet)
        return next((each for each in nodes if each.name.endswith(f"/{node.envoy.name}")), None)

    def counted(self, entry: Unsettled) -> Iterator[Node]:
        fleets = {place.fleet for place in entry.watched}
        for node in self.world.nodes:
            tracked = self.tracked(node)
            if node.fleet in fleets and tracked is not None and tracked.counted:
                yield node

    def wishes(self, name: str, rev: int) -> list[TenantObject]:
        """What the object was at a revision, and at all later ones."""
        return [obj for at, obj in self.specs.get(name, {}).items() if at >= rev]

    def has(self, node: Node, name: str, rev: int) -> bool:
        wishes = self.wishes(name, rev)
        if not wishes:
            return True
        if POOL.parse(name):
            return clusters(name).name in node.envoy.held[clusters().type_url]
        if VIP.parse(name):
            listens = name in node.envoy.held[listener().type_url]
            return any(isinstance(wish, Vip) and listens == wish.admin_state_up for wish in wishes)
        if MEMBER.parse(name):
            held = _weight(node, name)
            return any(isinstance(wish, Member) and held == wish.weight for wish in wishes)
        return True

    def still(self, node: Node, name: str) -> bool:
        if VIP.parse(name):
            return name in node.envoy.held[listener().type_url]
        if POOL.parse(name):
            return name in node.envoy.held[clusters().type_url]
        if MEMBER.parse(name):
            known = pool_of_member(name) in node.envoy.held[clusters().type_url]
            return known and _weight(node, name) is not None
        return False

    def teardown(self):
        try:
            if self.world.nodes:
                self.run(self.end())
        finally:
            self.run(self.store.close())
            self.runner.close()
            self.folder.cleanup()

    async def check_told(self):
        """Whatever is still pending is so for a reason that its tenant, or a neighbour, is told."""
        kept = await self.store.read(rejections.all)
        said = {(each.fleet, each.resource) for each in kept}
        now = await self.store.read(everything)
        for name in await self.world.unsettled():
            entry = self.world.feedback.unsettled(name)
            assert entry is not None, f"{name} is pending and nobody waits for it"
            pool = None
            if not isinstance(now[name], HealthMonitor):
                home = now[name].pool if isinstance(now[name], Vip) else name.split("/members/")[0]
                pool = await self.store.read(lambda tx, home=home: pools.get(tx, home))
            if failure(now[name], (), pool) is None:
                watched = {(f"fleets/{at.fleet}", at.key.name) for at in entry.watched}
                assert said & watched, f"{name} is pending for ever: {entry}"

    async def end(self):
        """Faults end: all settles but what was refused, and when it is deleted all is gone."""
        world = self.world
        for node in world.nodes:
            node.held_back = False
            if node.stream is None:
                world.connect(node)
        for _ in range(3):
            await world.settle()
        await self.check_told()
        for name in NAMES:
            with contextlib.suppress(LbaasError):
                await self.store.write(lambda tx, name=name: trees.delete(tx, name))
        for number in range(2):
            with contextlib.suppress(LbaasError):
                monitor = make.monitor(f"m{number}").name
                await self.store.write(lambda tx, name=monitor: health_monitors.delete(tx, name))
        for _ in range(3):
            await world.settle()
        assert await self.store.read(everything) == {}
        assert await self.store.read(rejections.all) == ()
        assert await self.store.read(_addresses) == []
        assert not world.feedback.outbox
        assert not world.renderings.pools
        for fleet in ("edge", "two"):
            assert not list(world.cache.snapshot(fleet).types())


def _with(**fields: object):
    return lambda obj: dataclasses.replace(obj, **fields)


def _other_method(pool):
    methods = sorted(BUILT.lb_methods)
    after = methods[(methods.index(pool.lb_method) + 1) % len(methods)]
    return dataclasses.replace(pool, lb_method=after)


def _use_monitor(tx: Transaction, *, pool: str, number: int) -> None:
    """Makes, associates, changes, disassociates: whatever comes next."""
    monitor = make.monitor(f"m{number}")
    found = HEALTH_MONITORS.find(tx, monitor.name)
    if found is None:
        health_monitors.create(tx, monitor)
    elif monitor.name not in pools.get(tx, pool).health_monitors:
        pools.associate(tx, pool, monitor.name)
    elif found.max_retries < 5:
        health_monitors.update(tx, monitor.name, _with(max_retries=found.max_retries + 1))
    else:
        pools.disassociate(tx, pool, monitor.name)


def _addresses(tx: Transaction) -> list:
    return tx.connection.execute(tables.addresses.select()).all()


def _weight(node: Node, name: str) -> int | None:
    """The weight with which a node holds a member; None if it does not."""
    pool = pool_of_member(name)
    resource = node.envoy.held[endpoints().type_url].get(pool)
    if resource is None:
        return None
    assignment = ClusterLoadAssignment()
    Any.FromString(resource.body).Unpack(assignment)
    number = int(name.rsplit("/m", 1)[1]) if name[-1].isdigit() else 0
    address = make.member(number).address
    for locality in assignment.endpoints:
        for endpoint in locality.lb_endpoints:
            if endpoint.endpoint.address.socket_address.address == address:
                return endpoint.load_balancing_weight.value
    return None


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)

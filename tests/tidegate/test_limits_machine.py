"""Random limits, random Envoys, restarts: what nodes allow, and when that is said to be live.

Real store, reconcile, feedback, limits and cache; honest Envoys; nothing runs but by a rule.
"""

import asyncio
import contextlib
import dataclasses
import math
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lbaas.model.errors import LbaasError
from lbaas.store import objects, vips
from lbaas.store.store import Store
from tests.store import make
from tests.tidegate.test_machine import template
from tests.tidegate.world import LOST_AFTER, Node, World, listener
from tidegate.nodes import node_id
from xds.translate import BUILT

VIPS = [make.vip(f"v{number}").name for number in range(2)]
WHICH = st.integers(0, 1)
LIMITS = st.sampled_from([-1, 1, 3, 10])
NODE = st.integers(0, 2)


def share(node: Node, vip: str) -> float:
    """What an Envoy allows of a VIP; infinity without a limit."""
    key = f"envoy.resource_limits.listener.{vip}.connection_limit"
    return node.envoy.layer().get(key, math.inf)


def listens(node: Node, vip: str) -> bool:
    return vip in node.envoy.held[listener().type_url]


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="tg-limits-")
        path = Path(self.folder.name) / "store.db"
        shutil.copy(template(), path)
        self.runner = asyncio.Runner()
        self.world = World(self.run(Store.open(f"sqlite:///{path}", built=BUILT)))
        self.limits: dict[str, dict[int, int]] = {vip: {} for vip in VIPS}
        self.judged: dict[str, int] = {}

    def run(self, work):
        return self.runner.run(work)

    def write(self, work) -> None:
        with contextlib.suppress(LbaasError):
            self.run(self.world.write(work))

    @initialize(nodes=st.integers(0, 2))
    def begin(self, nodes):
        self.run(self.world.start())
        self.write(make.placed_pool)
        for number in range(3):
            node = self.world.node(f"n{number}")
            if number < nodes:
                self.world.connect(node)
        self.create(0, 10)
        self.run(self.world.settle())

    @rule(which=WHICH, limit=LIMITS)
    def create(self, which, limit):
        vip = make.vip(f"v{which}", port=80 + which, connection_limit=limit)
        self.write(lambda tx: vips.create(tx, vip))

    @rule(which=WHICH, limit=LIMITS)
    def change(self, which, limit):
        change = lambda vip: dataclasses.replace(vip, connection_limit=limit)  # noqa: E731
        self.write(lambda tx: vips.update(tx, VIPS[which], change))

    @rule(which=WHICH)
    def switch(self, which):
        change = lambda vip: dataclasses.replace(vip, admin_state_up=not vip.admin_state_up)  # noqa: E731
        self.write(lambda tx: vips.update(tx, VIPS[which], change))

    @rule(which=WHICH)
    def delete(self, which):
        self.write(lambda tx: vips.delete(tx, VIPS[which]))

    @rule()
    def reconcile(self):
        self.run(self.world.reconcile.step())

    @rule()
    def flush(self):
        self.run(self.world.feedback.flush())

    @rule()
    def restart(self):
        self.run(self.world.restart())

    @rule(seconds=st.sampled_from([2.0, LOST_AFTER + 1]))
    def wait(self, seconds):
        self.world.pass_time(seconds)

    @rule(number=NODE, many=st.integers(1, 12))
    def talk(self, number, many):
        for _ in range(many):
            self.world.exchange(self.world.nodes[number])
            self.check()

    @rule(number=NODE)
    def hold(self, number):
        self.world.nodes[number].held_back ^= True

    @rule(number=NODE)
    def reconnect(self, number):
        node = self.world.nodes[number]
        self.world.connect(node) if node.stream is None else self.world.disconnect(node)

    @rule()
    def settle(self):
        self.run(self.world.settle())

    @invariant()
    def check(self):
        self.check_bounds()
        self.check_live()

    def counted(self) -> list[Node]:
        names = {node_id(node.name) for node in self.world.register.counted("edge")}
        return [node for node in self.world.nodes if node.envoy.name in names]

    def check_bounds(self):
        """No node that counts allows more than it is believed to."""
        state = self.world.limits._fleets.get("edge")
        for vip, limit in state.limits.items() if state else ():
            for node in self.counted():
                bound = limit.allotment.held.get(node.envoy.name, 0)
                if listens(node, vip) and bound is not None:
                    assert share(node, vip) <= bound, f"{node.envoy.name}: more than {bound}"

    def check_live(self):
        """What is called live is what nodes allow: no limit, or together no more than it."""
        for vip, rev in self.world.feedback.outbox.live.items():
            entry = self.world.feedback.unsettled(vip)
            if vip not in self.limits or entry is None or self.judged.get(vip) == rev:
                continue
            self.judged[vip] = rev
            newer = [limit for at, limit in self.limits[vip].items() if at >= rev]
            allowed = [share(node, vip) for node in self.counted() if listens(node, vip)]
            if len(newer) != 1 or not allowed:
                continue
            if newer[0] < 0:
                assert set(allowed) == {math.inf}, f"{vip} is not without a limit"
            else:
                assert sum(allowed) <= newer[0], f"{vip} allows {allowed} and is live"

    @invariant()
    def remember(self):
        found = self.run(self.world.store.read(lambda tx: objects.get_many(tx, VIPS)))
        for name, vip in found.items():
            self.limits[name].setdefault(vip.record.spec_rev, vip.connection_limit)

    def teardown(self):
        try:
            if self.world.nodes:
                self.run(self.end())
        finally:
            self.run(self.world.store.close())
            self.runner.close()
            self.folder.cleanup()

    async def end(self):
        """Faults end: shares are exact, all is live, and nothing is left when all is deleted."""
        world = self.world
        for node in world.nodes:
            node.held_back = False
            if node.stream is None:
                world.connect(node)
        for _ in range(3):
            await world.settle()
        assert await world.unsettled() == set()
        for vip in (await world.store.read(lambda tx: objects.get_many(tx, VIPS))).values():
            allowed = [share(node, vip.name) for node in world.nodes if listens(node, vip.name)]
            if vip.connection_limit < 0:
                assert set(allowed) <= {math.inf}
            elif vip.admin_state_up:
                assert sum(allowed) == vip.connection_limit, allowed
                assert max(allowed) - min(allowed) <= 1
        for vip in VIPS:
            with contextlib.suppress(LbaasError):
                await world.write(lambda tx, vip=vip: vips.delete(tx, vip))
        await world.settle()
        for state in world.limits._fleets.values():
            assert not state.limits
            assert not state.news
            assert not any(state.told.values())
        assert not any(node.envoy.layer() for node in world.nodes)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)

"""Hypothesis drives fleets of honest Envoys through everything that may happen to them."""

from dataclasses import replace

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.cache.world import FAULT, Tree, World, changed

TREES = st.integers(0, 3)
NODES = st.integers(0, 2)
PARTS = ("cluster", "endpoints", "listener", "route")
POISON = st.sampled_from([None, None, None, "named", "unnamed", FAULT])


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.ports = 100

    @initialize(
        kinds=st.sampled_from([(True, True), (True, False), (False, True)]), limited=st.booleans()
    )
    def fleet(self, kinds, limited):
        for delta in kinds:
            self.world.join(delta=delta, limited=limited)
            self.world.connect(self.world.nodes[-1])
        self.move()

    def node(self, index):
        return self.world.nodes[index % len(self.world.nodes)]

    def move(self):
        self.world.run()

    def apply(self, trees, mode=None, part="cluster", *, tree=None, where="*"):
        poison = {}
        if mode is not None and tree is not None and part in tree.resources():
            resource = tree.resources()[part]
            old = self.world.wanted.get(resource.key)
            if old is None or old.version != resource.version:
                # A constraint is broken for every node.
                poison = {f"{'*' if mode == FAULT else where}/{resource.version}": mode}
        self.world.change(trees, poison)

    @rule(
        index=TREES,
        tcp=st.booleans(),
        bare=st.booleans(),
        mode=POISON,
        part=st.sampled_from(PARTS),
    )
    def create(self, index, tcp, bare, mode, part):
        self.ports += 1
        tag = self.ports
        tree = Tree(index, self.ports, tcp=tcp, bare=bare, tags=(tag, tag, tag, tag))
        self.apply(self.world.trees | {index: tree}, mode, part, tree=tree)

    @rule(
        index=TREES,
        part=st.integers(0, 3),
        mode=POISON,
        where=st.sampled_from(["*", "node-0", "node-1"]),
    )
    def edit(self, index, part, mode, where):
        tree = self.world.trees.get(index)
        if tree is not None:
            self.ports += 1
            tags = list(tree.tags)
            tags[part] = self.ports
            tree = replace(tree, tags=tuple(tags))
            trees = self.world.trees | {index: tree}
            self.apply(trees, mode, PARTS[part], tree=tree, where=where)

    @rule(index=TREES)
    def back(self, index):
        """A change is taken back before it is anywhere."""
        tree = self.world.trees.get(index)
        if tree is not None:
            self.world.change(self.world.trees | {index: changed(tree, 1)})
            self.world.change(self.world.trees | {index: tree})

    @rule(index=TREES)
    def replace_cluster(self, index):
        """Blue and green: the VIP goes to another cluster, the old one is deleted."""
        tree = self.world.trees.get(index)
        if tree is not None:
            self.ports += 1
            self.world.change(self.world.trees | {index: replace(tree, generation=self.ports)})

    @rule(index=TREES)
    def rename_listener(self, index):
        """Another listener on the same address."""
        tree = self.world.trees.get(index)
        if tree is not None:
            self.ports += 1
            self.world.change(self.world.trees | {index: replace(tree, rename=self.ports)})

    @rule(one=TREES, other=TREES)
    def exchange_addresses(self, one, other):
        trees = dict(self.world.trees)
        if any(node.unknown for node in self.world.nodes):
            return  # who binds what is not known until the node has said what it holds
        if one != other and one in trees and other in trees:
            ports = trees[one].port, trees[other].port
            trees[one] = replace(trees[one], port=ports[1])
            trees[other] = replace(trees[other], port=ports[0])
            self.world.exchanged = True
            self.world.change(trees)

    @rule(index=NODES, ago=st.integers(0, 2))
    def limit(self, index, ago):
        world = self.world
        if world.revision:
            world.limit_anew(self.node(index), max(1, world.revision - ago))

    @rule(index=TREES)
    def delete(self, index):
        if index in self.world.trees:
            self.world.change({k: v for k, v in self.world.trees.items() if k != index})

    @rule(index=NODES, count=st.integers(1, 6))
    def take(self, index, count):
        node = self.node(index)
        for _ in range(count):
            if node.stream is not None:
                self.world.take(node)

    @rule(index=NODES, count=st.integers(1, 6))
    def deliver(self, index, count):
        for _ in range(count):
            self.world.deliver(self.node(index))

    @rule()
    def pump(self):
        self.world.pump()

    @rule(index=NODES)
    def mute(self, index):
        """The node withholds its CDS answers: some cluster warms on a mute member."""
        self.node(index).envoy.muted = True

    @rule(index=NODES)
    def unmute(self, index):
        self.node(index).envoy.muted = False
        self.node(index).envoy.release()

    @rule(index=NODES)
    def evidence(self, index):
        """Its agent is asked, reads, or is heard: whatever happens between."""
        self.world.evidence(self.node(index))

    @rule(index=NODES)
    def disconnect(self, index):
        if self.node(index).stream is not None:
            self.world.disconnect(self.node(index))

    @rule(index=NODES)
    def connect(self, index):
        node = self.node(index)
        if node.stream is None:
            self.world.connect(node)
            self.world.turn(node)

    @rule(good=TREES, bad=TREES, part=st.sampled_from(["cluster", "listener"]), index=NODES)
    def applied_in_part(self, good, bad, part, index):
        """A node goes with what was good in a response that it refused, and does not list."""
        world, node = self.world, self.node(index)
        if good == bad or node.stream is None:
            return
        self.ports += 4
        tags = dict.fromkeys((good, bad), (self.ports,) * 4)
        trees = {each: Tree(each, self.ports - each, tcp=True, tags=tags[each]) for each in tags}
        self.apply(world.trees | trees, "named", part, tree=trees[bad])
        for _ in range(20):
            if node.envoy.applied_in_part or not (world.take(node) or world.deliver(node)):
                break
        world.disconnect(node)

    @precondition(lambda self: len(self.world.nodes) < 3)
    @rule(delta=st.booleans())
    def join(self, delta):
        self.world.join(delta=delta)

    @rule(seconds=st.sampled_from([0.1, 0.3, 1.1]))
    def tick(self, seconds):
        self.world.tick(seconds)

    @rule()
    def restart(self):
        """The control plane dies and comes back with what is stored."""
        world = self.world
        if any(node.envoy.applied_in_part and not node.envoy.delta for node in world.nodes):
            return  # state of the world: what it applied of what it refused is not to be known
        vague = [node for node in world.nodes if world.exchanged or not node.envoy.delta]
        if vague:
            # State of the world names nothing that it holds, and nobody says who binds what.
            world.settle()
            if not all(world.as_wanted(node) for node in vague):
                return
            world.exchanged = False
        world.restart()
        for node in world.nodes:
            if not node.envoy.delta:
                world.connect(node)
                world.turn(node)
                world.pump()

    @rule()
    def settle(self):
        self.world.settle()
        self.world.check_settled()
        self.world.check_reconnect()

    @invariant()
    def holds(self):
        self.world.check()

    def teardown(self):
        if self.world.nodes:
            self.world.settle()
            self.world.check_settled()


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    print_blob=False,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)

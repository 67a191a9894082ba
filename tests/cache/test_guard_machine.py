"""Rows that vanish from the store, in a fleet that has a canary or not: what they were stays."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.cache import test_machine
from tests.cache.canary_world import CanaryWorld
from tests.cache.client import Violation
from tests.cache.test_canary_machine import CanaryMachine
from tests.cache.test_machine import TREES
from tests.cache.world import FLEET, Tree
from xds.cache import CLUSTER, LISTENER, RemovalGuard, SnapshotCache

SOME = st.sets(TREES, min_size=1)


class GuardedWorld(CanaryWorld):
    """One listener that goes unexplained is too many; its tree stays wanted, for all that hold."""

    def __init__(self) -> None:
        self.vanished: set[int] = set()
        self.allowing = False
        super().__init__()

    def new_cache(self) -> SnapshotCache:
        self.vanished.clear()  # a process that starts reads the rows, and they are back
        return SnapshotCache(self, guard=RemovalGuard(share=0.0, least=0))

    def advance(self, changes) -> None:
        if self.allowing:
            if self.cache.allow_removals(FLEET, self.revision) != changes.keys():
                raise Violation("what was let go is not what was withheld")
            return
        for index in [each for each in self.vanished if self.changed_at[each] == self.revision]:
            self.vanished.remove(index)
            if index in self.trees:  # its rows are back
                changes |= {one.key: self.wanted[one.key] for one in self.tree(index)}
        self.cache.advance(FLEET, self.revision, changes, explained=changes.keys())
        # A node that is away may list it: what was deleted is no stray, tombstones tell of it.
        gone = (key for key, one in changes.items() if one is None)
        self.cache.bury(FLEET, (key for key in gone if key.type_url in (CLUSTER, LISTENER)))

    def tree(self, index: int):
        return self.trees[index].resources().values()

    def vanish(self, some: set[int]) -> None:
        self.revision += 1
        gone = {one.key: None for index in some for one in self.tree(index)}
        self.cache.advance(FLEET, self.revision, gone, explained=())
        self.vanished |= some
        self.run()

    def allow(self) -> None:
        left = {index: tree for index, tree in self.trees.items() if index not in self.vanished}
        self.allowing = True
        self.change(left)
        self.allowing = False
        self.vanished.clear()


class GuardMachine(CanaryMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = GuardedWorld()

    @rule(some=SOME, pumped=st.booleans())
    def vanish(self, some, pumped):
        self.lose_rows(some, pumped=pumped)

    def lose_rows(self, some, *, pumped):
        """Rows vanish; there is something to vanish, on its way or on all nodes."""
        world = self.world
        self.ports += 4
        new = {index: Tree(index, self.ports - index) for index in some - world.trees.keys()}
        if new:
            world.change(world.trees | new)
        if pumped:
            world.pump()
        gone = {index for index in some - world.vanished if not world.trees[index].bare}
        if gone:
            world.vanish(gone)

    @rule(some=SOME, pumped=st.booleans())
    def allow(self, some, pumped):
        """An operator says that what vanished may go."""
        if not self.world.vanished:
            self.lose_rows(some, pumped=pumped)
        if self.world.vanished:
            self.world.allow()


TestGuardMachine = GuardMachine.TestCase
TestGuardMachine.settings = settings(test_machine.TestMachine.settings, max_examples=150)

"""The machine of `test_machine` once more, with a canary: all that holds there holds with it."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.cache import test_machine
from tests.cache.canary_world import CanaryWorld
from tests.cache.test_machine import NODES, Machine


class CanaryMachine(Machine):
    """The first node is the canary; another one takes over when it is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.world = CanaryWorld()

    @initialize(
        kinds=st.lists(st.booleans(), min_size=2, max_size=3),
        limited=st.booleans(),
        canary=st.sampled_from([True, True, True, False]),
    )
    def fleet(self, kinds, limited, canary):
        for delta in kinds:
            self.world.join(delta=delta, limited=limited)
            self.world.connect(self.world.nodes[-1])
        if canary:
            self.world.elect()
        self.move()

    @rule(index=NODES)
    def lose(self, index):
        """A node is gone for so long that another one is the canary, if it was."""
        node = self.node(index)
        if node.stream is not None:
            self.world.disconnect(node)
        if self.world.canary:
            self.world.elect()
        self.move()

    @rule()
    def switch(self):
        """An operator switches the canary on or off."""
        if self.world.canary:
            self.world.dismiss()
        else:
            self.world.elect()
        self.move()


TestCanaryMachine = CanaryMachine.TestCase
TestCanaryMachine.settings = settings(test_machine.TestMachine.settings, max_examples=250)

"""Which nodes count, and until when."""

from dataclasses import dataclass, field

from lbaas.model.enums import NodeState
from lbaas.model.objects import Node
from tidegate.nodes import NodeRegister
from xds.cache.types import NodeInfo


@dataclass(eq=False)
class Stream:
    """As much of a stream as the register looks at."""

    node: NodeInfo = field(default_factory=lambda: NodeInfo(id="n1", version="1.40.0"))
    fleet: str = "edge"
    revision: int = 7
    step: bool = False
    pending: dict = field(default_factory=dict)

    def in_step(self, revision: int) -> bool:
        self.asked = revision
        return self.step


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def register() -> tuple[NodeRegister, Clock]:
    clock = Clock()
    return NodeRegister(lost_after=30, clock=clock), clock


def test_a_node_counts_only_once_it_is_in_step_with_the_revision_it_joined_at():
    nodes, _ = register()
    stream = Stream()
    nodes.opened(stream, 7)
    assert nodes.heard(stream) is None
    assert nodes.counted("edge") == []
    stream.step = True
    assert nodes.heard(stream).name == "fleets/edge/nodes/n1"
    assert stream.asked == 7
    assert len(nodes.counted("edge")) == 1


def test_a_node_that_is_away_counts_for_thirty_seconds():
    nodes, clock = register()
    stream = Stream(step=True)
    nodes.opened(stream, 7)
    nodes.heard(stream)
    nodes.closed(stream)
    clock.now += 29
    assert nodes.expire() == []
    assert nodes.next_expiry() == 1
    clock.now += 1
    assert [node.name for node in nodes.expire()] == ["fleets/edge/nodes/n1"]
    assert nodes.counted("edge") == []
    assert nodes.next_expiry() is None


def test_a_node_that_returns_in_time_goes_on_counting_and_a_lost_one_joins_anew():
    nodes, clock = register()
    first, second, third = Stream(step=True), Stream(), Stream()
    nodes.opened(first, 7)
    nodes.heard(first)
    nodes.closed(first)
    clock.now += 10
    nodes.opened(second, 9)
    assert nodes.counted("edge")[0].joined_rev == 7
    nodes.closed(second)
    clock.now += 31
    nodes.expire()
    tracked = nodes.opened(third, 12)
    assert (tracked.counted, tracked.joined_rev) == (False, 12)


def test_the_newest_of_two_streams_is_the_one_that_counts():
    nodes, _ = register()
    old, new = Stream(step=True), Stream()
    nodes.opened(old, 7)
    nodes.opened(new, 8)
    assert nodes.heard(old) is None
    new.step = True
    assert nodes.heard(new) is not None
    nodes.closed(old)
    assert nodes.connected("edge") == 1


def test_nodes_that_counted_before_a_restart_have_thirty_seconds_to_return():
    nodes, clock = register()
    nodes.restore((Node(name="fleets/edge/nodes/n1", counted=True, joined_rev=3),))
    assert len(nodes.counted("edge")) == 1
    clock.now += 30
    assert len(nodes.expire()) == 1


def test_a_views_state_says_what_is_the_matter():
    nodes, _ = register()
    stream = Stream()
    tracked = nodes.opened(stream, 7)
    assert nodes.view(tracked, frozenset()).state is NodeState.JOINING
    stream.step = True
    nodes.heard(stream)
    assert nodes.view(tracked, frozenset()).state is NodeState.SYNCED
    assert nodes.view(tracked, frozenset({"vip"})).state is NodeState.REJECTED
    nodes.closed(stream)
    nodes.expire()
    tracked.counted = False
    assert nodes.view(tracked, frozenset()).state is NodeState.LOST

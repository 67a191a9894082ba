"""Shares of a limit: exact in the end, never too much on the way."""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from xds.scheduler import shares
from xds.scheduler.shares import Allotment, split, step

NODES = st.sampled_from(["a", "b", "c", "d"])


@given(st.integers(0, 1000), st.sets(st.text(max_size=3), min_size=1), st.text(max_size=3))
def test_shares_add_up_exactly_and_differ_by_one_at_most(limit, nodes, key):
    made = split(limit, nodes, key=key)
    assert sum(made.values()) == limit
    assert set(made) == nodes
    assert max(made.values()) - min(made.values()) <= 1
    assert made == split(limit, sorted(nodes, reverse=True), key=key)


def test_a_limit_below_the_number_of_nodes_leaves_some_without():
    assert sorted(split(2, "abc").values()) == [0, 1, 1]
    assert split(5, []) == {}


def test_small_limits_do_not_all_meet_on_one_node():
    favoured = [max(split(1, "ab", key=str(n)).items(), key=lambda one: one[1]) for n in range(100)]
    assert 20 < sum(node == "a" for node, _ in favoured) < 80


def test_what_is_lowered_is_granted_at_once_and_what_is_raised_waits():
    assert step(10, {"a": 5, "b": 5}, {"a": 10, "b": 0}) == {"a": 5, "b": 0}
    assert step(10, {"a": 5, "b": 5}, {"a": 7, "b": 0}) == {"a": 5, "b": 3}
    assert step(10, {"a": 5, "b": 5}, {"a": 5, "b": 0}) == {"a": 5, "b": 5}


def test_while_it_is_not_known_what_a_node_takes_no_other_is_raised():
    assert step(10, {"a": 5, "b": 5}, {"a": None, "b": 0}) == {"a": 5, "b": 0}
    assert step(10, {"a": 5, "b": 5}, {"a": None, "b": None}) == {"a": 5, "b": 5}


def test_a_node_without_a_share_is_told_so():
    assert step(10, {"a": 10}, {"a": 10, "joining": 0}) == {"a": 10, "joining": 0}


@dataclass
class Node:
    """A node: what it really takes, the word on its way to it, the answer on its way back.

    One word at a time, and the newest, as on its stream.
    """

    takes: int = 0
    word: int | None = None
    answer: int | None = None
    told: int | None = None
    counted: bool = False
    connected: bool = True
    refuses: bool = False


class Fleet(RuleBasedStateMachine):
    """Nodes come, count, leave, are lost and return; words and answers are late or refused."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: dict[str, Node] = {}
        self.allotment = Allotment(10)

    def settle(self) -> None:
        before, held = self.sum_held(), dict(self.allotment.held)
        sharing = [name for name, node in self.nodes.items() if node.counted]
        self.allotment.settle(sharing, set(self.nodes))
        assert self.sum_held() <= max(self.allotment.limit, before)
        for name in self.nodes if before == float("inf") else ():
            has = held.get(name, 0)
            assert has is None or self.allotment.granted[name] <= has, "raised beside the unknown"

    def sum_held(self) -> float:
        held = [self.allotment.held.get(name, 0) for name in self.nodes]
        return float("inf") if None in held else sum(one or 0 for one in held)

    @rule(name=NODES, counted=st.booleans())
    def join(self, name, counted):
        if name not in self.nodes:
            self.nodes[name] = Node(counted=counted)
            self.settle()

    @rule(name=NODES)
    def count(self, name):
        node = self.nodes.get(name)
        if node and node.connected and node.told == self.allotment.granted[name]:
            node.counted = True
            self.settle()

    @rule(name=NODES)
    def inherit(self, name):
        """The control plane was restarted, or the limit is new: nobody knows what it takes."""
        if name in self.nodes and self.nodes[name].counted:
            self.allotment.held[name] = None
            self.nodes[name] = Node(takes=1000, counted=True)
            self.settle()

    @rule(limit=st.integers(0, 20))
    def change(self, limit):
        self.allotment.limit = limit
        self.settle()

    @rule(name=NODES)
    def leave(self, name):
        node = self.nodes.get(name)
        if node:
            node.connected, node.word, node.answer, node.told = False, None, None, None

    @rule(name=NODES)
    def come_back(self, name):
        node = self.nodes.get(name)
        if node and not node.connected:
            node.connected = True
            self.settle()

    @rule(name=NODES)
    def lose(self, name):
        if name in self.nodes and not self.nodes[name].connected:
            del self.nodes[name]
            self.settle()

    @rule(name=NODES)
    def send(self, name):
        node = self.nodes.get(name)
        granted = self.allotment.granted.get(name)
        if node and node.connected and node.word is node.answer is None:
            if node.told != granted:
                node.word = granted
            elif node.told is not None:
                # There and back before it was sent: the stream says that it holds what is wanted.
                self.allotment.confirmed(name, node.told)
                self.settle()

    @rule(name=NODES)
    def hear(self, name):
        node = self.nodes.get(name)
        if node and node.word is not None:
            word, node.word = node.word, None
            if not node.refuses:  # else it says so, and nothing is known of it
                node.takes = node.answer = word

    @rule(name=NODES)
    def confirm(self, name):
        node = self.nodes.get(name)
        if node and node.answer is not None:
            node.told, node.answer = node.answer, None
            self.allotment.confirmed(name, node.told)
            self.settle()

    @rule(name=NODES, refuses=st.booleans())
    def refuse(self, name, refuses):
        if name in self.nodes:
            self.nodes[name].refuses = refuses

    @rule()
    def end(self):
        """Faults end: everybody is there and answers, and the shares are exact."""
        for node in self.nodes.values():
            node.refuses = False
        for name in list(self.nodes):
            self.come_back(name)
        for _ in range(12):
            for name in self.nodes:
                self.send(name)
                self.hear(name)
                self.confirm(name)
        self.settle()
        counted = [name for name, node in self.nodes.items() if node.counted]
        expected = dict.fromkeys(self.nodes, 0) | split(self.allotment.limit, counted)
        assert {name: node.takes for name, node in self.nodes.items()} == expected
        assert self.allotment.granted == expected

    @invariant()
    def holds(self):
        for name, node in self.nodes.items():
            bound = self.allotment.held.get(name, 0)
            assert bound is None or node.takes <= bound, f"{name} takes more than is known"


Fleet.TestCase.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, derandomize=True
)
TestFleet = Fleet.TestCase


def raised_at_once(patch):
    patch.setattr(shares, "step", lambda limit, to, held: {n: to.get(n, 0) for n in {*to, *held}})


def lowered_is_as_good_as_confirmed(patch):
    settling = Allotment.settle

    def hasty(self, sharing, serving):
        changed = settling(self, sharing, serving)
        self.held.update(self.granted)
        return changed

    patch.setattr(Allotment, "settle", hasty)


def nothing_is_ever_confirmed(patch):
    patch.setattr(Allotment, "confirmed", lambda *_: False)


def the_unknown_takes_nothing(patch):
    knowing = shares.step

    def careless(limit, to, held):
        return knowing(limit, to, {node: has or 0 for node, has in held.items()})

    patch.setattr(shares, "step", careless)


@pytest.mark.parametrize(
    "mutate",
    [
        raised_at_once,
        lowered_is_as_good_as_confirmed,
        nothing_is_ever_confirmed,
        the_unknown_takes_nothing,
    ],
)
def test_a_broken_step_is_seen(mutate, monkeypatch):
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Fleet,
            settings=settings(
                max_examples=300,
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                database=None,
                report_multiple_bugs=False,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            ),
        )

"""A muted node and an agent that is asked, reads and is heard at any moment: what must hold, holds.

Aimed where the great machine seldom comes: answers are withheld from the start, and much happens
between the question, the reading and its arrival.
"""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.cache.client import Violation
from tests.cache.world import Tree, World, changed
from xds.cache import evidence
from xds.cache.state import State

RUNS = 60
STEPS = 70
KINDS = ("new", "edit", "edit", "back", "gone", "say", "say", "say", "move", "tick")


class Course:
    """One run: a node whose answers are withheld from its tenth step on."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.world = World()
        self.world.join(delta=True)
        (self.node,) = self.world.nodes
        self.world.connect(self.node)
        self.world.run()
        self.tag = 100
        self.heard = 0  # names that evidence confirmed

    def run(self) -> int:
        for step in range(STEPS):
            if step == 10:
                self.world.pump()
                self.node.envoy.muted = True
            getattr(self, self.rng.choice(KINDS))(self.rng.randrange(4))
            self.world.check()
        if self.rng.random() < 0.5:
            trees = self.world.trees.items()
            self.world.change({index: changed(tree, 1) for index, tree in trees})
        self.world.settle()
        self.world.check()
        self.world.check_settled()
        return self.heard

    def new(self, index: int) -> None:
        if index not in self.world.trees:
            self.tag += 1
            tree = Tree(index, self.tag, tcp=self.rng.random() < 0.5)
            self.world.change(self.world.trees | {index: tree})

    def edit(self, index: int) -> None:
        tree = self.world.trees.get(index)
        if tree is not None:
            self.tag += 1
            tree = replace(tree, tags=(self.tag, *tree.tags[1:]))
            self.world.change(self.world.trees | {index: tree})

    def back(self, index: int) -> None:
        tree = self.world.trees.get(index)
        if tree is not None:
            self.edit(index)
            if self.rng.random() < 0.7:
                self.world.tick(0.3)
            self.world.change(self.world.trees | {index: tree})

    def gone(self, index: int) -> None:
        if self.rng.random() < 0.3:
            self.world.change({k: v for k, v in self.world.trees.items() if k != index})

    def say(self, _: int) -> None:
        before = len(self.node.stream.pending)
        self.world.evidence(self.node)
        self.heard += max(0, before - len(self.node.stream.pending))

    def move(self, _: int) -> None:
        for _ in range(self.rng.randrange(6)):
            self.world.take(self.node)
            self.world.deliver(self.node)

    def tick(self, _: int) -> None:
        self.world.tick(self.rng.choice([0.1, 0.3, 1.1]))


def runs(seeds: Iterable[int]) -> int:
    return sum(Course(seed).run() for seed in seeds)


def test_what_must_hold_holds_whenever_evidence_comes() -> None:
    assert runs(range(RUNS)) > RUNS / 3  # or it tests nothing


def _asks_for_what_tells_nothing(patch: pytest.MonkeyPatch) -> None:
    sending = State.sent

    def sent(self, key, resource, nonce):
        sending(self, key, resource, nonce)
        if key in self.cursor.pending:
            self.cursor.pending[key].telling = True

    patch.setattr(State, "sent", sent)


def _believes_any_version(patch: pytest.MonkeyPatch) -> None:
    taking = evidence.taken

    def taken(state, active, warming, report):
        channel = state.channels[evidence.CLUSTER]
        wanted = {}
        for name, nonce in channel.asked.items():
            flight = channel.flights.get(nonce)
            sent = flight.entries.get(name) if flight else None
            if name in active and sent is not None:
                wanted[name] = sent.version
        taking(state, dict(active) | wanted, warming, report)

    patch.setattr(evidence, "taken", taken)


def _does_not_mind_what_was_sent_since(patch: pytest.MonkeyPatch) -> None:
    taking = evidence.taken

    def taken(state, active, warming, report):
        channel = state.channels[evidence.CLUSTER]
        for name in channel.asked:
            pending = state.cursor.pending.get(evidence.Key(evidence.CLUSTER, name))
            if pending is not None and pending.nonce:
                channel.asked[name] = pending.nonce
        taking(state, active, warming, report)

    patch.setattr(evidence, "taken", taken)


@pytest.mark.parametrize(
    "mutate",
    [_asks_for_what_tells_nothing, _believes_any_version, _does_not_mind_what_was_sent_since],
)
def test_a_broken_rule_of_evidence_is_seen(mutate, monkeypatch) -> None:
    mutate(monkeypatch)
    with pytest.raises(Violation):
        runs(range(4 * RUNS))

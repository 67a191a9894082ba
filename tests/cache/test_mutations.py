"""Each invariant fails when its mechanism is broken: one at a time, and the machine sees it."""

import itertools
from dataclasses import replace

import pytest

from tests.cache.broken import Patch, sees
from tests.cache.client import Violation
from tests.cache.test_machine import Machine
from tests.cache.world import Tree, World
from xds.cache import SnapshotCache, answers, compose, gates
from xds.cache.channel import Channel
from xds.cache.compose import Composer
from xds.cache.cursor import Cursor, Pending
from xds.cache.gates import Step, Verdict
from xds.cache.rejections import culprits
from xds.cache.resource import Resource
from xds.cache.snapshot import Own
from xds.cache.state import State
from xds.cache.stream import NodeStream
from xds.cache.types import CLUSTER


def no_gates(patch):
    patch.setattr(gates, "blocked", lambda state, resource: None)


def removals_at_once(patch):
    patch.setattr(gates, "_removal", lambda *_, **__: Step(Verdict.SEND, None))


def no_endpoints_behind(patch):
    patch.setattr(Composer, "_endpoints_behind", lambda self, cluster: None)


def no_memory_of_rejections(patch):
    patch.setattr(State, "refused", lambda self, key: None)
    patch.setattr(gates, "RETRY_SECONDS", 0.0)


def newest_since(patch):
    absorb = Cursor.absorb

    def overwriting(self, snapshot):
        touched = absorb(self, snapshot)
        for key in touched:
            if key in self.pending:
                self.pending[key].since = snapshot.revision
        return touched

    patch.setattr(Cursor, "absorb", overwriting)


def nothing_held_at_reconnect(patch):
    opening = Cursor.open
    patch.setattr(Cursor, "open", lambda self, type_url, holds: opening(self, type_url, {}))


def a_nack_is_an_ack(patch):
    patch.setattr(
        answers,
        "refused",
        lambda *state, **_: answers.accepted(*state[:3], state[-1]),
    )


def all_are_guilty(patch):
    patch.setattr(answers, "culprits", lambda names, text: list(names))


def the_innocent_are_forgotten(patch):
    def forgetting(names, text):
        found = culprits(names, text)
        if found and isinstance(names, dict):
            for name in set(names) - set(found):
                del names[name]
        return found

    patch.setattr(answers, "culprits", forgetting)


def parts_of_refused_responses_are_forgotten(patch):
    leave = NodeStream.leave

    def forgetting(self):
        left = leave(self)
        certain = {key: states[:1] for key, states in left.states.items()}
        return type(left)(left.bases, certain, left.suspects)

    patch.setattr(NodeStream, "leave", forgetting)


def a_search_ends_with_its_stream(patch):
    patch.setattr(Channel, "apart", lambda self: ())


def no_window(patch):
    patch.setattr(Channel, "window", lambda self, now: 0.0)


def addresses_are_free(patch):
    patch.setattr(gates, "address_taken", lambda *_: None)
    patch.setattr(compose, "leaving_with", lambda *_: [])


def one_stuck_cluster_blocks_all(patch):
    def blocked(state, resource):
        if resource.key.type_url == CLUSTER:
            return None
        return next((key for key in state.cursor.pending if key.type_url == CLUSTER), None)

    patch.setattr(gates, "blocked", blocked)


def nothing_is_ever_settled(patch):
    patch.setattr(State, "settle", lambda self, key: False)


def any_nonce_will_do(patch):
    answer = NodeStream._answer

    def careless(self, channel, request, now):
        flights = channel.flights
        if flights:
            nonce = next(iter(flights))
            request = type(request)(request.type_url, nonce=nonce)
            answer(self, channel, request, now)

    patch.setattr(NodeStream, "_answer", careless)


def what_is_sent_is_held(patch):
    sent = State.sent

    def trusting(self, key, resource, nonce):
        sent(self, key, resource, nonce)
        if key in self.cursor.pending:
            self.learn(key, (resource,))

    patch.setattr(State, "sent", trusting)


def members_at_once(patch):
    """A serving cluster is emptied, for every changed cluster counts as unused."""
    patch.setattr(compose, "surely_unused", lambda state, cluster: True)


def underway_is_forgotten(patch):
    patch.setattr(Pending, "underway", lambda self, wanted: False)


def what_unsubscribed_counts_as_held(patch):
    patch.setattr(gates, "cluster_missing", lambda state, cluster: None)


def versions_of_their_own(patch):
    """Invariant 9: the same content gets another version each time it is made."""
    made = itertools.count()
    packed = Resource.packed.__func__

    def salted(cls, key, body, *more):
        resource = packed(cls, key, body, *more)
        return replace(resource, version=f"{resource.version}-{next(made)}")

    patch.setattr(Resource, "packed", classmethod(salted))


def an_old_snapshot_is_served(patch):
    """Invariant 11: what a stream works towards falls behind what it was given before."""
    absorb = Cursor.absorb

    def backwards(self, snapshot):
        touched = absorb(self, snapshot)
        if snapshot.revision % 3 == 0:
            self.base = snapshot.with_changes(snapshot.revision - 2, {})
        return touched

    patch.setattr(Cursor, "absorb", backwards)


def listeners_wait_for_no_limit(patch):
    patch.setattr(gates, "runtime_unsent", lambda state: None)


def a_variant_is_as_old_as_its_base(patch):
    """What changed in a variant alone, and the stream has not seen, counts as confirmed."""
    patch.setattr(SnapshotCache, "changed_later", lambda self, stream, seen: {})


def a_variant_changes_when_its_base_does(patch):
    """A variant's change belongs to the newest revision, not to that of its cause."""
    after = Own.after

    def newest(self, old):
        changed = after(self, old)
        return changed and dict.fromkeys(changed, max(at for _, at, _ in self.log) + 1)

    patch.setattr(Own, "after", newest)


def nothing_is_buried(patch):
    patch.setattr(SnapshotCache, "bury", lambda *_: None)


def what_cannot_be_given_is_left_in_doubt(patch):
    patch.setattr(gates, "_made_sure", lambda *_: None)


MUTATIONS: list[tuple[Patch, str]] = [
    (no_gates, r"needs \{|before its limit|\(3, 7\)"),
    (what_unsubscribed_counts_as_held, r"needs \{"),
    (removals_at_once, r"needs \{|\(1\)"),
    (what_is_sent_is_held, r"\(1\)|needs \{|\(3|\(8\)|\(2\)"),
    (newest_since, r"\(1\)"),
    (a_nack_is_an_ack, r"\(1\)|\(3|needs \{"),
    (any_nonce_will_do, r"\(1\)|needs \{|\(3"),
    (no_endpoints_behind, r"\(3\)|\(3, 7\)|\(8\)"),
    (nothing_is_ever_settled, r"\(3\)|\(12\)"),
    (one_stuck_cluster_blocks_all, r"\(3, 7\)|duplicate address"),
    (members_at_once, r"emptied|\(3\)"),
    (no_memory_of_rejections, r"\(3\)|\(6\)|breaks a constraint"),
    (all_are_guilty, r"\(3, 7\)|\(3\)|duplicate address"),
    (the_innocent_are_forgotten, r"\(3, 7\)|\(3\)|\(8\)"),
    (nothing_held_at_reconnect, r"\(10\)|\(8\)|emptied"),
    (no_window, r"\(12\)"),
    (versions_of_their_own, r"\(10\)|\(1\)|\(3"),
    (an_old_snapshot_is_served, r"\(11\)"),
    (a_variant_changes_when_its_base_does, r"has not the limits of \d+ \(1\)"),
    (underway_is_forgotten, r"\(12\)|\(3\)|\(10\)|\(6\)"),
]


def applied_in_part_then_deleted(world):
    """Fact c4: a cluster applied from a refused response is deleted while the node is away."""
    world.join(delta=True)
    node = world.nodes[0]
    bad = Tree(1, 101)
    world.change({0: Tree(0, 100), 1: bad}, {f"*/{bad.resources()['cluster'].version}": "named"})
    world.connect(node)
    world.turn(node)
    while not node.envoy.applied_in_part:
        assert world.deliver(node) or world.take(node)
    world.disconnect(node)
    world.change({1: bad})


def applied_in_part_deleted_and_restarted(world):
    applied_in_part_then_deleted(world)
    world.restart()


def renamed_and_exchanged(world):
    world.join(delta=True)
    first, second = Tree(0, 100, tcp=True), Tree(1, 101, tcp=True)
    world.change({0: first, 1: second})
    world.settle()
    world.change({0: replace(first, rename=1), 1: second})
    world.settle()
    world.change({0: replace(first, rename=1, port=101), 1: replace(second, port=100)})


def limits_that_change_alone(world):
    world.join(delta=True, limited=True)
    world.connect(world.nodes[0])
    world.change({0: Tree(0, 100, tcp=True)})
    world.settle()
    world.limit_anew(world.nodes[0], world.revision)


def a_listener_while_limits_are_in_flight(world):
    world.join(delta=True, limited=True)
    pool = Tree(0, 100, tcp=True, bare=True)
    world.change({0: pool, 1: Tree(1, 101)})
    world.settle()
    world.limit_anew(world.nodes[0], world.revision)
    world.change({0: replace(pool, bare=False), 1: Tree(1, 101)})


def cut_off_in_a_search(world):
    world.join(delta=True)
    node = world.nodes[0]
    world.connect(node)
    trees = {index: Tree(index, 100 + index, bare=True) for index in range(4)}
    bad = trees[1].resources()["cluster"]
    world.change(trees, {f"*/{bad.version}": "unnamed"})
    for _ in range(6):
        before = world.refusals[node.envoy.name, bad.key, bad.version]
        for _ in range(20):
            if world.refusals[node.envoy.name, bad.key, bad.version] > before:
                break
            world.take(node)
            world.deliver(node)
        world.disconnect(node)
        world.connect(node)
        world.turn(node)


SCENARIOS = [
    (cut_off_in_a_search, a_search_ends_with_its_stream, r"refused \d+ times \(6\)"),
    (applied_in_part_then_deleted, parts_of_refused_responses_are_forgotten, r"\(8\)"),
    (applied_in_part_deleted_and_restarted, nothing_is_buried, r"\(8\)"),
    (applied_in_part_deleted_and_restarted, what_cannot_be_given_is_left_in_doubt, r"\(8\)"),
    (a_listener_while_limits_are_in_flight, listeners_wait_for_no_limit, r"before its limit"),
    (limits_that_change_alone, a_variant_is_as_old_as_its_base, r"has not the limits of \d+ \(1\)"),
    (renamed_and_exchanged, addresses_are_free, r"duplicate address"),
]


@pytest.mark.parametrize(("scenario", "mutate", "words"), SCENARIOS)
def test_a_broken_mechanism_is_seen_in_its_scenario(scenario, mutate, words, monkeypatch):
    def run():
        world = World()
        scenario(world)
        world.settle()
        world.check()
        world.check_settled()

    run()
    mutate(monkeypatch)
    with pytest.raises(Violation, match=words):
        run()


@pytest.mark.parametrize(
    ("mutate", "words"), MUTATIONS, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_broken_mechanism_is_seen(mutate, words, monkeypatch):
    mutate(monkeypatch)
    sees(Machine, words)

"""What holds with a canary fails when its mechanism is broken, and the machine sees it."""

import pytest

from tests.cache.broken import Patch, sees
from tests.cache.test_canary_machine import CanaryMachine
from xds.cache import RUNTIME, SnapshotCache
from xds.cache.canary import Canary
from xds.cache.snapshot import Snapshot


def nothing_has_to_be_confirmed(patch):
    patch.setattr(Canary, "confirmed", lambda self, key: True)


def what_is_held_back_counts_as_there(patch):
    patch.setattr(SnapshotCache, "held_back", lambda self, stream, key: None)


def nothing_needs_anything(patch):
    patch.setattr(Canary, "_ties", lambda self, base, key: iter(()))


def what_is_promoted_is_new(patch):
    """A promoted change belongs to the newest revision, not to that of its cause."""
    promoted = Snapshot.with_turn

    def newest(self, turn, changes, since):
        return promoted(self, turn, changes, dict.fromkeys(since, self.revision))

    patch.setattr(Snapshot, "with_turn", newest)


def all_or_nothing(patch):
    """One tenant's stuck change holds back all."""
    ready = Canary.ready

    def whole(self, base, keys):
        found = ready(self, base, self.held)
        return found if len(found) == len(self.held) else frozenset()

    patch.setattr(Canary, "ready", whole)


def what_the_canary_says_is_not_heard(patch):
    patch.setattr(SnapshotCache, "reported", lambda self, stream, keys=None: None)


def the_rest_stays_at_its_revision(patch):
    patch.setattr(Snapshot, "at", lambda self, revision: self)


def what_is_promoted_counts_as_there(patch):
    """Until its stream has run: then it knows."""
    later = SnapshotCache.changed_later

    def unseen(self, stream, seen):
        found = later(self, stream, seen)
        return found and {key: at for key, at in found.items() if key.type_url == RUNTIME}

    patch.setattr(SnapshotCache, "changed_later", unseen)


MUTATIONS: list[tuple[Patch, str]] = [
    (nothing_has_to_be_confirmed, r"untried \(canary\)"),
    (what_is_held_back_counts_as_there, r"\(1\)"),
    (nothing_needs_anything, r"\(3\)|needs \{|duplicate address"),
    (what_is_promoted_is_new, r"\(1\)"),
    (all_or_nothing, r"\(3\)|\(4\)"),
    (what_the_canary_says_is_not_heard, r"held back for ever \(3\)"),
    (the_rest_stays_at_its_revision, r"\(3\)|\(11\)"),
    (what_is_promoted_counts_as_there, r"\(1\)"),
]


@pytest.mark.parametrize(
    ("mutate", "words"), MUTATIONS, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_broken_mechanism_is_seen(mutate, words, monkeypatch):
    mutate(monkeypatch)
    sees(CanaryMachine, words)

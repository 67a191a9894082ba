"""Removals that nobody asked for, in a fleet in which a canary is given every change first."""

import pytest

from tests.cache.peer import FLEET, tree
from tests.cache.test_canary import TYPES, Fleet
from tests.cache.test_guard import MANY, listed, trees
from xds.cache import (
    CLUSTER,
    LISTENER,
    Key,
    NodeInfo,
    NodeStream,
    RemovalGuard,
    Request,
    Resource,
    SnapshotCache,
)

VIP = Key(LISTENER, "t0-vip")
POOL = Key(CLUSTER, "t0")


class Guarded(Fleet):
    """The canary is `a`; what is removed, nobody has asked for."""

    def __init__(self, *nodes: str, load: tuple[Resource, ...], canary: str | None = "a"):
        super().__init__(*nodes, load=(), canary=canary, cache=SnapshotCache(guard=RemovalGuard()))
        self.change(*load)
        self.settle()

    def lose(self, resources: list[Resource]) -> None:
        self.revision += 1
        gone = {one.key: None for one in resources}
        self.cache.advance(FLEET, self.revision, gone, explained=())

    def allow(self) -> frozenset[Key]:
        self.revision += 1
        return self.cache.allow_removals(FLEET, self.revision)

    def confirmed(self, node: str, key: Key = VIP) -> bool:
        return self.streams[node].confirmed(key, self.revision)


@pytest.fixture
def fleet() -> Guarded:
    return Guarded("a", "b", load=tuple(trees()))


def test_what_is_withheld_is_not_tried_by_the_canary_and_held_back_from_nobody(fleet):
    fleet.lose(trees())
    assert fleet.talk("a") == fleet.talk("b") == []
    assert fleet.held() == set()
    assert len(fleet.cache.withheld(FLEET)) == MANY
    assert all(fleet.streams[node].in_step(fleet.revision) for node in ("a", "b"))


def test_what_is_let_go_leaves_the_canary_first_and_then_the_rest(fleet):
    fleet.lose(trees())
    assert len(fleet.allow()) == 4 * MANY
    assert fleet.talk("b") == []
    assert not fleet.confirmed("b")
    gone = fleet.talk("a")
    assert gone.index("-t0-vip") < gone.index("-t0")
    assert fleet.confirmed("a")
    assert not fleet.confirmed("b")
    gone = fleet.talk("b")
    assert gone.index("-t0-vip") < gone.index("-t0")
    assert fleet.confirmed("b")
    assert fleet.confirmed("b", POOL)
    assert fleet.held() == set()


def test_a_mute_canary_keeps_what_was_let_go_on_the_rest_until_it_is_switched_off(fleet):
    fleet.lose(trees())
    fleet.allow()
    assert fleet.talk("a", mute=LISTENER)
    assert fleet.talk("b") == []
    fleet.cache.canary(FLEET, None)
    assert "-t0-vip" in fleet.talk("b")
    assert fleet.version("b", VIP) is None


def test_a_canary_that_is_appointed_meanwhile_is_the_first_to_lose_it():
    fleet = Guarded("a", "b", load=tuple(trees()), canary=None)
    fleet.lose(trees())
    fleet.cache.canary(FLEET, "b")
    fleet.settle()
    assert fleet.version("a", VIP) == fleet.version("b", VIP) is not None
    fleet.allow()
    assert fleet.talk("a") == []
    assert "-t0-vip" in fleet.talk("b")
    assert "-t0-vip" in fleet.talk("a")


def test_rows_that_come_back_after_the_word_are_held_back_no_more_than_any_change(fleet):
    fleet.lose(trees())
    fleet.allow()
    fleet.change(*trees())  # the canary has not even heard
    assert fleet.held() == set()
    assert fleet.talk("a") == fleet.talk("b") == []


def test_what_only_the_canary_was_given_is_withheld_there_and_goes_without_the_rest(fleet):
    new = tree("new", 9000)
    fleet.change(*new)
    assert "new-vip" in fleet.talk("a", mute=LISTENER)
    fleet.lose([*trees(), *new])
    assert Key(LISTENER, "new-vip") in fleet.cache.withheld(FLEET)
    fleet.allow()
    fleet.streams["a"] = fleet.connect("a")  # with nothing that it says it holds
    fleet.settle()
    fleet.now += 10.0  # by now it has asked for all that it may ask for
    fleet.settle()
    assert fleet.version("a", Key(LISTENER, "new-vip")) is None
    assert fleet.version("b", Key(LISTENER, "new-vip")) is None
    assert fleet.held() == set()


def test_a_new_vip_waits_for_an_address_that_is_withheld_and_holds_up_nobody_else(fleet):
    fleet.lose(trees())
    heir = tree("heir", 8000)
    fleet.change(*heir, *tree("web", 9000))
    fleet.settle()
    assert fleet.version("b", Key(LISTENER, "web-vip")) is not None
    assert fleet.version("a", Key(LISTENER, "heir-vip")) is None
    assert "heir-vip" in fleet.held()
    fleet.allow()
    sent = fleet.talk("a")
    assert "heir-vip" in sent
    assert "heir-vip" in fleet.talk("b")
    assert fleet.held() == set()
    assert fleet.version("b", VIP) is None


def back(fleet: Fleet, node: str, held: list[Resource]) -> NodeStream:
    """A node of another process comes with what it holds."""
    stream = fleet.cache.connect(
        fleet=FLEET, node=NodeInfo(node), delta=True, now=fleet.now, variant=node
    )
    for type_url in TYPES:
        versions = listed(type_url, held)
        request = Request(type_url, subscribe=("*",), initial_versions=versions)
        stream.receive(request, fleet.now)
    return stream


@pytest.mark.parametrize("first", ["a", "b"])
def test_strays_stay_on_every_node_and_leave_each_when_they_may(first):
    """They are in no snapshot, so no canary can try their removal before the others."""
    fleet = Guarded(load=())
    for node in sorted("ab", reverse=first == "b"):
        fleet.streams[node] = back(fleet, node, trees())
        assert fleet.talk(node) == []
    fleet.now += 10.0
    assert fleet.talk("a") == fleet.talk("b") == []
    assert len(fleet.cache.withheld(FLEET)) == MANY
    fleet.allow()
    for node in ("b", "a"):
        gone = fleet.talk(node)
        assert gone.index("-t0-vip") < gone.index("-t0")

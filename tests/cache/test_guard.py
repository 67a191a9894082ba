"""Removals that nobody asked for: when they are withheld, what stays, and what goes on."""

import pytest

from tests.cache.peer import FLEET, Peer, names, tree
from xds.cache import CLUSTER, ENDPOINT, LISTENER, ROUTE, Key, RemovalGuard, Resource, SnapshotCache

MANY = 30


@pytest.mark.parametrize(
    ("unexplained", "of", "held"),
    [
        (20, 20, False),  # few, even if that is all
        (21, 21, True),
        (21, 70, False),  # 30 % exactly
        (22, 70, True),
        (300, 1000, False),
        (301, 1000, True),
        (0, 0, False),
    ],
)
def test_more_than_twenty_and_more_than_three_tenths_are_too_many(unexplained, of, held):
    assert RemovalGuard().holds(unexplained, of=of) is held


def trees(count: int = MANY) -> list[Resource]:
    return [one for number in range(count) for one in tree(f"t{number}", 8000 + number)]


class Fleet:
    """A cache with a guard, and what it said."""

    def __init__(self, resources: list[Resource]) -> None:
        self.cache = SnapshotCache(guard=RemovalGuard())
        self.told: list[str] = []
        self.cache.on_withheld = self.told.append
        self.revision = 0
        self.advance({one.key: one for one in resources})

    def advance(self, changes, explained=()):
        self.revision += 1
        self.cache.advance(FLEET, self.revision, changes, explained=explained)

    def remove(self, resources, explained=()):
        self.advance({one.key: None for one in resources}, explained)

    def names(self, type_url: str) -> set[str]:
        return set(self.cache.snapshot(FLEET).of_type(type_url))


def test_withheld_listeners_keep_all_that_they_need():
    everything = trees()
    fleet = Fleet(everything)
    fleet.remove(everything)
    assert len(fleet.cache.withheld(FLEET)) == MANY
    assert fleet.told == [FLEET]
    for one in everything:
        assert fleet.cache.snapshot(FLEET).get(one.key) is one


def test_what_they_need_stays_though_it_vanishes_later():
    everything = trees()
    fleet = Fleet(everything)
    fleet.remove([one for one in everything if one.key.type_url == LISTENER])
    fleet.remove([one for one in everything if one.key.type_url != LISTENER])
    for type_url in (CLUSTER, ENDPOINT, ROUTE):
        assert len(fleet.names(type_url)) == MANY


def test_what_somebody_asked_for_goes_and_all_else_goes_on():
    everything = trees()
    fleet = Fleet(everything)
    asked = {Key(LISTENER, "t0-vip")}
    new = {one.key: one for one in tree("new", 9000)}
    changed = tree("t1", 8001, tag=1)[0]
    gone = {one.key: None for one in everything if one.key.type_url == LISTENER}
    fleet.advance({**gone, **new, changed.key: changed}, asked)
    assert len(fleet.cache.withheld(FLEET)) == MANY - 1
    assert "t0-vip" not in fleet.names(LISTENER)
    assert "new-vip" in fleet.names(LISTENER)
    assert fleet.cache.snapshot(FLEET).get(changed.key) is changed


def test_asked_for_by_its_tenants_everything_goes():
    everything = trees()
    fleet = Fleet(everything)
    fleet.remove(everything, {one.key for one in everything})
    assert not fleet.told
    assert not fleet.names(LISTENER)
    assert not fleet.names(CLUSTER)


def test_what_comes_back_is_wanted_again_and_may_go_when_asked():
    everything = trees()
    fleet = Fleet(everything)
    fleet.remove(everything)
    fleet.advance({one.key: one for one in everything})
    assert not fleet.cache.withheld(FLEET)
    fleet.remove(everything, {one.key for one in everything})
    assert not fleet.names(LISTENER)


def test_rows_that_vanish_one_by_one_are_added_up():
    everything = trees()
    fleet = Fleet(everything)
    listeners = [one for one in everything if one.key.type_url == LISTENER]
    for one in listeners:
        fleet.remove([one])
    assert len(fleet.names(LISTENER)) == MANY - 20
    assert len(fleet.cache.withheld(FLEET)) == MANY - 20


def test_an_operators_word_is_for_what_is_withheld_now():
    everything = trees()
    fleet = Fleet(everything)
    fleet.remove(everything)
    released = fleet.cache.allow_removals(FLEET)
    fleet.revision += 1
    assert released == {one.key for one in everything}
    for type_url, buried in ((CLUSTER, MANY), (LISTENER, MANY), (ROUTE, 0), (ENDPOINT, 0)):
        assert len(fleet.cache.buried(FLEET, type_url)) == buried
    assert not fleet.cache.withheld(FLEET)
    assert not fleet.names(LISTENER)
    again = [one for number in range(MANY) for one in tree(f"u{number}", 9000 + number)]
    fleet.advance({one.key: one for one in again})
    fleet.remove(again)
    assert len(fleet.cache.withheld(FLEET)) == MANY


def test_without_a_guard_nothing_is_withheld_and_with_one_publish_is_guarded():
    everything = [one.key for one in trees()]
    for guard, left in ((None, 0), (RemovalGuard(), MANY)):
        cache = SnapshotCache(guard=guard)
        cache.advance(FLEET, 1, {one.key: one for one in trees()})
        cache.publish(FLEET, [])
        assert len(cache.snapshot(FLEET).of_type(LISTENER)) == left
        assert len(cache.withheld(FLEET)) == left
        if guard is not None:
            assert cache.allow_removals(FLEET) == set(everything)
            assert not cache.snapshot(FLEET).of_type(LISTENER)


def guarded(*resources: Resource) -> Peer:
    """A new process that knows `resources` alone; its client is still to say what it holds."""
    peer = Peer(load=False)
    peer.cache = SnapshotCache(peer, guard=RemovalGuard())
    peer.revision = 1
    peer.cache.advance(FLEET, 1, {one.key: one for one in resources})
    peer.connect()
    return peer


def listed(type_url: str, resources: list[Resource]) -> dict[str, str]:
    return {one.key.name: one.version for one in resources if one.key.type_url == type_url}


def returns(peer: Peer, held: list[Resource]):
    """A client comes back with what it holds; gives what it is sent, by type."""
    sent = []
    for type_url in (CLUSTER, LISTENER):
        sent += peer.ask(type_url, initial_versions=listed(type_url, held))
    endpoint_names = tuple(listed(ENDPOINT, held))
    sent += peer.ask(ENDPOINT, subscribe=endpoint_names, initial_versions=listed(ENDPOINT, held))
    return sent


def test_a_store_that_came_up_empty_takes_nothing_from_a_client_that_is_back():
    held = trees()
    peer = guarded()
    sent = returns(peer, held)
    sent += [one for response in sent for one in peer.ack(response)]
    sent += peer.after(10.0)
    assert not any(set(response.removed) & listed(LISTENER, held).keys() for response in sent)
    assert not any(set(response.removed) & listed(CLUSTER, held).keys() for response in sent)
    assert len(peer.cache.withheld(FLEET)) == MANY
    assert peer.stream.in_step(peer.revision)  # it counts all the same
    assert "operator" in peer.stream.waiting(Key(LISTENER, "t0-vip"), peer.now)


def test_additions_reach_it_meanwhile():
    peer = guarded()
    for response in returns(peer, trees()):
        peer.ack(response)
    (clusters,) = peer.set(*tree("new", 9000))
    assert names(clusters) == ["new"]
    sent = peer.ask(ENDPOINT, subscribe=("new",))
    sent += peer.ack(clusters)
    todo = sent
    while todo:
        sent += (todo := [one for response in todo for one in peer.ack(response)])
    assert "new-vip" in {name for response in sent for name in names(response)}


def test_an_operators_word_removes_listeners_first_and_then_what_they_needed():
    held = trees()
    peer = guarded()
    for response in returns(peer, held):
        peer.ack(response)
    peer.after(10.0)
    peer.cache.allow_removals(FLEET)
    (listeners,) = peer.stream.run(peer.now)
    assert set(listeners.removed) == listed(LISTENER, held).keys()
    (clusters,) = (one for one in peer.ack(listeners) if one.type_url == CLUSTER)
    assert set(clusters.removed) == listed(CLUSTER, held).keys()
    assert not peer.cache.withheld(FLEET)


def test_another_client_with_the_same_is_given_the_same_word():
    held = trees()
    peer = guarded()
    for response in returns(peer, held):
        peer.ack(response)
    peer.cache.allow_removals(FLEET)
    peer.reconnect()  # to the cache it is the client that was withheld from; this is a new one
    peer.cache.disconnect(peer.stream)
    peer.cache._departed._left.clear()
    peer.connect()
    sent = returns(peer, held)
    assert not peer.cache.withheld(FLEET)
    gone = {name for response in sent for name in response.removed}
    assert listed(LISTENER, held).keys() <= gone


def test_a_reconnect_of_a_client_that_is_withheld_from_takes_nothing_either():
    held = trees()
    peer = guarded()
    for response in returns(peer, held):
        peer.ack(response)
    peer.reconnect()
    sent = returns(peer, held) + peer.after(10.0)
    assert not any(set(one.removed) & listed(LISTENER, held).keys() for one in sent)


def test_the_right_store_comes_back_and_nothing_is_withheld():
    held = trees()
    peer = guarded()
    for response in returns(peer, held):
        peer.ack(response)
    peer.set(*held)
    assert not peer.cache.withheld(FLEET)
    assert peer.stream.confirmed(Key(LISTENER, "t0-vip"), peer.revision)


def test_what_was_buried_is_explained():
    held = trees()
    peer = guarded()
    peer.cache.bury(FLEET, [one.key for one in held])
    sent = returns(peer, held)
    assert not peer.cache.withheld(FLEET)
    gone = {name for response in sent for name in response.removed}
    assert listed(LISTENER, held).keys() <= gone

"""Names of which a client may hold something that it does not say: after a restart, fact c4."""

import pytest

from tests.cache.messages import http_listener
from tests.cache.peer import FLEET, Peer, names, tree
from xds.cache import CLUSTER, LISTENER, ROUTE, Key, RejectedVersion, SnapshotCache

WEB = tree("web")
OLD = [one.key for one in tree("old", 8001) if one.key.type_url in (CLUSTER, LISTENER)]


def restarted(*, delta: bool = True) -> Peer:
    """A new process that wants `web`, and was told that `old` may be anywhere."""
    peer = Peer(delta=delta, load=False)
    peer.cache = SnapshotCache(peer)
    peer.revision = 1
    peer.cache.advance(FLEET, 1, {one.key: one for one in WEB})
    peer.cache.bury(FLEET, OLD)
    peer.connect()
    return peer


def listed(type_url: str) -> dict[str, str]:
    return {one.key.name: one.version for one in WEB if one.key.type_url == type_url}


def test_a_client_that_does_not_list_them_is_told_that_they_are_gone_listeners_first():
    peer = restarted()
    (clusters,) = peer.ask(CLUSTER, initial_versions=listed(CLUSTER))
    (listeners,) = peer.ask(LISTENER, initial_versions=listed(LISTENER))
    assert (names(clusters), clusters.removed) == ([], ())
    assert (names(listeners), listeners.removed) == ([], ("old-vip",))
    assert not peer.stream.confirmed(Key(LISTENER, "old-vip"), 1)
    peer.ack(clusters)
    assert peer.ack(listeners) == []
    (later,) = peer.after(6.0)  # it may still ask for routes that name a cluster
    assert (later.type_url, later.removed) == (CLUSTER, ("old",))
    assert peer.stream.confirmed(Key(LISTENER, "old-vip"), 1)
    assert not peer.stream.confirmed(Key(CLUSTER, "old"), 1)
    peer.ack(later)
    assert peer.stream.confirmed(Key(CLUSTER, "old"), 1)


def test_nobody_is_rid_of_them_who_has_not_said_what_it_holds():
    """What Envoy asks for first, its runtime, it has no older version of: that says nothing."""
    peer = restarted()
    peer.ask("type.googleapis.com/envoy.service.runtime.v3.Runtime", subscribe=("layer",))
    assert not peer.stream.confirmed(Key(LISTENER, "old-vip"), 1)


def test_what_is_listed_as_wanted_is_sent_again_all_the_same():
    """It lists what it accepted last, and may run what it refused in part."""
    peer = restarted()
    peer.cache.bury(FLEET, [Key(CLUSTER, "web")])
    (clusters,) = peer.ask(CLUSTER, initial_versions=listed(CLUSTER))
    assert names(clusters) == ["web"]
    peer.ack(clusters)
    assert peer.stream.confirmed(Key(CLUSTER, "web"), 1)


def test_what_this_process_knows_of_a_client_it_need_not_be_told():
    peer = restarted()
    for type_url in (CLUSTER, LISTENER):
        for response in peer.ask(type_url, initial_versions=listed(type_url)):
            for more in peer.ack(response):
                peer.ack(more)
    peer.reconnect()
    for type_url in (CLUSTER, LISTENER):
        (response,) = peer.ask(type_url, initial_versions=listed(type_url))
        assert (names(response), response.removed) == ([], ())


def test_what_everybody_passed_is_buried_no_longer():
    peer = restarted()
    peer.cache.unbury(FLEET, OLD)
    peer.cache.unbury("no such fleet", OLD)
    (listeners,) = peer.ask(LISTENER, initial_versions=listed(LISTENER))
    assert listeners.removed == ()


@pytest.mark.parametrize("type_url", [CLUSTER, LISTENER])
def test_in_state_of_the_world_the_full_set_is_sent_though_its_version_is_known(type_url):
    """It was accepted last; what was refused since may have been applied in part."""
    peer = restarted(delta=False)
    version = peer.cache.snapshot(FLEET).version(type_url)
    sent = peer.ask(type_url, version_info=version)
    assert [names(one) for one in sent] == [list(listed(type_url))]
    assert peer.ack(sent[0]) == []
    peer.cache.unbury(FLEET, OLD)
    peer.reconnect()
    assert peer.ask(type_url, version_info=version) == []


def test_a_new_listener_does_not_wait_for_a_listener_that_leaves_with_it():
    """What holds the address is known, though it may run another version of it."""
    peer = restarted()
    peer.cache.unbury(FLEET, OLD)
    peer.cache.bury(FLEET, [Key(LISTENER, "web-vip")])
    held = next(one for one in WEB if one.key.type_url == LISTENER)
    peer.set(http_listener("heir", 8000, "web-vip"), gone=(held,))
    peer.ask(CLUSTER, initial_versions=listed(CLUSTER))
    (listeners,) = peer.ask(LISTENER, initial_versions=listed(LISTENER))
    assert (names(listeners), listeners.removed) == (["heir"], ("web-vip",))


def test_a_listener_that_may_be_there_takes_its_address_with_who_leaves_it():
    """It is buried itself: it may be new to the node, and the address be another one's there.

    Meanwhile a new listener waits for its cluster, so the others' removal is put off for it.
    """
    peer = restarted()
    peer.cache.bury(FLEET, [Key(LISTENER, "web-vip")])
    peer.set(*tree("late", 8002))
    (clusters, *_) = peer.ask(CLUSTER, initial_versions=listed(CLUSTER))
    assert names(clusters) == ["late"]
    (listeners,) = peer.ask(LISTENER, initial_versions={"predecessor": "of another process"})
    assert (names(listeners), set(listeners.removed)) == (["web-vip"], {"predecessor", "old-vip"})


@pytest.mark.parametrize("refused", [CLUSTER, LISTENER])
def test_what_cannot_be_given_and_is_not_listed_is_removed_and_holds_up_no_other_tenant(refused):
    """A listener that waits for a refused cluster, or is refused itself, may need any cluster."""
    peer = restarted()
    peer.cache.bury(FLEET, [one.key for one in WEB if one.key.type_url in (CLUSTER, LISTENER)])
    bad = next(one for one in WEB if one.key.type_url == refused)
    peer.cache.restore_rejection(FLEET, "n1", RejectedVersion(bad.key, bad.version, "bad"))
    sent = peer.ask(CLUSTER) + peer.ask(LISTENER)
    assert "web-vip" not in {name for response in sent for name in names(response)}
    (listeners,) = (response for response in sent if response.type_url == LISTENER)
    for response in sent:
        sent += peer.ack(response)
    sent += peer.after(6.0)
    assert "old" in {name for response in sent for name in response.removed}
    gone = {name for response in sent if response.type_url == LISTENER for name in response.removed}
    assert gone == {"old-vip", "web-vip"}
    assert listeners.removed


def test_what_is_listed_stays_and_keeps_what_it_may_need_though_it_cannot_be_replaced():
    peer = restarted()
    bad = WEB[0]
    peer.cache.restore_rejection(FLEET, "n1", RejectedVersion(bad.key, bad.version, "bad"))
    sent = peer.ask(CLUSTER) + peer.ask(LISTENER, initial_versions={"web-vip": "of long ago"})
    for response in sent:
        sent += peer.ack(response)
    sent += peer.after(6.0)
    gone = {name for response in sent for name in response.removed}
    assert gone == {"old-vip"}


def test_a_refused_route_of_which_nothing_good_is_known_keeps_no_cluster():
    """Envoy ignores the removal of a route, so it cannot be made sure that it is not there."""
    peer = restarted()
    bad = next(one for one in WEB if one.key.type_url == ROUTE)
    peer.cache.bury(FLEET, [bad.key])
    peer.cache.restore_rejection(FLEET, "n1", RejectedVersion(bad.key, bad.version, "bad"))
    sent = [
        *peer.ask(CLUSTER, initial_versions=listed(CLUSTER)),
        *peer.ask(LISTENER, initial_versions=listed(LISTENER)),
        *peer.ask(ROUTE, subscribe=("web-vip",)),
    ]
    for response in sent:
        sent += peer.ack(response)
    sent += peer.after(6.0)
    assert {name for response in sent for name in response.removed} >= {"old-vip", "old"}

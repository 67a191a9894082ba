"""Delta subscriptions, named by the number of the xDS rule that each shows."""

import pytest

from tests.cache.messages import cluster, endpoints, route, tcp_listener
from tests.cache.peer import Peer, names, tree
from xds.cache import CLUSTER, ENDPOINT, LISTENER, ROUTE, RUNTIME, SECRET, Key


def test_before_the_first_snapshot_nothing_is_answered_and_then_all_is():
    peer = Peer(load=False)
    assert peer.ask(CLUSTER) == []
    assert [names(one) for one in peer.set(cluster("a"))] == [["a"]]


def test_rule_5_types_have_their_own_nonces_and_subscriptions():
    peer = Peer()
    peer.set(cluster("a"), tcp_listener("l", 1, "bootstrap"))
    (clusters,) = peer.ask(CLUSTER)
    (listeners,) = peer.ask(LISTENER)
    assert (names(clusters), names(listeners)) == (["a"], ["l"])
    peer.ask(LISTENER, nonce=clusters.nonce)
    assert not peer.stream.confirmed(Key(CLUSTER, "a"), 1)
    assert not peer.stream.confirmed(Key(LISTENER, "l"), 1)


def test_rule_6_an_unknown_type_is_answered_and_breaks_nothing():
    peer = Peer()
    peer.set(cluster("a"))
    (unknown,) = peer.ask("type.googleapis.com/nobody.knows.It", subscribe=("x",))
    assert (unknown.resources, unknown.removed) == ((), ("x",))
    assert len(peer.ask(CLUSTER)) == 1


def test_rule_10_nonces_are_unique_on_the_stream():
    peer = Peer()
    (one,) = peer.ask(CLUSTER)
    (other,) = peer.ask(LISTENER)
    assert one.nonce != other.nonce


def test_rule_13_an_ack_is_not_answered():
    peer = Peer()
    peer.set(cluster("a"))
    (response,) = peer.ask(CLUSTER)
    assert peer.ack(response) == []
    assert peer.stream.confirmed(Key(CLUSTER, "a"), 1)


def test_rule_20_a_stale_nonce_does_not_lose_a_subscription():
    peer = Peer()
    peer.set(cluster("a"), endpoints("a", 1), cluster("b"), endpoints("b", 1))
    peer.ask(CLUSTER)
    peer.ask(ENDPOINT, subscribe=("a",))
    (response,) = peer.ask(ENDPOINT, nonce="no such nonce", subscribe=("b",))
    assert names(response) == ["b"]


def test_rule_21_a_spontaneous_request_is_no_ack():
    peer = Peer()
    peer.set(cluster("a"))
    peer.ask(CLUSTER)
    peer.ask(CLUSTER, subscribe=("b",))
    assert not peer.stream.confirmed(Key(CLUSTER, "a"), 1)


def test_rule_22_what_was_refused_is_not_known_and_comes_again_after_a_reconnect():
    peer = Peer()
    peer.set(cluster("bad"), cluster("good"))
    (response,) = peer.ask(CLUSTER)
    peer.nack(response, "Error adding cluster bad: no")
    peer.reconnect()
    (response,) = peer.ask(CLUSTER)
    assert names(response) == ["good"]


def test_rule_23_answers_are_told_apart_by_nonce():
    peer = Peer()
    peer.set(cluster("a"))
    (first,) = peer.ask(CLUSTER)
    assert peer.set(cluster("b")) == []
    (second,) = peer.after(0.25)
    peer.ack(second)
    assert peer.stream.confirmed(Key(CLUSTER, "b"), 2)
    assert not peer.stream.confirmed(Key(CLUSTER, "a"), 1)
    peer.ack(first)
    assert peer.stream.confirmed(Key(CLUSTER, "a"), 1)


@pytest.mark.parametrize("type_url", [CLUSTER, LISTENER])
def test_rule_25_nothing_subscribed_at_first_is_everything(type_url):
    peer = Peer()
    peer.set(cluster("a"), tcp_listener("a", 1, "bootstrap"))
    (response,) = peer.ask(type_url)
    assert names(response) == ["a"]


def test_rule_26_a_star_is_everything():
    peer = Peer()
    peer.set(cluster("a"))
    (response,) = peer.ask(CLUSTER, subscribe=("*",))
    assert names(response) == ["a"]


def test_rule_29_the_legacy_wildcard_survives_a_name_and_ends_by_its_own_word():
    peer = Peer()
    (empty,) = peer.ask(CLUSTER)
    peer.ack(empty)
    (gone,) = peer.ask(CLUSTER, subscribe=("named",))
    assert gone.removed == ("named",)
    peer.ack(gone)
    (response,) = peer.set(cluster("a"))
    peer.ack(response)
    peer.ask(CLUSTER, unsubscribe=("*",))
    assert peer.set(cluster("b")) == []
    assert [names(one) for one in peer.set(cluster("named"))] == [["named"]]


def test_rule_30_dropping_the_last_name_is_not_a_wildcard():
    peer = Peer()
    peer.ask(CLUSTER, subscribe=("a",))
    peer.ask(CLUSTER, unsubscribe=("a",))
    assert peer.set(cluster("a"), cluster("b")) == []


def test_rule_31_a_name_dropped_under_a_wildcard_is_answered():
    peer = Peer()
    peer.set(cluster("a"))
    (response,) = peer.ask(CLUSTER, subscribe=("*", "a", "none"))
    assert names(response) == ["a"]
    peer.ack(response)
    (response,) = peer.ask(CLUSTER, unsubscribe=("a", "none"))
    assert (names(response), response.removed) == (["a"], ("none",))


def test_rule_32_a_phantom_is_ignored():
    peer = Peer()
    peer.set(cluster("a"))
    (response,) = peer.ask(CLUSTER)
    peer.ack(response)
    assert peer.ask(CLUSTER, unsubscribe=("never",)) == []
    assert peer.ask(ENDPOINT, subscribe=("x",)) != []
    assert peer.ask(ENDPOINT, unsubscribe=("never",)) == []


def test_rule_33_asking_again_is_answered_again():
    peer = Peer()
    peer.set(*tree("a"))
    for type_url, name in ((CLUSTER, "a"), (ROUTE, "a-vip")):
        first = peer.ask(type_url, subscribe=(name,))
        peer.ack(first[0])
        again = peer.ask(type_url, subscribe=(name,))
        assert names(again[0]) == [name]
        peer.ack(again[0])


def test_rule_36_a_name_twice_is_one_name():
    peer = Peer()
    peer.set(cluster("a"))
    (response,) = peer.ask(CLUSTER, subscribe=("a", "a"))
    assert names(response) == ["a"]


def test_rule_37_types_without_wildcard_have_none():
    peer = Peer()
    peer.set(cluster("a"), endpoints("a", 1), route("r"))
    for type_url in (ENDPOINT, ROUTE):
        (response,) = peer.ask(type_url)
        assert response.resources == ()


def test_rule_38_a_name_that_comes_later_is_pushed():
    peer = Peer()
    (response,) = peer.ask(ROUTE, subscribe=("r",))
    peer.ack(response)
    (response,) = peer.set(route("r"))
    assert names(response) == ["r"]


@pytest.mark.parametrize("type_url", [CLUSTER, ENDPOINT, LISTENER, ROUTE, RUNTIME, SECRET])
def test_rule_39_and_45_what_does_not_exist_is_said_at_once(type_url):
    peer = Peer()
    (response,) = peer.ask(type_url, subscribe=("none",))
    assert response.removed == ("none",)
    (later,) = peer.ask(type_url, subscribe=("neither",))
    assert later.removed == ("neither",)


@pytest.mark.parametrize("type_url", [CLUSTER, LISTENER, RUNTIME])
def test_rule_45_nothing_is_an_answer_too(type_url):
    peer = Peer()
    (response,) = peer.ask(type_url)
    assert (response.resources, response.removed) == ((), ())


def test_rule_49_only_what_changed_is_sent():
    peer = Peer()
    peer.set(cluster("a"), cluster("b"))
    (response,) = peer.ask(CLUSTER)
    peer.ack(response)
    (response,) = peer.set(cluster("a", 1), gone=(cluster("b"),))
    assert (names(response), response.removed) == (["a"], ())
    (response,) = peer.ack(response)
    assert response.removed == ("b",)


def test_rule_51_same_content_same_version_in_every_process():
    one, other = Peer(), Peer()
    for peer in (one, other):
        peer.set(cluster("a"), cluster("b"))
    assert cluster("a").version == cluster("a").version != cluster("a", 1).version
    assert one.ask(CLUSTER)[0].version == other.ask(CLUSTER)[0].version


def test_rule_52_what_did_not_change_is_not_sent():
    peer = Peer()
    peer.set(cluster("a"))
    peer.ack(peer.ask(CLUSTER)[0])
    assert peer.set(cluster("a")) == []
    assert peer.stream.confirmed(Key(CLUSTER, "a"), peer.revision)


def test_rule_53_a_reconnect_is_told_what_changed_and_what_is_gone():
    peer = Peer()
    peer.set(cluster("same"), cluster("new", 1))
    held = {"same": cluster("same").version, "new": cluster("new").version, "old": "1"}
    responses = peer.ask(CLUSTER, initial_versions=held)
    assert [(names(one), one.removed) for one in responses] == [(["new"], ())]
    (response,) = [*peer.ack(responses[0]), *peer.after(5)]
    assert response.removed == ("old",)  # nothing may still refer to it: it asked for nothing else


def test_rule_53_an_unchanged_wildcard_gets_one_empty_answer_and_names_none():
    peer = Peer()
    peer.set(cluster("a"), endpoints("a", 1))
    (response,) = peer.ask(CLUSTER, initial_versions={"a": cluster("a").version})
    assert (response.resources, response.removed) == ((), ())
    versions = {"a": endpoints("a", 1).version}
    assert peer.ask(ENDPOINT, subscribe=("a",), initial_versions=versions) == []
    assert peer.stream.in_step(1)


def test_rule_54_a_version_never_issued_is_replaced():
    peer = Peer()
    peer.set(cluster("a"))
    (response,) = peer.ask(CLUSTER, initial_versions={"a": "whose?"})
    assert names(response) == ["a"]


def test_a_large_set_is_split_and_comes_complete():
    peer = Peer()
    everything = [cluster("c" * 5000 + str(index)) for index in range(500)]
    responses = list(peer.set(*everything) or peer.ask(CLUSTER))
    got = 0
    while responses:
        response = responses.pop(0)
        got += len(response.resources)
        assert sum(len(one.body) for one in response.resources) < 1.1 * 2**20
        responses += peer.ack(response)
    assert got == 500
    assert peer.stream.in_step(1)


def test_rule_63_two_streams_of_one_node_are_both_served():
    peer = Peer()
    peer.set(cluster("a"))
    peer.ask(CLUSTER)
    old = peer.stream
    peer.connect()
    assert len(peer.ask(CLUSTER)) == 1
    assert peer.cache.streams("edge") == (old, peer.stream)
    peer.cache.disconnect(old)
    peer.cache.disconnect(old)
    assert peer.cache.streams("edge") == (peer.stream,)

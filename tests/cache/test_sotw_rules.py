"""State-of-the-world subscriptions, named by the number of the xDS rule that each shows."""

import pytest

from tests.cache.messages import cluster, endpoints, route, tcp_listener
from tests.cache.peer import Peer, names, tree
from xds.cache import CLUSTER, ENDPOINT, LISTENER, ROUTE, RUNTIME, Key
from xds.cache.snapshot import total


def peer_with(*resources):
    peer = Peer(delta=False)
    peer.set(*resources)
    return peer


def test_rule_11_a_stale_nonce_is_not_answered_but_its_names_are_not_lost():
    peer = peer_with(cluster("a"), endpoints("a", 1), endpoints("b", 1))
    (first,) = peer.ask(ENDPOINT, names=("a",))
    peer.ack(first, names=("a",))
    assert peer.ask(ENDPOINT, nonce=first.nonce, names=("a",)) == []
    (response,) = peer.ask(ENDPOINT, nonce="stale", names=("a", "b"))
    assert names(response) == ["b"]


def test_rule_12_a_first_request_with_an_old_version_and_nonce_is_answered():
    peer = peer_with(cluster("a"))
    (response,) = peer.ask(CLUSTER, version_info="from before", nonce="7")
    assert names(response) == ["a"]


def test_rule_13_an_ack_is_not_answered():
    peer = peer_with(cluster("a"))
    (response,) = peer.ask(CLUSTER)
    assert peer.ack(response) == []
    assert peer.stream.in_step(1)


def test_rule_15_a_nack_is_not_answered_until_something_changes():
    peer = peer_with(cluster("a"))
    (response,) = peer.ask(CLUSTER)
    assert peer.nack(response, "a: no") == []
    assert peer.after(60) == []
    assert peer.set() == []


def test_rule_16_a_fixed_version_is_delivered():
    peer = peer_with(cluster("a"))
    peer.nack(peer.ask(CLUSTER)[0], "a: no")
    peer.after(1.0)
    (response,) = peer.set(cluster("a", 1))
    assert names(response) == ["a"]


def test_rule_17_a_nack_may_change_the_names():
    peer = peer_with(cluster("a"), endpoints("a", 1), endpoints("b", 1))
    (response,) = peer.ask(ENDPOINT, names=("a",))
    (response,) = peer.nack(response, "a: no", names=("a", "b"))
    assert names(response) == ["b"]
    assert [one.key.name for one in peer.heard] == ["a"]


def test_rule_18_a_nack_is_no_ack_even_if_its_version_is_the_newest():
    peer = peer_with(cluster("a"), endpoints("a", 1), endpoints("b", 1))
    (first,) = peer.ask(ENDPOINT, names=("a",))
    peer.ack(first, names=("a",))
    (second,) = peer.ask(ENDPOINT, nonce=first.nonce, names=("a", "b"))
    peer.nack(second, "b: no", version_info=second.version, names=("a", "b"))
    assert not peer.stream.confirmed(Key(ENDPOINT, "b"), 1)


def test_rule_19_a_nack_with_a_stale_nonce_is_not_blamed_on_the_newer_response():
    peer = peer_with(route("r"))
    (first,) = peer.ask(ROUTE, names=("r",))
    peer.ack(first, names=("r",))
    (second,) = peer.set(route("r", tag=1))
    peer.nack(first, "r: no", names=("r",))
    assert peer.heard == []
    peer.ack(second, names=("r",))
    assert peer.stream.confirmed(Key(ROUTE, "r"), 2)


def test_rule_27_a_star_and_names_make_one_set_without_duplicates():
    peer = peer_with(cluster("a"), cluster("b"))
    (response,) = peer.ask(CLUSTER, names=("*", "a"))
    assert names(response) == ["a", "b"]


def test_rule_28_no_names_after_names_is_nothing():
    peer = peer_with(cluster("a"), cluster("b"))
    (response,) = peer.ask(CLUSTER, names=("*",))
    peer.ack(response, names=("*",))
    peer.ask(CLUSTER, nonce=response.nonce, names=("a",))
    peer.ask(CLUSTER, nonce=response.nonce, names=())
    assert peer.set(cluster("a", 1)) == []


@pytest.mark.parametrize("type_url", [ENDPOINT, ROUTE])
def test_rule_34_and_35_names_that_come_or_come_back_are_sent(type_url):
    made = {ENDPOINT: lambda name: endpoints(name, 1), ROUTE: route}[type_url]
    peer = peer_with(made("a"), made("b"))
    (first,) = peer.ask(type_url, names=("a",))
    assert names(first) == ["a"]
    (second,) = peer.ack(first, names=("a", "b"))
    assert names(second) == ["b"]
    assert peer.ack(second, names=("a",)) == []
    (third,) = peer.ask(type_url, nonce=second.nonce, names=("a", "b"))
    assert names(third) == ["b"]


def test_rule_38_a_name_that_comes_later_is_pushed():
    peer = peer_with()
    (empty,) = peer.ask(ROUTE, names=("r",))
    peer.ack(empty, names=("r",))
    (response,) = peer.set(route("r"))
    assert names(response) == ["r"]


@pytest.mark.parametrize("type_url", [CLUSTER, LISTENER, RUNTIME, ENDPOINT])
def test_rule_45_nothing_is_an_answer_too(type_url):
    peer = peer_with()
    (response,) = peer.ask(type_url)
    assert response.resources == ()
    assert peer.ack(response) == []


def test_rule_47_clusters_and_listeners_are_always_all_of_them():
    peer = peer_with(cluster("a"), cluster("b"), tcp_listener("l", 1, "static"))
    peer.ack(peer.ask(CLUSTER)[0])
    (response,) = peer.set(cluster("b", 1))
    assert names(response) == ["a", "b"]
    peer.ack(response)
    (response,) = peer.set(gone=(cluster("a"),))
    assert names(response) == ["b"]
    assert response.version == peer.cache.snapshot("edge").version(CLUSTER)


def test_rule_48_endpoints_and_routes_come_one_by_one_and_leave_in_silence():
    peer = peer_with(endpoints("a", 1), endpoints("b", 1))
    response = peer.ask(ENDPOINT, names=("a", "b"))[0]
    peer.ack(response, names=("a", "b"))
    (response,) = peer.set(endpoints("b", 2))
    assert names(response) == ["b"]
    peer.ack(response, names=("a", "b"))
    assert peer.set(gone=(endpoints("a", 1),)) == []
    assert peer.stream.in_step(3)


def test_a_second_response_waits_for_the_answer_to_the_first():
    peer = peer_with(cluster("a"))
    (first,) = peer.ask(CLUSTER)
    assert peer.set(cluster("b")) == []
    assert peer.set(cluster("c")) == []
    (second,) = peer.ack(first)
    assert names(second) == ["a", "b", "c"]


def test_an_unchanged_reconnect_is_sent_nothing():
    peer = peer_with(*tree("a"))
    (clusters,) = peer.ask(CLUSTER)
    peer.ack(clusters)
    peer.reconnect()
    assert peer.ask(CLUSTER, version_info=clusters.version) == []
    assert peer.stream.confirmed(Key(CLUSTER, "a"), 1)


def test_an_unchanged_reconnect_to_another_process_is_sent_nothing():
    clusters = peer_with(*tree("a")).ask(CLUSTER)[0]
    other = peer_with(*tree("a"))
    assert other.ask(CLUSTER, version_info=clusters.version) == []
    assert other.stream.confirmed(Key(CLUSTER, "a"), 1)


def test_listeners_held_in_an_unknown_version_are_not_taken_away_by_a_set_without_them():
    peer = peer_with(*tree("a"))
    assert peer.ask(LISTENER, version_info="another process") == []
    (clusters,) = peer.ask(CLUSTER, version_info="another process")
    (ends,) = peer.ask(ENDPOINT, names=("a",), version_info="another process")
    assert ends.resources[0].version == endpoints("a", 80).version
    peer.ack(ends, names=("a",))
    (listeners,) = peer.ack(clusters)
    assert (listeners.type_url, names(listeners)) == (LISTENER, ["a-vip"])


def test_a_refused_listener_stays_in_the_set_at_its_last_good_version():
    good, bad = tcp_listener("l", 1, "static"), tcp_listener("l", 1, "static", 1)
    peer = peer_with(good, tcp_listener("m", 2, "static"))
    peer.ack(peer.ask(LISTENER)[0])
    (response,) = peer.set(bad)
    peer.nack(response, "l: no")
    (response,) = peer.set(tcp_listener("m", 2, "static", 1))
    assert {one.key.name: one.version for one in response.resources}["l"] == good.version


def test_a_client_that_was_elsewhere_meanwhile_is_not_taken_for_what_it_was():
    """Another replica may have given it something else: the version that it names says so."""
    peer = peer_with(cluster("a", 1), endpoints("a", 80))
    (response,) = peer.ask(CLUSTER)
    peer.ack(response)
    peer.reconnect()
    assert peer.ask(CLUSTER, version_info=response.version) == []
    assert peer.stream.confirmed(cluster("a").key, 1)
    peer.reconnect()
    (again,) = peer.ask(CLUSTER, version_info=total([cluster("a", 2)]))
    assert names(again) == ["a"]
    assert not peer.stream.confirmed(cluster("a").key, 1)
    peer.ack(again)
    assert peer.stream.confirmed(cluster("a").key, 1)
    peer.reconnect()
    assert peer.ask(CLUSTER, version_info=again.version) == []


def test_a_client_whose_answer_was_lost_is_known_by_what_it_was_sent():
    peer = peer_with(endpoints("a", 80), endpoints("b", 80))
    (first,) = peer.ask(ENDPOINT, names=("a", "b"))
    peer.ack(first, names=("a", "b"))
    (second,) = peer.set(endpoints("a", 81))
    for version in (first.version, second.version):
        peer.reconnect()
        peer.reconnect()  # it did not come to ask
        (again,) = peer.ask(ENDPOINT, names=("a", "b"), version_info=version)
        assert names(again) == ["a"]


def test_a_full_set_answers_who_asks_for_a_name_that_it_cannot_be_given_yet():
    """Told once that there is nothing, it is not told so again when that is refused as well."""
    peer = Peer(delta=False)
    old, new = tcp_listener("l", 1, "static"), tcp_listener("l", 1, "static", 1)
    peer.ack(peer.ask(LISTENER)[0])
    (response,) = peer.set(old)
    peer.nack(response, "l: no")
    assert peer.set(new) == []  # within a second of the refusal
    (empty,) = peer.ask(LISTENER, names=("l", "m"))
    assert (names(empty), empty.missing) == ([], ("l", "m"))
    assert peer.ack(empty, names=("l", "m")) == []
    assert peer.set(old) == []
    assert peer.after(60.0) == []

"""What nodes refuse: who is blamed, what the innocent get, and that nothing loops."""

import math

import pytest

from tests.cache.messages import cluster, endpoints, http_listener, route, tcp_listener
from tests.cache.peer import FLEET, Peer, names, tree
from xds.cache import CLUSTER, LISTENER, ROUTE, Key, RejectedVersion
from xds.cache.rejections import LONGEST_MESSAGE, culprits


@pytest.mark.parametrize(
    ("text", "guilty"),
    [
        ("Error adding/updating listener(s) bad: cannot bind '10.0.0.1:80'", ["bad"]),
        ("x: no; bad: no", ["bad"]),
        ("worse and worse", []),
        ("about 'bad', \"bad2\" and (p/bad).", ["bad", "bad2", "p/bad"]),
        ("p/bad/more is wrong, p/badder too", []),
        ("p/bad.", ["p/bad"]),
        ("p/bad.2 or p/bad:80", []),
        ("", []),
    ],
)
def test_names_are_found_whole_and_nothing_else(text, guilty):
    assert sorted(culprits(["bad", "bad2", "p/bad", ""], text)) == guilty


def test_a_name_within_another_name_is_not_blamed():
    web, web2 = "projects/a/vips/web", "projects/a/vips/web2"
    assert culprits([web, web2], f"Error adding {web2}: no") == [web2]
    assert sorted(culprits([web, web2], f"{web}, {web2}: no")) == [web, web2]


def test_the_named_is_rejected_alone_and_the_others_are_sent_once_more():
    peer = Peer()
    peer.set(tcp_listener("bad", 1, "static"), tcp_listener("good", 2, "static"))
    (response,) = peer.ask(LISTENER)
    (response,) = peer.nack(response, "Error adding/updating listener(s) bad: cannot bind")
    assert names(response) == ["good"]
    assert peer.ack(response) == []
    (rejection,) = peer.heard
    assert rejection == RejectedVersion(
        Key(LISTENER, "bad"),
        tcp_listener("bad", 1, "static").version,
        "Error adding/updating listener(s) bad: cannot bind",
        None,
    )
    assert not peer.stream.confirmed(Key(LISTENER, "bad"), 1)
    assert peer.stream.in_step(1)  # a refusal completes a wait
    assert peer.stream.waiting(Key(LISTENER, "bad"), peer.now).startswith("Listener bad rejected")


def test_what_was_held_before_is_the_last_good():
    peer = Peer()
    good = cluster("a")
    peer.set(good)
    peer.ack(peer.ask(CLUSTER)[0])
    (response,) = peer.set(cluster("a", 1))
    peer.nack(response, "a: no")
    assert peer.heard[0].last_good is good


def test_a_rejected_version_is_not_sent_again_by_any_stream_until_it_changes():
    peer = Peer()
    peer.set(cluster("a"))
    peer.nack(peer.ask(CLUSTER)[0], "a: no")
    peer.reconnect()
    (response,) = peer.ask(CLUSTER)
    assert response.resources == ()
    peer.ack(response)
    assert peer.after(3600) == []
    (response,) = peer.set(cluster("a", 1))
    assert names(response) == ["a"]


def test_a_rejected_version_is_remembered_over_a_restart_until_it_is_forgotten():
    peer = Peer(load=False)
    peer.cache.restore_rejection(
        FLEET, "n1", RejectedVersion(Key(CLUSTER, "a"), cluster("a").version, "no")
    )
    peer.set(cluster("a"), cluster("b"))
    (response,) = peer.ask(CLUSTER)
    assert names(response) == ["b"]
    peer.ack(response)
    assert peer.stream.in_step(1)
    peer.cache.forget_rejections(FLEET, [Key(CLUSTER, "a")])
    (response,) = peer.stream.run(peer.now)
    assert names(response) == ["a"]


def test_nothing_is_kept_of_a_node_that_is_gone_and_whose_refusals_are_forgotten():
    peer = Peer()
    refused = RejectedVersion(Key(CLUSTER, "a"), "1", "bad", None)
    for pod in ("pod-1", "pod-2"):
        peer.cache.restore_rejection(FLEET, pod, refused)
    peer.cache.forget_rejections(FLEET, [refused.key], node="pod-1")
    assert {node for _, node in peer.cache._rejected} == {"n1", "pod-2"}
    peer.cache.forget_rejections(FLEET, [refused.key])
    assert {node for _, node in peer.cache._rejected} == {"n1"}


def test_new_versions_are_tried_at_most_once_a_second():
    peer = Peer()
    peer.set(cluster("a"))
    peer.nack(peer.ask(CLUSTER)[0], "a: no")
    for tag in range(1, 6):
        assert peer.set(cluster("a", tag)) == []
        peer.now += 0.1
    assert peer.stream.next_timer(peer.now) == pytest.approx(101.0)
    (response,) = peer.after(0.6)
    assert response.resources[0].version == cluster("a", 5).version


@pytest.mark.parametrize(
    ("text", "of_a", "of_b"),
    [
        (
            "Error adding/updating cluster(s) p/1/a: no host 10.1.1.1, p/2/b: bad port 7",
            "Error adding/updating cluster(s) p/1/a: no host 10.1.1.1",
            "Error adding/updating cluster(s) p/2/b: bad port 7",
        ),
        (
            "Error adding/updating listener(s) p/2/b: cannot bind\np/1/a: p/1/a has no filter\n",
            "Error adding/updating listener(s) p/1/a: p/1/a has no filter",
            "Error adding/updating listener(s) p/2/b: cannot bind",
        ),
    ],
)
def test_each_is_told_what_was_said_of_it_and_nothing_of_others(text, of_a, of_b):
    peer = Peer()
    peer.set(cluster("p/1/a"), cluster("p/2/b"))
    (response,) = peer.ask(CLUSTER)
    peer.nack(response, text)
    assert {each.key.name: each.message for each in peer.heard} == {"p/1/a": of_a, "p/2/b": of_b}


def test_one_name_in_a_response_is_the_culprit_whatever_the_text():
    peer = Peer()
    peer.set(cluster("a"))
    assert peer.nack(peer.ask(CLUSTER)[0], "Proto constraint validation failed") == []
    assert [one.key.name for one in peer.heard] == ["a"]


@pytest.mark.parametrize("delta", [True, False])
@pytest.mark.parametrize("count", [2, 3, 7, 64])
def test_an_unnamed_culprit_is_found_by_halves(count, delta):
    peer = Peer(delta=delta)
    clusters = [cluster(f"c{index:02}") for index in range(count)]
    bad = clusters[count // 3]
    sent = dict.fromkeys((one.key.name for one in clusters), 0)
    peer.set(*clusters)
    responses, refused = peer.ask(CLUSTER), 0
    while responses:
        response = responses.pop(0)
        for one in response.resources:
            sent[one.key.name] += 1
        if bad in response.resources:
            refused += 1
            responses += peer.nack(response, "Proto constraint validation failed")
        else:
            responses += peer.ack(response)
    assert [one.key.name for one in peer.heard] == [bad.key.name]
    assert refused <= 2 + math.log2(count)
    assert all(peer.stream.confirmed(one.key, 1) for one in clusters if one is not bad), (
        "the innocent converge"
    )
    if delta:
        assert max(sent.values()) <= 2 + math.log2(count)
    assert peer.stream.in_step(1)


@pytest.mark.parametrize("delta", [True, False])
@pytest.mark.parametrize("lost", ["before it is sent", "with its answer"])
def test_what_is_known_of_an_unnamed_culprit_is_known_to_the_next_stream(lost, delta):
    """A client that is cut off in the search after each of its refusals: it goes on, not anew."""
    peer = Peer(delta=delta)
    clusters = [cluster(f"c{index:02}") for index in range(16)]
    bad, refused, took = clusters[5], 0, ""
    peer.set(*clusters)
    responses = peer.ask(CLUSTER)
    while responses:
        response = responses.pop(0)
        if bad not in response.resources:
            took = response.version
            responses += peer.ack(response)
            continue
        refused += 1
        assert refused <= 2 + math.log2(16)
        responses = peer.nack(response, "Proto constraint validation failed")
        if peer.heard:
            break
        if lost == "with its answer" and responses:
            took = took or responses[0].version  # it has had one more, and nobody heard
        peer.reconnect()
        responses = peer.ask(CLUSTER, version_info="" if delta else took)
    assert [one.key.name for one in peer.heard] == [bad.key.name]


def test_who_changed_while_the_client_was_away_is_innocent_again():
    peer = Peer()
    clusters = [cluster(f"c{index}") for index in range(4)]
    peer.set(*clusters)
    peer.nack(peer.ask(CLUSTER)[0], "Proto constraint validation failed")
    peer.cache.disconnect(peer.stream)
    peer.revision += 1
    changed = cluster("c0", 1)
    peer.cache.advance(FLEET, peer.revision, {changed.key: changed})
    peer.connect()
    (response,) = peer.ask(CLUSTER)
    assert names(response) == ["c1"]
    rest = peer.after(1.0)  # the next may go, unanswered or not
    assert [names(one) for one in rest] == [["c2", "c3"]]


def test_a_client_that_refuses_everything_is_left_alone():
    peer = Peer()
    peer.set(*(cluster(f"c{index}") for index in range(8)))
    responses, sent = peer.ask(CLUSTER), 0
    while responses:
        sent += 1
        assert sent < 40
        responses += peer.nack(responses.pop(0), "no")
    assert len(peer.heard) == 8
    assert peer.set() == []


def test_a_refused_empty_answer_is_not_repeated():
    peer = Peer()
    (response,) = peer.ask(CLUSTER)
    assert peer.nack(response, "no") == []
    assert peer.after(60) == []


def test_a_refused_removal_is_not_repeated():
    peer = Peer()
    peer.set(tcp_listener("a", 1, "static"))
    peer.ack(peer.ask(LISTENER)[0])
    (response,) = peer.set(gone=(tcp_listener("a", 1, "static"),))
    assert peer.nack(response, "I keep it") == []
    assert peer.after(60) == []


def test_what_refers_to_a_rejected_cluster_stays_where_it_was_and_counts_as_done():
    peer = Peer()
    everything = tree("a")
    responses = [*peer.set(*everything), *peer.ask(CLUSTER), *peer.ask(LISTENER)]
    while responses:
        response = responses.pop(0)
        if response.type_url == CLUSTER and response.resources:
            responses += peer.nack(response, "a: no")
        else:
            responses += peer.ack(response)
    assert peer.stream.in_step(1)
    assert not peer.stream.confirmed(everything[2].key, 1)
    assert "rejected: a: no" in peer.stream.waiting(everything[2].key, peer.now)


def test_the_words_kept_are_printable_and_not_too_long():
    peer = Peer()
    peer.set(cluster("a"))
    peer.nack(peer.ask(CLUSTER)[0], "a: \x1b[31m\n" + "x" * 2**20)
    assert len(peer.heard[0].message) == LONGEST_MESSAGE
    assert peer.heard[0].message.isprintable()


def test_a_restored_last_good_is_served_to_a_client_that_lost_it():
    peer = Peer(load=False)
    good, bad = http_listener("l", 1, "r"), http_listener("l", 1, "r", 1)
    peer.cache.restore_rejection(FLEET, "n1", RejectedVersion(bad.key, bad.version, "no", good))
    peer.set(bad, route("r"))
    (response,) = peer.ask(ROUTE, subscribe=("r",))
    peer.ack(response)
    (response,) = peer.ask(LISTENER)
    assert response.resources == (good,)
    assert peer.ack(response) == []
    assert peer.stream.in_step(1)
    assert not peer.stream.confirmed(bad.key, 1)


def test_a_last_good_whose_cluster_is_gone_is_not_served():
    peer = Peer(load=False)
    good, bad = route("r", "gone"), route("r", tag=1)
    peer.cache.restore_rejection(FLEET, "n1", RejectedVersion(bad.key, bad.version, "no", good))
    peer.set(bad, http_listener("l", 1, "r"), endpoints("x", 1))
    (response,) = peer.ask(ROUTE, subscribe=("r",))
    assert (response.resources, response.removed) == ((), ("r",))


def test_what_was_good_and_is_refused_when_it_is_wanted_again_is_sent_once():
    """Another process of the client may be of another mind."""
    peer = Peer()
    good, bad = cluster("a"), cluster("a", 1)
    peer.set(good)
    peer.ack(peer.ask(CLUSTER)[0])
    (response,) = peer.set(bad)
    peer.nack(response, "a: no")
    peer.reconnect()
    peer.revision += 1
    peer.cache.advance(FLEET, peer.revision, {good.key: good})
    peer.now += 60.0
    (response,) = peer.ask(CLUSTER)
    assert response.resources == (good,)
    assert peer.nack(response, "a: no") == []
    assert peer.after(60.0) == []
    assert (peer.heard[-1].version, peer.heard[-1].last_good) == (good.version, None)

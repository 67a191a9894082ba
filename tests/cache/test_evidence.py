"""What a node's own administration says it runs, where it withholds its answers."""

import pytest

from tests.cache.messages import cluster, endpoints, tcp_listener
from tests.cache.peer import Peer, names
from xds.cache import CLUSTER, ENDPOINT, LISTENER, Key
from xds.cache.channel import CLUSTERS_AFTER, CLUSTERS_IN_FLIGHT

LATER = CLUSTERS_AFTER + 0.05


def peer_with(*held):
    """A node that holds these clusters, and has asked for everything."""
    peer = Peer()
    todo = [*peer.set(*held), *peer.ask(CLUSTER), *peer.ask(LISTENER)]
    todo += peer.ask(ENDPOINT, subscribe=tuple(one.key.name for one in held))
    while todo:
        todo += peer.ack(todo.pop(0))
    return peer


def sent(responses, type_url=CLUSTER):
    return [one for one in responses if one.type_url == type_url]


def evidence(peer, active=(), warming=()):
    """The agent's word, and what the server sends upon it."""
    peer.stream.evidence(
        {one.key.name: one.version for one in active},
        {one.key.name: one.version for one in warming},
    )
    return peer.stream.run(peer.now)


def test_a_cluster_that_runs_opens_the_gate_of_its_listener():
    peer = peer_with(cluster("slow"))
    slow, other = cluster("slow", 1), cluster("other")
    listener = tcp_listener("l", 1, "other")
    assert names(sent(peer.set(slow))[0]) == ["slow"]
    assert peer.after(LATER) == []
    (response,) = sent(peer.set(other, listener))
    assert names(response) == ["other"]
    assert peer.stream.evidence_wanted(peer.now) == ("slow",)
    assert peer.after(LATER) == []
    assert peer.stream.evidence_wanted(peer.now) == ("other", "slow")  # first who is waited for
    responses = evidence(peer, active=[cluster("slow"), other], warming=[slow])
    assert names(sent(responses, LISTENER)[0]) == ["l"]
    assert peer.stream.confirmed(other.key, peer.revision)
    assert not peer.stream.confirmed(slow.key, 2)
    # The late answers are taken as they come, and say nothing new of it.
    peer.ack(response)
    assert peer.stream.confirmed(other.key, peer.revision)


def test_an_older_version_teaches_nothing():
    peer = peer_with(cluster("a"))
    new = cluster("a", 1)
    peer.set(new)
    peer.now += LATER
    assert peer.stream.evidence_wanted(peer.now) == ("a",)
    assert evidence(peer, active=[cluster("a")]) == []
    assert not peer.stream.confirmed(new.key, peer.revision)
    assert peer.stream.evidence_wanted(peer.now) == ("a",)


def test_what_is_sent_after_the_question_is_not_confirmed_by_the_answer():
    peer = peer_with(cluster("a"))
    one, two = cluster("a", 1), cluster("a", 2)
    peer.set(one)
    peer.now += LATER
    assert peer.stream.evidence_wanted(peer.now) == ("a",)
    peer.set(two)
    evidence(peer, active=[two])
    assert not peer.stream.confirmed(two.key, peer.revision)


def test_a_version_that_it_may_have_held_before_is_not_asked_for():
    """Sent one, another and the first again: that it runs the first says nothing."""
    peer = peer_with(cluster("a"))
    peer.set(cluster("a", 1))
    peer.now += LATER
    peer.set(cluster("a"))
    peer.now += LATER
    assert peer.stream.evidence_wanted(peer.now) == ()


def test_who_was_not_asked_is_not_heard():
    peer = peer_with(cluster("a"))
    new = cluster("a", 1)
    peer.set(new)
    evidence(peer, active=[new])
    assert not peer.stream.confirmed(new.key, peer.revision)


def test_nothing_is_asked_before_it_is_overdue_nor_of_state_of_the_world():
    peer = peer_with(cluster("a"))
    peer.set(cluster("a", 1))
    assert peer.stream.evidence_wanted(peer.now) == ()
    sotw = Peer(delta=False)
    sotw.set(cluster("a"))
    sotw.ask(CLUSTER)
    assert sotw.stream.evidence_wanted(sotw.now + 60) == ()


def test_what_it_does_not_have_is_gone():
    peer = peer_with(cluster("a"), cluster("b"))
    peer.set(gone=(cluster("a"),))
    peer.now += LATER
    assert peer.stream.evidence_wanted(peer.now) == ("a",)
    evidence(peer, active=[cluster("a")])
    assert not peer.stream.confirmed(Key(CLUSTER, "a"), peer.revision)
    assert peer.stream.evidence_wanted(peer.now) == ("a",)
    evidence(peer)
    assert peer.stream.confirmed(Key(CLUSTER, "a"), peer.revision)


def test_a_new_cluster_that_it_does_not_have_is_not_confirmed():
    peer = peer_with(cluster("a"))
    peer.set(cluster("b"))
    peer.now += LATER
    assert peer.stream.evidence_wanted(peer.now) == ("b",)
    evidence(peer)
    assert not peer.stream.confirmed(Key(CLUSTER, "b"), peer.revision)


@pytest.mark.parametrize("witness", [True, False])
def test_responses_that_it_is_known_to_have_had_do_not_fill_the_window(witness):
    peer = peer_with(*(cluster(f"c{index}") for index in range(9)))
    went = 0
    for index in range(9):
        new = cluster(f"c{index}", 1)
        went += len(sent(peer.set(new)))
        peer.now += LATER
        went += len(sent(peer.stream.run(peer.now)))
        if witness:
            asked = peer.stream.evidence_wanted(peer.now)
            evidence(peer, warming=[cluster(name, 1) for name in asked])
    assert went == (9 if witness else CLUSTERS_IN_FLIGHT)
    assert not peer.stream.confirmed(Key(CLUSTER, "c0"), peer.revision)


def test_a_refusal_that_comes_late_does_not_concern_what_runs():
    peer = peer_with(cluster("a"))
    good, bad, worse = cluster("good"), cluster("bad"), cluster("worse")
    (response,) = sent(peer.set(good, bad, worse, endpoints("x", 1)))
    peer.now += LATER
    assert set(peer.stream.evidence_wanted(peer.now)) == {"good", "bad", "worse"}
    evidence(peer, active=[good])
    halves = sent(peer.nack(response, "Proto constraint validation failed"))
    assert [names(one) for one in halves] == [["bad"]]
    assert peer.stream.confirmed(good.key, peer.revision)
    assert peer.heard == []


@pytest.mark.parametrize("others", [(), (cluster("b"),)])
def test_the_answer_to_what_came_before_a_removal_that_it_has_had_opens_no_gate(others):
    """Its answer to the removal is withheld, and that to what came before it comes late."""
    peer = peer_with(cluster("a"))
    (old,) = sent(peer.set(cluster("a", 1)))
    peer.now += LATER
    (removal,) = sent(peer.set(gone=(cluster("a"),)))
    assert removal.removed == ("a",)
    peer.now += LATER
    assert peer.stream.evidence_wanted(peer.now) == ("a",)
    evidence(peer)
    assert peer.stream.confirmed(Key(CLUSTER, "a"), peer.revision)
    todo = peer.set(*others)  # the next response has to wait then
    todo += peer.set(cluster("a"), tcp_listener("l", 1, "a"))
    assert ("a" in [name for one in sent(todo) for name in names(one)]) == (not others)
    assert sent(peer.ack(old), LISTENER) == []
    todo += peer.ack(removal) + peer.after(LATER)
    assert sent(todo, LISTENER) == []
    again = next(one for one in sent(todo) if "a" in names(one))
    assert names(sent(peer.ack(again), LISTENER)[0]) == ["l"]


def test_an_older_response_that_is_accepted_late_is_not_what_served_last():
    peer = peer_with(cluster("a"))
    (old,) = sent(peer.set(cluster("a", 1)))
    peer.now += LATER
    peer.set(cluster("a", 2))
    peer.now += LATER
    assert peer.stream.evidence_wanted(peer.now) == ("a",)
    evidence(peer, active=[cluster("a", 2)])
    assert sent(peer.set(cluster("a", -5))) == []  # it breaks a constraint
    assert sent(peer.ack(old)) == []
    (rejection,) = peer.heard
    assert rejection.last_good.version == cluster("a", 2).version


@pytest.mark.parametrize("words", ["Error adding/updating cluster(s) bad: no", "bad: no"])
def test_an_older_response_that_is_refused_late_blames_who_was_in_it(words):
    """Though it is known to have had something newer of that name since."""
    peer = peer_with(cluster("good"))
    (old,) = sent(peer.set(cluster("good", 1), cluster("bad")))
    peer.now += LATER
    peer.set(cluster("bad", 1))
    peer.now += LATER
    assert "bad" in peer.stream.evidence_wanted(peer.now)
    evidence(peer, active=[cluster("bad", 1), cluster("good")])
    peer.nack(old, words)
    assert [one.key.name for one in peer.heard] == ["bad"]
    assert peer.stream.confirmed(Key(CLUSTER, "bad"), peer.revision)

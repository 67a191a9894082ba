"""What breaks a constraint of Envoy's counts as refused by each node, and is never sent."""

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster

from tests.cache.messages import cluster, endpoints, http_listener, route, tcp_listener
from tests.cache.peer import FLEET, Peer, names
from xds.cache import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    NodeInfo,
    Request,
    SnapshotCache,
    Verdicts,
    empty_endpoints,
)
from xds.cache.constraints import UNKEPT

FAULTY = -5
"""A tag with which a cluster has a negative timeout."""


def settle(peer, responses):
    """Confirms everything; gives the names that were sent, by type."""
    sent = {CLUSTER: [], ENDPOINT: [], LISTENER: []}
    todo = list(responses)
    while todo:
        response = todo.pop(0)
        sent.setdefault(response.type_url, []).extend(names(response))
        assert not any(one.fault for one in response.resources)
        todo += peer.ack(response)
    return sent


@pytest.mark.parametrize("delta", [True, False])
def test_the_others_are_sent_and_it_is_not(delta):
    peer = Peer(delta=delta)
    bad = cluster("bad", FAULTY)
    peer.set(bad, cluster("good"), tcp_listener("l", 1, "bad"), tcp_listener("m", 2, "good"))
    sent = settle(peer, [*peer.ask(CLUSTER), *peer.ask(LISTENER)])
    assert set(sent[CLUSTER]) == {"good"}
    assert set(sent[LISTENER]) == {"m"}
    (rejection,) = peer.heard
    assert (rejection.key, rejection.version) == (bad.key, bad.version)
    assert rejection.message == bad.fault
    assert rejection.message.startswith(UNKEPT)
    assert "connect_timeout: value must be greater than 0s" in rejection.message
    assert peer.stream.in_step(1)  # a refusal completes a wait
    assert not peer.stream.confirmed(bad.key, 1)
    assert peer.stream.blocked_by(tcp_listener("l", 1, "bad").key) == bad.key
    # Mended it goes at once, and what waited for it.
    sent = settle(peer, peer.set(cluster("bad", 1)))
    assert "bad" in sent[CLUSTER]
    assert "l" in sent[LISTENER]
    assert peer.stream.blocked_by(bad.key) is None


def test_the_last_good_one_serves_on_and_is_known():
    peer = Peer()
    good = cluster("a")
    peer.set(good)
    settle(peer, peer.ask(CLUSTER))
    assert peer.set(cluster("a", FAULTY)) == []
    assert peer.heard[0].last_good is good
    # A client that lost it is given it.
    peer.reconnect()
    (response,) = peer.ask(CLUSTER)
    assert response.resources == (good,)


def test_it_is_said_once_a_version_and_again_of_another():
    peer = Peer()
    peer.set(cluster("a", FAULTY))
    settle(peer, peer.ask(CLUSTER))
    assert peer.after(60) == []
    peer.set(cluster("b"))
    assert len(peer.heard) == 1
    peer.set(cluster("a", FAULTY - 1))
    assert len(peer.heard) == 2


def test_it_puts_off_no_later_version_and_keeps_what_a_refusal_put_off():
    peer = Peer()
    peer.set(cluster("a"))
    peer.nack(peer.ask(CLUSTER)[0], "a: no")
    assert peer.set(cluster("a", FAULTY)) == []
    assert peer.set(cluster("a", 1)) == []  # tried at most once a second
    assert names(peer.after(1.1)[0]) == ["a"]


def test_a_listener_waits_for_routes_that_have_a_fault():
    """Sent without, Envoy would open the port after 15 s and answer 404."""
    peer = Peer()
    bad = route("r", "")
    assert bad.fault
    peer.set(cluster("c"), endpoints("c", 1), http_listener("l", 1, "r"), bad)
    todo = [*peer.ask(CLUSTER), *peer.ask(ENDPOINT, subscribe=("c",)), *peer.ask(LISTENER)]
    assert settle(peer, todo)[LISTENER] == []
    assert peer.stream.in_step(1)
    assert peer.stream.blocked_by(http_listener("l", 1, "r").key) == bad.key
    assert settle(peer, peer.set(route("r", "c")))[LISTENER] == ["l"]


def test_nobody_is_led_to_a_cluster_before_the_last_good_endpoints_follow_again():
    """A changed cluster that nobody uses is emptied first, with refused endpoints as well."""
    peer = Peer()
    good, bad = endpoints("c", 1), endpoints("c", 1 << 16)
    assert bad.fault
    peer.set(cluster("c"), good)
    settle(peer, [*peer.ask(CLUSTER), *peer.ask(ENDPOINT, subscribe=("c",)), *peer.ask(LISTENER)])
    changed, emptied = peer.set(cluster("c", 1), bad, http_listener("l", 1, "r"), route("r", "c"))
    assert (names(changed), emptied.resources) == (["c"], (empty_endpoints("c"),))
    assert peer.heard[0].last_good is good
    assert peer.ack(changed) == []
    assert not peer.stream.in_step(2)
    on_its_way = http_listener("l", 1, "r").key
    assert not peer.stream.refused(on_its_way)
    assert peer.stream.blocked_by(on_its_way) is None
    (filled,) = peer.ack(emptied)
    assert filled.resources == (good,)
    assert settle(peer, peer.ack(filled))[LISTENER] == ["l"]
    assert names(peer.ask(ROUTE, subscribe=("r",))[0]) == ["r"]


def test_endpoints_that_are_to_be_emptied_and_are_refused_hold_back_the_route_to_them():
    """State of the world: they wait for an answer, and would come behind the route."""
    peer = Peer(delta=False)
    good, bad = endpoints("c", 1), endpoints("c", 1 << 16)
    peer.set(cluster("c"), good)
    (clusters,) = peer.ask(CLUSTER)
    (first,) = peer.ask(ENDPOINT, names=("c",))
    peer.ack(clusters)
    (filled,) = peer.ack(first, names=("c",))
    assert peer.ack(filled, names=("c",)) == []
    peer.ack(peer.ask(LISTENER)[0])
    (more,) = peer.set(cluster("d"), endpoints("d", 1))
    (unanswered,) = peer.ask(ENDPOINT, names=("c", "d"))
    assert names(unanswered) == ["d"]
    (listener,) = peer.set(cluster("c", 1), bad, http_listener("l", 1, "r"), route("r", "c"))
    assert names(listener) == ["l"]  # it is led to the cluster as it was
    (changed,) = peer.ack(more)
    assert names(changed) == ["c", "d"]
    assert peer.ask(ROUTE, names=("r",)) == []
    (emptied,) = peer.ack(unanswered, names=("c", "d"))
    assert empty_endpoints("c") in emptied.resources
    assert peer.ack(changed) == peer.ack(listener) == []
    (filled,) = peer.ack(emptied, names=("c", "d"))
    assert good in filled.resources
    (led,) = peer.ack(filled, names=("c", "d"))
    assert names(led) == ["r"]


def test_who_came_with_it_keeps_it():
    """An earlier release sent it, and this client took it: that is no refusal."""
    peer = Peer()
    bad = cluster("a", FAULTY)
    peer.set(bad)
    (response,) = peer.ask(CLUSTER, initial_versions={"a": bad.version})
    assert response.resources == ()
    assert peer.heard == []
    assert peer.stream.confirmed(bad.key, 1)


def test_a_library_user_hears_of_it_through_the_callback():
    said = []
    cache = SnapshotCache(Verdicts(said.append))
    stream = cache.connect(fleet=FLEET, node=NodeInfo("n"), delta=True, now=0.0)
    cache.publish(FLEET, [Cluster(name="good"), Cluster(name="bad", type=77)])
    stream.receive(Request(CLUSTER), 0.0)
    (response,) = stream.run(0.0)
    assert names(response) == ["good"]
    (verdict,) = said
    assert (verdict.node, verdict.name, verdict.accepted) == ("n", "bad", False)
    assert "type: value must be one of the defined enum values" in verdict.message

"""Snapshots, their log, variants; what a cache does with fleets and nodes."""

import doctest

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster

import xds.cache.cache
from tests.cache.messages import cluster, endpoints, http_listener, route, tcp_listener
from tests.cache.peer import FLEET, Peer, names
from xds.cache import CLUSTER, ENDPOINT, LISTENER, ROUTE, Key, NodeInfo, Request, SnapshotCache
from xds.cache.snapshot import EMPTY, total
from xds.cache.types import ADDRESS


def changes(*resources):
    return {one.key: one for one in resources}


def test_a_resource_knows_what_it_refers_to():
    assert cluster("a").references == {Key(ENDPOINT, "a")}
    assert route("r", "a", "b").references == {Key(CLUSTER, "a"), Key(CLUSTER, "b")}
    address = Key(ADDRESS, "0:127.0.0.1:80")
    assert http_listener("l", 80, "r").references == {Key(ROUTE, "r"), address}
    assert tcp_listener("l", 80, "a").references == {Key(CLUSTER, "a"), address}
    assert endpoints("a", 1).references == frozenset()


def test_snapshots_do_not_change_and_know_who_refers_to_what():
    one = EMPTY.with_changes(1, changes(cluster("a"), route("r", "a")))
    two = one.with_changes(2, {Key(ROUTE, "r"): None})
    assert list(one.users(Key(CLUSTER, "a"))) == [Key(ROUTE, "r")]
    assert list(two.users(Key(CLUSTER, "a"))) == []
    assert one.get(Key(ROUTE, "r")) is not None
    assert list(two.types()) == [CLUSTER]


def test_the_log_says_what_changed_first_when():
    one = EMPTY.with_changes(5, changes(cluster("a")))
    two = one.with_changes(6, changes(cluster("a", 1), cluster("b")))
    three = two.with_changes(9, changes(cluster("a", 2), cluster("b")))
    assert three.changes_from(one) == {Key(CLUSTER, "a"): 6, Key(CLUSTER, "b"): 6}
    assert three.changes_from(two) == {Key(CLUSTER, "a"): 9}
    assert three.changes_from(three) == {}


def test_the_log_is_bounded_and_says_when_it_does_not_reach_back():
    old = late = snapshot = EMPTY.with_changes(1, changes(cluster("same"), cluster("other")))
    for revision in range(2, 1200):
        snapshot = snapshot.with_changes(revision, changes(cluster("a", revision)))
        late = snapshot if revision == 1000 else late
    assert snapshot.changes_from(old) is None
    assert snapshot.changes_from(late) == {Key(CLUSTER, "a"): 1001}
    assert list(old.differences(snapshot)) == [Key(CLUSTER, "a")]


def test_a_stream_that_is_far_behind_is_compared_in_full():
    peer = Peer()
    peer.set(cluster("a"), cluster("b"))
    peer.ack(peer.ask(CLUSTER)[0])
    for revision in range(1000):
        peer.cache.advance(FLEET, 2 + revision, changes(cluster("a", 1 + revision % 7)))
    (response,) = peer.stream.run(peer.now)
    assert names(response) == ["a"]
    peer.ack(response)
    assert peer.stream.in_step(1001)


def test_the_version_of_a_type_is_that_of_its_content_however_it_came_about():
    one = EMPTY.with_changes(1, changes(cluster("a"), cluster("b")))
    other = EMPTY.with_changes(1, changes(cluster("b", 7)))
    other = other.with_changes(2, changes(cluster("b"), cluster("a"), cluster("c")))
    other = other.with_changes(3, {Key(CLUSTER, "c"): None})
    assert one.version(CLUSTER) == other.version(CLUSTER) == total([cluster("a"), cluster("b")])
    assert one.version(LISTENER) == EMPTY.version(LISTENER)


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(xds.cache.cache) == (0, 3)


def test_revisions_never_fall():
    cache = SnapshotCache()
    cache.advance(FLEET, 7, {})
    with pytest.raises(ValueError, match="at revision 7"):
        cache.advance(FLEET, 6, {})


def test_publish_is_the_whole_truth_and_counts_differences_only():
    cache = SnapshotCache()
    assert cache.publish(FLEET, [Cluster(name="a"), Cluster(name="b")]) == 1
    assert cache.publish(FLEET, [Cluster(name="b"), Cluster(name="a")]) == 1
    assert cache.publish(FLEET, [Cluster(name="b")]) == 2
    snapshot = cache.snapshot(FLEET)
    assert snapshot is not None
    assert list(snapshot.of_type(CLUSTER)) == ["b"]
    assert cache.publish("other", []) == 1


def test_a_variant_is_the_base_and_what_differs():
    cache = SnapshotCache()
    cache.advance(FLEET, 1, changes(cluster("a"), cluster("b")))
    cache.overlay(FLEET, "old envoys", 2, changes(cluster("a", 5)) | {Key(CLUSTER, "b"): None})
    cache.advance(FLEET, 3, changes(cluster("a", 1), cluster("b", 1), cluster("c")))
    variant, base = cache.snapshot(FLEET, "old envoys"), cache.snapshot(FLEET)
    assert {name: one.version for name, one in variant.of_type(CLUSTER).items()} == {
        "a": cluster("a", 5).version,
        "c": cluster("c").version,
    }
    assert set(base.of_type(CLUSTER)) == {"a", "b", "c"}
    cache.overlay(FLEET, "old envoys", 4, {})
    assert cache.snapshot(FLEET, "old envoys").version(CLUSTER) == base.version(CLUSTER)
    with pytest.raises(ValueError, match="not loaded"):
        cache.overlay("nobody", "x", 1, {})


def test_a_stream_of_a_variant_is_sent_that():
    cache = SnapshotCache()
    cache.advance(FLEET, 1, changes(cluster("a")))
    cache.overlay(FLEET, "canary", 1, changes(cluster("a", 1)))
    stream = cache.connect(fleet=FLEET, node=NodeInfo("n"), delta=True, now=0.0, variant="canary")
    stream.receive(Request(CLUSTER), 0.0)
    (response,) = stream.run(0.0)
    assert response.resources[0].version == cluster("a", 1).version


def test_a_change_wakes_the_streams_of_its_fleet_and_no_other():
    cache = SnapshotCache()
    woken = []
    for fleet in ("one", "two"):
        stream = cache.connect(fleet=fleet, node=NodeInfo("n"), delta=True, now=0.0)
        stream.on_dirty = lambda fleet=fleet: woken.append(fleet)
    cache.advance("one", 1, changes(cluster("a")))
    assert woken == ["one"]


def test_nothing_is_kept_of_nodes_that_never_mattered():
    cache = SnapshotCache()
    for index in range(5000):
        stream = cache.connect(fleet="none", node=NodeInfo(f"n{index}"), delta=True, now=0.0)
        cache.disconnect(stream)
    assert len(cache._departed._left) == 4096
    assert not cache._rejected
    assert not cache._fleets


def test_a_single_type_stream_carries_nothing_else():
    cache = SnapshotCache()
    cache.advance(FLEET, 1, changes(cluster("a"), route("r", "a")))
    stream = cache.connect(
        fleet=FLEET, node=NodeInfo("n"), delta=True, now=0.0, types=frozenset({ROUTE})
    )
    stream.receive(Request(CLUSTER), 0.0)
    assert stream.run(0.0) == []
    stream.receive(Request(ROUTE, subscribe=("r",)), 0.0)
    (response,) = stream.run(0.0)
    assert names(response) == ["r"]
    stream.receive(Request(ROUTE, nonce=response.nonce), 0.0)
    assert stream.in_step(1)
    assert stream.types == {ROUTE}

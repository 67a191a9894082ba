"""Clients that come in great numbers, or never return: none costs what all of them are."""

import pytest

from tests.cache.messages import cluster, endpoints, runtime
from xds.cache import CLUSTER, NodeInfo, NodeStream, Request, SnapshotCache
from xds.cache import cache as module
from xds.cache.fleet import Fleet

FLEET = "edge"


def came(cache: SnapshotCache, node: str, **said) -> NodeStream:
    """A stream that has asked for all clusters."""
    info = NodeInfo(node, **said)
    stream = cache.connect(fleet=FLEET, node=info, delta=True, now=0.0, variant=node)
    stream.receive(Request(CLUSTER), 0.0)
    return stream


def loaded(*names: str) -> SnapshotCache:
    cache = SnapshotCache()
    resources = [make(name) for name in names for make in (cluster, endpoints)]
    cache.advance(FLEET, 1, {one.key: one for one in resources})
    return cache


def test_streams_of_one_grpc_id_do_not_look_at_each_other(monkeypatch):
    # 1,000 channels of one bootstrap took 12 s to come at 200 clusters.
    looked = []
    monkeypatch.setattr(NodeStream, "leave", looked.append)
    cache = loaded("a")
    streams = [came(cache, "app", user_agent="gRPC Python") for _ in range(5)]
    assert not looked
    assert cache.streams(FLEET) == tuple(streams)
    for stream in streams[::2]:
        cache.disconnect(stream)
    assert cache.streams(FLEET) == tuple(streams[1::2])


def test_what_is_one_nodes_own_is_no_affair_of_the_others():
    cache = loaded("a")
    streams = [came(cache, f"n{number}") for number in range(5)]
    for stream in streams:
        stream.run(0.0)

    class Unread(dict):
        def __iter__(self):
            pytest.fail("all streams were looked at")

    fleet: Fleet = cache._fleets[FLEET]
    fleet.streams = Unread(fleet.streams)
    woken = []
    streams[3].on_dirty = lambda: woken.append("n3")
    layer = runtime("layer", {"a": 1.0})
    cache.overlay(FLEET, "n3", 1, {layer.key: layer})
    assert woken == ["n3"]
    cache.overlay(FLEET, "n3", 1, {})
    cache.disconnect(streams[3])
    assert not fleet.variants

"""Clients that come in great numbers, or never return: none costs what all of them are."""

import pytest

from tests.cache.messages import cluster, endpoints, runtime
from xds.cache import (
    CLUSTER,
    ENDPOINT,
    NodeInfo,
    NodeStream,
    Request,
    SnapshotCache,
    compose,
    departed,
)
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


def test_of_nodes_that_never_return_so_many_are_remembered(monkeypatch):
    monkeypatch.setattr(departed, "MOST_NODES", 3)
    cache = loaded("bad")

    def refuse(node: str) -> int:
        stream = came(cache, node)
        responses = stream.run(0.0)
        for response in responses:
            answer = Request(CLUSTER, nonce=response.nonce, error="bad: it is")
            stream.receive(answer, 0.0)
        cache.disconnect(stream)
        return sum(len(response.resources) for response in responses)

    assert [refuse(f"n{number}") for number in range(5)] == [1] * 5
    assert len(cache._rejected) == 3
    assert refuse("n2") == 0  # it is known, and now it is the last that went
    assert refuse("n5") == 1
    assert refuse("n3") == 1  # forgotten: it is asked once more
    assert refuse("n2") == 0
    assert len(cache._rejected) == 3
    cache.forget_rejections(FLEET, [cluster("bad").key])
    assert not cache._rejected
    assert [refuse(f"m{number}") for number in range(3)] == [1] * 3
    assert len(cache._rejected) == 3


def test_of_what_nodes_had_not_confirmed_so_many_names_are_remembered(monkeypatch):
    monkeypatch.setattr(departed, "MOST_NAMES", 25)
    cache = loaded(*(f"p{number}" for number in range(10)))

    def go_without_an_answer(node: str) -> None:
        stream = came(cache, node)
        stream.run(0.0)
        assert len(stream.pending) == 10
        cache.disconnect(stream)

    for number in range(50):
        go_without_an_answer(f"n{number}")
    remembered = cache._departed._left.values()
    assert [len(left.states) for left in remembered] == [10, 10]
    assert cache._departed._names == 20
    came(cache, "n49")
    assert cache._departed._names == 10


def test_names_asked_for_at_once_are_each_looked_at_once(monkeypatch):
    """100,000 names that do not exist took 489 s, in which nobody else was served."""
    looked = 0

    class Entries(dict):
        def __iter__(self):
            nonlocal looked
            for name in super().__iter__():
                looked += 1
                yield name

    monkeypatch.setattr(compose.Batch, "__init__", lambda self: _batch(self, Entries()))
    cache = loaded("a")
    stream = came(cache, "n1")
    names = tuple(f"x{number}" for number in range(1000))
    stream.receive(Request(ENDPOINT, subscribe=names), 0.0)
    sent = [one for one in stream.run(0.0) if one.type_url == ENDPOINT]
    assert sum(len(one.removed) for one in sent) == len(names)
    assert looked < 10 * len(names)


def _batch(batch: compose.Batch, entries: dict) -> None:
    batch.entries, batch.size, batch.limit = entries, 0, compose.BYTES

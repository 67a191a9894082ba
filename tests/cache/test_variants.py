"""What one node alone is sent: variants of a fleet's snapshot, and limits before listeners."""

import time

import pytest

from tests.cache.messages import cluster, endpoints, runtime, tcp_listener
from tests.cache.peer import FLEET, Peer, names
from xds.cache import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    RUNTIME,
    Key,
    NodeInfo,
    Request,
    Response,
    SnapshotCache,
)

LAYER = Key(RUNTIME, "layer")


class Limited(Peer):
    """A peer whose node has a runtime layer of its own."""

    def __init__(self, *, delta: bool = True) -> None:
        self.wanted: dict[str, tuple[str, ...]] = {}
        super().__init__(delta=delta)

    def limit(self, revision: int, **fields: float) -> None:
        changes = {LAYER: runtime("layer", fields)} if fields else {}
        self.cache.overlay(FLEET, "n1", revision, changes)

    def connect(self):
        self.stream = self.cache.connect(
            fleet=FLEET, node=NodeInfo("n1"), delta=self.delta, now=self.now, variant="n1"
        )
        return self.stream

    def ask_for(self, type_url: str, *wanted: str) -> list[Response]:
        self.wanted[type_url] = wanted
        field = "subscribe" if self.delta else "names"
        return self.ask(type_url, **{field: wanted})

    def ack(self, response: Response, **fields) -> list[Response]:
        return super().ack(response, **self.named(response), **fields)

    def nack(self, response: Response, error: str, **fields) -> list[Response]:
        return super().nack(response, error, **self.named(response), **fields)

    def named(self, response: Response) -> dict[str, tuple[str, ...]]:
        return {} if self.delta else {"names": self.wanted.get(response.type_url, ())}

    def talk(self, responses: list[Response]) -> None:
        while responses:
            responses = [more for one in responses for more in self.ack(one)]


def talk_of_all(peer: Limited) -> None:
    peer.set(cluster("a"), endpoints("a", 80))
    peer.talk(peer.ask_for(CLUSTER))
    peer.talk(peer.ask_for(ENDPOINT, "a"))
    peer.talk(peer.ask_for(LISTENER))


@pytest.fixture(params=[True, False], ids=["delta", "state of the world"])
def peer(request) -> Limited:
    """A node that has asked for all, holds a cluster, and has the limit of one listener."""
    peer = Limited(delta=request.param)
    peer.limit(1, one=5)
    peer.talk(peer.ask_for(RUNTIME, "layer"))
    talk_of_all(peer)
    return peer


def test_the_layer_goes_before_the_listener(peer):
    peer.limit(2, one=5, two=6)
    first, second = peer.set(tcp_listener("two", 81, "a"))
    assert (first.type_url, second.type_url) == (RUNTIME, LISTENER)
    peer.talk([first, second])
    assert peer.stream.in_step(2)


def test_a_listener_waits_until_its_limit_is_sent_and_not_until_it_is_answered(peer):
    peer.limit(1, one=7)
    (asked,) = peer.stream.run(peer.now)
    peer.limit(2, one=7, two=6)
    sent = [one.type_url for one in peer.set(tcp_listener("two", 81, "a"))]
    assert LISTENER not in sent
    assert "waits for Runtime layer" in peer.stream.waiting(Key(LISTENER, "two"), peer.now)
    first, second = peer.ack(asked)
    assert (first.type_url, names(second)) == (RUNTIME, ["two"])


def test_a_client_without_runtime_layers_waits_for_none():
    peer = Limited()
    talk_of_all(peer)
    peer.limit(2, two=6)
    assert [names(one) for one in peer.set(tcp_listener("two", 81, "a"))] == [["two"]]


def test_a_refused_layer_holds_nothing_up(peer):
    peer.limit(1, one=7)
    (asked,) = peer.stream.run(peer.now)
    peer.nack(asked, "layer is bad")
    assert [names(one) for one in peer.set(tcp_listener("two", 81, "a"))] == [["two"]]
    assert not peer.stream.confirmed(LAYER, peer.revision)


def test_what_changed_in_a_variant_is_not_confirmed_before_its_stream_has_seen_it(peer):
    assert peer.stream.confirmed(LAYER, 1)
    assert peer.stream.in_step(1)
    peer.limit(1, one=7)  # as part of what was asked for at revision 1
    assert not peer.stream.confirmed(LAYER, 1)
    assert not peer.stream.in_step(1)
    (response,) = peer.stream.run(peer.now)
    assert not peer.stream.confirmed(LAYER, 1)
    assert [one.version for one in peer.stream.holds(LAYER)] == [
        runtime("layer", {"one": 5}).version,
        runtime("layer", {"one": 7}).version,
    ]
    peer.ack(response)
    assert peer.stream.confirmed(LAYER, 1)
    assert [one.version for one in peer.stream.holds(LAYER)] == [response.resources[0].version]


def test_a_change_that_belongs_to_a_newer_revision_puts_off_nobody_who_waits_for_an_older(peer):
    peer.talk(peer.set(cluster("b")))
    peer.limit(2, one=7)
    assert peer.stream.confirmed(LAYER, 1)
    assert not peer.stream.confirmed(LAYER, 2)
    layer = next(one for one in peer.stream.run(peer.now) if one.type_url == RUNTIME)
    assert peer.stream.confirmed(LAYER, 1)
    peer.limit(1, one=3)  # while that is not answered
    peer.stream.run(peer.now)
    assert not peer.stream.confirmed(LAYER, 1)
    (again,) = peer.ack(layer)
    assert not peer.stream.confirmed(LAYER, 1)
    assert not peer.stream.confirmed(LAYER, 2)
    peer.ack(again)
    assert peer.stream.confirmed(LAYER, 2)


def test_a_layer_that_is_no_more_is_confirmed_by_its_answer(peer):
    peer.limit(1)
    (response,) = peer.stream.run(peer.now)
    assert response.removed == (("layer",) if peer.delta else ())
    assert not peer.stream.confirmed(LAYER, 1)
    peer.ack(response)
    assert peer.stream.confirmed(LAYER, 1)
    assert peer.stream.holds(LAYER) == (None,)


def test_a_variant_that_differs_in_nothing_is_forgotten_when_its_stream_has_gone(peer):
    peer.limit(1)
    assert peer.cache._fleets[FLEET].variants
    peer.cache.disconnect(peer.stream)
    assert not peer.cache._fleets[FLEET].variants
    peer.connect()
    peer.limit(1, one=9)
    (response,) = peer.ask_for(RUNTIME, "layer")
    assert response.resources[0].version == runtime("layer", {"one": 9}).version


def test_before_it_is_asked_for_nothing_is_known_of_what_a_node_holds():
    peer = Limited()
    peer.limit(1, one=5)
    assert peer.stream.holds(LAYER) == ()
    peer.ask_for(RUNTIME, "layer")
    assert None in peer.stream.holds(LAYER)


def test_many_changes_of_a_variant_between_two_looks_are_none_too_few(peer):
    for number in range(100):
        peer.limit(2 if number == 3 else 9, one=number)
    assert not peer.stream.confirmed(LAYER, 2)
    assert len(peer.cache.snapshot(FLEET, "n1").own.log) < 50


def test_a_change_of_the_base_costs_its_variants_nothing():
    def change(variants: int) -> float:
        cache = SnapshotCache()
        cache.advance(FLEET, 1, {})
        for number in range(variants):
            layer = runtime("layer", {"one": number})
            cache.overlay(FLEET, f"n{number}", 1, {LAYER: layer})
        made = [cluster("a", tag) for tag in range(200)]
        began = time.process_time()
        for revision, one in enumerate(made, 2):
            cache.advance(FLEET, revision, {one.key: one})
        return time.process_time() - began

    # 2,000 variants took as long as none; when each was copied, some 1,500 times as long.
    assert change(2000) < 50 * change(0)


def test_the_layer_of_another_node_wakes_nobody(peer):
    woken = []
    peer.stream.on_dirty = lambda: woken.append("n1")
    peer.cache.overlay(FLEET, "n2", 1, {LAYER: runtime("layer", {"one": 1})})
    assert woken == []
    peer.limit(1, one=9)
    assert woken == ["n1"]
    stream = peer.cache.connect(
        fleet=FLEET, node=NodeInfo("n2"), delta=True, now=peer.now, variant="n2"
    )
    stream.receive(Request(RUNTIME, subscribe=("layer",)), peer.now)
    (response,) = stream.run(peer.now)
    assert response.resources[0].version == runtime("layer", {"one": 1}).version

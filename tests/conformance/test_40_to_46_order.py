"""Rules 40 to 45: the order across types, on the one stream that can keep it. (46 is Envoy's.)"""

import pytest

from tests.conformance.messages import TYPES, make
from tests.conformance.node import ADS, Node
from tests.harness import resources
from tests.harness.ads_client import CDS, EDS, LDS, RDS, RTDS

MEMBER = "127.0.0.1:9001"
ON_ADS = pytest.mark.parametrize("wire", ADS, ids=str)


def members(answer):
    return [
        sum(len(group.lb_endpoints) for group in one.endpoints) for one in answer.messages.values()
    ]


async def follow(node: Node) -> None:
    """Subscribes to all clusters and listeners, as Envoy does."""
    for type_url in (CDS, LDS):
        await node.first(type_url)


async def whole(node: Node, name: str = "a") -> None:
    """Takes a tree that is published, as Envoy does."""
    await node.first(CDS)
    await node.ask(EDS, name)
    while members(await node.take(EDS)) != [1]:
        pass
    await node.first(LDS)
    assert (await node.first(RDS, name)).names == [name]
    await node.silent()


@ON_ADS
async def test_rule_40_what_is_new_comes_before_what_refers_to_it(cache, node):
    await follow(node)
    cache.publish("fleet", resources.vip("a", 10_000, [MEMBER]))
    clusters = await node.receive(CDS)
    await node.ask(EDS, "a")
    while members(await node.take(EDS)) != [1]:
        pass
    await node.silent()  # the listener waits until its cluster is confirmed
    await node.ack(clusters)
    assert (await node.take(LDS)).names == ["a"]
    assert (await node.first(RDS, "a")).names == ["a"]


@ON_ADS
async def test_rule_41_what_is_removed_goes_after_what_referred_to_it(cache, node):
    cache.publish("fleet", resources.vip("a", 10_000, [MEMBER]))
    await whole(node)
    cache.publish("fleet", [])
    listeners = await node.receive(LDS)
    assert (listeners.names, listeners.removed) == ([], ["a"] if node.wire.delta else [])
    await node.silent(1)  # never by a deadline
    await node.ack(listeners)
    order = []
    while CDS not in order:
        answer = await node.any()
        await node.ack(answer)
        order.append(answer.type_url)
    assert EDS not in order


@ON_ADS
async def test_rule_42_endpoints_follow_every_cluster_that_is_sent(cache, node):
    tree = resources.vip("a", 10_000, [MEMBER])
    cache.publish("fleet", tree)
    await whole(node)
    for tag in (2, 3):
        cache.publish("fleet", [resources.cluster("a", connect_timeout=tag), *tree[1:]])
        assert (await node.take(CDS)).names == ["a"]
        assert members(await node.take(EDS)) == [1]  # unchanged


@ON_ADS
async def test_rule_43_those_endpoints_wait_for_no_answer(cache, node):
    tree = resources.vip("a", 10_000, [MEMBER])
    cache.publish("fleet", tree)
    await whole(node)
    cache.publish("fleet", [resources.cluster("a", connect_timeout=2), *tree[1:]])
    await node.receive(CDS)  # and no word to it: Envoy has none before the endpoints are there
    assert members(await node.take(EDS)) == [1]


@ON_ADS
async def test_rule_44_endpoints_of_a_cluster_that_is_not_held_are_not_pushed(cache, node):
    def publish(port: int) -> None:
        tree = [make(CDS, "a"), make(CDS, "b"), make(EDS, "a", port), make(EDS, "b", port)]
        cache.publish("fleet", tree)

    publish(0)
    await node.ask(EDS, "a", "b")
    answer = await node.take(EDS)
    assert sorted(answer.names) == ["a", "b"]  # a first subscription is always answered
    assert (await node.first(CDS, "b")).names == ["b"]
    while members(await node.take(EDS)) != [1]:  # behind its cluster: none at first, then its own
        pass
    await node.silent()
    publish(1)
    assert (await node.take(EDS)).names == ["b"]
    await node.silent()


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_45_every_first_request_is_answered_though_there_is_nothing(node, type_url):
    answer = await node.first(type_url)
    assert (answer.names, answer.removed) == ([], [])
    await node.silent()


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_45_a_first_request_for_what_does_not_exist_is_answered(node, type_url):
    answer = await node.first(type_url, "none")
    if node.wire.delta:
        assert (answer.names, answer.removed) == ([], ["none"])
    else:  # Envoy waits 15 s for a runtime layer that an answer does not hold
        assert answer.names == (["none"] if type_url == RTDS else [])
    await node.silent()


@ON_ADS
async def test_rule_45_all_types_asked_for_at_once_are_answered(cache, node):
    cache.publish("fleet", [make(type_url, "a") for type_url in TYPES])
    for type_url in reversed(TYPES):
        await node.ask(type_url)
    seen = set()
    for _ in TYPES:
        answer = await node.any()
        await node.ack(answer)
        seen.add(answer.type_url)
    assert seen == {*TYPES}

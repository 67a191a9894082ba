"""Rules 1 to 9: streams, nodes, types."""

import grpc
import pytest

from tests.conformance.messages import TYPES, WILD, make
from tests.conformance.node import ADS, DELTA, SINGLE, Node
from tests.harness.ads_client import CDS, EDS, LDS, RDS, RTDS, SDS

ENVOY_LATER = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"


async def test_rule_01_the_node_is_kept_for_the_stream(cache, server, node):
    cache.publish("fleet", [make(RDS, "a"), make(RDS, "b")])
    await node.first(RDS, "a")
    await node.ask(RDS, "b")  # without a node
    assert (await node.take(RDS)).names == ["b"]
    (served,) = server.service.streams
    assert served.node.id == "node"


@pytest.mark.parametrize("name", ["no node", "no id"])
async def test_rule_02_a_first_request_without_a_node_id_is_refused(server, wire, name):
    async with Node(server, wire, name="") as node:
        stream = await node.stream(CDS)
        await stream.send(CDS, node=name == "no id")
        code, details = await stream.status()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "node" in details


@pytest.mark.parametrize("wire", ADS, ids=str)
@pytest.mark.parametrize("at_first", [True, False])
async def test_rule_03_ads_needs_a_type(node, at_first):
    if not at_first:
        await node.first(CDS)
    stream = await node.stream("")
    await stream.send("")
    code, details = await stream.status()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "type_url" in details


@pytest.mark.parametrize("wire", SINGLE, ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_04_a_single_type_service_takes_no_type_for_its_own(cache, node, type_url):
    cache.publish("fleet", [make(type_url, "a")])
    stream = await node.stream(type_url)
    asked = {"subscribe": ["a"]} if node.wire.delta else {"names": ["a"]}
    await stream.send("", **asked)
    assert (await node.take(type_url)).names == ["a"]


@pytest.mark.parametrize("wire", SINGLE, ids=str)
@pytest.mark.parametrize("at_first", [True, False])
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_04_a_single_type_service_refuses_other_types(node, type_url, at_first):
    if not at_first:
        await node.first(type_url, "a")
    stream = await node.stream(type_url)
    await stream.send(LDS if type_url == CDS else CDS)
    code, details = await stream.status()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert type_url in details


@pytest.mark.parametrize("wire", ADS, ids=str)
async def test_rule_05_each_type_has_its_own_nonce_and_subscription(cache, node):
    cache.publish("fleet", [make(RDS, "x"), make(LDS, "x"), make(SDS, "x")])
    await node.ask(RDS, "x")
    routes = await node.receive(RDS)
    listeners = await node.first(LDS)
    assert routes.version != listeners.version
    await node.ask(SDS, nonce=routes.nonce)  # an answer to routes on secrets: none
    assert (await node.take(SDS)).names == []  # and no name of another type
    cache.publish("fleet", [make(RDS, "x", 1), make(LDS, "x"), make(SDS, "x")])
    await node.ask(SDS, nonce=routes.nonce)
    await node.silent()
    await node.ack(routes)
    assert (await node.take(RDS)).names == ["x"]


@pytest.mark.parametrize("wire", ADS, ids=str)
async def test_rule_06_an_unknown_type_is_answered_and_breaks_nothing(cache, node):
    cache.publish("fleet", [make(CDS, "a")])
    await node.ask(ENVOY_LATER, "x")
    answer = await node.take(ENVOY_LATER)
    assert answer.names == []
    assert answer.removed == (["x"] if node.wire.delta else [])
    assert (await node.first(CDS)).names == ["a"]


async def test_rule_07_types_are_asked_for_in_any_order(cache, node):
    cache.publish("fleet", [make(type_url, "a") for type_url in TYPES])
    for type_url in (LDS, SDS, RDS, EDS, RTDS, CDS):
        answer = await node.first(type_url, *([] if type_url in WILD else ["a"]))
        assert answer.names == ["a"]


async def test_rule_08_a_node_that_changes_is_not_another(cache, server, node):
    cache.publish("fleet", [make(RDS, "a"), make(RDS, "b")])
    cache.publish("other", [make(RDS, "a", 5), make(RDS, "b", 5)])
    await node.first(RDS, "a")
    stream = await node.stream(RDS)
    stream._node.id, stream._node.cluster = "another", "other"
    stream._sent_node = False  # the next request carries the node again
    await node.ask(RDS, "b")
    answer = await node.take(RDS)
    assert answer.messages["b"] == make(RDS, "b")
    (served,) = server.service.streams
    assert (served.node.id, served.node.cluster) == ("node", "fleet")


async def test_rule_09_what_a_node_says_of_itself_is_kept(server, node):
    said = (await node.stream(CDS))._node
    said.metadata["role"] = "edge"
    features = {"xds.config.resource-in-sotw", "envoy.lb.does_not_support_overprovisioning"}
    said.client_features.extend(sorted(features))
    await node.first(CDS)
    (served,) = server.service.streams
    assert served.node.user_agent == "test"
    assert served.node.metadata == {"role": "edge"}
    assert served.node.features == features


@pytest.mark.parametrize("wire", DELTA, ids=str)
async def test_rule_09_each_stream_keeps_its_own(server, wire):
    async with Node(server, wire, name="one") as one, Node(server, wire, name="two") as two:
        await one.first(CDS)
        await two.first(CDS)
        assert {served.node.id for served in server.service.streams} == {"one", "two"}

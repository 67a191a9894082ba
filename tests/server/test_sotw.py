"""State of the world over real streams: full sets, order, NACK, reconnect."""

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from google.protobuf.any_pb2 import Any

from tests.harness import resources
from tests.harness.ads_client import CDS, EDS, LDS, RDS, RTDS, SotwClient

MEMBER = "127.0.0.1:9001"


def unpacked(entry: Any):
    for kind in (Cluster, ClusterLoadAssignment, Listener):
        if entry.Is(kind.DESCRIPTOR):
            message = kind()
            entry.Unpack(message)
            return message
    raise AssertionError(entry.type_url)


def names(answer):
    messages = [unpacked(entry) for entry in answer.resources]
    return sorted(getattr(one, "cluster_name", "") or one.name for one in messages)


def members(answer):
    return [
        sum(len(group.lb_endpoints) for group in unpacked(entry).endpoints)
        for entry in answer.resources
    ]


async def test_types_without_resources_are_answered(cache, address):
    cache.publish("fleet", [])
    async with SotwClient(address) as stream:
        for type_url, asked in ((CDS, []), (LDS, []), (EDS, ["a"]), (RDS, ["a"])):
            await stream.send(type_url, asked)
            assert not (await stream.take(type_url)).resources


async def test_a_runtime_that_does_not_exist_is_answered_with_an_empty_one(cache, address):
    # An empty answer leaves Envoy 1.40 waiting for 15 s (measured).
    cache.publish("fleet", [])
    async with SotwClient(address) as stream:
        await stream.send(RTDS, ["runtime"])
        assert len((await stream.take(RTDS)).resources) == 1


async def test_a_whole_tree_arrives_in_order(cache, address):
    cache.publish("fleet", [])
    async with SotwClient(address) as stream:
        for type_url in (CDS, LDS):
            await stream.send(type_url)
            await stream.take(type_url)
        await stream.send(EDS, [])
        cache.publish("fleet", resources.vip("a", 10_000, [MEMBER]))
        clusters = await stream.receive(CDS)
        assert names(clusters) == ["a"]
        await stream.send(EDS, ["a"])
        sent = []
        while sent != [0, 1]:
            answer = await stream.take(EDS)
            sent += members(answer)
        await stream.silent()  # the listener waits for its cluster
        await stream.ack(clusters)
        assert names(await stream.take(LDS)) == ["a"]
        await stream.send(RDS, ["a"])
        assert len((await stream.take(RDS)).resources) == 1


async def test_listeners_and_clusters_come_as_full_sets(cache, address):
    one = [resources.cluster("a"), resources.endpoints("a", [MEMBER])]
    cache.publish("fleet", one)
    async with SotwClient(address) as stream:
        await stream.send(CDS)
        first = await stream.take(CDS)
        assert names(first) == ["a"]
        cache.publish("fleet", [*one, resources.cluster("b"), resources.endpoints("b")])
        answer = await stream.take()
        while answer.type_url != CDS:
            answer = await stream.take()
        assert names(answer) == ["a", "b"]
        assert answer.version_info != first.version_info


async def test_a_nack_is_answered_by_nothing_until_the_content_changes(cache, address):
    cache.publish("fleet", [])
    async with SotwClient(address) as stream:
        await stream.send(LDS)
        await stream.take(LDS)
        cache.publish("fleet", [resources.tcp_listener("bad", 1, "")])
        answer = await stream.receive(LDS)
        await stream.nack(answer, "Error adding/updating listener(s) bad: cannot bind")
        await stream.silent()
        cache.publish("fleet", [resources.tcp_listener("bad", 2, "")])
        answer = await stream.take(LDS)
        assert unpacked(answer.resources[0]).address.socket_address.port_value == 2


async def test_the_same_content_has_the_same_version_on_another_server(cache, address):
    tree = [resources.cluster("a"), resources.endpoints("a", [MEMBER])]
    cache.publish("fleet", tree)
    cache.publish("twin", tree[::-1])
    versions = set()
    for fleet in ("fleet", "twin"):
        async with SotwClient(address, fleet=fleet) as stream:
            await stream.send(CDS)
            versions.add((await stream.take(CDS)).version_info)
    assert len(versions) == 1


async def test_a_stale_nonce_gets_no_response(cache, address):
    cache.publish("fleet", [])
    async with SotwClient(address) as stream:
        await stream.send(CDS)
        first = await stream.take(CDS)
        cache.publish("fleet", [resources.cluster("a"), resources.endpoints("a")])
        await stream.receive(CDS)
        await stream.ack(first)
        await stream.silent()


async def test_names_that_there_are_not_are_said_to_be_missing(cache, address):
    # For a gRPC client that a name is absent is no answer: it waits for 15 s (measured, 1.85).
    cache.publish("fleet", resources.vip("a", 10_000, [MEMBER]))
    async with SotwClient(address) as stream:
        await stream.send(LDS, ["a", "b", "c"])
        answer = await stream.take(LDS)
        assert names(answer) == ["a"]
        said = {each.resource_name.name: each.error_detail.code for each in answer.resource_errors}
        assert said == {"b": 5, "c": 5}
        cache.publish("fleet", resources.vip("b", 10_001, [MEMBER]))
        while names(answer) != ["b"]:
            answer = await stream.take(LDS)
        assert {each.resource_name.name for each in answer.resource_errors} == {"a", "c"}
    # Envoys ask for all, and for some names beside.
    for asked in ([], ["*", "c"]):
        async with SotwClient(address) as stream:
            await stream.send(LDS, asked)
            assert not (await stream.take(LDS)).resource_errors


async def test_grpc_clients_that_share_an_id_are_each_given_what_they_lack(cache, address):
    # Every channel of every process that was started with one bootstrap has a stream of its own.
    grpc_client = {"node": "shop", "user_agent": "gRPC C-core linux Python"}

    def publish(port: int) -> None:
        cache.publish("fleet", [resources.tcp_listener("a", port, "")])

    publish(1)
    async with SotwClient(address, **grpc_client) as other:
        async with SotwClient(address, **grpc_client) as one:
            await one.send(LDS, ["a"])
            first = await one.take(LDS)
            await other.send(LDS, ["a"])
            assert (await other.take(LDS)).resources == first.resources
        publish(2)
        second = await other.take(LDS)
        assert second.resources != first.resources
        # The first is back with what it had, while the other has the newest.
        async with SotwClient(address, **grpc_client) as one:
            await one.send(LDS, ["a"], version=first.version_info)
            assert (await one.take(LDS)).resources == second.resources
            # What one refuses, by its own rules, another may take.
            publish(3)
            await one.nack(await one.receive(LDS), "I do not like it")
            await one.silent()
            async with SotwClient(address, **grpc_client) as third:
                await third.send(LDS, ["a"])
                (third_is_given,) = (await third.take(LDS)).resources
                assert unpacked(third_is_given).address.socket_address.port_value == 3


async def test_who_comes_back_for_a_name_that_is_gone_is_told(cache, address):
    cache.publish("fleet", [resources.tcp_listener("b", 1, "")])
    async with SotwClient(address, user_agent="gRPC Go") as stream:
        await stream.send(LDS, ["a"], version="of another process")
        answer = await stream.take(LDS)
        assert not answer.resources
        assert [each.resource_name.name for each in answer.resource_errors] == ["a"]

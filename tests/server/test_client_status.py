"""CSDS, reflection and health on the fleet port, over real gRPC; `buf curl` as a person has it."""

import asyncio
import json
import time

import grpc
import pytest
from envoy.admin.v3.config_dump_shared_pb2 import ClientResourceStatus as Client
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.service.status.v3 import csds_pb2
from envoy.service.status.v3.csds_pb2 import ConfigStatus
from google.protobuf.json_format import ParseDict

from tests.features.test_buf_curl import buf_curl
from tests.harness import resources
from tests.harness.ads_client import CDS, EDS, LDS, DeltaClient, SotwClient
from tests.harness.waiting import until
from xds.cache import NodeInfo
from xds.server import ServerOptions, client_status, serve
from xds.server.server import offers_client_status

CSDS = f"/{client_status.SERVICE}/"
CLIENTS = pytest.mark.parametrize("client", [DeltaClient, SotwClient])


def request(**fields) -> csds_pb2.ClientStatusRequest:
    return ParseDict(fields, csds_pb2.ClientStatusRequest())


def node(**pattern) -> dict:
    return {"node_matchers": [{"node_id": pattern}]}


async def fetch(address, **fields) -> list[csds_pb2.ClientConfig]:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(
            CSDS + "FetchClientStatus",
            request_serializer=csds_pb2.ClientStatusRequest.SerializeToString,
            response_deserializer=csds_pb2.ClientStatusResponse.FromString,
        )
        return list((await call(request(**fields))).config)


async def refused(address, **fields) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await fetch(address, **fields)
    return error.value.code(), error.value.details()


def told(config) -> dict[str, tuple[str, str]]:
    return {
        f"{each.type_url.rpartition('.')[2]} {each.name}": (
            ConfigStatus.Name(each.config_status),
            Client.Name(each.client_status),
        )
        for each in config.generic_xds_configs
    }


def of(config, name: str):
    (found,) = [each for each in config.generic_xds_configs if each.name == name]
    return found


@CLIENTS
async def test_each_resource_of_a_node_as_it_is_sent_confirmed_and_refused(client, cache, address):
    cache.publish("fleet", [resources.cluster(name) for name in ("a", "b")])
    async with client(address, node="n1") as stream:
        await stream.send(CDS)
        first = await stream.receive(CDS)
        (config,) = await fetch(address)
        assert (config.node.id, config.node.cluster) == ("n1", "fleet")
        assert config.client_scope == "fleet"
        assert told(config) == dict.fromkeys(("Cluster a", "Cluster b"), ("STALE", "REQUESTED"))
        assert of(config, "a").version_info == ""
        assert not of(config, "a").HasField("xds_config")

        await stream.ack(first)

        async def until_told(wanted) -> csds_pb2.ClientConfig:
            async def so() -> csds_pb2.ClientConfig | None:
                (found,) = await fetch(address)
                return found if told(found) == wanted else None

            return await until(so, within=10, what=f"it is told: {wanted}", every=0.01)

        config = await until_told(dict.fromkeys(("Cluster a", "Cluster b"), ("SYNCED", "ACKED")))
        version = of(config, "a").version_info
        assert version
        held = Cluster()
        assert of(config, "a").xds_config.Unpack(held)
        assert held.name == "a"

        before = time.time()
        changed = resources.cluster("a", connect_timeout=7)
        cache.publish("fleet", [changed, resources.cluster("b")])
        await stream.nack(await stream.receive(CDS), "Error adding cluster a: never")
        config = await until_told(
            {"Cluster a": ("ERROR", "NACKED"), "Cluster b": ("SYNCED", "ACKED")}
        )
        bad = of(config, "a")
        assert bad.version_info == version  # what it runs
        assert bad.error_state.details == "Error adding cluster a: never"
        assert bad.error_state.version_info not in ("", version)
        failed = Cluster()
        assert bad.error_state.failed_configuration.Unpack(failed)
        assert failed.connect_timeout.seconds == 7
        at = bad.error_state.last_update_attempt.ToMicroseconds() / 1e6
        assert before - 1 < at < time.time() + 1

        (config,) = await fetch(address, exclude_resource_contents=True)
        assert told(config)["Cluster a"] == ("ERROR", "NACKED")
        for each in config.generic_xds_configs:
            assert not each.HasField("xds_config")
            assert not each.error_state.HasField("failed_configuration")


async def test_a_name_that_nobody_has_does_not_exist(cache, address):
    cache.publish("fleet", [])
    async with DeltaClient(address) as stream:
        await stream.send(EDS, subscribe=["nobody"])
        await stream.take(EDS)
        (config,) = await fetch(address)
    expected = {"ClusterLoadAssignment nobody": ("NOT_SENT", "DOES_NOT_EXIST")}
    assert told(config) == expected


async def test_nodes_are_chosen_by_their_ids(cache, address):
    cache.publish("fleet", [])
    async with DeltaClient(address, node="Edge-1") as one, DeltaClient(address, node="x2") as two:
        for stream in (one, two):
            await stream.send(CDS)
            await stream.take(CDS)

        async def ids(**fields) -> list[str]:
            return [config.node.id for config in await fetch(address, **fields)]

        assert await ids() == ["Edge-1", "x2"]
        assert await ids(**node(exact="x2")) == ["x2"]
        assert await ids(**node(exact="X2")) == []
        assert await ids(**node(exact="X2", ignore_case=True)) == ["x2"]
        assert await ids(**node(prefix="Edge")) == ["Edge-1"]
        assert await ids(**node(suffix="2")) == ["x2"]
        assert await ids(**node(contains="ge-")) == ["Edge-1"]
        either = [{"node_id": {"exact": "x2"}}, {"node_id": {"exact": "Edge-1"}}]
        assert await ids(node_matchers=either) == ["Edge-1", "x2"]
        assert await ids(node_matchers=[{}]) == ["Edge-1", "x2"]

        for bad, named in (
            (node(safe_regex={"regex": "x.*"}), "safe_regex"),
            ({"node_matchers": [{"node_id": {}}]}, "no pattern"),
            ({"node_matchers": [{"node_metadatas": [{}]}]}, "node_metadatas"),
        ):
            code, words = await refused(address, **bad)
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert named in words
            assert "exact, prefix, suffix or contains" in words


async def test_a_nodes_scope_is_the_snapshot_that_it_is_given(cache):
    """A fleet may have a second one, for clients of another kind."""
    cache.publish("fleet/grpc", [resources.cluster("a")])
    async with (
        await serve(cache, "127.0.0.1:0", fleet_of=lambda node: f"{node.cluster}/grpc") as server,
        DeltaClient(f"127.0.0.1:{server.port}") as stream,
    ):
        await stream.send(CDS, subscribe=["a"])
        await stream.receive(CDS)
        (config,) = await fetch(f"127.0.0.1:{server.port}")
    assert (config.node.cluster, config.client_scope) == ("fleet", "fleet/grpc")
    assert told(config) == {"Cluster a": ("STALE", "REQUESTED")}


async def test_a_client_that_asks_by_name_is_told_of_those_names_alone(cache, address):
    cache.publish("fleet", [resources.cluster(name) for name in ("a", "b", "c")])
    async with DeltaClient(address) as stream:
        await stream.send(CDS, subscribe=["b"])
        await stream.receive(CDS)
        (config,) = await fetch(address)
    assert list(told(config)) == ["Cluster b"]


async def test_of_two_streams_of_a_node_the_newest_counts(cache, address):
    cache.publish("fleet", [resources.cluster("a")])
    async with DeltaClient(address) as old:
        await old.send(CDS)
        await old.take(CDS)
        await old.send(EDS, subscribe=["a"])
        await old.take(EDS)
        async with DeltaClient(address) as new:
            await new.send(CDS)
            await new.receive(CDS)
            (config,) = await fetch(address)
    assert told(config)["Cluster a"] == ("STALE", "REQUESTED")
    assert len(config.generic_xds_configs) == 2  # endpoints: the older stream's, as they are known


async def test_grpc_clients_of_one_id_are_told_of_one_by_one(cache, address):
    cache.publish("fleet", [resources.cluster("a"), resources.cluster("b")])
    async with SotwClient(address, node="app") as one, SotwClient(address, node="app") as two:
        for stream, name in ((one, "a"), (two, "b")):
            stream._node.user_agent_name = "gRPC Python"
            await stream.send(CDS, [name])
            await stream.receive(CDS)
        first, second = await fetch(address, **node(exact="app"))
    assert [list(told(each)) for each in (first, second)] == [["Cluster a"], ["Cluster b"]]


async def test_a_stream_answers_each_request_node_by_node(cache, address):
    cache.publish("fleet", [resources.cluster("a")])
    async with (
        DeltaClient(address, node="n1") as one,
        DeltaClient(address, node="n2") as two,
        grpc.aio.insecure_channel(address) as channel,
    ):
        for stream in (one, two):
            await stream.send(CDS)
            await stream.take(CDS)
        call = channel.stream_stream(
            CSDS + "StreamClientStatus",
            request_serializer=csds_pb2.ClientStatusRequest.SerializeToString,
            response_deserializer=csds_pb2.ClientStatusResponse.FromString,
        )()
        await call.write(request())
        answers = [await call.read(), await call.read()]
        assert [[each.node.id for each in one.config] for one in answers] == [["n1"], ["n2"]]
        await call.write(request(**node(exact="nobody")))
        assert not (await call.read()).config
        await call.write(request(**node(exact="n2")))
        assert [each.node.id for each in (await call.read()).config] == ["n2"]
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("method", ["FetchClientStatus", "StreamClientStatus"])
async def test_bytes_that_are_no_request_are_refused_in_the_servers_own_words(method, address):
    async with grpc.aio.insecure_channel(address) as channel:
        if method == "FetchClientStatus":
            call = channel.unary_unary(CSDS + method)(b"\xff\xfe garbage")
        else:
            call = channel.stream_stream(CSDS + method)()
            await call.write(b"\xff\xfe garbage")
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await call.details() == (
            "the message is no ClientStatusRequest of envoy.service.status.v3"
        )


async def test_an_answer_that_is_too_large_is_refused_and_says_what_to_do(
    cache, address, monkeypatch
):
    cache.publish("fleet", [resources.cluster(f"c{number}") for number in range(20)])
    async with DeltaClient(address) as stream:
        await stream.send(CDS)
        await stream.take(CDS)
        monkeypatch.setattr(client_status, "LARGEST_ANSWER", 2000)
        code, words = await refused(address)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "exclude_resource_contents" in words


async def configs_and_turns(cache):
    """What is told of all nodes, and how often others had their turn meanwhile."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    service = client_status.ClientStatusService(cache)
    counting = asyncio.create_task(count())
    found = [config async for config in service._configs(b"")]
    counting.cancel()
    return found, turns


async def test_others_have_their_turn_while_a_large_node_is_told(cache, address):
    cache.publish("fleet", [resources.cluster(f"c{number}") for number in range(5_000)])
    async with DeltaClient(address) as stream:
        await stream.send(CDS)
        await stream.take(CDS)
        found, turns = await configs_and_turns(cache)
    (config,) = found
    assert len(config.generic_xds_configs) == 5_000
    assert turns >= 5_000 // client_status._TURN - 2  # itself and the last


def test_it_is_not_offered_beyond_this_machine_unless_asked_for():
    """Whoever may connect could read all fleets; nothing says who connects yet."""
    for address, offered in (
        ("127.0.0.1:18000", True),
        ("unix:/run/xds.sock", True),
        ("0.0.0.0:18000", False),
        ("203.0.113.9:18000", False),
    ):
        assert offers_client_status(address, ServerOptions()) is offered
    assert offers_client_status("0.0.0.0:18000", ServerOptions(client_status=True))


async def test_others_have_their_turn_between_nodes(cache, address):
    cache.publish("fleet", [])
    for number in range(50):
        cache.connect(fleet="fleet", node=NodeInfo(f"n{number}"), delta=True, now=0.0)
    found, turns = await configs_and_turns(cache)
    assert len(found) == 50
    assert turns >= 45


async def test_it_can_be_switched_off(cache):
    for offered, options in (
        (True, ServerOptions()),
        (False, ServerOptions(client_status=False)),
    ):
        async with await serve(cache, "127.0.0.1:0", options=options) as server:
            code, out, err = await buf_curl(server.port, "--list-services", "")
            assert code == 0, err
            assert (client_status.SERVICE in out) is offered
            if not offered:
                code, _ = await refused(f"127.0.0.1:{server.port}")
                assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_buf_curl_finds_and_calls_it_by_reflection(cache, server, address):
    cache.publish("fleet", resources.vip("web", 9000, ["127.0.0.1:80"]))
    async with DeltaClient(address, node="n1") as stream:
        await stream.send(CDS)
        await stream.take(CDS)
        await stream.send(LDS)
        code, out, err = await buf_curl(server.port, "--list-services", "")
        assert code == 0, err
        assert out.split() == [
            "envoy.service.cluster.v3.ClusterDiscoveryService",
            "envoy.service.discovery.v3.AggregatedDiscoveryService",
            "envoy.service.endpoint.v3.EndpointDiscoveryService",
            "envoy.service.listener.v3.ListenerDiscoveryService",
            "envoy.service.route.v3.RouteDiscoveryService",
            "envoy.service.runtime.v3.RuntimeDiscoveryService",
            "envoy.service.secret.v3.SecretDiscoveryService",
            "envoy.service.status.v3.ClientStatusDiscoveryService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        ]
        code, out, err = await buf_curl(server.port, "--list-methods", "")
        assert code == 0, err
        assert len(out.split()) > 20
        asked = json.dumps(node(exact="n1"))
        code, out, err = await buf_curl(server.port, "-d", asked, CSDS + "FetchClientStatus")
        assert code == 0, err
        (config,) = json.loads(out)["config"]
        (cluster,) = [one for one in config["genericXdsConfigs"] if "Cluster" in one["typeUrl"]]
        assert cluster["configStatus"] == "SYNCED"
        assert cluster["xdsConfig"]["edsClusterConfig"]["edsConfig"]["resourceApiVersion"] == "V3"
        code, out, err = await buf_curl(server.port, "-d", "{}", "/grpc.health.v1.Health/Check")
        assert json.loads(out) == {"status": "SERVING"}

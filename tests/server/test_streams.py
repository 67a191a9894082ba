"""Streams as such: who is let in, what is refused, how they end."""

import asyncio

import grpc
import pytest

from tests.harness import resources
from tests.harness.ads_client import CDS, EDS, LDS, DeltaClient, SotwClient
from xds.cache import SnapshotCache
from xds.server import AddressNotBound, Server, ServerOptions, UnsafeAddress, serve

CLIENTS = pytest.mark.parametrize("client", [DeltaClient, SotwClient])


class Closing:
    """An observer that tells when a stream is closed."""

    def __init__(self, closed: asyncio.Event) -> None:
        self._closed = closed

    def opened(self, stream): ...
    def confirmed(self, stream, keys): ...
    def rejected(self, stream, rejection): ...
    def closed(self, stream):
        self._closed.set()


@CLIENTS
async def test_a_first_request_without_a_node_is_refused(client, address):
    async with client(address) as stream:
        await stream.send(CDS, node=False)
        code, details = await stream.status()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "node" in details


@CLIENTS
async def test_a_node_without_a_fleet_is_refused(client, address):
    async with client(address, fleet="") as stream:
        await stream.send(CDS)
        code, details = await stream.status()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "node.cluster" in details


@CLIENTS
async def test_an_empty_type_is_refused(client, address):
    async with client(address) as stream:
        await stream.send("")
        assert (await stream.status())[0] is grpc.StatusCode.INVALID_ARGUMENT


@CLIENTS
async def test_a_node_whose_id_is_too_long_is_refused(client, cache, address):
    cache.publish("fleet", [])
    async with client(address, node="n" * 5000) as stream:
        await stream.send(CDS)
        code, details = await stream.status()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == "the node's id has 5000 characters: 1024 are allowed"


@CLIENTS
async def test_a_stream_may_ask_for_so_many_types(client, cache):
    cache.publish("fleet", [])
    options = ServerOptions(most_types=3)
    async with (
        await serve(cache, "127.0.0.1:0", options=options) as server,
        client(f"127.0.0.1:{server.port}") as stream,
    ):
        for number in range(3):
            await stream.send(f"type.googleapis.com/acme.T{number}")
            await stream.take()
        await stream.send("type.googleapis.com/acme.T3")
        code, details = await stream.status()
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details == "the stream asks for 4 types: 3 are allowed"


@CLIENTS
async def test_a_stream_may_ask_for_so_many_names(client, cache):
    cache.publish("fleet", [resources.endpoints("a")])
    options = ServerOptions(most_names=100)
    said = "subscribe" if client is DeltaClient else "names"
    async with (
        await serve(cache, "127.0.0.1:0", options=options) as server,
        client(f"127.0.0.1:{server.port}") as stream,
    ):
        await stream.send(EDS, **{said: ["a", *(f"x{number}" for number in range(99))]})
        assert len((await stream.take(EDS)).resources) == 1
        await stream.send(LDS, **{said: ["one"]})
        code, details = await stream.status()
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details == "the stream asks for 101 names: 100 are allowed"


@CLIENTS
@pytest.mark.parametrize("at_first", [True, False])
async def test_garbage_is_refused_in_the_servers_own_words(client, at_first, cache, address):
    cache.publish("fleet", [])
    async with client(address) as stream:
        if not at_first:
            await stream.send(CDS)
            await stream.take(CDS)
        await stream.send_raw(b"\xff\xfe garbage")
        code, details = await stream.status()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == "the message is no discovery request of xDS v3"


@CLIENTS
async def test_a_node_whose_fleet_is_not_loaded_waits_and_is_then_answered(client, cache, address):
    async with client(address) as stream:
        await stream.send(CDS)
        await stream.silent()
        cache.publish("other", [resources.cluster("elsewhere")])
        await stream.silent()
        cache.publish("fleet", [resources.cluster("pool"), resources.endpoints("pool")])
        answer = await stream.take(CDS)
        assert len(answer.resources) == 1


@CLIENTS
async def test_every_response_names_the_control_plane_and_has_a_nonce_of_its_own(
    client, cache, address
):
    cache.publish("fleet", [])
    async with client(address) as stream:
        nonces = []
        for type_url in (CDS, LDS):
            await stream.send(type_url)
            answer = await stream.take(type_url)
            assert answer.control_plane.identifier == "tidegate"
            nonces.append(answer.nonce)
    assert all(nonces)
    assert len(set(nonces)) == 2


@CLIENTS
async def test_what_a_node_says_of_itself_is_kept(client, cache, server, address):
    cache.publish("fleet", [])
    async with client(address, node="n1") as stream:
        version = stream._node.user_agent_build_version.version
        version.major_number, version.minor_number = 1, 40
        stream._node.metadata["role"] = "edge"
        stream._node.client_features.append("xds.config.resource-in-sotw")
        await stream.send(CDS)
        await stream.take(CDS)
        (served,) = server.service.streams
        assert served.node.id == "n1"
        assert served.node.cluster == "fleet"
        assert served.node.user_agent == "test"
        assert served.node.version == "1.40.0"
        assert served.node.metadata == {"role": "edge"}
        assert served.node.features == {"xds.config.resource-in-sotw"}
        assert [one.node.id for one in cache.streams("fleet")] == ["n1"]


@CLIENTS
async def test_a_stream_that_ended_is_forgotten(client, cache, server, address):
    cache.publish("fleet", [])
    closed = asyncio.Event()
    cache.observer = Closing(closed)
    async with client(address) as stream:
        await stream.send(CDS)
        await stream.take(CDS)
        assert len(cache.streams("fleet")) == 1
    async with asyncio.timeout(5):
        await closed.wait()
    assert not cache.streams("fleet")


@CLIENTS
async def test_a_server_that_stops_ends_its_streams_with_unavailable(client, cache):
    cache.publish("fleet", [])
    async with (
        await serve(cache, "127.0.0.1:0") as server,
        client(f"127.0.0.1:{server.port}") as stream,
    ):
        await stream.send(CDS)
        await stream.take(CDS)
        stopping = asyncio.create_task(server.stop())
        assert (await stream.status())[0] is grpc.StatusCode.UNAVAILABLE
        await stopping


@CLIENTS
@pytest.mark.parametrize(("type_url", "closed"), [(LDS, True), (CDS, False)])
async def test_an_overdue_answer_closes_the_stream_unless_warming_may_hold_it(
    client, type_url, closed, cache
):
    cache.publish("fleet", [resources.cluster("pool"), resources.endpoints("pool")])
    options = ServerOptions(answer_overdue=0.1)
    async with (
        await serve(cache, "127.0.0.1:0", options=options) as server,
        client(f"127.0.0.1:{server.port}") as stream,
    ):
        await stream.send(type_url)
        await stream.receive(type_url)
        if closed:
            assert (await stream.status())[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        else:
            while True:  # the EDS pushed behind is answered
                try:
                    answer = await stream.receive(EDS, within=0.3)
                except TimeoutError:
                    break
                await stream.ack(answer)
            assert server.service.streams


@CLIENTS
async def test_a_client_that_does_not_read_is_cut_and_delays_nobody(client, cache):
    closed = asyncio.Event()
    cache.publish("fleet", [])
    async with (
        await serve(cache, "127.0.0.1:0", options=ServerOptions(write_stall=0.5)) as server,
        client(f"127.0.0.1:{server.port}", node="slow") as slow,
        client(f"127.0.0.1:{server.port}", node="quick") as quick,
    ):
        for stream in (slow, quick):
            await stream.send(CDS)
            await stream.take(CDS)
        cache.observer = Closing(closed)
        big = resources.cluster("big")
        big.metadata.filter_metadata["filler"]["text"] = "x" * (30 << 20)
        cache.publish("fleet", [big])
        assert len((await quick.take(CDS)).resources) == 1
        async with asyncio.timeout(5):
            await closed.wait()
        assert [stream.node.id for stream in server.service.streams] == ["quick"]


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:18000", "example.com:1"])
async def test_beyond_loopback_without_tls_is_refused(address):
    with pytest.raises(UnsafeAddress, match="without TLS"):
        await serve(SnapshotCache(), address)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "[::1]:0", "unix:"])
async def test_loopback_is_served(address, tmp_path):
    if address == "unix:":
        address += str(tmp_path / "xds")
    server = await serve(SnapshotCache(), address)
    assert bool(server.port) == (not address.startswith("unix:"))
    await server.stop()


async def test_a_taken_port_is_an_error_of_the_room(server: Server):
    with pytest.raises(AddressNotBound, match="cannot listen"):
        await serve(SnapshotCache(), f"127.0.0.1:{server.port}")


async def test_a_fault_of_the_core_is_not_told_to_the_client(cache, address, monkeypatch, caplog):
    def broken(**_arguments):
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr(cache, "connect", broken)
    async with DeltaClient(address) as stream:
        await stream.send(CDS)
        assert await stream.status() == (grpc.StatusCode.INTERNAL, "internal error")
    assert "a secret of the server" in caplog.text

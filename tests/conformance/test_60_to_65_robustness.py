"""Rules 60 to 65: clients that are slow, many, or back before they left; the end; polling."""

import asyncio

import grpc
import pytest

from tests.conformance.messages import TYPES, large, make
from tests.conformance.node import ADS, PATIENCE, SINGLE, Node
from tests.harness.ads_client import CDS, METHODS, RDS
from tests.harness.waiting import until
from xds.server import Server, ServerOptions, serve


@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_60_a_slow_client_has_one_response_pending_and_the_newest_next(
    cache, server, wire, type_url
):
    async with Node(server, wire, name="slow") as slow, Node(server, wire, name="quick") as quick:
        for node in (slow, quick):
            await node.first(type_url, "a")
        for tag in range(1, 10):
            cache.publish("fleet", [make(type_url, "a", tag)])
            answer = await quick.take(type_url)
            assert answer.messages["a"] == make(type_url, "a", tag)
        await slow.arrived()
        count, newest = 0, None
        while newest != make(type_url, "a", 9):
            newest = (await slow.take(type_url)).messages["a"]
            count += 1
        # Of delta clusters four: Envoy withholds all their answers while one warms.
        assert count <= (5 if wire.delta and type_url == CDS else 2)
        await slow.silent()


async def test_rule_60_a_client_that_does_not_read_delays_no_other_and_is_cut(cache, wire):
    options = ServerOptions(write_stall=1.0)
    async with (
        await serve(cache, "127.0.0.1:0", options=options) as server,
        Node(server, wire, name="slow") as slow,
        Node(server, wire, name="quick") as quick,
    ):
        for node in (slow, quick):
            await node.first(CDS)
        cache.publish("fleet", [large(CDS, "a", 30 << 20)])
        assert (await quick.take(CDS)).names == ["a"]

        async def cut() -> bool:
            return [one.node.id for one in server.service.streams if one.node] == ["quick"]

        await until(cut, within=20, what="the slow stream is closed")


async def test_rule_61_a_storm_is_admitted_in_turn_and_nobody_is_lost(cache, wire):
    cache.publish("fleet", [make(RDS, "a")])
    options = ServerOptions(first_answers=2)
    async with await serve(cache, "127.0.0.1:0", options=options) as server:

        async def one(number: int) -> list[str]:
            async with Node(server, wire, name=f"node-{number}") as node:
                return (await node.first(RDS, "a")).names

        assert await asyncio.gather(*(one(number) for number in range(60))) == [["a"]] * 60


@pytest.mark.parametrize("wire", ADS, ids=str)
async def test_rule_61_first_answers_are_written_to_so_many_at_a_time(cache, wire):
    cache.publish("fleet", [large(CDS, "a", 30 << 20)])
    options = ServerOptions(first_answers=1, write_stall=30)
    async with (
        await serve(cache, "127.0.0.1:0", options=options) as server,
        Node(server, wire, name="first") as first,
        Node(server, wire, name="second") as second,
    ):
        await first.ask(CDS)  # and reads nothing: its answer is being written
        await first.arrived()
        await second.ask(CDS)
        await second.silent(0.5)
        assert (await first.take(CDS)).names == ["a"]
        assert (await second.take(CDS)).names == ["a"]


async def test_rule_62_a_stream_that_ends_leaves_nothing(cache, server, heard, wire):
    cache.publish("fleet", [make(RDS, "a")])
    async with Node(server, wire) as node:
        await node.first(RDS, "a")
        (core,) = cache.streams("fleet")
        assert len(server.service.streams) == 1
    async with asyncio.timeout(PATIENCE):
        await heard.ended.wait()
    assert not cache.streams("fleet")

    async def gone() -> bool:
        return not server.service.streams

    await until(gone, within=PATIENCE, what="the server has no stream")
    asked = []
    core.on_dirty = lambda: asked.append("awake")
    cache.publish("fleet", [make(RDS, "a", 1)])
    assert not asked


async def test_rule_63_a_node_that_is_back_before_it_left_is_served_twice(cache, server, wire):
    cache.publish("fleet", [make(RDS, "a")])
    async with Node(server, wire) as old:
        await old.first(RDS, "a")
        (before,) = cache.streams("fleet")
        async with Node(server, wire) as new:
            await new.first(RDS, "a")
            assert len(cache.streams("fleet")) == 2
            assert cache.streams("fleet")[0] is before  # the newest is last: its word counts
            cache.publish("fleet", [make(RDS, "a", 1)])
            for node in (old, new):
                assert (await node.take(RDS)).names == ["a"]


async def test_rule_64_a_server_that_stops_says_unavailable_and_takes_nothing_away(cache, wire):
    cache.publish("fleet", [make(RDS, "a")])
    server = await serve(cache, "127.0.0.1:0")
    nodes = [Node(server, wire, name=f"node-{number}") for number in range(3)]
    for node in nodes:
        await node.first(RDS, "a")
        await node.arrived()
    sent = server.traffic.responses
    stopping = asyncio.create_task(server.stop())
    for node in nodes:
        code, details = await (await node.stream(RDS)).status(within=30)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "stopping" in details
    await stopping
    assert server.traffic.responses == sent
    for node in nodes:
        await node.__aexit__()


@pytest.mark.parametrize("wire", SINGLE[:1], ids=str)
@pytest.mark.parametrize("type_url", TYPES)
async def test_rule_65_polling_is_refused_with_a_reason(server: Server, type_url, wire):
    """Optional; not built: nobody confirms what he polled, so nothing could be said of it."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        fetch = channel.unary_unary(METHODS[type_url].format("Fetch"))
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await fetch(b"")
    assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "not offered" in refusal.value.details()

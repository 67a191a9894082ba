"""Thousands of streams that open at once: none is lost, and first answers come one by one."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import sys
from pathlib import Path

import grpc
import pytest

from tests.harness import resources
from tests.harness.ads_client import CDS, DeltaClient, SotwClient
from tests.harness.waiting import until
from xds.server import ServerOptions, serve
from xds.server.admission import Admission, Place
from xds.server.server import departures

STREAMS, CONNECTIONS, PROCESSES = 5_000, 50, 2
POOLS = 4


def resident() -> int:
    """Bytes of this process's memory, gRPC's own included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def storm(port: int, streams: int):
    """Opens streams from processes of their own; gives what became of them, and ends them."""
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.server.storm", str(port), str(streams // PROCESSES)),
            *(str(CONNECTIONS // PROCESSES), f"p{number}", "v0"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        for number in range(PROCESSES)
    ]
    try:
        yield [json.loads(await process.stdout.readline()) for process in processes]
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def test_of_five_thousand_streams_that_open_at_once_none_is_lost(cache, caplog):
    members = [f"127.0.0.1:{9000 + number}" for number in range(10)]
    tree = [resources.vip(f"v{number}", 10_000 + number, members) for number in range(POOLS)]
    cache.publish("fleet", [message for vip in tree for message in vip])
    async with await serve(cache, "127.0.0.1:0") as server:
        before = resident()
        async with storm(server.port, STREAMS) as reports:
            assert [report["lost"] for report in reports] == [[]] * PROCESSES
            assert sum(report["whole"] for report in reports) == STREAMS
            assert len(server.service.streams) == len(cache.streams("fleet")) == STREAMS
            assert (resident() - before) / STREAMS < 200 * 1024
    assert not caplog.records


class Turns:
    """Places in a queue that note when their turn has come."""

    def __init__(self, admission: Admission, count: int) -> None:
        self.came: list[int] = []
        self.places = [
            Place(lambda number=number: self.came.append(number)) for number in range(count)
        ]
        for place in self.places:
            admission.ask(place)


async def test_first_answers_are_let_through_one_in_a_turn_of_the_loop_and_in_order():
    admission = Admission(at_once=100, per_second=1e9, hold=60)
    turns = Turns(admission, 50)
    seen = [len(turns.came)]
    while len(turns.came) < 50:
        await asyncio.sleep(0)
        seen.append(len(turns.came))
    assert turns.came == list(range(50))
    assert max(later - sooner for sooner, later in itertools.pairwise(seen)) == 1


async def test_only_so_many_are_under_way_and_who_leaves_makes_room():
    admission = Admission(at_once=2, per_second=1e9, hold=60)
    turns = Turns(admission, 6)
    admission.leave(turns.places[3])  # it went before its turn
    for _ in range(20):
        await asyncio.sleep(0)
    assert turns.came == [0, 1]
    for place in (turns.places[0], turns.places[0]):  # twice is once
        admission.leave(place)
    for _ in range(20):
        await asyncio.sleep(0)
    assert turns.came == [0, 1, 2]
    assert admission.waiting == 2


async def test_who_is_under_way_for_too_long_does_not_count():
    admission = Admission(at_once=1, per_second=1e9, hold=0.01)
    turns = Turns(admission, 3)

    async def all_came():
        return len(turns.came) == 3

    await until(all_came, within=20, what="the turn of all")
    for place in turns.places:
        admission.leave(place)
    again = Turns(admission, 3)  # and it gave back one slot, not two
    await asyncio.sleep(0)
    assert len(again.came) <= 1


async def test_a_served_stream_does_not_wait_for_those_that_come(cache):
    cache.publish("fleet", [])
    options = ServerOptions(first_answers_per_second=1)
    async with (
        await serve(cache, "127.0.0.1:0", options=options) as server,
        DeltaClient(f"127.0.0.1:{server.port}", node="served") as served,
        contextlib.AsyncExitStack() as stack,
    ):
        await served.send(CDS)
        await served.take(CDS)
        late = [
            DeltaClient(f"127.0.0.1:{server.port}", node=f"n{number}").over(served)
            for number in range(100)
        ]
        for stream in late:
            stack.callback(stream._call.cancel)
            await stream.send(CDS)
        cache.publish("fleet", [resources.cluster("new")])
        assert [one.name for one in (await served.take(CDS, within=20)).resources] == ["new"]
        assert server.traffic.responses < 60


async def test_who_came_back_and_lacked_nothing_is_served_like_all_others(cache):
    """In state of the world that is answered with nothing: there is no first answer to wait for."""
    cache.publish("fleet", [resources.cluster("a")])
    options = ServerOptions(first_answers_per_second=1000)
    async with (
        await serve(cache, "127.0.0.1:0", options=options) as server,
        SotwClient(f"127.0.0.1:{server.port}", node="first") as first,
        contextlib.AsyncExitStack() as stack,
    ):
        await first.send(CDS)
        version = (await first.take(CDS)).version_info
        back = [SotwClient(first._address, node=f"n{number}").over(first) for number in range(20)]
        for stream in back:
            stack.callback(stream._call.cancel)
            await stream.send(CDS, version=version)

        async def all_admitted():
            return len(server.service.streams) == 21 and all(
                stream.core is not None and stream.core.revision
                for stream in server.service.streams
            )

        await until(all_admitted, within=20, what="the turn of all")
        asked = []
        server.service._admission.ask = asked.append
        cache.publish("fleet", [resources.cluster("a"), resources.cluster("b")])
        for stream in back:
            assert len((await stream.take(CDS, within=20)).resources) == 2
        assert not asked


@pytest.mark.parametrize(("count", "within"), [(0, 0.0), (3, 0.003), (500, 0.5), (50_000, 1.0)])
def test_the_ends_of_many_streams_are_spread_and_those_of_few_come_soon(count, within):
    times = departures(count, 1.0, random.Random(7).random)
    assert len(times) == count
    assert all(0 <= after <= within for after in times)
    if count > 100:
        # Every tenth of the time ends its share, in no order.
        tenths = [int(10 * after / within) for after in times]
        assert {tenths.count(tenth) * 10 // count for tenth in range(10)} <= {0, 1}
        assert min(tenths.count(tenth) for tenth in range(10)) > count / 20
        assert times != sorted(times)


async def test_a_stop_ends_streams_one_after_the_other_in_no_order(cache):
    cache.publish("fleet", [])
    ended = []

    async with (
        await serve(cache, "127.0.0.1:0") as server,
        DeltaClient(f"127.0.0.1:{server.port}", node="n0") as first,
    ):
        streams = [first]
        streams += [
            DeltaClient(first._address, node=f"n{number}").over(first) for number in range(1, 200)
        ]
        for stream in streams:
            await stream.send(CDS)
        for stream in streams:
            await stream.take(CDS, within=20)

        async def watch(number, stream):
            code, _ = await stream.status(within=20)
            ended.append((number, code, len(server.service.streams)))

        watching = [asyncio.create_task(watch(*each)) for each in enumerate(streams)]
        await server.stop()
        await asyncio.gather(*watching)
    order = [number for number, _, _ in ended]
    assert order != sorted(order)
    assert {code for _, code, _ in ended} == {grpc.StatusCode.UNAVAILABLE}
    assert len({left for _, _, left in ended}) > 10  # not all in one turn


async def test_during_a_stop_new_streams_are_refused_and_old_ones_wait_for_their_turn(cache):
    cache.publish("fleet", [])
    options = ServerOptions(stop_spread=0.2)
    async with (
        await serve(cache, "127.0.0.1:0", options=options) as server,
        DeltaClient(f"127.0.0.1:{server.port}", node="old") as old,
    ):
        silent = DeltaClient(old._address, node="silent").over(old)
        await silent._call.wait_for_connection()
        await old.send(CDS)
        await old.take(CDS)
        server.service.end_streams("going")
        new = DeltaClient(old._address, node="new").over(old)
        await new.send(CDS)
        for stream in (new, old, silent):
            assert (await stream.status(within=20))[0] is grpc.StatusCode.UNAVAILABLE

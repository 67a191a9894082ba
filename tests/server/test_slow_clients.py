"""Clients that do not read, or are dead: the others are served, and nothing is kept for them."""

import asyncio
import inspect
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

from tests.harness import resources
from tests.harness.ads_client import CDS, DeltaClient, SotwClient
from tests.harness.stuck_client import is_cut, open_stuck
from tests.harness.waiting import until
from xds.server import Server, ServerOptions, serve


async def eventually(holds, *, within=20.0):
    async def probe():
        return holds()

    await until(probe, within=within, what=inspect.getsource(holds).strip())


QUICK = ServerOptions(write_stall=0.5, status_stall=0.2)
MIB = 1 << 20

READER = """
import asyncio, sys
from tests.harness.ads_client import CDS, DeltaClient

async def main(port):
    async with DeltaClient(f"127.0.0.1:{port}", node="paused") as stream:
        await stream.send(CDS)
        while True:
            await stream.take(within=600)

asyncio.run(main(sys.argv[1]))
"""


def cluster(size):
    """A cluster of some size that is another one each time."""
    made = resources.cluster("big")
    made.metadata.filter_metadata["filler"]["text"] = os.urandom(size // 2).hex()
    return made


def nodes(server: Server):
    return sorted(stream.node.id for stream in server.service.streams if stream.node)


def resident():
    """Bytes of this process's memory, gRPC's own included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def connections(server: Server):
    """How many TCP connections the server has, by its own ends of them."""
    wanted = f":{server.port:04X}"
    tables = (Path("/proc/net") / name for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    # Listening is no connection, and one that only waits for the other side's end holds nothing.
    return sum(row[1].endswith(wanted) and row[3] not in ("0A", "05", "06") for row in rows)


async def test_a_client_that_reads_nothing_holds_one_response_whatever_changes(cache, caplog):
    cache.publish("fleet", [])
    patient = ServerOptions(write_stall=600, keepalive_interval=600, keepalive_timeout=600)
    async with (
        await serve(cache, "127.0.0.1:0", options=patient) as server,
        DeltaClient(f"127.0.0.1:{server.port}", node="quick") as quick,
    ):
        with open_stuck(server.port, CDS):
            await quick.send(CDS)
            await quick.take(CDS)
            await eventually(lambda: server.traffic.responses == 2)
            before = resident()
            for _ in range(300):
                cache.publish("fleet", [cluster(MIB)])
                # Each is delivered to who reads, and none waits for who does not.
                assert len((await quick.take(CDS)).resources) == 1
            assert resident() - before < 64 * MIB  # of 300 MiB
            (stuck,) = (one for one in server.service.streams if one.node.id == "stuck")
            assert stuck.traffic.resources < 5  # what the kernel has taken
    assert not caplog.records


async def test_a_connection_that_nobody_reads_is_closed(cache, caplog):
    cache.publish("fleet", [])
    async with await serve(cache, "127.0.0.1:0", options=QUICK) as server:
        with open_stuck(server.port, CDS) as stuck:
            await eventually(lambda: nodes(server) == ["stuck"])
            cache.publish("fleet", [cluster(8 * MIB)])
            await eventually(lambda: not server.service.streams)
            await eventually(lambda: not connections(server))
            assert is_cut(stuck)
    assert not caplog.records


@pytest.mark.parametrize("client", [DeltaClient, SotwClient])
async def test_a_stream_without_window_is_closed_though_its_connection_answers_pings(
    client, cache, caplog
):
    # gRPC's own threads keep the connection alive; only the application reads nothing.
    cache.publish("fleet", [])
    async with (
        await serve(cache, "127.0.0.1:0", options=QUICK) as server,
        client(f"127.0.0.1:{server.port}") as slow,
    ):
        await slow.send(CDS)
        await slow.take(CDS)
        cache.publish("fleet", [cluster(30 * MIB)])
        code, _ = await slow.status(within=20)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert not server.service.streams
        await eventually(lambda: not connections(server))
    assert not caplog.records


async def test_a_connection_with_another_stream_that_reads_is_not_cut(cache):
    cache.publish("fleet", [])
    async with (
        await serve(
            cache, "127.0.0.1:0", options=ServerOptions(write_stall=3, status_stall=0.2)
        ) as server,
        DeltaClient(f"127.0.0.1:{server.port}", node="slow") as slow,
    ):
        quick = DeltaClient(slow._address, node="quick").over(slow)
        for stream in (slow, quick):
            await stream.send(CDS)
            await stream.take(CDS)
        first, second = server.service.streams
        assert first.peer == second.peer
        finish, finished = server.service._finish, asyncio.Event()

        async def noted(context, end):
            try:
                await finish(context, end)
            finally:
                finished.set()

        server.service._finish = noted
        cache.publish("fleet", [cluster(30 * MIB)])
        assert len((await quick.take(CDS, within=20)).resources) == 1
        async with asyncio.timeout(20):
            await finished.wait()  # the status did not go out
        assert nodes(server) == ["quick"]
        cache.publish("fleet", [resources.cluster("small")])
        assert [one.name for one in (await quick.take(CDS, within=20)).resources] == ["small"]
        quick._call.cancel()


@pytest.mark.parametrize("stalled", [True, False])
async def test_stuck_first_answers_do_not_keep_out_the_others(stalled, cache):
    cache.publish("fleet", [cluster(8 * MIB)])
    options = ServerOptions(
        first_answers=2,
        first_answer_hold=1.0,
        write_stall=600,
        keepalive_interval=600,
        keepalive_timeout=600,
    )
    async with (
        await serve(cache, "127.0.0.1:0", options=options) as server,
        AsyncExitStack() as stack,
    ):
        stuck = [
            stack.enter_context(open_stuck(server.port, CDS, node=f"s{number}"))
            for number in range(4 * stalled)
        ]
        await eventually(lambda: len(nodes(server)) == len(stuck))
        if stalled:
            await eventually(lambda: server.service._admission.waiting == 2)  # behind two of them
        async with DeltaClient(f"127.0.0.1:{server.port}", node="quick") as quick:
            await quick.send(CDS)
            assert len((await quick.take(CDS, within=20)).resources) == 1


async def paused(port: int):
    """A client process that was served and is stopped by SIGSTOP."""
    return await asyncio.create_subprocess_exec(sys.executable, "-c", READER, str(port))


@pytest.mark.parametrize("defaults", [False, True])
async def test_dead_clients_are_noticed(defaults, cache, caplog):
    """A process that is paused, and one that never reads: both gone, with the defaults in 30 s."""
    cache.publish("fleet", [cluster(8 * MIB)])
    options = ServerOptions()
    if not defaults:
        options = ServerOptions(
            keepalive_interval=0.5, keepalive_timeout=0.5, write_stall=600, status_stall=0.2
        )
    async with await serve(cache, "127.0.0.1:0", options=options) as server:
        process = await paused(server.port)
        try:
            await eventually(
                lambda: server.traffic.requests > 1, within=30
            )  # it has read and ACKed
            process.send_signal(signal.SIGSTOP)
            with open_stuck(server.port, CDS) as stuck:
                await eventually(lambda: nodes(server) == ["paused", "stuck"])
                await eventually(lambda: not server.service.streams, within=30)
                await eventually(lambda: not connections(server), within=30)
                assert is_cut(stuck)
        finally:
            process.kill()
            await process.wait()
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []

"""The stream to the control plane: a real server, findings made by hand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import grpc
import pytest

from agent.findings import Findings
from agent.session import Session
from agent.supervise import Backoff
from lbaas.v1.agent_service_pb2 import (
    AgentHello,
    AgentSpec,
    MemberObservation,
    MemberState,
    PoolSpec,
    TrafficSample,
)
from tests.agent.control_plane import ControlPlane, control_plane
from tests.harness.ports import free_port
from tests.harness.waiting import until

QUICK = Backoff(first=0.05, last=0.1, well=10)
HELLO = AgentHello(node="fleets/edge/nodes/edge-1")


def up(member: str) -> MemberObservation:
    return MemberObservation(member=member, state=MemberState.UP)


@asynccontextmanager
async def a_session(
    *addresses: str, findings: Findings, backoff: Backoff = QUICK
) -> AsyncIterator[list[AgentSpec]]:
    taken: list[AgentSpec] = []
    session = Session(
        addresses, hello=lambda: HELLO, findings=findings, take=taken.append, backoff=backoff
    )
    task = asyncio.create_task(session.run())
    try:
        yield taken
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()


async def test_hello_then_all_then_what_changes() -> None:
    findings = Findings()
    findings.envoy(running=True, start=None)
    findings.members({"m1": up("m1"), "m2": up("m2")})
    async with control_plane() as (plane, address), a_session(address, findings=findings) as taken:
        await plane.until(lambda: len(plane.members) == 2, what="all of it")
        assert plane.hellos == [HELLO]
        assert taken == [plane.spec]
        assert plane.reports[0].whole
        assert plane.reports[0].envoy_running
        findings.member("m1", MemberObservation(member="m1", state=MemberState.DOWN))
        await plane.until(lambda: plane.state("m1") == "DOWN", what="what changed")
        assert [one.member for one in plane.reports[-1].members] == ["m1"]
        assert not plane.reports[-1].whole
        plane.send(AgentSpec(removed_pools=["p"]))
        await until(lambda: has(taken, 2), within=5, what="the spec came")
        assert taken[1].removed_pools == ["p"]


async def has(things: list, count: int) -> bool:
    return len(things) == count


async def test_changes_that_come_together_go_together() -> None:
    findings = Findings()
    async with control_plane() as (plane, address), a_session(address, findings=findings):
        await plane.until(lambda: plane.reports, what="the first report")
        for number in range(2000):
            name = f"m{number % 100}"
            findings.member(name, MemberObservation(member=name, cause=str(number)))
            await asyncio.sleep(0)
        await plane.until(
            lambda: (
                {one.cause for one in plane.members.values()} == set(map(str, range(1900, 2000)))
            ),
            what="the last of each",
        )
        # A report each 0.1 s at most, whatever it takes to make 2,000 changes.
        took = plane.times[-1] - plane.times[0]
        assert len(plane.reports) <= 2 + took / 0.1


async def test_more_than_fits_into_one_message() -> None:
    findings = Findings()
    findings.members({f"m{number}": up(f"m{number}" + "x" * 300) for number in range(20_000)})
    async with control_plane() as (plane, address), a_session(address, findings=findings):
        await plane.until(lambda: len(plane.members) == 20_000, what="all of it")
        assert [report.whole for report in plane.reports] == [True, False, False]


async def test_a_large_spec() -> None:
    async with control_plane() as (plane, address):
        plane.spec = AgentSpec(
            whole=True, pools=[PoolSpec(pool=f"{n}" + "x" * 500) for n in range(20_000)]
        )
        assert plane.spec.ByteSize() > 8 * 1024 * 1024
        async with a_session(address, findings=Findings()) as taken:
            await until(lambda: has(taken, 1), within=10, what="the spec came")


async def test_after_a_reconnect_all_of_it_is_told_again(tmp_path) -> None:
    address = f"unix:{tmp_path}/api.sock"
    findings = Findings()
    findings.members({"m1": up("m1")})
    findings.traffic({"v": TrafficSample(name="v", requests=7)})
    first = ControlPlane()
    await first.serve(address)
    async with a_session(address, findings=findings):
        await first.until(lambda: first.reports, what="the first report")
        await first.stop()
        findings.member("m2", up("m2"))
        second = ControlPlane()
        await second.serve(address)
        try:
            await second.until(lambda: second.reports, what="the other one")
            assert second.reports[0].whole
            assert set(second.members) == {"m1", "m2"}
            assert second.traffic["v"].requests == 7
        finally:
            await second.stop()


async def test_control_planes_are_tried_in_turn() -> None:
    findings = Findings()
    dead = f"127.0.0.1:{free_port()}"
    async with (
        control_plane() as (one, one_address),
        control_plane() as (other, other_address),
        a_session(dead, one_address, other_address, findings=findings),
    ):
        await one.until(lambda: one.reports, what="the second answers")
        assert not other.hellos
        await one.stop()
        await other.until(lambda: other.reports, what="the third answers")
        assert other.reports[0].whole


class Refusing(ControlPlane):
    """Refuses every agent."""

    async def Connect(self, request_iterator, context):  # noqa: N802
        self.hellos.append((await anext(request_iterator)).hello)
        self._notify()
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such fleet: fleets/edge")
        yield


async def test_a_refusal_is_said_and_tried_again(capsys) -> None:
    plane = Refusing()
    address = await plane.serve()
    try:
        async with a_session(address, findings=Findings()):
            await plane.until(lambda: len(plane.hellos) >= 2, what="it is tried again")
    finally:
        await plane.stop()
    said = capsys.readouterr().out
    assert "refuses the agent" in said
    assert "NOT_FOUND: no such fleet: fleets/edge" in said
    # Once a minute while nothing is new: a control plane may be away for days.
    assert said.count("refuses the agent") == 1


class Ending(ControlPlane):
    """Answers, and ends the stream at once: what two agents of one node do to each other."""

    async def Connect(self, request_iterator, context):  # noqa: N802
        self.hellos.append((await anext(request_iterator)).hello)
        self.times.append(asyncio.get_running_loop().time())
        self._notify()
        yield self.spec
        await context.abort(grpc.StatusCode.ABORTED, "another agent has connected for this node")


async def test_streams_that_end_at_once_are_not_opened_ever_faster() -> None:
    plane = Ending()
    address = await plane.serve()
    backoff = Backoff(first=0.05, last=10, well=10)
    try:
        async with a_session(address, findings=Findings(), backoff=backoff):
            await plane.until(lambda: len(plane.times) == 5, what="five streams")
    finally:
        await plane.stop()
    # 0.05, 0.1, ... seconds, each up to a fifth shorter.
    assert plane.times[4] - plane.times[0] >= 0.8 * (0.1 + 0.2 + 0.4 + 0.8)


@pytest.mark.parametrize("failures", [1, 2, 5, 1000])
def test_backoff_doubles_up_to_its_last(failures: int) -> None:
    backoff = Backoff(first=0.25, last=30.0)
    full = min(30.0, 0.25 * 2.0 ** (failures - 1))
    waits = [backoff.wait(failures) for _ in range(100)]
    assert all(0.8 * full <= wait <= full for wait in waits)
    assert len(set(waits)) > 50


class Losing:
    """A channel that loses a cancellation, as grpc 1.85 does while a call is answered."""

    def __init__(self) -> None:
        self.reading = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def stream_stream(self, *_: object, **__: object):
        return lambda _: self

    async def write(self, _: object) -> None:
        pass

    async def read(self) -> None:
        self.reading.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        none = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, none, none, "no such fleet")

    def cancel(self) -> None:
        pass


async def test_it_ends_though_grpc_loses_its_cancellation() -> None:
    channel = Losing()
    session = Session(
        ("one",),
        hello=AgentHello,
        findings=Findings(),
        take=lambda _: None,
        channel=lambda _: channel,
    )
    task = asyncio.create_task(session.run())
    await channel.reading.wait()
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=5)
    task.cancel()
    assert done
    assert task.cancelled()

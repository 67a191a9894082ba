"""The Envoy that an agent runs: started again, adopted, drained; on real processes."""

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest

from agent.admin import Admin
from agent.diagnose import cause
from agent.driver import AdminAddress, DriverError
from agent.findings import Findings
from agent.process import BINARY, ProcessDriver
from agent.watch import EnvoyWatch
from lbaas.v1.agent_service_pb2 import AgentSpec, MemberObservation
from tests.agent.control_plane import monitor, pool_spec
from tests.agent.world import ARGUMENTS, FLEET, NODE, World, alive, running, server, serves
from tests.harness.http_client import Connection, fetch
from tests.harness.load import Load
from tests.harness.members import Echo, Member
from tests.harness.resources import cluster, endpoints
from tests.harness.waiting import until

POOL = "projects/acme/pools/web"
VIP = "projects/acme/vips/web"
MEMBER = f"{POOL}/members/m1"


@asynccontextmanager
async def a_vip(world: World) -> AsyncIterator[str]:
    """A VIP with one member, of which the agent is told."""
    async with await Member.start("m1") as member:
        world.publish("pool", cluster(POOL, monitor={}), endpoints(POOL, [member.address]))
        pool = pool_spec(POOL, [(MEMBER, member.address)], monitors=[monitor()], vips=[VIP])
        world.plane.spec = AgentSpec(whole=True, pools=[pool])
        yield world.vip(VIP, POOL)


def logged(world: World) -> str:
    return (world.folder / "envoy.log").read_text()


async def gone(pid: int) -> None:
    async def ended() -> bool:
        return not alive(pid)

    await until(ended, within=10, what=f"{pid} has ended")


async def test_a_killed_envoy_is_told_and_started_again(world: World) -> None:
    async with a_vip(world) as address:
        driver = world.driver()
        async with running(world.options(driver)):
            plane = world.plane
            await plane.until(lambda: plane.state(MEMBER) == "UP", what="the member is up")
            await serves(address)
            assert stat.S_IMODE((world.folder / "admin.sock").stat().st_mode) == 0o600
            assert os.getsid(driver.pid) == driver.pid  # the agent's Ctrl-C is not its own
            first, started, reports = driver.pid, plane.start, len(plane.reports)
            os.kill(first, signal.SIGKILL)
            await plane.until(lambda: plane.running is False, what="its end is told")
            await plane.until(lambda: plane.running, what="the next one runs")
            await serves(address)
            await plane.until(lambda: plane.state(MEMBER) == "UP", what="the member is up again")
            assert driver.pid not in (0, first)
            assert plane.start >= started
            assert any(report.whole for report in plane.reports[reports:])
            second = driver.pid
        await gone(second)
        assert not (world.folder / "envoy.pid").exists()


async def test_the_end_of_a_process_is_told_before_its_admin_is_asked() -> None:
    findings = Findings()
    findings.envoy(running=True, start=None)
    findings.members({MEMBER: MemberObservation(member=MEMBER)})
    list(findings.take(whole=True))
    async with Admin(AdminAddress(host="127.0.0.1", port=1)) as admin:
        watch = EnvoyWatch(admin, findings, diagnose=cause)
        watch.apply(AgentSpec(whole=True, pools=[pool_spec(POOL, [(MEMBER, "127.0.0.1:1")])]))
        watch.envoy_ended()
        (report,) = findings.take(whole=False)
        assert not report.envoy_running
        # What it found is not known of the next one.
        assert report.whole
        assert not report.members


async def test_an_envoy_that_cannot_start_is_tried_again_with_its_words_logged(
    world: World, capsys
) -> None:
    driver = world.driver(arguments=(*ARGUMENTS, "--no-such-flag"))
    async with running(world.options(driver)):
        said = ""

        async def tried() -> bool:
            nonlocal said
            said += capsys.readouterr().out
            return "failures_in_a_row=2" in said

        await until(tried, within=10, what="it is tried again")
        assert world.plane.running is not True
    assert "no-such-flag" in said


async def test_a_missing_binary_is_said_and_tried_again(world: World, capsys, tmp_path) -> None:
    driver = world.driver(binary=tmp_path / "envoy")
    async with running(world.options(driver)):
        await world.plane.until(lambda: world.plane.running is False, what="it does not run")

        said = ""

        async def tried() -> bool:
            nonlocal said
            said += capsys.readouterr().out
            return "failures_in_a_row=2" in said

        await until(tried, within=10, what="it is tried again")
        assert "envoy cannot be started" in said
        (tmp_path / "envoy").symlink_to(BINARY)
        await world.plane.until(lambda: world.plane.running, what="it runs")


@asynccontextmanager
async def agent_process(world: World) -> AsyncIterator[asyncio.subprocess.Process]:
    given = {
        "folder": str(world.folder),
        "bootstrap": world.bootstrap(),
        "arguments": ARGUMENTS,
        "control_plane": world.address,
        "fleet": FLEET,
        "node": NODE,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.agent.agent_process", json.dumps(given)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_killed_agent_leaves_envoy_serving_and_the_next_adopts_it(world: World) -> None:
    async with a_vip(world) as address, AsyncExitStack() as stack:
        plane = world.plane
        async with agent_process(world) as process:
            await plane.until(lambda: plane.state(MEMBER) == "UP", what="the member is up")
            await serves(address)
            pid = int((world.folder / "envoy.pid").read_text())
            load = await stack.enter_async_context(Load(address))
            await load.more(50)
            process.kill()
            await process.wait()
        await load.more(50)
        assert alive(pid)
        plane.running = None
        driver = world.driver()
        async with running(world.options(driver)):
            await plane.until(lambda: plane.running, what="the next agent reports")
            await plane.until(lambda: plane.state(MEMBER) == "UP", what="of the same Envoy")
            assert driver.pid == pid
            await load.more(50)
            before = plane.traffic[VIP].requests
            await plane.until(lambda: plane.traffic[VIP].requests > before > 100, what="one count")
            # What is adopted is watched: its end is noticed, and another one started.
            await load.stop()
            assert load.failures == {}
            os.kill(pid, signal.SIGKILL)
            await plane.until(lambda: plane.running is False, what="its end is told")
            await plane.until(lambda: plane.running, what="another one runs")
            await serves(address)
            assert driver.pid != pid
            last = driver.pid
        await gone(last)


async def test_an_agent_may_leave_its_envoy_running(world: World) -> None:
    async with a_vip(world) as address:
        first = world.driver()
        async with running(world.options(first, leave_running=True)):
            await serves(address)
            pid = first.pid
        assert (await fetch(address)).status == 200
        second = world.driver()
        async with running(world.options(second)):
            await until(lambda: is_adopted(second, pid), within=10, what="it is adopted")
        await gone(pid)


async def is_adopted(driver: ProcessDriver, pid: int) -> bool:
    return driver.pid == pid


async def test_a_stop_lets_connections_end(world: World) -> None:
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(await Echo.start("echo"))
        slow = Slow()
        stack.push_async_callback(slow.close)
        world.publish("pool", cluster(POOL), endpoints(POOL, [await slow.open()]))
        address = world.vip(VIP, POOL)
        world.publish("tcp", cluster("tcp"), endpoints("tcp", [echo.address]))
        tcp_address = world.vip("tcp-vip", "tcp", tcp=True)
        driver = world.driver()
        async with running(world.options(driver, drain=timedelta(seconds=30))) as agent:
            tcp = await stack.enter_async_context(await open_when_it_listens(tcp_address))
            assert await tcp._reader.readline() == b"echo\n"
            client = await stack.enter_async_context(await open_when_it_listens(address))
            request = asyncio.create_task(client.request("/"))
            await slow.asked.wait()
            pid = driver.pid
            agent.cancel()
            # No new ones, though the old ones go on.
            await until(lambda: refuses(address), within=10, what="new connections are refused")
            assert (await server(driver)).state == "DRAINING"
            await until(lambda: told(world), within=10, what="it is reported while it drains")
            tcp._writer.write(b"still here")
            assert await tcp._reader.readexactly(10) == b"still here"
            slow.answer.set()
            reply = await request
            assert (reply.status, reply.headers["connection"]) == (200, "close")
            await client.close()
            assert alive(pid)
            await tcp.close()
            async with asyncio.timeout(10):
                await asyncio.wait((agent,))
            assert not alive(pid)


async def told(world: World) -> bool:
    return world.plane.running is True


async def refuses(address: str) -> bool:
    try:
        async with await Connection.open(address):
            return False
    except ConnectionRefusedError:
        return True


async def open_when_it_listens(address: str) -> Connection:
    return await until(lambda: Connection.open(address), within=10, what="it listens")


async def test_a_drain_ends_when_its_time_is_over(world: World, capsys) -> None:
    async with await Echo.start("echo") as echo:
        world.publish("tcp", cluster("tcp"), endpoints("tcp", [echo.address]))
        address = world.vip("tcp-vip", "tcp", tcp=True)
        driver = world.driver()
        async with (
            running(world.options(driver, drain=timedelta(seconds=0.5))) as agent,
            await open_when_it_listens(address) as tcp,
        ):
            assert await tcp._reader.readline() == b"echo\n"
            pid = driver.pid
            agent.cancel()
            await asyncio.wait((agent,))
            assert not alive(pid)
            assert await tcp._reader.read() == b""
    assert "open connections will be cut" in capsys.readouterr().out


async def test_a_second_cancellation_cuts_the_drain_short(world: World) -> None:
    async with await Echo.start("echo") as echo:
        world.publish("tcp", cluster("tcp"), endpoints("tcp", [echo.address]))
        address = world.vip("tcp-vip", "tcp", tcp=True)
        driver = world.driver()
        async with (
            running(world.options(driver, drain=timedelta(hours=1))) as agent,
            await open_when_it_listens(address),
        ):
            pid = driver.pid
            agent.cancel()
            await until(lambda: refuses(address), within=10, what="it drains")
            agent.cancel()
            await asyncio.wait((agent,), timeout=20)
            assert agent.done()
            assert not alive(pid)


async def test_an_envoy_that_hangs_is_killed(world: World) -> None:
    driver = world.driver()
    async with running(world.options(driver)) as agent:
        await world.plane.until(lambda: world.plane.running, what="it runs")
        pid = driver.pid
        os.kill(pid, signal.SIGSTOP)
        await world.plane.until(lambda: world.plane.running is False, what="its silence is told")
        agent.cancel()
        await asyncio.wait((agent,))
        assert not alive(pid)


async def test_one_agent_a_folder(world: World) -> None:
    first, second = world.driver(), world.driver()
    await first.start()
    try:
        with pytest.raises(DriverError, match="another agent runs in"):
            await second.start()
        await second.stop(drain=timedelta(0))
        assert alive(first.pid)
    finally:
        await first.stop(drain=timedelta(0))


async def test_another_nodes_envoy_is_not_adopted_nor_ended(world: World) -> None:
    first = world.driver()
    await first.start()
    pid = first.pid
    first.leave()
    other = world.driver(bootstrap=world.bootstrap(node="edge-2"))
    with pytest.raises(DriverError, match=f"edge/edge-1 .pid {pid}. runs in .* folder of its own"):
        await other.start()
    await other.stop(drain=timedelta(0))
    assert alive(pid)
    again = world.driver()
    await again.start()
    assert again.pid == pid
    await again.stop(drain=timedelta(0))
    await gone(pid)


async def test_an_envoy_that_was_being_drained_is_not_adopted(world: World) -> None:
    first = world.driver()
    await first.start()
    pid = first.pid
    async with Admin(first.admin) as admin:

        async def failed() -> bool:
            await admin.post("/healthcheck/fail")
            # Not before it has its first configuration.
            return (await server(first)).state == "DRAINING"

        await until(failed, within=10, what="it drains", tolerate=(Exception,))
    first.leave()
    second = world.driver()
    await second.start()
    try:
        assert not alive(pid)
        assert second.pid != pid
    finally:
        await second.stop(drain=timedelta(0))


async def test_a_process_that_has_taken_the_id_is_let_alone(world: World) -> None:
    world.folder.mkdir()
    (world.folder / "envoy.pid").write_text(f"{os.getpid()}\n")
    driver = world.driver()
    await driver.start()
    try:
        assert driver.pid != os.getpid()
    finally:
        await driver.stop(drain=timedelta(0))


@pytest.mark.parametrize("text", ["", "node: {id: n}", "{}", '{"node": {"id": "n"}}', "[]"])
def test_a_bootstrap_names_its_node(tmp_path, text: str) -> None:
    with pytest.raises(ValueError, match="names its node"):
        ProcessDriver(tmp_path, bootstrap=text)


def test_a_folder_that_is_too_deep_for_a_socket_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="shorter path"):
        ProcessDriver(tmp_path / ("x" * 100), bootstrap='{"node": {"id": "n", "cluster": "f"}}')


class Slow:
    """A member that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        await self.answer.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow")
        writer.close()

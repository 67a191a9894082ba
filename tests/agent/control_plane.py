"""A control plane as an agent sees it: a real gRPC server that records what it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import grpc.aio

from lbaas.v1.agent_service_pb2 import (
    AgentHello,
    AgentReport,
    AgentSpec,
    MemberAddress,
    MemberObservation,
    MemberState,
    PingVerdict,
    PoolSpec,
    TrafficSample,
)
from lbaas.v1.agent_service_pb2_grpc import (
    AgentServiceServicer,
    add_AgentServiceServicer_to_server,
)
from lbaas.v1.enums_pb2 import HealthMonitorType
from lbaas.v1.health_monitor_pb2 import HealthMonitor


class ControlPlane(AgentServiceServicer):
    """Answers the hello with `spec`, and joins the reports to what is known now."""

    def __init__(self) -> None:
        self.spec = AgentSpec(whole=True)
        self.hellos: list[AgentHello] = []
        self.reports: list[AgentReport] = []
        self.times: list[float] = []
        self.running: bool | None = None
        self.start = 0
        self.members: dict[str, MemberObservation] = {}
        self.pings: dict[tuple[str, str], PingVerdict] = {}
        self.traffic: dict[str, TrafficSample] = {}
        self.warming: tuple[str, ...] = ()
        self._more = asyncio.Event()
        self._down: asyncio.Queue[AgentSpec] = asyncio.Queue()
        self._server: grpc.aio.Server | None = None

    async def Connect(self, request_iterator, context) -> AsyncIterator[AgentSpec]:  # noqa: N802
        first = await anext(request_iterator)
        self.hellos.append(first.hello)
        self._notify()
        yield self.spec
        reading = asyncio.create_task(self._read(request_iterator))
        try:
            while True:
                yield await self._down.get()
        finally:
            reading.cancel()

    async def _read(self, requests) -> None:
        async for request in requests:
            assert not request.HasField("hello")
            self.take(request.report)

    def take(self, report: AgentReport) -> None:
        self.reports.append(report)
        self.times.append(asyncio.get_running_loop().time())
        self.running = report.envoy_running
        self.start = report.envoy_start_time.seconds
        self.warming = tuple(report.warming)
        if report.whole:
            self.members.clear()
            self.pings.clear()
        self.members.update({one.member: one for one in report.members})
        self.pings.update({(one.member, one.health_monitor): one for one in report.pings})
        self.traffic.update({one.name: one for one in report.traffic})
        self._notify()

    def send(self, spec: AgentSpec) -> None:
        self._down.put_nowait(spec)

    def state(self, member: str) -> str:
        found = self.members.get(member)
        return MemberState.Code.Name(found.state) if found is not None else ""

    async def until(self, probe: Callable[[], object], *, within: float = 10.0, what: str = ""):
        """Waits for a report that makes `probe` true, and gives its answer."""
        try:
            async with asyncio.timeout(within):
                while not (answer := probe()):
                    self._more.clear()
                    await self._more.wait()
                return answer
        except TimeoutError:
            raise AssertionError(
                f"not within {within} s: {what}; running={self.running} members={self.members} "
                f"traffic={self.traffic} warming={self.warming}"
            ) from None

    def _notify(self) -> None:
        self._more.set()

    async def serve(self, address: str = "127.0.0.1:0") -> str:
        """Starts it and gives its address."""
        # As the API's server: an agent's keepalive is no abuse.
        self._server = grpc.aio.server(options=[("grpc.http2.max_ping_strikes", 0)])
        add_AgentServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(address)
        await self._server.start()
        return address if address.startswith("unix:") else f"127.0.0.1:{port}"

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None


@asynccontextmanager
async def control_plane() -> AsyncIterator[tuple[ControlPlane, str]]:
    """A control plane that runs, and its address."""
    plane = ControlPlane()
    address = await plane.serve()
    try:
        yield plane, address
    finally:
        await plane.stop()


def monitor(
    name: str = "projects/p/healthMonitors/alive",
    *,
    type: int = HealthMonitorType.HTTP,  # noqa: A002 - the field's name
    delay: float = 0.3,
    timeout: float = 0.3,
) -> HealthMonitor:
    made = HealthMonitor(
        name=name, type=type, max_retries=1, rise=1, url_path="/", http_method="GET"
    )
    made.expected_codes = "200"
    made.delay.FromMilliseconds(round(delay * 1000))
    made.timeout.FromMilliseconds(round(timeout * 1000))
    return made


def pool_spec(
    pool: str,
    members: Iterable[tuple[str, str]],
    *,
    clusters: Iterable[str] = (),
    monitors: Iterable[HealthMonitor] = (),
    vips: Iterable[str] = (),
) -> PoolSpec:
    """A pool whose members are (name, ip:port)."""
    addresses = [
        MemberAddress(
            member=name, address=where.rpartition(":")[0], port=int(where.rpartition(":")[2])
        )
        for name, where in members
    ]
    return PoolSpec(
        pool=pool,
        clusters=tuple(clusters) or (pool,),
        members=addresses,
        health_monitors=monitors,
        vips=vips,
    )

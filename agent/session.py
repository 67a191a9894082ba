"""The stream to the control plane: what was found goes up, what to watch comes down."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import grpc
import grpc.aio
import structlog

from agent.findings import Findings
from agent.supervise import Backoff
from lbaas.v1.agent_service_pb2 import AgentHello, AgentSpec, ConnectRequest
from lbaas.v1.agent_service_pb2_grpc import AgentServiceStub

ChannelFactory: TypeAlias = Callable[[str], grpc.aio.Channel]
"""Makes a channel to an address, `host:port` or `unix:/path`."""

Stream: TypeAlias = "grpc.aio.StreamStreamCall[ConnectRequest, AgentSpec]"

APART: Final = 0.1
"""Seconds between two reports: what changes meanwhile goes together."""

CONNECT_SECONDS: Final = 5.0
"""How long a control plane may take until it answers the hello, before the next one is tried."""

SAY_AGAIN: Final = 60.0
"""Seconds until the same reason for having no control plane is logged again."""

OPTIONS: Final = (
    # A control plane whose host is gone is noticed within 15 s (without the ping timeout after
    # 70, grpcio 1.85), and no firewall forgets an idle stream.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # The spec of a fleet with tens of thousands of members is larger than gRPC's 4 MiB.
    ("grpc.max_receive_message_length", -1),
    # The waits between two tries are the session's own; gRPC's would grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # No proxy of the environment stands between an agent and its control plane.
    ("grpc.enable_http_proxy", 0),
)

log = structlog.get_logger("agent.session")


def insecure_channel(address: str) -> grpc.aio.Channel:
    """Gives a channel without TLS: for loopback and unix sockets."""
    return grpc.aio.insecure_channel(address, options=OPTIONS)


class Session:
    """Stays connected to one of the control planes, for ever.

    Args:
        addresses: of the control planes, tried in turn.
        hello: says who the agent is; asked at each connection.
        findings: what to report: all of it at first, then what changes.
        take: takes what to watch.
        channel: makes a channel to an address.
        backoff: how long to wait when all of them have failed.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        hello: Callable[[], AgentHello],
        findings: Findings,
        take: Callable[[AgentSpec], None],
        channel: ChannelFactory = insecure_channel,
        backoff: Backoff | None = None,
    ) -> None:
        self._addresses = tuple(addresses)
        self._hello = hello
        self._findings = findings
        self._take = take
        self._channel = channel
        self._backoff = backoff or Backoff(first=0.2, last=5.0, well=10.0)
        self._said: dict[tuple[str, str, str], float] = {}

    async def run(self) -> None:
        """Connects, reports and listens, again and again, until cancelled."""
        clock = asyncio.get_running_loop().time
        failures = 0
        count = len(self._addresses)
        for number in itertools.count():
            began = clock()
            answered = await self._connect(self._addresses[number % count])
            # What lived but a moment has failed too: two agents of one node end each other's
            # streams, and would without a pause.
            failures = 0 if answered and clock() - began > self._backoff.well else failures + 1
            if answered or (number + 1) % count == 0:
                await asyncio.sleep(self._backoff.wait(1 + failures // count))

    async def _connect(self, address: str) -> bool:
        """Serves one stream until it ends; gives whether the control plane ever answered."""
        greeted = asyncio.Event()
        what = "the control plane cannot be reached"
        try:
            async with self._channel(address) as channel:
                stream: Stream = AgentServiceStub(channel).Connect(None)
                try:
                    await self._serve(stream, address, greeted)
                finally:
                    stream.cancel()
            why = "the control plane closed the stream"
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                what = "the control plane refuses the agent"
            why = f"{error.code().name}: {error.details()}"
        except TimeoutError:
            why = f"no answer in {CONNECT_SECONDS:g} s"
        except asyncio.InvalidStateError:
            why = "the stream ended"  # between two reports: so grpc shows a write after the end
        if (task := asyncio.current_task()) is not None and task.cancelling():
            # grpc (1.85) loses a cancellation that comes while a call is answered: who reads waits
            # for its `_prepare_rpc`, which takes the cancellation for its own and ends well.
            raise asyncio.CancelledError
        if greeted.is_set():
            what = "disconnected from the control plane"
        self._say(what, address, why)
        return greeted.is_set()

    def _say(self, what: str, address: str, why: str) -> None:
        # Once a minute while nothing is new: a control plane may be away for days.
        now = asyncio.get_running_loop().time()
        if now - self._said.get((what, address, why), now - SAY_AGAIN) >= SAY_AGAIN:
            self._said[what, address, why] = now
            log.warning(what, address=address, why=why)

    async def _serve(self, stream: Stream, address: str, greeted: asyncio.Event) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            await stream.write(ConnectRequest(hello=self._hello()))
            spec = await stream.read()
        if not isinstance(spec, AgentSpec):
            return  # it ended the stream without a word
        greeted.set()
        self._said.clear()
        log.info("connected to the control plane", address=address, pools=len(spec.pools))
        self._take(spec)
        reporting = asyncio.create_task(self._report(stream))
        listening = asyncio.create_task(self._listen(stream))
        try:
            await asyncio.wait((reporting, listening), return_when=asyncio.FIRST_COMPLETED)
        finally:
            reporting.cancel()
            listening.cancel()
            await asyncio.gather(reporting, listening, return_exceptions=True)
        for task in (listening, reporting):
            # Of a stream that has ended, writing tells only that it has; reading tells why.
            if not task.cancelled() and isinstance(error := task.exception(), Exception):
                raise error

    async def _listen(self, stream: Stream) -> None:
        while isinstance(spec := await stream.read(), AgentSpec):
            self._take(spec)

    async def _report(self, stream: Stream) -> None:
        whole = True
        while True:
            for report in self._findings.take(whole=whole):
                await stream.write(ConnectRequest(report=report))
            whole = False
            await asyncio.sleep(APART)
            await self._findings.changed()

"""AgentService: an agent's stream, from its hello to its end.

Two things happen at once on a stream: reports are taken as they come, and what the agent is to
watch is sent as it changes. Whichever ends first ends the stream.
"""

import asyncio
from collections.abc import AsyncIterator

from api.agents import Agents, AgentSession
from api.caller import Context
from api.conversion.reading import Reading
from api.conversion.reports import read_hello, read_report, write_spec
from api.errors import Replaced, Stopping
from api.serving import Serving
from lbaas.model.reports import AgentHello, AgentSpec
from lbaas.v1 import agent_service_pb2
from lbaas.v1.agent_service_pb2_grpc import AgentServiceServicer

Requests = AsyncIterator[agent_service_pb2.ConnectRequest]

HELLO_SECONDS = 10.0
"""How long an agent may take to say who it is."""


class AgentService(AgentServiceServicer):
    """The streams of agents."""

    def __init__(self, serving: Serving, agents: Agents) -> None:
        """Takes what all servicers share, and the room that knows what reports mean."""
        self._serving = serving
        self._agents = agents

    async def Connect(
        self, request_iterator: Requests, context: Context
    ) -> AsyncIterator[agent_service_pb2.AgentSpec]:
        """Takes an agent's reports, and tells it what to watch.

        Raises:
            InvalidArgument: The agent does not keep to the protocol.
            NotFound: There is no such fleet.
            Replaced: A newer stream of the same node has come.
            Stopping: The server ends.
        """
        session = self._agents.open(await _hello(request_iterator))
        reports = asyncio.create_task(_take(request_iterator, session), name="agent-reports")
        # What went wrong is looked at below, unless the call was cancelled before.
        reports.add_done_callback(lambda task: task.cancelled() or task.exception())
        undo = self._serving.on_stop(lambda: _end(reports))
        try:
            while (spec := await self._next(session, reports)) is not None:
                for message in write_spec(spec):
                    yield message
        finally:
            undo()
            reports.cancel()
            session.close()

    async def _next(self, session: AgentSession, reports: asyncio.Task[None]) -> AgentSpec | None:
        """Gives what to tell the agent next; None when it has ended its stream."""
        told = asyncio.ensure_future(session.next())
        try:
            await asyncio.wait({told, reports}, return_when=asyncio.FIRST_COMPLETED)
            if self._serving.stopping:
                raise Stopping
            if reports.done():
                reports.result()
                return None
            return told.result()
        except StopAsyncIteration:
            raise Replaced from None
        finally:
            told.cancel()


def _end(task: asyncio.Task[None]) -> None:
    task.cancel()


async def _hello(requests: Requests) -> AgentHello:
    """Gives who the agent is; the first message says so."""
    reading = Reading()
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            first = await anext(requests, agent_service_pb2.ConnectRequest())
    except TimeoutError:
        first = agent_service_pb2.ConnectRequest()
    if first.HasField("report"):
        reading.wrong("report", "comes after the hello, in a message of its own", "TOO_EARLY")
    if not first.HasField("hello"):
        reading.wrong("hello", "is required first: say who you are", "REQUIRED")
        reading.finish()
    hello = read_hello(first.hello, reading.under("hello"))
    reading.finish()
    return hello


async def _take(requests: Requests, session: AgentSession) -> None:
    """Takes reports until the agent ends its stream."""
    async for request in requests:
        reading = Reading()
        if request.HasField("hello"):
            reading.wrong("hello", "was said already: open a new stream", "TWICE")
        elif not request.HasField("report"):
            reading.wrong("report", "is required in every message after the hello", "REQUIRED")
        report = read_report(request.report, reading.under("report"))
        reading.finish()
        session.report(report)

"""The agents' room in memory: what was reported is kept, what is told is what the test says."""

import asyncio
from collections import deque

from lbaas.model.errors import NotFound
from lbaas.model.reports import AgentHello, AgentReport, AgentSpec


class Session:
    def __init__(self, hello: AgentHello) -> None:
        self.hello = hello
        self.reports: asyncio.Queue[AgentReport] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.replaced = False
        self._specs: deque[AgentSpec] = deque([AgentSpec(whole=True)])
        self._news = asyncio.Event()
        self._news.set()

    def tell(self, spec: AgentSpec) -> None:
        self._specs.append(spec)
        self._news.set()

    def replace(self) -> None:
        self.replaced = True
        self._news.set()

    async def next(self) -> AgentSpec:
        await self._news.wait()
        if self.replaced:
            raise StopAsyncIteration
        spec = self._specs.popleft()
        if not self._specs:
            self._news.clear()
        return spec

    def report(self, report: AgentReport) -> None:
        self.reports.put_nowait(report)

    def close(self) -> None:
        self.closed.set()


class AgentsSide:
    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}

    def open(self, hello: AgentHello) -> Session:
        if not hello.node.startswith("fleets/edge/"):
            raise NotFound("fleet", hello.node.partition("/nodes/")[0])
        if hello.node in self.sessions:
            self.sessions[hello.node].replace()
        self.sessions[hello.node] = Session(hello)
        return self.sessions[hello.node]

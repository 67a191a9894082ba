"""Asks agents what their Envoys have of clusters, where those withhold their answers.

One tenant's cluster that warms on a mute member makes Envoy withhold the CDS answers of all for
the monitor's timeout; what it runs it says to whoever asks (design note 0015).
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from lbaas.model.reports import Evidence, EvidenceRequest
from tidegate.agents.observations import Stream
from tidegate.nodes import NodeRegister
from xds.cache.stream import NodeStream

EVERY = 0.1
"""Seconds between two looks for streams whose answers are overdue."""

APART = 0.25
"""Seconds between two requests to one agent."""

PATIENCE = 2.0
"""Seconds after which a request that was not answered is made again."""


class Witnesses:
    """The agents of nodes whose answers are overdue. Lives on the event loop alone."""

    def __init__(
        self,
        nodes: NodeRegister,
        agents: Callable[[], Iterable[tuple[str, Stream]]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the nodes, and what gives the agents that are connected, each by its node's name.

        `clock` is the streams'.
        """
        self._nodes = nodes
        self._agents = agents
        self._clock = clock
        self._asked: dict[str, tuple[int, NodeStream]] = {}
        self._due: dict[str, float] = {}

    async def run(self) -> None:
        """Looks again and again, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(EVERY)

    def look(self) -> None:
        """Asks the agents of all nodes whose answers are overdue."""
        now = self._clock()
        for name, at in list(self._due.items()):
            if at <= now:
                del self._due[name]
                self._asked.pop(name, None)
        for name, agent in self._agents():
            stream = self._stream(name)
            if stream is None or name in self._due:
                continue
            clusters = stream.evidence_wanted(now)
            if clusters:
                # The time: an agent may still hold the answer to what another process asked.
                request = EvidenceRequest(ask=time.time_ns(), clusters=clusters)
                self._asked[name] = request.ask, stream
                self._due[name] = now + PATIENCE
                agent.ask(request)

    def take(self, name: str, said: Evidence) -> None:
        """Takes what the agent of a node (by its name) found."""
        ask, stream = self._asked.get(name, (0, None))
        if stream is None or ask != said.ask:
            return
        del self._asked[name]
        self._due[name] = self._clock() + APART
        if stream is self._stream(name):
            stream.evidence(said.active, said.warming)

    def _stream(self, name: str) -> NodeStream | None:
        node = self._nodes.find(name)
        return None if node is None else node.stream

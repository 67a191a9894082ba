"""One agent's stream: what it is to be told, merged while it is slow."""

import asyncio
from collections.abc import Callable

from lbaas.model.reports import AgentReport, AgentSpec, EvidenceRequest
from tidegate.agents.observations import AgentNode
from tidegate.agents.specs import Specs


class Session:
    """Implements `api.agents.AgentSession`. Holds the names of what to tell, and no queue."""

    def __init__(
        self,
        node: AgentNode,
        specs: Specs,
        *,
        report: Callable[[AgentNode, AgentReport], None],
        closed: Callable[[AgentNode], None],
    ) -> None:
        """Takes the node it is of, and who hears of reports and of its end."""
        self._node = node
        self._specs = specs
        self._report = report
        self._closed = closed
        self._whole = True
        self._changed: set[str] = set()
        self._asked: EvidenceRequest | None = None
        self._wake = asyncio.Event()
        self._wake.set()
        self._over = False

    async def next(self) -> AgentSpec:
        """Waits for something to tell the agent, and gives it; first of all the whole spec.

        Raises:
            StopAsyncIteration: a newer stream of the same node has taken its place.
        """
        await self._wake.wait()
        if self._over:
            raise StopAsyncIteration
        self._wake.clear()
        whole, self._whole = self._whole, False
        changed, self._changed = self._changed, set()
        asked, self._asked = self._asked, None
        on = self._specs.on(self._node.fleet)
        for name in (*changed, *self._node.pools()) if whole else changed:
            self._node.trim(name, self._specs.pools[name] if name in on else None)
        return AgentSpec(
            whole=whole,
            pools=tuple(
                self._specs.pools[name].spec()
                for name in sorted(on if whole else changed)
                if name in on
            ),
            removed=() if whole else tuple(sorted(changed.difference(on))),
            evidence=asked,
        )

    def mark(self, pool: str) -> None:
        """Takes that a pool's spec has changed, or that it came to the fleet or left it."""
        self._changed.add(pool)
        self._wake.set()

    def ask(self, request: EvidenceRequest) -> None:
        """Takes what to ask the agent; it replaces what was not told it yet."""
        self._asked = request
        self._wake.set()

    def replaced(self) -> None:
        """Takes that a newer stream of the node has its place: `next` ends, reports are void."""
        self._over = True
        self._wake.set()

    def report(self, report: AgentReport) -> None:
        """Takes a report."""
        if not self._over:
            self._report(self._node, report)

    def close(self) -> None:
        """Takes that the stream has ended."""
        if not self._over:
            self._over = True
            self._wake.set()
            self._closed(self._node)

"""The agents as the API sees them: what their streams say goes to the room behind this Protocol.

The API knows the wire; who watches what, and what a report means, is the fleet side's. The plane
supplies it. All methods are called on the event loop and answer at once, but for `next`.
"""

from typing import Protocol

from lbaas.model.reports import AgentHello, AgentReport, AgentSpec


class AgentSession(Protocol):
    """One agent's stream."""

    async def next(self) -> AgentSpec:
        """Waits for something to tell the agent, and gives it; first of all the whole spec.

        What changes while an agent is slow is merged: there is no queue.

        Raises:
            StopAsyncIteration: a newer stream of the same node has taken its place.
        """
        ...

    def report(self, report: AgentReport) -> None:
        """Takes a report."""
        ...

    def close(self) -> None:
        """Takes that the stream has ended."""
        ...


class Agents(Protocol):
    """All agents of all fleets."""

    def open(self, hello: AgentHello) -> AgentSession:
        """Takes a new stream; an older one of the same node ends.

        Raises:
            NotFound: there is no such fleet.
        """
        ...

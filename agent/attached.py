"""The driver for an Envoy that others run: an operator, systemd, an orchestrator."""

import asyncio
from datetime import timedelta

from agent.driver import AdminAddress


class AttachedDriver:
    """Starts and stops nothing: the agent reads from the Envoy's admin interface, and reports.

    Args:
        admin: where that is.
    """

    name = "none"

    def __init__(self, admin: AdminAddress) -> None:
        self.admin = admin

    async def start(self) -> None:
        """Does nothing: the Envoy runs, or will."""

    async def wait_ended(self) -> int | None:
        """Never returns: whether it runs, its admin interface tells."""
        await asyncio.Event().wait()
        return None

    def leave(self) -> None:
        """Does nothing."""

    async def stop(self, *, drain: timedelta) -> None:
        """Does nothing: who started it ends it."""

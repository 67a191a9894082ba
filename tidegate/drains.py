"""The ends of drains: when a member's time is over, the store is told, and it leaves."""

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog

from lbaas.model.errors import LbaasError
from lbaas.store import members
from lbaas.store.store import Store
from lbaas.store.transaction import Transaction
from tidegate.impact import Move

log = structlog.get_logger("tidegate.drains")

RETRY_SECONDS = 1.0
"""How long to wait before the store is told again when it could not be reached."""

LONGEST_WAIT = 60.0
"""Seconds after which the wall clock is looked at again: it may have been set."""


class Drains:
    """A clock over the members that drain. The store holds the times, so a restart loses none."""

    def __init__(self, store: Store) -> None:
        """Takes where the ends are written."""
        self._store = store
        self._ends: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []
        self._wake = asyncio.Event()

    def follow(self, moves: Sequence[Move], revision: int) -> None:  # noqa: ARG002 - Follower
        """Takes from a pass which members drain, and until when."""
        for move in moves:
            for member in () if move.tree is None else move.tree.members:
                if member.drain_end is not None and not member.drained:
                    if self._ends.get(member.name) != member.drain_end:
                        self._add(member.name, member.drain_end)
                        self._wake.set()
                else:
                    self._ends.pop(member.name, None)

    async def run(self) -> None:
        """Ends drains when they are due, until cancelled."""
        while True:
            self._wake.clear()
            if due := self._due():
                await self._end(due)
                continue
            try:
                async with asyncio.timeout(self._seconds_to_next()):
                    await self._wake.wait()
            except TimeoutError:
                continue  # the next end is due, or the clock was set

    async def _end(self, due: Mapping[str, datetime]) -> None:
        try:
            await self._store.write(lambda tx: _end(tx, due))
        except LbaasError as error:
            log.warning("the store is out of reach, drains go on", error=error.message)
            for name, end in due.items():
                self._add(name, end)
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:
            # A defect of ours, in one member perhaps: it must not keep the others, and us, from it.
            log.exception("drains could not be ended", members=len(due))
            for name, end in due.items() if len(due) > 1 else ():
                await self._end({name: end})

    def _add(self, name: str, end: datetime) -> None:
        self._ends[name] = end
        heapq.heappush(self._heap, (end, name))

    def _due(self) -> Mapping[str, datetime]:
        """Takes those whose time is over off the clock, and gives them."""
        now = datetime.now(UTC)
        due = {}
        while self._heap and self._heap[0][0] <= now:
            end, name = heapq.heappop(self._heap)
            if self._ends.get(name) == end:  # else it drains no more, or until another time
                due[name] = self._ends.pop(name)
        return due

    def _seconds_to_next(self) -> float:
        if not self._heap:
            return LONGEST_WAIT
        left = (self._heap[0][0] - datetime.now(UTC)).total_seconds()
        return min(max(0.0, left), LONGEST_WAIT)


def _end(tx: Transaction, due: Mapping[str, datetime]) -> None:
    """Ends drains, of members that still drain until the time that is over."""
    still = [each.name for each in members.draining(tx) if due.get(each.name) == each.drain_end]
    members.end_drains(tx, still)

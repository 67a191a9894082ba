"""How long nodes take: the lag of each behind what was published, and what waits for too long.

A wait never ends by time (design: status and order): what is sent before its targets leaves a
reference open. So time only speaks: a warning in the log, then a reason that an operator sees.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from tidegate.impact import Move
from tidegate.nodes import node_name
from xds.cache.cache import SnapshotCache
from xds.cache.stream import NodeStream
from xds.cache.types import Key

log = structlog.get_logger("tidegate.pace")

WARNED_AFTER = 10.0
"""Seconds that a name is not confirmed before the log says so."""

OVERDUE_AFTER = 60.0
"""Seconds after which the node's view says so as well, and why."""

LOOK_SECONDS = 2.0
"""How often it is looked at what waits."""

_WATCHED = 64
"""Names of a stream that are watched, its oldest first: one is enough to speak of."""

_LOOKED_AT = 1024
"""Names of a stream that are looked at for those: what it refused stands among the oldest."""


@dataclass(slots=True)
class _Paced:
    """One stream: since when it is open, what it was measured at, what it waits for."""

    opened: float
    measured: int = 0
    lag: float | None = None
    waits: Mapping[Key, tuple[int, float]] = field(default_factory=dict)
    warned: float = 0.0
    overdue: str = ""


class Pace:
    """Watches all streams. A follower of reconcile and of the streams. `clock`: monotonic."""

    def __init__(
        self, cache: SnapshotCache, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Takes the snapshots, which know whether a pass reached a fleet."""
        self._cache = cache
        self._clock = clock
        self._published: dict[str, tuple[int, float]] = {}
        self._streams: dict[NodeStream, _Paced] = {}

    def lag(self, stream: NodeStream) -> timedelta | None:
        """Gives how long a node took to confirm the newest change that it has; None: not known."""
        paced = self._streams.get(stream)
        return None if paced is None or paced.lag is None else timedelta(seconds=paced.lag)

    def overdue(self, stream: NodeStream) -> str:
        """Gives what a node has not confirmed for a minute or longer, and why; "" for nothing."""
        paced = self._streams.get(stream)
        return "" if paced is None else paced.overdue

    # -- what reconcile and the streams say --------------------------------------------------

    def follow(self, moves: Sequence[Move], revision: int) -> None:
        """Takes that a pass was published."""
        now = self._clock()
        for fleet in {fleet for move in moves for fleet in (*move.fleets, *move.left)}:
            snapshot = self._cache.snapshot(fleet)
            if snapshot is not None and snapshot.revision == revision:
                self._published[fleet] = (revision, now)

    def opened(self, stream: NodeStream) -> None:
        """Takes that a node connected."""
        self._streams[stream] = _Paced(self._clock())

    def closed(self, stream: NodeStream) -> None:
        """Takes that a stream ended."""
        self._streams.pop(stream, None)

    def confirmed(self, stream: NodeStream) -> None:
        """Takes that a node confirmed something: everything, if nothing is pending any more."""
        paced = self._streams.get(stream)
        revision, at = self._published.get(stream.fleet, (0, 0.0))
        if paced is None or stream.pending or stream.revision < revision:
            return
        if paced.measured < revision and paced.opened <= at:
            paced.measured, paced.lag = revision, self._clock() - at

    # -- what waits ------------------------------------------------------------------------

    async def run(self) -> None:
        """Looks at what waits until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Looks at all streams once: warns of what waits too long, and says what is overdue."""
        now = self._clock()
        for stream, paced in self._streams.items():
            before, paced.waits = paced.waits, {}
            if not stream.pending:
                paced.overdue, paced.warned = "", 0.0
                continue
            watched = itertools.islice(stream.pending.items(), _LOOKED_AT)
            waits = ((key, one.since) for key, one in watched if not stream.refused(key))
            paced.waits = {
                # The same change as at the last look waits since then, or longer.
                key: (since, before[key][1] if before.get(key, (-1,))[0] == since else now)
                for key, since in itertools.islice(waits, _WATCHED)
            }
            self._speak(stream, paced, now)

    def _speak(self, stream: NodeStream, paced: _Paced, now: float) -> None:
        """Says what waits longest, once at each of the two ages; keeps the words of the second."""
        if not paced.waits:
            paced.overdue, paced.warned = "", 0.0
            return
        key, (_, since) = min(paced.waits.items(), key=lambda each: each[1][1])
        age = now - since
        words = stream.waiting(key, now)
        paced.overdue = f"for {age:.0f} s: {words}" if age >= OVERDUE_AFTER else ""
        if age < WARNED_AFTER:
            paced.warned = 0.0
            return
        said = OVERDUE_AFTER if age >= OVERDUE_AFTER else WARNED_AFTER
        if paced.warned < said:
            paced.warned = said
            log.warning(
                "not confirmed, and nothing is sent by time alone",
                node=node_name(stream.fleet, stream.node.id),
                resource=key.name,
                seconds=round(age),
                reason=words,
                names=len(paced.waits),
            )

"""Which streams may be given their first answer now: thousands may reconnect at once.

A control plane of Istio that answered 5,000 proxies as they came took three minutes for some
(istio#35263). Here they are let through one by one, never two in one turn of the event loop, so
that streams which are served already have their turn between any two of them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


class Admission:
    """Lets streams to their first answers at a bounded rate, and a bounded number at a time."""

    def __init__(self, *, at_once: int, per_second: float, hold: float) -> None:
        """Takes the bounds.

        Args:
            at_once: how many may be under way; each holds a response in the making.
            per_second: how many are let through in a second.
            hold: seconds after which one that is still under way is not counted any more: clients
                that do not read must not keep out the others.
        """
        self._free = at_once
        self._pause = 1 / per_second
        self._hold = hold
        self._waiting: OrderedDict[Place, None] = OrderedDict()
        self._gate: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many streams wait for their turn."""
        return len(self._waiting)

    def ask(self, place: Place) -> None:
        """Queues a stream, unless it waits already or its turn has come."""
        if not place.its_turn:
            self._waiting[place] = None
            self._next()

    def leave(self, place: Place) -> None:
        """Takes a stream out, wherever it is; it may ask again."""
        place.its_turn = False
        self._waiting.pop(place, None)
        self._release(place)

    def _next(self) -> None:
        if self._gate is not None or not self._waiting or not self._free:
            return
        self._free -= 1
        place, _ = self._waiting.popitem(last=False)
        loop = asyncio.get_running_loop()
        # A busy loop comes late to it: then fewer are let through, and no two in one turn.
        self._gate = loop.call_later(self._pause, self._open)
        place.hold = loop.call_later(self._hold, self._release, place)
        place.its_turn = True
        place.on_turn()

    def _open(self) -> None:
        self._gate = None
        self._next()

    def _release(self, place: Place) -> None:
        if place.hold is not None:
            place.hold.cancel()
            place.hold = None
            self._free += 1
            self._next()


@dataclass(slots=True, eq=False)
class Place:
    """One stream's place in the queue.

    Attributes:
        on_turn: called whenever its turn has come.
        its_turn: whether it may be given its first answer.
        hold: runs while it counts as under way.
    """

    on_turn: Callable[[], None]
    its_turn: bool = False
    hold: asyncio.TimerHandle | None = None

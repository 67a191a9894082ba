"""What one tenant's fault costs fifty others that change 20 times a second, on a real Envoy.

Each round has every fault once, between two turns of the same length without one; what is compared
are the medians from the call to ACTIVE of a turn and its neighbours, for a machine may be busier in
one minute than in the next. The fault is put in behind the API
(`tests.features.faults`), for the API takes nothing that an Envoy refuses.
"""

import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure
from tests.features.faults import BAD, FAULTS, Crowd, Injection, crowd

ROUNDS = 6
SECONDS = 3.0
KINDS = (*FAULTS, "mute")


class Turns:
    """What was measured: of turns without a fault the medians, of those with one the ratios."""

    def __init__(self) -> None:
        self.without: list[float] = []
        self.ratios: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self.until_error: dict[str, list[float]] = {kind: [] for kind in FAULTS}
        self.sent: dict[str, int] = dict.fromkeys(FAULTS, 0)
        self._number = 0

    async def between(self, them: Crowd, kind: str) -> None:
        """A turn with a fault, compared with the one before it and the one after it."""
        with_it = await self.turn(them, kind)
        before, after = self.without[-1], await self.turn(them, "")
        self.without.append(after)
        self.ratios[kind].append(2 * with_it / (before + after))

    async def turn(self, them: Crowd, kind: str) -> float:
        """The others change for a while, a fault comes meanwhile and goes; gives their median."""
        self._number += 1
        them.delays.clear()
        injection = them.injection
        injection.fault = FAULTS.get(kind)
        changing = asyncio.create_task(them.others(SECONDS, random.Random(self._number)))
        await asyncio.sleep(SECONDS / 10)
        if injection.fault is not None:
            injection.spoiled.clear()
            injection.sent.clear()
            injection.on = True
            began = time.monotonic()
            name = await them.bad_change(2 * self._number)
            await them.client.wait(name, seconds=30)
            self.until_error[kind].append(time.monotonic() - began)
        elif kind:
            await them.go_mute(self._number)
        await changing
        median = statistics.median(them.delays)
        if injection.fault is not None:
            self.sent[kind] = max(self.sent[kind], injection.most)
            injection.on = False
            await them.client.applied(await them.bad_change(2 * self._number + 1), seconds=30)
        elif kind:
            await them.speak(self._number)
        await them.client.applied(BAD, seconds=30)
        return median

    def figures(self) -> list[Figure]:
        """Each fault's ratio, and how long it took to be ERROR."""
        found = [
            Figure(
                what="50 tenants, 20 changes/s: call -> ACTIVE without a fault, p50",
                value=1000 * statistics.median(self.without),
                unit="ms",
                budget="-",
                floor=None,
                samples=len(self.without),
            )
        ]
        found += (
            Figure(
                what=f"the same beside a fault ({kind}), times that",
                value=statistics.median(self.ratios[kind]),
                unit="x",
                budget="< 1.5",
                floor=1.0,
                samples=len(self.ratios[kind]),
            )
            for kind in KINDS
        )
        found += (
            Figure(
                what=f"call -> ERROR ({kind}), worst; sent {self.sent[kind]} times at most",
                value=1000 * max(seconds),
                unit="ms",
                budget="< 5000 ms",
                floor=None,
                samples=len(seconds),
            )
            for kind, seconds in self.until_error.items()
        )
        return found


async def measure() -> list[Figure]:
    """The others' median delay beside each fault, as a ratio to that without one."""
    turns = Turns()
    with tempfile.TemporaryDirectory() as folder:
        async with crowd(Path(folder), Injection()) as them:
            await turns.turn(them, "")  # it warms up
            turns.without.append(await turns.turn(them, ""))
            for _ in range(ROUNDS):
                for kind in KINDS:
                    await turns.between(them, kind)
    return turns.figures()

"""Keeps an Envoy running, whatever runs it."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from agent.driver import Driver, DriverError, TakenError

log = structlog.get_logger("agent.envoy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before the next try, in seconds.

    Each wait is twice the one before, up to `last`, and up to a fifth shorter at random. What has
    run well for `well` starts from `first` again.
    """

    first: float = 0.25
    last: float = 30.0
    well: float = 60.0

    def wait(self, failures: int) -> float:
        """Gives the wait after so many failures in a row; one at least."""
        full = min(self.last, self.first * 2.0 ** min(failures - 1, 30))
        return full * random.uniform(0.8, 1.0)  # noqa: S311 - it hides no secret


class Supervisor:
    """Starts a driver's Envoy, and again when it ended, and never gives up.

    Args:
        driver: what runs it.
        drain: how long connections may go on when it is to stop.
        ended: called in the turn of the loop in which it is noticed that the Envoy ended.
        backoff: how long to wait before it is started again.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        drain: timedelta,
        ended: Callable[[], None] = lambda: None,
        backoff: Backoff | None = None,
    ) -> None:
        self._driver = driver
        self._drain = drain
        self._ended = ended
        self._backoff = backoff or Backoff()

    async def run(self, *, leave_running: bool = False) -> None:
        """Keeps it running until cancelled; then drains and ends it, or leaves it running.

        Raises:
            TakenError: another agent keeps it.
            DriverError: it may still run.
        """
        try:
            await self._keep()
        finally:
            if leave_running:
                log.info("envoy is left running", driver=self._driver.name)
                self._driver.leave()
            else:
                await self._driver.stop(drain=self._drain)

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            began = clock()
            what, why = await self._once()
            ran = clock() - began
            failures = 1 if ran >= self._backoff.well else failures + 1
            wait = self._backoff.wait(failures)
            log.error(
                what,
                driver=self._driver.name,
                why=why,
                ran_seconds=round(ran, 1),
                in_seconds=round(wait, 2),
                failures_in_a_row=failures,
            )
            await asyncio.sleep(wait)

    async def _once(self) -> tuple[str, str]:
        """Runs it once and gives what happened, and why."""
        try:
            await self._driver.start()
        except TakenError:
            raise
        except DriverError as error:
            return "envoy cannot be started; it will be tried again", str(error)
        try:
            code = await self._driver.wait_ended()
        except DriverError as error:
            # It may serve on, and its admin interface tells: nothing has ended.
            return "envoy is out of sight; it will be looked for again", str(error)
        self._ended()
        return "envoy ended; it will be started again", ended_words(code)


def ended_words(code: int | None) -> str:
    """Gives an exit code in words: negative is a signal's number, None is not known."""
    if code is None:
        return "exit code not known: an earlier agent had started it"
    return f"ended by signal {-code}" if code < 0 else f"exit code {code}"

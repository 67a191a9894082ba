"""Keeping an Envoy running: a driver that is scripted, waits that are short."""

import asyncio
from datetime import timedelta

import pytest

from agent.attached import AttachedDriver
from agent.driver import AdminAddress, DriverError, TakenError
from agent.supervise import Backoff, Supervisor, ended_words

DRAIN = timedelta(seconds=7)


class Scripted(AttachedDriver):
    """Starts and ends as it is told, and notes what is asked of it.

    An exception is what starting meets; `watched`: what waiting for the end meets.
    """

    name = "scripted"

    def __init__(self, *lives: float | Exception, watched: bool = False) -> None:
        super().__init__(AdminAddress(host="127.0.0.1", port=1))
        self._lives = list(lives)
        self._watched = watched
        self.calls: list[str] = []
        self.starts: list[float] = []
        self.done = asyncio.Event()

    async def start(self) -> None:
        self.calls.append("start")
        self.starts.append(asyncio.get_running_loop().time())
        if not self._watched and self._lives and isinstance(self._lives[0], Exception):
            raise self._lives.pop(0)

    async def wait_ended(self) -> int | None:
        if not self._lives:
            self.done.set()
            await asyncio.Event().wait()
        life = self._lives.pop(0)
        if isinstance(life, Exception):
            raise life
        await asyncio.sleep(life)
        return -9

    def leave(self) -> None:
        self.calls.append("leave")

    async def stop(self, *, drain: timedelta) -> None:
        self.calls.append(f"stop {drain.seconds}")


async def supervised(driver: Scripted, *, backoff: Backoff, **how: bool) -> int:
    """Supervises until the script has ended; gives how often an end was told."""
    ends = []
    supervisor = Supervisor(driver, drain=DRAIN, ended=lambda: ends.append(1), backoff=backoff)
    task = asyncio.create_task(supervisor.run(**how))
    async with asyncio.timeout(20):
        await driver.done.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    return len(ends)


async def test_it_starts_again_later_each_time_and_from_the_first_after_a_good_run() -> None:
    driver = Scripted(0.0, 0.0, 0.0, 0.5, 0.0)
    backoff = Backoff(first=0.1, last=10, well=0.4)
    assert await supervised(driver, backoff=backoff) == 5
    gaps = [
        later - earlier for earlier, later in zip(driver.starts, driver.starts[1:], strict=False)
    ]
    # 0.1, 0.2 and 0.4 s; then 0.5 s of life and 0.1 s again, and 0.2 s.
    for gap, least in zip(gaps, (0.08, 0.16, 0.32, 0.5 + 0.08, 0.16), strict=True):
        assert gap >= least
    assert gaps[3] < 0.5 + 0.8
    assert driver.calls == ["start"] * 6 + ["stop 7"]


async def test_what_cannot_be_started_is_tried_again(capsys) -> None:
    driver = Scripted(DriverError("no such image: envoy:none"), DriverError("still none"))
    # What never ran has not ended: an Envoy that others run there is not told dead.
    assert await supervised(driver, backoff=Backoff(first=0.01)) == 0
    out = capsys.readouterr().out
    assert "envoy cannot be started" in out
    assert "envoy ended" not in out
    assert "no such image: envoy:none" in out
    assert "failures_in_a_row=2" in out


async def test_what_cannot_be_watched_has_not_ended(capsys) -> None:
    driver = Scripted(DriverError("the engine cannot be reached"), watched=True)
    assert await supervised(driver, backoff=Backoff(first=0.01)) == 0
    assert driver.calls == ["start"] * 2 + ["stop 7"]
    out = capsys.readouterr().out
    assert "the engine cannot be reached" in out
    assert "envoy ended" not in out


async def test_what_another_agent_keeps_is_left_to_it() -> None:
    driver = Scripted(TakenError("another agent runs"))
    with pytest.raises(TakenError):
        await Supervisor(driver, drain=DRAIN).run()
    assert driver.calls == ["start", "stop 7"]


async def test_it_may_be_left_running() -> None:
    driver = Scripted()
    await supervised(driver, backoff=Backoff(), leave_running=True)
    assert driver.calls == ["start", "leave"]


def test_how_it_ended_in_words() -> None:
    assert ended_words(1) == "exit code 1"
    assert ended_words(-9) == "ended by signal 9"
    assert "an earlier agent" in ended_words(None)

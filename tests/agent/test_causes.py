"""Why members are down: checks that are repeated while they are; the checks are scripted."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent import causes as module
from agent.causes import Causes
from agent.diagnose import Finding
from agent.pools import Found
from lbaas.v1.agent_service_pb2 import MemberState
from tests.agent.control_plane import monitor
from tests.harness.waiting import until

HTTP, TCP = monitor("http"), monitor("tcp")


class Script:
    """Answers each check by the monitor's name, and counts."""

    def __init__(self) -> None:
        self.says: dict[str, Finding | Exception] = {}
        self.told: list[tuple[str, str, str]] = []
        self.asked: list[tuple[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.causes = Causes(self.check, lambda *told: self.told.append(told))

    async def check(self, monitor, address, port) -> Finding:
        self.asked.append((monitor.name, f"{address}:{port}"))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        said = self.says.get(monitor.name, Finding(passed=True))
        if isinstance(said, Exception):
            raise said
        return said

    async def until_told(self, count: int) -> None:
        async def told() -> bool:
            return len(self.told) >= count

        await until(told, within=5, what=f"told {count} times")

    async def until_asked(self, count: int) -> None:
        async def asked() -> bool:
            return len(self.asked) >= count

        await until(asked, within=5, what=f"asked {count} times")


@pytest.fixture
async def script(monkeypatch) -> AsyncIterator[Script]:
    monkeypatch.setattr(module, "_LEAST_PAUSE", 0.01)
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 0.01)
    made = Script()
    yield made
    made.causes.close()


def down(name: str, *monitors, timed_out: bool = False) -> Found:
    return Found(name, ("10.0.0.1", 80), MemberState.DOWN, timed_out, monitors)


async def test_the_monitor_that_fails_is_found(script: Script) -> None:
    script.says = {"tcp": Finding(passed=False, cause="connection refused")}
    member = down("m", HTTP, TCP)
    script.causes.watch({"m": member})
    assert script.causes.known(member) == ("", "")
    await script.until_told(1)
    assert script.told == [("m", "tcp", "connection refused")]
    assert script.causes.known(member) == ("tcp", "connection refused")
    assert script.asked[:2] == [("http", "10.0.0.1:80"), ("tcp", "10.0.0.1:80")]


async def test_only_what_is_new_is_told(script: Script) -> None:
    script.says = {"http": Finding(passed=False, cause="HTTP 503, wanted 200")}
    script.causes.watch({"m": down("m", HTTP)})
    await script.until_asked(5)
    assert len(script.told) == 1
    # It passes again and is not up yet: what it met last still stands.
    script.says = {}
    await script.until_asked(len(script.asked) + 3)
    assert len(script.told) == 1
    script.says = {"http": Finding(passed=False, cause="HTTP 500, wanted 200")}
    await script.until_told(2)


async def test_a_member_that_is_up_again_is_asked_no_more(script: Script) -> None:
    script.causes.watch({"m": down("m", HTTP)})
    await script.until_asked(2)
    other = down("other", TCP)
    script.causes.watch({"other": other})
    asked = len(script.asked)
    await script.until_asked(asked + 5)  # at the same pace as the first one was
    assert {name for name, _ in script.asked[asked:]} == {"tcp"}
    assert script.causes.known(down("m", HTTP, TCP)) == ("", "")


async def test_what_only_envoy_sees_is_said(script: Script) -> None:
    script.causes.watch({"m": down("m", HTTP, TCP)})
    await script.until_told(1)
    assert script.told == [("m", "", "fails Envoy's check, and passes the agent's")]


def test_one_monitor_and_envoys_timeout_are_known_at_once() -> None:
    causes = Causes(None, lambda *_told: None)
    assert causes.known(down("m", HTTP, timed_out=True)) == ("http", "timeout")
    assert causes.known(down("m", HTTP)) == ("http", "")


async def test_only_some_at_once(script: Script) -> None:
    script.gate.clear()
    script.causes.watch({f"m{n}": down(f"m{n}", HTTP) for n in range(100)})
    await script.until_asked(module.AT_ONCE)
    script.gate.set()
    await script.until_asked(100)
    assert script.most_at_once == module.AT_ONCE


async def test_a_check_that_breaks_is_logged_and_tried_again(script: Script, capsys) -> None:
    script.says = {"http": RuntimeError("broken")}
    script.causes.watch({"m": down("m", HTTP)})
    await script.until_asked(2)
    script.says = {"http": Finding(passed=False, cause="connection refused")}
    await script.until_told(1)
    assert "could not be repeated" in capsys.readouterr().out

"""A gRPC client without a proxy, as a process: calls without a pause, and says who answered.

A process of its own, for grpcio reads its bootstrap from the environment once.
"""

import asyncio
import itertools
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Self

import grpc

WHO = "/who.Who/Ask"
STAY = "/who.Who/Stay"

_SETTLED = 200
"""Calls after which a client is connected to all members: streams begin then."""

_STREAMED_EVERY = 20
"""Calls between two messages on each open stream."""


@dataclass(frozen=True)
class Answer:
    """A call: when it began (CLOCK_MONOTONIC, which all processes share), who answered or why
    nobody did."""

    began: float
    by: str
    error: str


class Caller:
    """Calls a target until it is left. Beside that it keeps streaming calls open.

    Attributes:
        answers: the calls so far.
        streamed: who sent something on an open stream so far.
    """

    def __init__(
        self, target: str, bootstrap: Mapping[str, Any], *, streams: int = 0, **env: str
    ) -> None:
        self.answers: list[Answer] = []
        self.streamed: list[str] = []
        self._command = (sys.executable, "-m", "tests.harness.grpc_caller", target, str(streams))
        config = {"GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(bootstrap)}
        self._env = {**os.environ, "GRPC_VERBOSITY": "none", **config, **env}
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, env=self._env, stdout=asyncio.subprocess.PIPE
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if isinstance(said, str):
                self.streamed.append(said)
            else:
                self.answers.append(Answer(**said))
            async with self._news:
                self._news.notify_all()

    @property
    def failures(self) -> list[str]:
        """Why calls failed."""
        return [answer.error for answer in self.answers if answer.error]

    async def next(self, count: int, *, within: float = 40.0) -> Counter[str]:
        """Who answers the next calls that begin from now on, or why nobody does."""
        now = time.monotonic()

        def there() -> bool:
            return len(self._since(now)) >= count

        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(there)
        return Counter(answer.by or answer.error for answer in self._since(now)[:count])

    async def only(self, *names: str, within: float = 40.0, calls: int = 60) -> float:
        """Waits until these, and no others, answer many calls in a row.

        Gives when (CLOCK_MONOTONIC) the last call began that somebody else answered.
        """

        def so() -> bool:
            last = self.answers[-calls:]
            return len(last) == calls and {answer.by for answer in last} == set(names)

        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(so)
        others = [answer.began for answer in self.answers if answer.by not in names]
        return max(others, default=0.0)

    def _since(self, moment: float) -> list[Answer]:
        first = len(self.answers)
        while first and self.answers[first - 1].began >= moment:
            first -= 1
        return self.answers[first:]


def _say(something: object) -> None:
    sys.stdout.write(json.dumps(something) + "\n")
    sys.stdout.flush()


def _stay(channel: grpc.Channel, asked: "SimpleQueue[bytes]") -> None:
    began = time.monotonic()
    call = channel.stream_stream(STAY, request_serializer=None, response_deserializer=None)
    try:
        for name in call(iter(asked.get, None), wait_for_ready=True):
            _say(name.decode())
    except grpc.RpcError as failed:
        _say({"began": began, "by": "", "error": f"a stream was cut: {failed.details()}"})


def _call(target: str, streams: int) -> None:
    channel = grpc.insecure_channel(target)
    ask = channel.unary_unary(WHO, request_serializer=None, response_deserializer=None)
    opened: list[SimpleQueue[bytes]] = []
    for number in itertools.count():
        if 0 <= number - _SETTLED < streams:
            opened.append(SimpleQueue())
            threading.Thread(target=_stay, args=(channel, opened[-1]), daemon=True).start()
        if number % _STREAMED_EVERY == 0:
            for asked in opened:
                asked.put(b"")
        began, by, error = time.monotonic(), "", ""
        try:
            by = ask(b"", timeout=30).decode()
        except grpc.RpcError as failed:
            error = f"{failed.code().name}: {failed.details()}"
        _say({"began": began, "by": by, "error": error})
        time.sleep(0.05 if error else 0.002)  # others want to run too


if __name__ == "__main__":
    _call(sys.argv[1], int(sys.argv[2]))

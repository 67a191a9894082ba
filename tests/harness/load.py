"""Clients under load that count every failure: no retries, no forgiveness."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Self

from tests.harness.http_client import Connection, Reply


class Load:
    """HTTP/1.1 workers against one address, from `start` to `stop`.

    Keep-alive workers reopen after `connection: close`; the others open a connection per request.
    A request fails if it is refused, broken, late or answered with another status than 200.

    Attributes:
        served: answered with 200, counted by body (the member's name).
        failures: failed requests, counted by why.
        failed_at: when each of them failed (`time.monotonic()`), and why.
    """

    def __init__(
        self,
        address: str,
        *,
        keep_alive: int = 6,
        per_request: int = 4,
        pause: float = 0.02,
        path: str = "/",
        patience: float = 10.0,
        connect: Callable[[str], Awaitable[Connection]] = Connection.open,
    ) -> None:
        self._address = address
        self._path = path
        self._pause = pause
        self._patience = patience
        self._connect = connect
        self._keep_alive = keep_alive
        self._per_request = per_request
        self._stopping = asyncio.Event()
        self._reached = asyncio.Event()
        self._goal = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.served: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.failed_at: list[tuple[float, str]] = []

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Starts the workers."""
        self._stopping.clear()
        kinds = [True] * self._keep_alive + [False] * self._per_request
        self._tasks = [asyncio.create_task(self._work(keep_alive=kind)) for kind in kinds]

    async def stop(self) -> None:
        """Lets every worker finish its request, then ends."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        self._tasks = []

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return self.failures.total()

    @property
    def total(self) -> int:
        """How many requests were made."""
        return self.served.total() + self.failed

    async def more(self, count: int, *, within: float = 20.0) -> None:
        """Waits until `count` more requests were made.

        Raises:
            TimeoutError: they were not made in time.
        """
        self._goal = self.total + count
        self._reached.clear()
        async with asyncio.timeout(within):
            await self._reached.wait()

    async def _work(self, *, keep_alive: bool) -> None:
        connection: Connection | None = None
        try:
            while not self._stopping.is_set():
                try:
                    async with asyncio.timeout(self._patience):
                        if connection is None:
                            connection = await self._connect(self._address)
                        reply = await connection.request(self._path, close=not keep_alive)
                except (OSError, EOFError) as error:  # a TimeoutError is an OSError
                    self._failed(type(error).__name__)
                    reply = None
                else:
                    self._count(reply)
                if self.total >= self._goal:
                    self._reached.set()
                if connection is not None and (reply is None or reply.closes or not keep_alive):
                    await connection.close()
                    connection = None
                await asyncio.sleep(self._pause)
        finally:
            if connection is not None:
                await connection.close()

    def _count(self, reply: Reply) -> None:
        if reply.status == 200:
            self.served[reply.text] += 1
        else:
            self._failed(f"{reply.status} {reply.text}")

    def _failed(self, why: str) -> None:
        self.failures[why] += 1
        self.failed_at.append((time.monotonic(), why))

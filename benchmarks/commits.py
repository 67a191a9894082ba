"""When the product's store has committed a change, on the clock of `time.perf_counter`."""

import asyncio
import time
from typing import Self

from lbaas.store.store import Store


class Commits:
    """The moments of commits, as the store's feed tells them, right behind COMMIT."""

    def __init__(self, store: Store) -> None:
        self._feed = store.feed
        self._moments: asyncio.Queue[float] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._subscription = self._feed.subscribe()
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._listening.cancel()
        self._subscription.close()

    def forget(self) -> None:
        """Forgets those that were not asked for."""
        while not self._moments.empty():
            self._moments.get_nowait()

    async def next(self) -> float:
        """Gives the moment of the first commit of a change since `forget`."""
        return await self._moments.get()

    async def _listen(self) -> None:
        while True:
            notice = await self._subscription.get()
            if notice.changes:
                self._moments.put_nowait(time.perf_counter())

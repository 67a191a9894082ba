"""What of the agents' reports goes to the store: PING verdicts at once, traffic now and then."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from lbaas.model.errors import LbaasError
from lbaas.store import pings, traffic
from lbaas.store.store import Store
from tidegate.agents.specs import Ping
from tidegate.agents.traffic import Counts, Unsaved

log = structlog.get_logger("tidegate.agents")

SAVE_SECONDS = 5.0
"""How often traffic is saved: what was counted since is lost with an Envoy that ends with us."""

LARGEST_WRITE = 2000
"""How many rows go in one transaction, so that tenants' writes need not wait for long."""

RETRY_SECONDS = 1.0
"""How long to wait before verdicts are written again when the store did not take them."""


class Ledger:
    """The counts, and what waits to be written.

    Attributes:
        counts: the traffic.
    """

    def __init__(self, store: Store) -> None:
        """Takes where it is written."""
        self._store = store
        self._pings: dict[Ping, bool] = {}
        self._gone: set[str] = set()
        self._wake = asyncio.Event()
        self.counts = Counts()

    async def load(self, *, there: Callable[[str], bool], known: Callable[[str], bool]) -> None:
        """Takes what the store has counted of the objects that are `there`.

        `known` tells whether a node may come back with the same Envoy.
        """
        for name, nodes in (await self._store.read(traffic.totals)).items():
            if there(name):
                self.counts.restore(
                    name,
                    {
                        node: (each.envoy_start, each.traffic, each.before)
                        for node, each in nodes.items()
                    },
                )
        for node in [each for each in self.counts.nodes() if not known(each)]:
            self.forget_node(node)

    def forget_node(self, node: str) -> None:
        """Takes that a node is gone for good: what it counted is added up under no node."""
        self.counts.forget_node(node)
        self._gone.add(node)

    def found(self, verdicts: Mapping[Ping, bool]) -> None:
        """Takes PING verdicts to be stored; a later one about the same takes its place."""
        if verdicts:
            self._pings.update(verdicts)
            self._wake.set()

    async def run(self) -> None:
        """Writes until cancelled: verdicts at once when it is quiet, together when it is not."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_pings())
            tasks.create_task(self._save_traffic())

    async def _write_pings(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not await self.flush_pings():
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _save_traffic(self) -> None:
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self.flush_traffic()

    async def flush(self) -> None:
        """Writes what waits, for the end."""
        await self.flush_pings()
        await self.flush_traffic()

    async def flush_pings(self) -> bool:
        """Writes the verdicts that wait; tells whether the store took them."""
        verdicts, self._pings = self._pings, {}
        if not verdicts:
            return True
        try:
            await self._store.write(lambda tx: pings.record(tx, verdicts))
        except LbaasError as error:
            log.warning("PING verdicts could not be stored yet", error=error.message)
            self._pings = verdicts | self._pings
            return False
        except Exception:
            # It would fail again, and what the store has stands: traffic goes on as it does.
            log.exception("PING verdicts could not be stored", verdicts=len(verdicts))
        return True

    async def flush_traffic(self) -> None:
        """Saves what was counted since it was saved last, some rows at a time and in order."""
        unsaved = self.counts.unsaved()
        gone, self._gone = self._gone, set()
        waves = [list(wave) for wave in (*unsaved.ended, unsaved.now)]
        try:
            for wave in waves:
                while wave:
                    rows = wave[:LARGEST_WRITE]
                    await self._store.write(lambda tx, rows=rows: traffic.save(tx, rows))  # type: ignore[misc]
                    del wave[:LARGEST_WRITE]
            if gone:
                await self._store.write(lambda tx: traffic.fold(tx, gone))
        except LbaasError as error:
            log.warning("traffic could not be saved yet", error=error.message)
            self.counts.not_saved(Unsaved([wave for wave in waves[:-1] if wave], waves[-1]))
            self._gone |= gone
        except Exception:
            log.exception("traffic could not be saved")

"""Which node of a fleet is given changes first, where the operator wants that.

It is the first by name of the nodes that count and are connected, and stays it until it counts no
more. It is kept with the nodes in the store: after a restart the same one goes first.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

import structlog

from lbaas.model.objects import Fleet
from tidegate.impact import Move
from tidegate.nodes import NodeRegister, TrackedNode, node_id
from xds.cache.cache import SnapshotCache
from xds.cache.canary import Canary
from xds.cache.types import Key

log = structlog.get_logger("tidegate.canary")

WARN_AFTER = 10.0
"""Seconds after which it is said that a canary does not confirm what others wait for."""

SWEEP_SECONDS = 1.0
"""How often it is looked whether a canary has been silent for so long."""

LOOKED_AT = 256
"""How many of the names held back are looked at for that: the oldest."""


class Canaries:
    """Chooses, as a follower of reconcile and of the register, and tells the snapshots.

    Attributes:
        on_spread: called with a fleet's id when what its canary refused goes to all.
    """

    def __init__(
        self,
        cache: SnapshotCache,
        nodes: NodeRegister,
        *,
        fleets: Callable[[], Mapping[str, Fleet]],
        save: Callable[[TrackedNode], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes whom to tell, who is there, which fleets there are, and who keeps a choice."""
        self._cache = cache
        self._nodes = nodes
        self._fleets = fleets
        self._save = save
        self._clock = clock
        self._known: Mapping[str, Fleet] = {}
        self._silent: dict[str, tuple[Key, float]] = {}
        self.on_spread: Callable[[str], None] = lambda _: None
        nodes.on_counted.append(self.nodes_changed)

    def follow(self, moves: Sequence[Move], revision: int) -> None:  # noqa: ARG002 - a follower
        """Takes that a pass was published; which fleets want a canary may have changed in it."""
        fleets = self._fleets()
        if fleets is self._known:
            return
        former, self._known = self._known, fleets
        for name in {*former, *fleets}:
            self.nodes_changed(name.removeprefix("fleets/"))

    def nodes_changed(self, fleet: str) -> None:
        """Takes that other nodes of a fleet (by its id) count than before."""
        if self._cache.snapshot(fleet) is None:
            return
        known = self._known.get(f"fleets/{fleet}")
        nodes = self._nodes.of(fleet)
        chosen = choose(nodes) if known is not None and known.canary else None
        for node in nodes:
            if node.canary != (node is chosen):
                node.canary = node is chosen
                self._save(node)
        before = self._cache.canary_of(fleet)
        was = before.node if before else ""
        now = node_id(chosen.name) if chosen else ""
        if was == now:
            return
        log.info("canary", fleet=f"fleets/{fleet}", node=now, before=was)
        self._cache.canary(fleet, now or None)
        if was:
            self.on_spread(fleet)

    async def run(self) -> None:
        """Says which canaries are silent, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """Warns, once for each name, of what a canary has not answered for a while."""
        now = self._clock()
        for name in self._known:
            fleet = name.removeprefix("fleets/")
            canary = self._cache.canary_of(fleet)
            key = _oldest(canary) if canary else None
            if canary is None or key is None:
                self._silent.pop(fleet, None)
                continue
            seen, since = self._silent.get(fleet, (None, now))
            if seen != key:
                self._silent[fleet] = (key, now)
            elif now - since >= WARN_AFTER:
                self._silent[fleet] = (key, float("inf"))
                log.warning(
                    "the canary does not confirm a change, and no other node is given it",
                    node=f"{name}/nodes/{canary.node}",
                    resource=key.name,
                    why=self.words(fleet, key),
                    held=len(canary.held),
                )

    def words(self, fleet: str, key: Key) -> str:
        """Says what the canary of a fleet (by its id) lacks to confirm a name; "": nothing."""
        canary = self._cache.canary_of(fleet)
        if canary is None:
            return ""
        node = self._nodes.find(f"fleets/{fleet}/nodes/{canary.node}")
        if node is None or node.stream is None:
            return "it is not connected; when it is lost another node takes over"
        # What it has may still wait for what it has not and must go with it.
        return node.stream.waiting(key, self._clock()) or "it waits for what changes with it"


def choose(nodes: Sequence[TrackedNode]) -> TrackedNode | None:
    """Gives the canary among a fleet's nodes, which are sorted by name; None: no node counts."""
    counted = [node for node in nodes if node.counted]
    here = [node for node in counted if node.stream is not None]
    return next(iter([*(node for node in counted if node.canary), *here, *counted]), None)


def _oldest(canary: Canary) -> Key | None:
    """Gives the first name that was held back of those that the canary has not refused."""
    for key in islice(canary.held, LOOKED_AT):
        if not any(stream.refused(key) for stream in canary.streams):
            return key
    return None

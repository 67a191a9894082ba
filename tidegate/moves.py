"""Pools that have to leave their fleet: who must, where to, and when the old fleet lets go.

A fleet that is drained, or that has had no counted node for `dead_after`, gives its pools away
where another fleet fits and has a live node. The new fleet is live before the old one lets go,
and for `overlap` both serve: time for an operator's routes to follow. Then the old one's listeners
close, and for `drain`, as long as Envoy drains them, their clusters stay. What has moved stays: a
dead fleet that returns does not get its pools back by itself.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from lbaas.model.errors import LbaasError
from lbaas.model.objects import Fleet, PoolTree, TenantObject, Vip
from lbaas.store import placements, trees
from lbaas.store.store import Store
from lbaas.store.transaction import Transaction
from tidegate.impact import Move
from tidegate.nodes import NodeRegister
from tidegate.placing import Placing

log = structlog.get_logger("tidegate.moves")

TICK_SECONDS = 0.25
"""How often fleets and moving pools are looked at; the store is asked only about the latter."""

RETRY_SECONDS = 10.0
"""How often a pool without a refuge is tried again when nothing that is known of has changed."""

BATCH = 200
"""How many pools are moved at a time: the others' changes go between."""


class Moves:
    """Gives pools away from fleets that cannot or must not serve them, and ends each move."""

    def __init__(
        self,
        store: Store,
        nodes: NodeRegister,
        placing: Placing,
        *,
        dead_after: timedelta,
        overlap: timedelta,
        drain: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the rooms it stands between, and the operator's three times."""
        self._store = store
        self._nodes = nodes
        self._placing = placing
        self._dead_after = dead_after.total_seconds()
        self._overlap = overlap.total_seconds()
        self._drain = drain.total_seconds()
        self._clock = clock
        self._moving: dict[str, float | None] = {}
        self._stage: dict[str, tuple[int, bool]] = {}
        self._from: dict[str, str] = {}
        self._empty_since: dict[str, tuple[float, datetime]] = {}
        self._tried: dict[str, tuple[object, float]] = {}
        self._waiting: dict[str, list[str]] = {}
        self._in_turn: list[str] = []

    def follow(self, moves: Sequence[Move], revision: int) -> None:  # noqa: ARG002 - Follower
        """Takes from a pass which pools are on two fleets now."""
        for move in moves:
            placement = move.tree.pool.placement if move.tree is not None else None
            if placement is None or not placement.leaving:
                self._moving.pop(move.pool, None)
                self._stage.pop(move.pool, None)
                self._from.pop(move.pool, None)
            elif self._stage.get(move.pool) != (stage := (placement.rev, placement.closing)):
                # Moved on, or back, or closed: its time counts from then.
                self._moving[move.pool] = None
                self._stage[move.pool] = stage
                self._from[move.pool] = placement.leaving

    async def run(self) -> None:
        """Moves what has to move, until cancelled."""
        while True:
            try:
                await self.step()
            except LbaasError as error:
                log.warning("the store is out of reach, moving later", error=error.message)
            except Exception:
                # A defect of ours must not end all moves; the next look is in a moment.
                log.exception("pools could not be moved")
            await asyncio.sleep(TICK_SECONDS)

    async def step(self) -> None:
        """Looks once: fleets to leave, then moves to end."""
        for fleet, why in self._leaving().items():
            await self._give_away(fleet, why)
        await self._let_go()

    # -- away ----------------------------------------------------------------------------

    def _leaving(self) -> Mapping[str, str]:
        """Gives the fleets that pools have to leave, each with the reason in words."""
        now = self._clock()
        leaving: dict[str, str] = {}
        living = {name for name in self._placing.fleets if self._nodes.counted(_id(name))}
        if not living:
            # Nobody is there at all: it may be we who are cut off, and all serve on. Who is back
            # first must not be given the pools of all who are not back yet.
            self._empty_since.clear()
        for name, fleet in self._placing.fleets.items():
            if name in living:
                self._empty_since.pop(name, None)
            else:
                self._empty_since.setdefault(name, (now, datetime.now(UTC)))
            if fleet.pools and fleet.draining:
                leaving[name] = f"moved from {name}, which is draining"
            elif fleet.pools and self._is_dead(name):
                since = self._empty_since[name][1]
                leaving[name] = (
                    f"moved from {name}, which has had no node since {since:%H:%M:%S} UTC"
                )
        for name in self._empty_since.keys() - self._placing.fleets.keys():
            del self._empty_since[name]
        return leaving

    def _is_dead(self, fleet: str) -> bool:
        since = self._empty_since.get(fleet)
        return since is not None and self._clock() - since[0] >= self._dead_after

    async def _give_away(self, fleet: str, why: str) -> None:
        """Moves a batch of a fleet's pools; those without a refuge wait for something to change."""
        known = self._known()
        tried, at = self._tried.get(fleet, (None, 0.0))
        if not self._waiting.get(fleet):
            if tried == known and self._clock() - at < RETRY_SECONDS:
                return
            self._tried[fleet] = known, self._clock()
            carried = await self._store.read(lambda tx: placements.carried(tx, fleet))
            self._waiting[fleet] = [pool for pool in carried if not self._leaves(pool, fleet)]
        batch, self._waiting[fleet] = self._waiting[fleet][:BATCH], self._waiting[fleet][BATCH:]
        found = await self._store.read(lambda tx: trees.read(tx, batch))
        there = [tree for tree in found if self._may_move(tree, fleet)]
        if not there:
            return
        decisions = await self._placing.move(there, why=why)
        for pool, decision in decisions.items():
            if decision.fleet:
                log.info("moving a pool", pool=pool, to=decision.fleet, why=why)
            else:
                log.warning("a pool has nowhere to go", pool=pool, why=decision.reason)

    def _leaves(self, pool: str, fleet: str) -> bool:
        """Tells whether a pool that a fleet carries is on its way from there already."""
        return self._from.get(pool) == fleet

    def _known(self) -> object:
        """Gives what a refuge depends on, to see whether it has changed."""
        return tuple(
            (name, fleet.record.rev, fleet.pools, bool(self._nodes.connected(_id(name))))
            for name, fleet in sorted(self._placing.fleets.items())
        )

    def _may_move(self, tree: PoolTree, fleet: str) -> bool:
        """Tells whether a pool is there and may be sent on.

        One that still leaves another fleet is served by that one. A third would cut that off once
        the pool is live where it is placed: unless it is dead, or wants its pools back.
        """
        placement = tree.pool.placement
        if placement is None or placement.fleet != fleet:
            return False
        leaving = placement.leaving
        return (
            not leaving
            or self._is_dead(leaving)
            or not self._is_draining(leaving)
            or not _is_there(tree, placement.rev)
        )

    def _is_draining(self, name: str) -> bool:
        fleet: Fleet | None = self._placing.fleets.get(name)
        return fleet is not None and fleet.draining

    # -- the end of a move -----------------------------------------------------------------

    async def _let_go(self) -> None:
        """Ends the moves whose new fleet has been live for the overlap, and is still there.

        First the old fleet's listeners go, then, when they have drained, the clusters behind
        them: what is asked on a connection that is still open finds its members. A fleet whose
        nodes went in the meantime serves nobody: the old one stays until they are back. Some
        pools at a time, in their turn, however many move at once.
        """
        if not self._in_turn:
            self._in_turn = [pool for pool in self._moving if self._may_be_due(pool)]
        names, self._in_turn = self._in_turn[:BATCH], self._in_turn[BATCH:]
        if not names:
            return
        found = await self._store.read(lambda tx: trees.read(tx, names))
        now = self._clock()
        due: list[str] = []
        for tree in found:
            pool, placement = tree.pool.name, tree.pool.placement
            if placement is None or pool not in self._moving:
                continue
            if not placement.closing and not is_live(tree):
                continue
            since = self._moving[pool]
            if since is None:
                self._moving[pool] = since = now
            there = self._nodes.connected(_id(placement.fleet))
            if now - since >= self._time_of(pool) and (placement.closing or there):
                due.append(pool)
        if due:
            await self._store.write(lambda tx: _let_go(tx, due))

    def _time_of(self, pool: str) -> float:
        """Gives how many seconds the stage that a move is in takes."""
        _, closing = self._stage[pool]
        return self._drain if closing else self._overlap

    def _may_be_due(self, pool: str) -> bool:
        """Tells whether a moving pool is to be looked at: not one whose time is running."""
        since = self._moving[pool]
        return since is None or self._clock() - since >= self._time_of(pool)


def is_live(tree: PoolTree) -> bool:
    """Tells whether all of a tree that its fleet can serve is live there.

    What was never live anywhere serves nobody, so nobody waits for it: what every Envoy refuses
    would keep the pool on two fleets for ever. Nor do monitors count: one may wait for another
    pool's fleet, and here it is part of the pool's cluster.
    """
    served: tuple[TenantObject, ...] = (tree.pool, *tree.members, *tree.vips)
    for obj in served:
        record = obj.record
        if record.deleted_rev or not 0 < record.live_rev < record.spec_rev:
            continue
        if isinstance(obj, Vip) and (obj.address_in_use_by or not obj.address):
            continue  # it serves nowhere: it never got its address
        return False
    return True


def _is_there(tree: PoolTree, rev: int) -> bool:
    """Tells whether a pool is live where it was placed at `rev`, as far as it ever was live."""
    served: tuple[TenantObject, ...] = (tree.pool, *tree.vips)
    return not any(0 < obj.record.live_rev < rev for obj in served)


def _let_go(tx: Transaction, pools: Sequence[str]) -> None:
    """Takes moves a stage on, of pools that are still as far in this transaction."""
    for tree in trees.read(tx, pools):
        placement = tree.pool.placement
        if placement is None or not placement.leaving:
            continue
        if placement.closing:
            placements.release(tx, tree.pool.name)
            log.info("a pool has left", pool=tree.pool.name, left=placement.leaving)
        elif is_live(tree):
            placements.close(tx, tree.pool.name)
            log.info("a pool has moved", pool=tree.pool.name, leaves=placement.leaving)


def _id(fleet: str) -> str:
    return fleet.removeprefix("fleets/")

"""The road down: from what changed in the store to what the Envoys are given.

A pass reads what changed since the last one in one consistent read, renders only the pools that
this touched, publishes the difference under the revision that was read, and says of every
object in these pools that is not settled where its change landed. Pools without a place are
scheduled; the placement is a change of its own and comes round in the next pass.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import structlog

from lbaas.model.errors import LbaasError
from lbaas.model.objects import UNLIMITED, PoolTree
from lbaas.store.feed import Subscription
from lbaas.store.store import Store
from tidegate.impact import Impact, Move, Published, impacts, objects_of
from tidegate.placing import Placing
from tidegate.reading import View, read_all, read_since
from tidegate.removals import explained
from tidegate.rendering import Place, PoolRendering, Renderings, difference
from xds.cache.cache import SnapshotCache
from xds.cache.resource import Resource
from xds.cache.types import LISTENER, Key
from xds.translate import translate

log = structlog.get_logger("tidegate.reconcile")

RETRY_SECONDS = 1.0
"""How long to wait before the store is asked again when it could not be read."""


class Tracker(Protocol):
    """What reconcile says of objects on their way; feedback listens."""

    def track(self, impact: Impact) -> None:
        """Takes that an object changed, and where; after the change was published."""

    def forget(self, name: str) -> None:
        """Takes that an object's row is gone."""

    def forget_fleet(self, name: str, fleet: str, *, pool: str) -> None:
        """Takes that an object left a fleet with its pool."""

    def left(self, rendering: PoolRendering, fleets: Collection[str], published: int) -> None:
        """Takes that a pool, rendered so until now, left fleets at a revision."""

    def drop_rejections(self, fleet: str, keys: Collection[Key]) -> None:
        """Takes that resources are gone from a fleet."""

    def published(
        self, fleet: str, diff: Mapping[Key, Resource | None], revision: int, *, whole: bool
    ) -> None:
        """Takes what was published for a fleet (its id); `whole`: all of it."""

    def allowed(self, fleet: str, keys: Collection[Key], revision: int) -> None:
        """Takes that removals, which were withheld on a fleet (its id), were let go."""

    def keep(self, names: Collection[str]) -> None:
        """Takes which objects there are to settle, after everything was read; no others."""


class Follower(Protocol):
    """Who keeps something of its own beside the snapshots: agents' specs, connection limits."""

    def follow(self, moves: Sequence[Move], revision: int) -> None:
        """Takes what a pass changed, in the same turn of the loop in which it was published."""


def _homeless(tree: PoolTree) -> bool:
    return tree.pool.placement is None or not tree.pool.placement.fleet


def _fleet_id(name: str) -> str:
    return name.removeprefix("fleets/")


class Reconcile:
    """Keeps every fleet's snapshot what the store wants, in proportion to the change."""

    def __init__(
        self,
        store: Store,
        cache: SnapshotCache,
        renderings: Renderings,
        tracker: Tracker,
        placing: Placing,
        *,
        followers: Sequence[Follower] = (),
    ) -> None:
        """Takes the rooms it stands between; `followers` are told of every pass."""
        self._store = store
        self._cache = cache
        self._renderings = renderings
        self._tracker = tracker
        self._placing = placing
        self._followers = followers
        placing.on_missed = self._look_again_soon
        self._wake = asyncio.Event()
        self._retry = False
        self._anew = False
        self._broken: set[str] = set()
        self._allowed: dict[str, int] = {}
        self.revision = 0

    async def load(self) -> None:
        """Reads everything and publishes every fleet's first snapshot."""
        await self._apply(await self._store.read(read_all))

    def retry_unplaced(self) -> None:
        """Tries the pools without a place again: a node came or went."""
        self._retry = True
        self._wake.set()

    def _look_again_soon(self) -> None:
        """Tries the pools without a place again in a moment: a choice could not be stored."""
        self._retry = True
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wake.set)

    async def run(self) -> None:
        """Follows the store until cancelled."""
        subscription = self._store.feed.subscribe()
        listening = asyncio.create_task(self._listen(subscription))
        self._wake.set()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self.step()
        finally:
            listening.cancel()
            subscription.close()

    async def _listen(self, subscription: Subscription) -> None:
        while True:
            notice = await subscription.get()
            if notice.revision > self.revision:
                self._wake.set()

    async def step(self) -> None:
        """Makes one pass: what changed in the store since the last one is carried out."""
        retry, self._retry = self._retry, False
        try:
            if self._anew:
                view = await self._store.read(read_all)
            else:
                view = await self._store.read(lambda tx: read_since(tx, self.revision, retry=retry))
            await self._apply(view)
        except LbaasError as error:
            self._retry = True
            if error.reason == "REVISION_COMPACTED":
                log.warning("too far behind the store, reading everything")
                self._anew = True
            else:
                log.warning("the store is out of reach, trying again", error=error.message)
                await asyncio.sleep(RETRY_SECONDS)
            self._wake.set()
        except Exception:
            # A defect of ours. What was rendered may not have been published: only everything,
            # compared with what the fleets were given, is sure to be right again.
            log.exception("a pass failed, reading everything")
            self._anew = True
            await asyncio.sleep(RETRY_SECONDS)
            self._wake.set()

    async def _apply(self, view: View) -> None:
        if view.devices is not None:
            self._placing.fleets, self._placing.service_types = view.devices
        moves = self._render_touched(view)
        published = self._difference(view, moves)
        asked_for = explained(view, moves, published)
        self._let_go(view.revision)
        for fleet, diff in published.items():
            self._cache.advance(fleet, view.revision, diff, explained=asked_for.get(fleet, ()))
            gone = {key for key, resource in diff.items() if resource is None}
            self._tracker.drop_rejections(f"fleets/{fleet}", gone)
            self._tracker.published(fleet, diff, view.revision, whole=view.whole)
        for follower in self._followers:
            follower.follow(moves, view.revision)
        self.revision = view.revision
        if view.whole:
            self._anew = False
        self._tell(view, moves, published)
        if any(move.left and move.tree for move in moves):
            self.retry_unplaced()  # it made room
        await self._placing.place(
            [move.tree for move in moves if move.tree and _homeless(move.tree)]
        )

    def _let_go(self, revision: int) -> None:
        """Lets go the removals that are withheld on fleets of which an operator allowed it.

        A word from before this process, or before something was withheld, allows nothing.
        """
        for name, fleet in self._placing.fleets.items():
            word = fleet.removals_allowed_rev
            if word <= self._allowed.setdefault(name, word if self.revision == 0 else 0):
                continue
            self._allowed[name] = word
            keys = self._cache.allow_removals(_fleet_id(name), revision)
            self._tracker.allowed(_fleet_id(name), keys, revision)
            log.warning("withheld removals were let go", fleet=name, resources=len(keys))

    def _difference(
        self, view: View, moves: Sequence[Move]
    ) -> dict[str, dict[Key, Resource | None]]:
        """Gives what to publish per fleet.

        What the moves changed; after everything was read, all that differs from what there is.
        """
        published: dict[str, dict[Key, Resource | None]] = {}
        if view.devices is not None:
            published.update({_fleet_id(name): {} for name in self._placing.fleets})
        for move in moves:
            if (move.old and move.old.limits) != (move.new and move.new.limits):
                # Nodes have their own shares; that they have them is said of this revision.
                published.update((fleet, {}) for fleet in move.fleets if fleet not in published)
            for fleet, diff in difference(move.old, move.new).items():
                changed = published.setdefault(fleet, {})
                for key, resource in diff.items():
                    # What left this pool may be in another one: a VIP that changed its pool.
                    if resource is not None or not self._renderings.wanted(Place(fleet, key)):
                        changed[key] = resource
        if view.whole:
            for fleet in published:
                wanted = self._renderings.on(fleet)
                published[fleet] = {**self._left_over(fleet, wanted), **wanted}
        return published

    def _left_over(self, fleet: str, wanted: Collection[Key]) -> dict[Key, Resource | None]:
        snapshot = self._cache.snapshot(fleet)
        if snapshot is None:
            return {}
        return {
            key: None
            for type_url in snapshot.types()
            for name in snapshot.of_type(type_url)
            if (key := Key(type_url, name)) not in wanted
        }

    def _render_touched(self, view: View) -> list[Move]:
        found = {tree.pool.name: tree for tree in view.trees}
        moves: list[Move] = []
        touched = view.touched_pools
        for pool in sorted({*touched, *self._renderings.pools} if view.whole else touched):
            tree = found.get(pool)
            try:
                new = self._render(tree)
            except Exception:
                # One pool that cannot be rendered must not hold up the others; it keeps what
                # it had, and its objects stay pending.
                log.exception("a pool could not be rendered", pool=pool)
                self._broken.add(pool)
                continue
            if pool in self._broken:
                # What changed in it while it was broken is to be settled now.
                self._broken.discard(pool)
                self._anew = not view.whole
                self._wake.set()
            moves.append(Move(self._renderings.replace(pool, new), new, tree))
        return moves

    def _tell(self, view: View, moves: Sequence[Move], published: Published) -> None:
        for name in view.purged:
            self._tracker.forget(name)
        if view.whole:
            self._tracker.keep(view.changed)
        # What is deleted in this pass has yet to go from the fleet: what an earlier change of it
        # left there is waited for still.
        deleted = {name for name, obj in view.changed.items() if obj.record.deleted_rev}
        for move in moves:
            if move.old is not None and move.left:
                self._tracker.left(move.old, move.left, view.revision)
            if move.old is not None and (move.left or move.arrived):
                for fleet in {*move.left, move.old.home} - set(move.fleets[:1]):
                    for name in move.old.spec_revs.keys() - deleted:
                        self._tracker.forget_fleet(name, fleet, pool=move.old.pool)
        for impact in impacts(view, moves, published, broken=self._broken):
            self._tracker.track(impact)

    def _render(self, tree: PoolTree | None) -> PoolRendering | None:
        """Gives a placed pool's rendering, None for a pool that is gone or has no place.

        While it moves it is rendered on both fleets: the new one is live before the old one
        lets go. A listener that is removed drains, and what it leads to stays for as long.
        """
        if tree is None or tree.pool.placement is None:
            return None
        placement = tree.pool.placement
        if placement.fleet not in self._placing.fleets:
            return None
        fleets = [
            self._placing.fleets[name]
            for name in (placement.fleet, placement.leaving)
            if name in self._placing.fleets
        ]
        resources = {
            Place(_fleet_id(fleet.name), key): rendered
            for fleet in fleets
            for key, rendered in translate(tree, fleet).items()
            if not (
                placement.closing and fleet.name == placement.leaving and key.type_url == LISTENER
            )
        }
        listening = {place.key.name for place in resources if place.key.type_url == LISTENER}
        return PoolRendering(
            pool=tree.pool.name,
            fleets=tuple(_fleet_id(fleet.name) for fleet in fleets),
            resources=resources,
            spec_revs={obj.name: obj.record.spec_rev for obj in objects_of(tree)},
            limits={
                vip.name: vip.connection_limit
                for vip in tree.vips
                if vip.connection_limit != UNLIMITED and vip.name in listening
            },
        )

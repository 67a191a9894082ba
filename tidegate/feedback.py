"""The road back: from what the Envoys answered to what the store says of every object.

One value per object that is not settled (`Unsettled`): the revision to confirm and its impact,
the places that its changes touched since it was last live. A verdict looks up the objects at
its place; the rest of the world is not touched. Verdicts are written at once when it is quiet
and in batches when it is not.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime

import structlog

from lbaas.model.errors import LbaasError
from lbaas.model.names import HEALTH_MONITOR
from lbaas.model.objects import Rejection, Tombstone
from lbaas.store.store import Store
from tidegate.impact import Impact
from tidegate.nodes import NodeRegister, TrackedNode, node_id, node_name
from tidegate.outbox import Outbox, store_verdicts
from tidegate.refusals import Refusals
from tidegate.remains import Remains
from tidegate.rendering import Place, PoolRendering, Renderings
from tidegate.tombstones import Tombstones
from tidegate.unsettled import Unsettled, Unsettleds
from xds.cache.cache import SnapshotCache
from xds.cache.resource import Resource
from xds.cache.stream import NodeStream
from xds.cache.types import Key, RejectedVersion

log = structlog.get_logger("tidegate.feedback")

REST = 9
"""How many times as long as a write of verdicts took the next one is put off."""

RETRY_SECONDS = 1.0
"""How long to wait before verdicts are written again when the store did not take them."""

SWEEP_SECONDS = 1.0
"""How often what waits is looked at without being spoken of."""

SWEPT = 1000
"""How many objects one such look takes: about a hundredth of the time, however many wait."""


class Feedback:
    """Observes every stream; keeps what is unsettled; writes verdicts to the store.

    Attributes:
        outbox: the verdicts that wait to be written.
        tombstones: what nodes may hold though they do not say so.
        on_lost: called when nodes were lost: what the others can do may be more.
        on_applied: called with a fleet's id, a revision and the seconds since its commit when all
            counted nodes of the fleet have confirmed what that touched.
    """

    def __init__(
        self,
        store: Store,
        cache: SnapshotCache,
        renderings: Renderings,
        nodes: NodeRegister,
    ) -> None:
        """Takes the rooms it stands between."""
        self._store = store
        self._cache = cache
        self._nodes = nodes
        self._unsettled = Unsettleds(cache)
        self.outbox = Outbox()
        self._refusals = Refusals(
            cache=cache,
            renderings=renderings,
            nodes=nodes,
            unsettled=self._unsettled,
            outbox=lambda: self.outbox,
        )
        self._remains = Remains(nodes)
        self.tombstones = Tombstones(cache, nodes, lambda: self.outbox)
        self._to_sweep: list[str] = []
        self.on_lost: Callable[[], None] = lambda: None
        self.on_applied: Callable[[str, int, float], None] = lambda *_: None
        self._wake = asyncio.Event()
        self._nodes_changed = asyncio.Event()

    # -- what reconcile says -------------------------------------------------------------

    def track(self, impact: Impact) -> None:
        """Takes that an object changed and which places that touched.

        Called after the change was published, so that what the streams say of those places is
        about this change or a newer one. The impact is the union since the object was live.
        """
        entry = self._unsettled.get(impact.name)
        if entry is not None and entry.uid != impact.uid:
            self.forget(impact.name)  # another object of this name; the first was purged
            entry = None
        if entry is None:
            entry = Unsettled(name=impact.name, uid=impact.uid, rev=0)
            self._unsettled.add(entry)
        drained = entry.drain_end is not None and impact.drain_end is None
        changed = impact.rev > entry.rev or impact.deleted != entry.deleted or drained
        if changed:
            # How long a member drains is its tenant's choice, and no measure of the fleet.
            entry.committed = None if impact.drain_end or drained else impact.committed
        entry.drain_end = impact.drain_end
        entry.rev = max(entry.rev, impact.rev)
        entry.deleted = impact.deleted
        entry.placed = impact.placed
        for place in impact.touched:
            # A neighbour's newer change to the same resource does not put this object off.
            if changed or impact.arrived or place not in entry.impact:
                entry.impact[place] = impact.published
        if entry.deleted:
            for place, since in self._remains.of(entry.name).items():
                entry.impact.setdefault(place, since)
        self._unsettled.watch(entry)
        if changed and not entry.deleted:
            self._refusals.blame_again(entry)
            self._wake.set()
        self._evaluate(entry)

    def forget(self, name: str) -> None:
        """Takes that an object's row is gone: nothing is left to settle."""
        self.outbox.live.pop(name, None)
        self.outbox.gone.pop(name, None)
        self._remains.forget(name)
        entry = self._unsettled.get(name)
        if entry is not None:
            self._unsettled.drop(entry)

    def keep(self, names: Collection[str]) -> None:
        """Takes which objects there are to settle, after everything was read; no others.

        What was refused of resources that nobody wants any more is history.
        """
        for name in self._unsettled.names():
            if name not in names:
                self.forget(name)
        self._refusals.keep_wanted()
        self._wake.set()

    def forget_fleet(self, name: str, fleet: str, *, pool: str) -> None:
        """Takes that an object left a fleet with its pool: nothing there decides about it now.

        One that is deleted has yet to go from there. A monitor may be in other pools there.
        """
        entry = self._unsettled.get(name)
        if entry is None or entry.deleted:
            return
        shared = HEALTH_MONITOR.parse(name) is not None
        entry.impact = {
            place: since
            for place, since in entry.impact.items()
            if place.fleet != fleet or (shared and not f"{place.key.name}/".startswith(f"{pool}/"))
        }
        self._unsettled.watch(entry)

    def left(self, rendering: PoolRendering, fleets: Collection[str], published: int) -> None:
        """Takes that a pool, rendered so until now, left fleets (their ids) at a revision."""
        self._remains.left(rendering, fleets, published)

    def drop_rejections(self, fleet: str, keys: Collection[Key]) -> None:
        """Takes that resources are gone from a fleet: what was refused of them is history."""
        self._refusals.drop(fleet, keys)
        self._wake.set()

    def spread(self, fleet: str) -> None:
        """Takes that what the canary of a fleet (by its id) refused goes to all its nodes."""
        self._refusals.spread(fleet)
        self._wake.set()

    def restore(
        self, rejections: Iterable[Rejection], tombstones: Iterable[Tombstone] = ()
    ) -> None:
        """Takes the rejections and the tombstones that the store kept over a restart."""
        self._refusals.restore(rejections)
        self.tombstones.restore(tombstones)

    def doubt_unsettled(self) -> None:
        """Takes that everything was read for the first time: what is on its way may be anywhere.

        A node may have taken a part of it, in a response that it refused, from the process before.
        Not what stands refused: that was answered, and what was good in it sent again.
        """
        blamed = self._refusals.blamed()
        for entry in self._unsettled.all():
            if entry.deleted or entry.name not in blamed:
                self.tombstones.doubt(entry.impact)

    def published(
        self, fleet: str, diff: Mapping[Key, Resource | None], revision: int, *, whole: bool
    ) -> None:
        """Takes what was published for a fleet (its id); `whole`: all of it."""
        self.tombstones.published(fleet, diff, revision, whole=whole)

    def allowed(self, fleet: str, keys: Collection[Key], revision: int) -> None:
        """Takes that removals, which were withheld on a fleet (its id), were let go."""
        self.tombstones.allowed(fleet, keys, revision)

    # -- what the fleet view asks ----------------------------------------------------------

    def unsettled(self, name: str) -> Unsettled | None:
        """Gives what an object still waits for, or None if it is settled."""
        return self._unsettled.get(name)

    def rejections_at(self, fleet: str, node: str) -> list[Rejection]:
        """Gives what a node (by its id) of a fleet (by its id) refuses."""
        return self._refusals.at(fleet, node)

    def rejection(self, node: TrackedNode, key: Key) -> Rejection | None:
        """Gives what a node refuses of a resource, or None; at once, however many there are."""
        return self._refusals.of(node.fleet, node_id(node.name), key)

    # -- what the streams say (xds.cache.Observer) -----------------------------------------

    def opened(self, stream: NodeStream) -> None:
        """Takes that a node connected."""
        snapshot = self._cache.snapshot(stream.fleet)
        known = self._nodes.find(node_name(stream.fleet, stream.node.id))
        if known is not None and known.envoy_version not in ("", stream.node.version):
            # What one release of Envoy refuses another one may take: it is tried again.
            self._refusals.forget_nodes({(f"fleets/{stream.fleet}", stream.node.id)})
        tracked = self._nodes.opened(stream, snapshot.revision if snapshot else 0)
        log.info("node connected", node=tracked.name, envoy=tracked.envoy_version)
        self.save(tracked)
        self._nodes_changed.set()
        for name in tuple(self.outbox.gone):
            # A node that was lost may be back with what was to be called gone.
            if (entry := self._unsettled.get(name)) is not None:
                self._evaluate(entry)

    def closed(self, stream: NodeStream) -> None:
        """Takes that a stream ended."""
        tracked = self._nodes.closed(stream)
        if tracked is None:
            return
        if tracked.stream is not None:
            # The word of an older stream counts again.
            self._hear(tracked.stream)
            self._evaluate_fleet(stream.fleet)
            return
        log.info("node disconnected", node=tracked.name)
        self.save(tracked)
        self._nodes_changed.set()

    def confirmed(self, stream: NodeStream, keys: Collection[Key]) -> None:
        """Takes that a node runs the wanted version of these resources."""
        self._hear(stream)
        for key in keys:
            # It may have confirmed an older version than the one that is refused.
            if stream.confirmed(key, stream.revision):
                self._refusals.confirmed(stream.fleet, stream.node.id, key)
            self._evaluate_at(Place(stream.fleet, key))

    def rejected(self, stream: NodeStream, refused: RejectedVersion) -> None:
        """Takes that a node refused a version, with Envoy's own words."""
        self._refusals.add(stream, refused)
        self._wake.set()
        self._hear(stream)

    # -- settling ------------------------------------------------------------------------

    def _evaluate_at(self, place: Place) -> None:
        for entry in self._unsettled.at(place):
            self._evaluate(entry)

    def _evaluate_fleet(self, fleet: str) -> None:
        for entry in self._unsettled.on(fleet):
            self._evaluate(entry)

    def _evaluate(self, entry: Unsettled) -> None:
        """Moves an object to the outbox if it is live, or gone, everywhere it must be."""
        if entry.deleted:
            self.outbox.live.pop(entry.name, None)
            self.outbox.gone.pop(entry.name, None)
            if entry.drain_end is None and all(
                self._confirmed(entry, node) for node in self._holders(entry)
            ):
                self._applied(entry)
                self.outbox.gone[entry.name] = entry.rev
                self._wake.set()
            return
        if not entry.placed:
            return
        for fleet in {place.fleet for place in entry.watched}:
            nodes = self._nodes.counted(fleet)
            if not nodes or not all(self._confirmed(entry, node) for node in nodes):
                self.outbox.live.pop(entry.name, None)
                return
        self._applied(entry)
        self.outbox.live[entry.name] = entry.rev
        self._wake.set()

    def _applied(self, entry: Unsettled) -> None:
        """Tells, once a change, how long it took from its commit until every node had it."""
        committed, entry.committed = entry.committed, None
        if committed is not None:
            seconds = (datetime.now(UTC) - committed).total_seconds()
            for fleet in {place.fleet for place in entry.watched}:
                self.on_applied(fleet, entry.rev, seconds)

    def _holders(self, entry: Unsettled) -> list[TrackedNode]:
        fleets = {place.fleet for place in entry.watched}
        return [node for fleet in fleets for node in self._nodes.holding(fleet)]

    @staticmethod
    def _confirmed(entry: Unsettled, node: TrackedNode) -> bool:
        return node.stream is not None and all(
            node.holds(place.key, since, owner=entry.name)
            for place, since in entry.watched.items()
            if place.fleet == node.fleet
        )

    def _hear(self, stream: NodeStream) -> None:
        tracked = self._nodes.heard(stream)
        if tracked is not None:
            self.save(tracked)
            self._nodes_changed.set()
            self._evaluate_fleet(stream.fleet)

    def save(self, tracked: TrackedNode) -> None:
        """Takes that what the store keeps of a node has changed."""
        self.outbox.forgotten.discard(tracked.name)
        self.outbox.nodes[tracked.name] = tracked.stored()
        self._wake.set()

    # -- writing ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Writes verdicts until cancelled: at once when quiet, in batches when busy.

        However many nodes report, writing takes a tenth of the time at most: after each write
        it rests nine times as long, and what comes meanwhile goes together.
        """
        while True:
            await self._wake.wait()
            began = time.monotonic()
            await self.flush()
            await asyncio.sleep(REST * (time.monotonic() - began))

    async def flush(self) -> None:
        """Writes what waits; what the store does not take stays for the next time."""
        self._wake.clear()
        self.tombstones.before_write()
        if not self.outbox:
            return
        outbox, self.outbox = self.outbox, Outbox()
        try:
            written = await store_verdicts(self._store, outbox)
        except LbaasError as error:
            log.warning("verdicts could not be stored yet", error=error.message)
            self.outbox = outbox.followed_by(self.outbox)
            await asyncio.sleep(RETRY_SECONDS)
            self._wake.set()
            return
        for each in written:
            for name, rev in (each.live | each.gone).items():
                entry = self._unsettled.get(name)
                if (
                    entry is not None
                    and entry.rev <= rev
                    and (not entry.deleted or name in each.gone)
                ):
                    self._unsettled.drop(entry)

    def sweep(self) -> None:
        """Looks again at some of what waits, each in its turn.

        Streams speak of what they confirm. Of what a node turns out not to hold when it is back
        (what was removed just before its stream broke, or this process began) nobody speaks.
        """
        for stream in self._nodes.arriving():
            self._hear(stream)
        self._remains.sweep()
        self.tombstones.sweep()
        if self.outbox.buried or self.outbox.unburied:
            self._wake.set()
        if not self._to_sweep:
            self._to_sweep = list(self._unsettled.names())
        turn, self._to_sweep = self._to_sweep[:SWEPT], self._to_sweep[SWEPT:]
        for name in turn:
            entry = self._unsettled.get(name)
            if entry is not None:
                self._evaluate(entry)

    def expire_nodes(self) -> None:
        """Takes nodes out of the count whose time has run out, and what they refused with them."""
        lost = self._nodes.expire()
        for node in lost:
            log.warning("node lost", node=node.name)
            self.save(node)
        gone = self._nodes.forget()
        for node in gone:
            self.outbox.nodes.pop(node.name, None)
            self.outbox.forgotten.add(node.name)
            self._wake.set()
        away = {(f"fleets/{node.fleet}", node_id(node.name)) for node in (*lost, *gone)}
        if away:
            self._refusals.forget_nodes(away)
            self._wake.set()
        for fleet in {node.fleet for node in lost}:
            self._evaluate_fleet(fleet)
        if lost:
            self.on_lost()

    async def watch_nodes(self) -> None:
        """Takes nodes out of the count when their time has run out, until cancelled."""
        while True:
            self._nodes_changed.clear()
            self.expire_nodes()
            self.sweep()
            soon = min(SWEEP_SECONDS, self._nodes.next_expiry() or SWEEP_SECONDS)
            # Not `wait_for`: with Python 3.11 that loses a cancellation which meets the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(soon):
                    await self._nodes_changed.wait()

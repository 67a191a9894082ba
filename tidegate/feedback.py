"""The road back: from what the Envoys answered to what the store says of every object.

One value per object that is not settled (`Unsettled`): the revision to confirm and its impact,
the places that its changes touched since it was last live. A verdict looks up the objects at
its place; the rest of the world is not touched. Verdicts are written at once when it is quiet
and in batches when it is not.
"""

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from lbaas.model.errors import LbaasError
from lbaas.model.objects import Node, Rejection
from lbaas.store import nodes as stored_nodes
from lbaas.store import verdicts
from lbaas.store.store import Store
from lbaas.store.transaction import Transaction
from tidegate.impact import Impact
from tidegate.nodes import NodeRegister, TrackedNode
from tidegate.rendering import Place, Renderings
from xds.cache.cache import SnapshotCache
from xds.cache.resource import Resource
from xds.cache.stream import NodeStream
from xds.cache.types import ADDRESS, Key, RejectedVersion
from xds.translate import VERSION

log = structlog.get_logger("tidegate.feedback")

REST = 9
"""How many times as long as a write of verdicts took the next one is put off."""

RETRY_SECONDS = 1.0
"""How long to wait before verdicts are written again when the store did not take them."""


@dataclass(slots=True, kw_only=True)
class Unsettled:
    """An object whose newest revision is not live (or, deleted, not gone) everywhere yet.

    `rev` is the object's, to be written when it is live; `published` is the snapshots' revision
    that brought its newest change, to be confirmed by the streams.
    `placed` False: its pool has no fleet or it has no address, so nothing can confirm it.
    """

    name: str
    rev: int
    published: int = 0
    deleted: bool = False
    placed: bool = True
    impact: set[Place] = field(default_factory=set)
    watched: set[Place] = field(default_factory=set)


@dataclass(slots=True)
class Outbox:
    """Verdicts that wait for the next write. A later one about the same thing replaces it."""

    live: dict[str, int] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)
    rejected: dict[tuple[str, str, Key], Rejection] = field(default_factory=dict)
    cleared: set[tuple[str, str, Key]] = field(default_factory=set)
    nodes: dict[str, Node] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Tells whether there is anything to write."""
        return bool(self.live or self.gone or self.rejected or self.cleared or self.nodes)


class Feedback:
    """Observes every stream; keeps what is unsettled; writes verdicts to the store."""

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
        self._renderings = renderings
        self._nodes = nodes
        self._unsettled: dict[str, Unsettled] = {}
        self._at: dict[Place, set[str]] = {}
        self._rejections: dict[tuple[str, str, Key], Rejection] = {}
        self._outbox = Outbox()
        self._wake = asyncio.Event()
        self._nodes_changed = asyncio.Event()

    # -- what reconcile says -------------------------------------------------------------

    def track(self, impact: Impact) -> None:
        """Takes that an object changed and which places that touched.

        Called after the change was published, so that what the streams say of those places is
        about this change or a newer one. The impact is the union since the object was live.
        """
        entry = self._unsettled.get(impact.name)
        if entry is None:
            entry = Unsettled(name=impact.name, rev=impact.rev)
            self._unsettled[impact.name] = entry
        entry.rev = max(entry.rev, impact.rev)
        entry.deleted = entry.deleted or impact.deleted
        entry.placed = impact.placed
        if impact.touched:
            entry.impact |= impact.touched
            entry.published = impact.published
        self._watch(entry)
        self._evaluate(entry)

    def forget(self, name: str) -> None:
        """Takes that an object's row is gone: nothing is left to settle."""
        entry = self._unsettled.get(name)
        if entry is not None:
            self._settle(entry)

    def forget_fleet(self, name: str, fleet: str) -> None:
        """Takes that an object left a fleet: nothing there decides about it any more."""
        entry = self._unsettled.get(name)
        if entry is not None:
            entry.impact = {place for place in entry.impact if place.fleet != fleet}
            self._watch(entry)

    def drop_rejections(self, fleet: str, keys: Collection[Key]) -> None:
        """Takes that resources are gone from a fleet: what was refused of them is history."""
        for refused in [each for each in self._rejections if each[0] == fleet]:
            if refused[2] in keys:
                self._clear(refused)

    def restore(self, rejections: Iterable[Rejection]) -> None:
        """Takes the rejections that the store kept over a restart."""
        for rejection in rejections:
            key = Key(rejection.type_url, rejection.resource)
            fleet, node = rejection.fleet, rejection.node.rsplit("/", 1)[-1]
            self._rejections[fleet, node, key] = rejection
            last_good = (
                Resource(key, rejection.last_good_version, rejection.last_good)
                if rejection.last_good
                else None
            )
            refused = RejectedVersion(key, rejection.version, rejection.message, last_good)
            self._cache.restore_rejection(fleet.removeprefix("fleets/"), node, refused)

    # -- what the fleet view asks ----------------------------------------------------------

    def unsettled(self, name: str) -> Unsettled | None:
        """Gives what an object still waits for, or None if it is settled."""
        return self._unsettled.get(name)

    def rejections_at(self, fleet: str, node: str) -> list[Rejection]:
        """Gives what a node (by its id) of a fleet (by its id) refuses."""
        name = f"fleets/{fleet}"
        return [each for (f, n, _), each in self._rejections.items() if f == name and n == node]

    # -- what the streams say (xds.cache.Observer) -----------------------------------------

    def opened(self, stream: NodeStream) -> None:
        """Takes that a node connected."""
        snapshot = self._cache.snapshot(stream.fleet)
        tracked = self._nodes.opened(stream, snapshot.revision if snapshot else 0)
        log.info("node connected", node=tracked.name, envoy=tracked.envoy_version)
        self._save(tracked)
        self._nodes_changed.set()

    def closed(self, stream: NodeStream) -> None:
        """Takes that a stream ended."""
        tracked = self._nodes.closed(stream)
        if tracked is not None and not tracked.streams:
            log.info("node disconnected", node=tracked.name)
            self._save(tracked)
            self._nodes_changed.set()

    def confirmed(self, stream: NodeStream, keys: Collection[Key]) -> None:
        """Takes that a node runs the wanted version of these resources."""
        self._hear(stream)
        for key in keys:
            refused = (f"fleets/{stream.fleet}", stream.node.id, key)
            if refused in self._rejections:
                self._clear(refused)
            self._evaluate_at(Place(stream.fleet, key))

    def rejected(self, stream: NodeStream, refused: RejectedVersion) -> None:
        """Takes that a node refused a version, with Envoy's own words."""
        place = Place(stream.fleet, refused.key)
        rejection = Rejection(
            fleet=f"fleets/{stream.fleet}",
            node=f"fleets/{stream.fleet}/nodes/{stream.node.id}",
            type_url=refused.key.type_url,
            resource=refused.key.name,
            version=refused.version,
            message=refused.message,
            objects=self._culprits(place),
            time=datetime.now(UTC),
            last_good=b"" if refused.last_good is None else refused.last_good.body,
            last_good_version="" if refused.last_good is None else refused.last_good.version,
            translator_version=VERSION,
        )
        log.warning(
            "configuration rejected",
            node=rejection.node,
            resource=rejection.resource,
            version=rejection.version,
            error=rejection.message,
        )
        identity = (rejection.fleet, stream.node.id, refused.key)
        self._rejections[identity] = rejection
        self._outbox.rejected[identity] = rejection
        self._outbox.cleared.discard(identity)
        self._wake.set()
        self._hear(stream)

    def _culprits(self, place: Place) -> tuple[tuple[str, int], ...]:
        """Gives the objects that a refused resource is blamed on, with their spec_rev.

        Those that changed and are not live yet; if there is none (a node refuses what others
        took), the object that bears the resource's name.
        """
        owners = self._renderings.owners(place)
        changed = sorted(
            (name, rev)
            for name, rev in owners.items()
            if (entry := self._unsettled.get(name)) is not None and place in entry.impact
        )
        if changed:
            return tuple(changed)
        named = [name for name in owners if place.key.name.startswith(name)]
        return tuple(sorted((name, owners[name]) for name in named or owners))

    # -- settling ------------------------------------------------------------------------

    def _watch(self, entry: Unsettled) -> None:
        """Keeps the index from places to unsettled objects: the impact and what it refers to."""
        wanted = set(entry.impact) if entry.deleted else self._closure(entry.impact)
        for place in entry.watched - wanted:
            self._unwatch(entry.name, place)
        for place in wanted - entry.watched:
            self._at.setdefault(place, set()).add(entry.name)
        entry.watched = wanted

    def _unwatch(self, name: str, place: Place) -> None:
        names = self._at[place]
        names.discard(name)
        if not names:
            del self._at[place]

    def _closure(self, impact: Iterable[Place]) -> set[Place]:
        """Gives the places and all that their resources refer to: listener, route, cluster..."""
        found: set[Place] = set()
        todo = list(impact)
        while todo:
            place = todo.pop()
            if place in found:
                continue
            found.add(place)
            snapshot = self._cache.snapshot(place.fleet)
            resource = snapshot.get(place.key) if snapshot else None
            if resource is not None:
                todo.extend(
                    Place(place.fleet, key)
                    for key in resource.references
                    if key.type_url != ADDRESS
                )
        return found

    def _evaluate_at(self, place: Place) -> None:
        for name in tuple(self._at.get(place, ())):
            self._evaluate(self._unsettled[name])

    def _evaluate_fleet(self, fleet: str) -> None:
        for entry in tuple(self._unsettled.values()):
            if not entry.watched or any(place.fleet == fleet for place in entry.watched):
                self._evaluate(entry)

    def _evaluate(self, entry: Unsettled) -> None:
        """Moves an object to the outbox if it is live, or gone, everywhere it must be."""
        if entry.deleted:
            if all(self._confirmed(entry, node) for node in self._holders(entry)):
                self._outbox.gone[entry.name] = entry.rev
                self._wake.set()
            return
        if not entry.placed:
            return
        for fleet in {place.fleet for place in entry.watched}:
            nodes = self._nodes.counted(fleet)
            if not nodes or not all(self._confirmed(entry, node) for node in nodes):
                self._outbox.live.pop(entry.name, None)
                return
        self._outbox.live[entry.name] = entry.rev
        self._wake.set()

    def _holders(self, entry: Unsettled) -> list[TrackedNode]:
        fleets = {place.fleet for place in entry.watched}
        return [node for fleet in fleets for node in self._nodes.holding(fleet)]

    @staticmethod
    def _confirmed(entry: Unsettled, node: TrackedNode) -> bool:
        stream = node.stream
        return stream is not None and all(
            stream.confirmed(place.key, entry.published)
            for place in entry.watched
            if place.fleet == node.fleet
        )

    def _hear(self, stream: NodeStream) -> None:
        tracked = self._nodes.heard(stream)
        if tracked is not None:
            self._save(tracked)
            self._nodes_changed.set()
            self._evaluate_fleet(stream.fleet)

    def _save(self, tracked: TrackedNode) -> None:
        self._outbox.nodes[tracked.name] = tracked.stored()
        self._wake.set()

    def _clear(self, identity: tuple[str, str, Key]) -> None:
        del self._rejections[identity]
        self._cache.forget_rejections(
            identity[0].removeprefix("fleets/"), [identity[2]], node=identity[1]
        )
        self._outbox.rejected.pop(identity, None)
        self._outbox.cleared.add(identity)
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
        if not self._outbox:
            return
        outbox, self._outbox = self._outbox, Outbox()
        try:
            await self._store.write(lambda tx: _write(tx, outbox))
        except LbaasError as error:
            log.warning("verdicts could not be stored yet", error=error.message)
            self._restore_outbox(outbox)
            await asyncio.sleep(RETRY_SECONDS)
            self._wake.set()
            return
        for name, rev in (outbox.live | outbox.gone).items():
            entry = self._unsettled.get(name)
            if (
                entry is not None
                and entry.rev <= rev
                and (not entry.deleted or name in outbox.gone)
            ):
                self._settle(entry)

    def _settle(self, entry: Unsettled) -> None:
        del self._unsettled[entry.name]
        for place in entry.watched:
            self._unwatch(entry.name, place)

    def _restore_outbox(self, failed: Outbox) -> None:
        newer = self._outbox
        self._outbox = Outbox(
            live=failed.live | newer.live,
            gone=failed.gone | newer.gone,
            rejected={k: v for k, v in failed.rejected.items() if k not in newer.cleared}
            | newer.rejected,
            cleared={k for k in failed.cleared if k not in newer.rejected} | newer.cleared,
            nodes=failed.nodes | newer.nodes,
        )

    async def watch_nodes(self) -> None:
        """Takes nodes out of the count when their time has run out, until cancelled."""
        while True:
            self._nodes_changed.clear()
            lost = self._nodes.expire()
            for node in lost:
                log.warning("node lost", node=node.name)
                self._save(node)
            for fleet in {node.fleet for node in lost}:
                self._evaluate_fleet(fleet)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nodes_changed.wait(), self._nodes.next_expiry())


def _write(tx: Transaction, outbox: Outbox) -> None:
    """Puts one batch of verdicts into the store, in one transaction."""
    stored_nodes.save(tx, tuple(outbox.nodes.values()))
    verdicts.record(
        tx,
        live=outbox.live,
        gone=tuple(outbox.gone),
        rejected=tuple(outbox.rejected.values()),
        cleared=tuple(
            (fleet, f"{fleet}/nodes/{node}", key.type_url, key.name)
            for fleet, node, key in outbox.cleared
        ),
    )

"""What gRPC clients without a proxy are given: `xds:///projects/acme/vips/web`.

They connect where Envoys do, with the fleet as their `node.cluster`, and are given a snapshot of
their own beside the fleet's: it has every VIP of the pools that the fleet serves, the one that a
pool leaves too, for as long as the pool is there. It is made when the first of them asks, and from
then on follows reconcile and what the agents find. Nobody waits for what these clients confirm.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from lbaas.model.errors import LbaasError
from lbaas.model.names import pool_of_member
from lbaas.model.objects import PoolTree
from lbaas.store import trees
from lbaas.store.feed import Subscription
from lbaas.store.store import Store
from lbaas.store.transaction import Transaction
from tidegate.agents.hub import GRACE, AgentHub
from tidegate.impact import Move
from tidegate.rendering import Renderings
from xds.cache.cache import SnapshotCache
from xds.cache.resource import Resource, same
from xds.cache.stream import NodeStream
from xds.cache.types import Key, NodeInfo, RejectedVersion
from xds.translate import translate_proxyless

log = structlog.get_logger("tidegate.proxyless")

SLICE = 50
"""How many pools are read, or looked at, before others have their turn."""

RETRY_SECONDS = 1.0
"""How long to wait before the store is asked again when it could not be read."""

_AWAITED_EVERY = 0.05
"""Seconds after which it is looked again whether agents have reported."""

_SUFFIX = "/grpc"


def snapshot_of(node: NodeInfo) -> str:
    """Gives which of the cache's snapshots a node is given, "" for none.

    An Envoy is given its fleet's. That for a fleet's gRPC clients has a name that no fleet can
    have, and that nobody can ask for by naming it.
    """
    if not node.cluster or "/" in node.cluster:
        return ""
    return f"{node.cluster}{_SUFFIX}" if node.is_grpc else node.cluster


def is_proxyless(stream: NodeStream) -> bool:
    """Tells whether a stream is a gRPC client's: it counts for nothing."""
    return stream.fleet.endswith(_SUFFIX)


@dataclass(slots=True)
class _Pool:
    """A pool as it was last taken: at which revision, and who was found down.

    `tree` None: it is not on the fleet, or has no VIP that is switched on.
    """

    revision: int
    tree: PoolTree | None
    down: frozenset[str] = frozenset()
    resources: Mapping[Key, Resource] = field(default_factory=dict)


@dataclass(slots=True)
class _Fleet:
    """A fleet's pools, and which of them each resource is of: a VIP may change its pool.

    While it is `loading`, what reconcile says may be newer than what is read: pools that have
    nothing here are kept as such.
    """

    pools: dict[str, _Pool] = field(default_factory=dict)
    owners: dict[Key, str] = field(default_factory=dict)
    loading: bool = True

    def put(self, name: str, pool: _Pool) -> dict[Key, Resource | None]:
        """Puts a pool in place of what it was; gives what that changes, None for what is gone."""
        old = self.pools.get(name)
        before = {} if old is None else old.resources
        self.pools[name] = pool
        if pool.tree is None and not self.loading:
            del self.pools[name]
        changes: dict[Key, Resource | None] = {}
        for key in before.keys() - pool.resources.keys():
            if self.owners.get(key) == name:
                del self.owners[key]
                changes[key] = None
        for key, resource in pool.resources.items():
            if self.owners.get(key) != name or not same(before.get(key), resource):
                changes[key] = resource
            self.owners[key] = name
        return changes

    def loaded(self) -> dict[Key, Resource | None]:
        """Ends the loading; gives all there is."""
        self.loading = False
        self.pools = {name: pool for name, pool in self.pools.items() if pool.tree is not None}
        return {key: self.pools[name].resources[key] for key, name in self.owners.items()}


class Proxyless:
    """Keeps the snapshots for gRPC clients, as a follower of reconcile. Lives on the event loop."""

    def __init__(
        self, store: Store, cache: SnapshotCache, renderings: Renderings, agents: AgentHub
    ) -> None:
        """Takes the rooms it stands between."""
        self._store = store
        self._cache = cache
        self._renderings = renderings
        self._agents = agents
        self._fleets: dict[str, _Fleet] = {}
        self._asked: set[str] = set()
        self._wake = asyncio.Event()
        self._patience = asyncio.get_running_loop().time() + GRACE

    # -- what the streams say --------------------------------------------------------------

    def opened(self, stream: NodeStream) -> None:
        """Takes that a gRPC client connected; it is answered when there is a snapshot."""
        fleet = stream.fleet.removesuffix(_SUFFIX)
        log.info("gRPC client connected", fleet=fleet, node=stream.node.id)
        if fleet not in self._fleets:
            self._asked.add(fleet)
            self._wake.set()

    def rejected(self, stream: NodeStream, refused: RejectedVersion) -> None:
        """Takes that a gRPC client refused something; no object's status tells of it."""
        log.warning(
            "a gRPC client refuses a resource",
            fleet=stream.fleet.removesuffix(_SUFFIX),
            node=stream.node.id,
            client=stream.node.version,
            resource=refused.key.name,
            error=refused.message,
        )

    # -- what reconcile says ---------------------------------------------------------------

    def follow(self, moves: Sequence[Move], revision: int) -> None:
        """Takes what a pass changed, for the fleets that have gRPC clients."""
        for fleet, state in self._fleets.items():
            changes: dict[Key, Resource | None] = {}
            for move in moves:
                if fleet in move.fleets:
                    changes.update(self._take(state, move.pool, move.tree, revision))
                elif state.loading or move.pool in state.pools:
                    changes.update(self._take(state, move.pool, None, revision))
            self._publish(fleet, state, changes)
        if self._asked:
            self._wake.set()  # a fleet that did not exist may be there now

    def _take(
        self, state: _Fleet, name: str, tree: PoolTree | None, revision: int
    ) -> dict[Key, Resource | None]:
        """Takes a pool as it was at a revision (None: not on the fleet); gives what changes."""
        known = state.pools.get(name)
        if known is not None and known.revision > revision:
            return {}
        if tree is None:
            return state.put(name, _Pool(revision, None))
        down = self._agents.assessment.found_down(name)
        try:
            resources = translate_proxyless(tree, down=down)
        except Exception:
            # One pool that cannot be rendered must not hold up the others; it keeps what it had.
            log.exception("a pool could not be rendered for gRPC clients", pool=name)
            return {}
        return state.put(name, _Pool(revision, tree if resources else None, down, resources))

    def _publish(self, fleet: str, state: _Fleet, changes: Mapping[Key, Resource | None]) -> None:
        name = f"{fleet}{_SUFFIX}"
        snapshot = self._cache.snapshot(name)
        if not changes or snapshot is None or state.loading:
            return
        # The guard is the Envoys': what is withheld there goes here, and is back with its rows.
        self._cache.advance(name, snapshot.revision + 1, changes, explained=changes.keys())

    # -- what the agents find ----------------------------------------------------------------

    async def _watch_health(self, subscription: Subscription) -> None:
        async for notice in subscription:
            changed = {pool_of_member(name) for name in notice.statuses}
            for fleet, state in tuple(self._fleets.items()):
                every = not notice.complete
                names = [name for name in state.pools if every or name in changed]
                for some in _sliced(names):
                    self._look(fleet, state, some)
                    await asyncio.sleep(0)

    def _look(self, fleet: str, state: _Fleet, names: Iterable[str]) -> None:
        """Looks whether other members of these pools are down than before."""
        changes: dict[Key, Resource | None] = {}
        for name in names:
            pool = state.pools.get(name)
            if pool is None or pool.tree is None:
                continue
            if self._agents.assessment.found_down(name) != pool.down:
                changes.update(self._take(state, name, pool.tree, pool.revision))
        self._publish(fleet, state, changes)

    # -- the first snapshot ----------------------------------------------------------------

    async def run(self) -> None:
        """Makes snapshots for those who ask, and follows the agents, until cancelled."""
        subscription = self._store.feed.subscribe()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch_health(subscription))
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    for fleet in sorted(self._asked):
                        await self._answer(fleet)
        finally:
            subscription.close()

    async def _answer(self, fleet: str) -> None:
        """Makes a fleet's snapshot, if there is such a fleet and still somebody who asks."""
        if not self._cache.streams(f"{fleet}{_SUFFIX}"):
            self._asked.discard(fleet)
            return
        if self._cache.snapshot(fleet) is None:
            return
        loop = asyncio.get_running_loop()
        if self._agents.unheard(fleet) and loop.time() < self._patience:
            # This process has just begun: a client that asks now would be led to members that are
            # known to be down.
            loop.call_later(_AWAITED_EVERY, self._wake.set)
            return
        # From here on it is followed, while what was there before is being read.
        state = self._fleets[fleet] = _Fleet()
        try:
            await self._load(fleet, state)
        except LbaasError as error:
            log.warning("the store is out of reach, trying again", error=error.message)
            del self._fleets[fleet]
            loop.call_later(RETRY_SECONDS, self._wake.set)
            return
        self._asked.discard(fleet)
        self._cache.advance(f"{fleet}{_SUFFIX}", 1, state.loaded())
        log.info("a fleet has gRPC clients", fleet=fleet, pools=len(state.pools))

    async def _load(self, fleet: str, state: _Fleet) -> None:
        names = sorted(
            name for name, pool in self._renderings.pools.items() if fleet in pool.fleets
        )
        for some in _sliced(names):
            revision, found = await self._store.read(partial(_read, names=some))
            for tree in found:
                self._take(state, tree.pool.name, tree, revision)


def _read(tx: Transaction, names: Sequence[str]) -> tuple[int, tuple[PoolTree, ...]]:
    return tx.revision, trees.read(tx, names)


def _sliced(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + SLICE] for start in range(0, len(names), SLICE))

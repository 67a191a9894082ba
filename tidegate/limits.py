"""A VIP's connection limit is its fleet's: each node is told its share, and what is told is kept.

Each node's shares are a Runtime resource of its own, a variant of its fleet's snapshot. Shares
change with the limit, with the nodes that count and with what nodes confirm. Together they never
allow more than the limit because of a change (`xds.scheduler.shares`). What that does not cover:

- Connections that are open when a share is lowered stay until they end.
- A node that is LOST counts for nothing: if it serves on, cut off from its control plane for
  longer than `lost_after`, what it takes comes on top.
- While a pool moves, both fleets hold the full limit: clients reach one or the other.
- After the control plane's start nobody knows what nodes hold. Every node is given its share; if
  the last process ended between lowering one node and raising another, that other may be raised
  before the first has heard.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.impact import Move
from tidegate.nodes import NodeRegister, TrackedNode, node_id, node_name
from tidegate.rendering import Place
from xds.cache.cache import SnapshotCache
from xds.cache.stream import NodeStream
from xds.cache.types import LISTENER, Key
from xds.scheduler.shares import Allotment
from xds.translate.limits import LIMITS, build_limits, read_limits

REST = 9
"""How many times as long as a split of all limits took the next one is put off, if it was long."""

LONG = 0.002
"""Seconds that a split may take and still be made at once: some 100 limits on 10 nodes."""


SWEEP_SECONDS = 1.0
"""How often it is looked whether nodes are rid of a listener without anybody saying so."""


@dataclass(slots=True)
class _Limit:
    """A VIP's limit on one fleet.

    `revision`: of its last change, to which all that follows from it belongs. `leaving`: the
    listener is going; the nodes keep their shares until they are rid of it.
    """

    revision: int
    allotment: Allotment
    leaving: bool = False


@dataclass(slots=True)
class _Fleet:
    """A fleet's limits by VIP; what each node (by its id) was told last, and has to be told.

    `news` has the nodes whose shares are others than was published, each with the oldest revision
    that this belongs to.
    """

    limits: dict[str, _Limit] = field(default_factory=dict)
    told: dict[str, dict[str, int]] = field(default_factory=dict)
    news: dict[str, int] = field(default_factory=dict)
    rest_until: float = 0.0
    waits: bool = False

    def tell(self, node: str, vip: str, share: int | None, revision: int) -> None:
        """Notes what a node is to be told of a VIP; None: it is not limited any more."""
        told = self.told.setdefault(node, {})
        if told.get(vip) == share:
            return
        if share is None:
            del told[vip]
        else:
            told[vip] = share
        self.news[node] = min(revision, self.news.get(node, revision))


class Limits:
    """Splits the limits over the nodes, as a follower of reconcile and of the streams."""

    def __init__(self, cache: SnapshotCache, nodes: NodeRegister) -> None:
        """Takes where shares are published, and who is there to share."""
        self._cache = cache
        self._nodes = nodes
        self._fleets: dict[str, _Fleet] = {}
        self._of_pool: dict[str, set[tuple[str, str]]] = {}
        self._withheld: set[tuple[str, str]] = set()
        self._loaded = False
        nodes.on_counted.append(self.nodes_changed)

    def shares(self, vip: str) -> dict[str, int]:
        """Gives what each node (by its name) is allowed of a VIP's limit; empty: no limit."""
        return {
            node_name(fleet, node): share
            for fleet, state in self._fleets.items()
            if (limit := state.limits.get(vip)) is not None and not limit.leaving
            for node, share in limit.allotment.granted.items()
        }

    # -- what reconcile says ---------------------------------------------------------------

    def follow(self, moves: Sequence[Move], revision: int) -> None:
        """Takes what limits there are after a pass, before any stream is sent its listeners."""
        wanted = {
            (fleet, vip): (move.pool, limit)
            for move in moves
            if move.new is not None
            for vip, limit in move.new.limits.items()
            for fleet in move.fleets
            if Place(fleet, Key(LISTENER, vip)) in move.new.resources
        }
        listening = {place for move in moves if move.new for place in move.new.resources}
        listened = {place for move in moves if move.old for place in move.old.resources}
        touched: dict[str, set[str]] = {}
        ended, self._withheld = self._withheld, set()
        for move in moves:
            ended |= self._of_pool.pop(move.pool, set())
        for fleet, vip in ended - wanted.keys():
            going = Place(fleet, Key(LISTENER, vip)) not in listening
            if going and self._stays(fleet, vip):
                self._withheld.add((fleet, vip))
                continue
            self._end(fleet, vip, revision, leaving=going)
            touched.setdefault(fleet, set()).add(vip)
        for (fleet, vip), (pool, limit) in wanted.items():
            self._of_pool.setdefault(pool, set()).add((fleet, vip))
            new = self._loaded and Place(fleet, Key(LISTENER, vip)) not in listened
            if self._begin(fleet, vip, limit, revision=revision, new=new):
                touched.setdefault(fleet, set()).add(vip)
        self._loaded = True
        for fleet, vips in touched.items():
            self._settle(fleet, vips)

    def _stays(self, fleet: str, vip: str) -> bool:
        """Tells whether a listener that nobody wants is kept, until an operator allows it to go.

        Its limit is kept with it, and split as before over the nodes that come and go meanwhile.
        """
        snapshot = self._cache.snapshot(fleet)
        return snapshot is not None and snapshot.get(Key(LISTENER, vip)) is not None

    def _begin(self, fleet: str, vip: str, number: int, *, revision: int, new: bool) -> bool:
        """Takes a VIP's limit; tells whether it changed. `new`: it did not listen there before."""
        limits = self._fleets.setdefault(fleet, _Fleet()).limits
        known = limits.get(vip)
        if known is not None:
            changed = known.leaving or known.allotment.limit != number
            if changed:
                known.leaving, known.revision, known.allotment.limit = False, revision, number
            return changed
        listener = Key(LISTENER, vip)
        held = {
            node_id(node.name): 0 if _lacks(node, listener, absent=new) else None
            for node in self._nodes.counted(fleet)
        }
        limits[vip] = _Limit(revision, Allotment(number, key=vip, held=held))
        return True

    def _end(self, fleet: str, vip: str, revision: int, *, leaving: bool) -> None:
        """Takes that a VIP has no limit any more, or (`leaving`) no listener."""
        state = self._fleets[fleet]
        if leaving:
            state.limits[vip].leaving, state.limits[vip].revision = True, revision
            return
        del state.limits[vip]
        for node in state.told:
            state.tell(node, vip, None, revision)

    # -- what the nodes say ----------------------------------------------------------------

    def opened(self, stream: NodeStream) -> None:
        """Takes that a node connected: it is told its shares before it is told anything else."""
        state, node = self._fleets.get(stream.fleet), stream.node.id
        if state is None or node in state.told:
            return
        for vip, limit in state.limits.items():
            if not limit.leaving:
                limit.allotment.granted.setdefault(node, 0)
                limit.allotment.held.setdefault(node, 0)
                state.tell(node, vip, 0, limit.revision)
        self._publish(stream.fleet, state)
        if not self._nodes.counted(stream.fleet):
            self.nodes_changed(stream.fleet)

    def nodes_changed(self, fleet: str) -> None:
        """Takes that other nodes of a fleet (by its id) count than before.

        Every limit is split anew; where that takes long, once for many that come together.
        """
        state = self._fleets.get(fleet)
        if state is None or state.waits:
            return
        early = state.rest_until - time.monotonic()
        if early > 0:
            state.waits = True
            asyncio.get_running_loop().call_later(early, self._split_anew, fleet, state)
        else:
            self._split_anew(fleet, state)

    def _split_anew(self, fleet: str, state: _Fleet) -> None:
        state.waits = False
        began = time.thread_time()
        self._settle(fleet, tuple(state.limits))
        took = time.thread_time() - began
        state.rest_until = time.monotonic() + REST * took if took > LONG else 0.0

    def confirmed(self, stream: NodeStream, keys: Collection[Key]) -> None:
        """Takes what a node confirmed, before anybody is told that it is live.

        What a lowered node gives up is granted to others in the same moment, so that a VIP is
        not called live in between.
        """
        state = self._fleets.get(stream.fleet)
        node = self._nodes.find(node_name(stream.fleet, stream.node.id))
        if state is None or node is None or node.stream is not stream:
            return
        changed = {
            key.name
            for key in keys
            if key.type_url == LISTENER
            and (limit := state.limits.get(key.name)) is not None
            and limit.leaving
        }
        holds = stream.holds(LIMITS) if LIMITS in keys else ()
        for vip, share in (read_limits(holds[0]) or {} if len(holds) == 1 else {}).items():
            limit = state.limits.get(vip)
            if limit is not None and limit.allotment.confirmed(stream.node.id, share):
                changed.add(vip)
        if changed:
            self._settle(stream.fleet, changed)

    def sweep(self) -> None:
        """Takes back the shares of listeners that nodes turn out not to have.

        Streams speak of what they confirm. Of what a node has not any more when it is back (it
        was removed just before its stream broke) nobody speaks.
        """
        for fleet, state in self._fleets.items():
            if leaving := [vip for vip, limit in state.limits.items() if limit.leaving]:
                self._settle(fleet, leaving)

    async def run(self) -> None:
        """Sweeps until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    # -- splitting and telling -------------------------------------------------------------

    def _settle(self, fleet: str, vips: Collection[str]) -> None:
        """Grants what can be granted of some limits, and tells the nodes that this concerns."""
        state = self._fleets[fleet]
        serving = {node_id(node.name): node for node in self._nodes.holding(fleet)}
        sharing = {name for name, node in serving.items() if node.counted}
        # Before any node counts, those that are there share: the limits of a fleet that begins,
        # or comes back as a whole, would be nobody's.
        sharing = sharing or {name for name, node in serving.items() if node.stream is not None}
        for vip in vips:
            limit = state.limits.get(vip)
            if limit is None:
                continue
            if limit.leaving:
                self._let_go(state, vip, limit, serving)
                continue
            for name in limit.allotment.settle(sharing, serving.keys()) & serving.keys():
                state.tell(name, vip, limit.allotment.granted[name], limit.revision)
        for name in state.told.keys() - serving.keys():
            del state.told[name]
            state.news.pop(name, None)
            self._cache.overlay(fleet, name, 1, {})
        self._publish(fleet, state)

    def _let_go(
        self, state: _Fleet, vip: str, limit: _Limit, serving: Mapping[str, TrackedNode]
    ) -> None:
        """Takes the shares of a VIP from the nodes that have not its listener any more."""
        granted = limit.allotment.granted
        for name in tuple(granted):
            if name not in serving:
                del granted[name]
            elif _lacks(serving[name], Key(LISTENER, vip), absent=False):
                del granted[name]
                state.tell(name, vip, None, limit.revision)
        if not granted:
            del state.limits[vip]

    def _publish(self, fleet: str, state: _Fleet) -> None:
        """Publishes the shares of the nodes that have to be told others than before."""
        for name, revision in state.news.items():
            layer = build_limits(state.told[name])
            self._cache.overlay(fleet, name, revision, {LIMITS: layer} if layer else {})
        state.news.clear()


def _lacks(node: TrackedNode, key: Key, *, absent: bool) -> bool:
    """Tells whether a node has nothing of this resource; `absent` if it cannot say."""
    states = node.stream.holds(key) if node.stream is not None else ()
    return states == (None,) if states else absent

"""Which nodes count: the register of every Envoy that was seen.

A node counts from the moment it is in step with the revision at which it joined, until its
stream has been gone for `lost_after` (then it is LOST: shown, not counted). That survives a
restart of the control plane: nodes that counted go on counting while they reconnect.
"""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lbaas.model.enums import NodeState
from lbaas.model.objects import EPOCH, AgentView, Node, NodeView
from xds.cache.stream import NodeStream
from xds.cache.types import LISTENER, ROUTE, Key

FORGOTTEN_AFTER = 24 * 3600.0
"""Seconds after which a node that is gone is not shown either: pods never come back."""

PENDING_SHOWN = 256
"""How many pending names a node's view lists: enough to see what is wrong, bounded."""


def node_id(name: str) -> str:
    """Gives a node's id from its resource name; a node may call itself anything."""
    return name.split("/", 3)[3]


def node_name(fleet: str, node: str) -> str:
    """Gives a node's resource name from the fleet's id and the node's."""
    return f"fleets/{fleet}/nodes/{node}"


@dataclass(slots=True)
class TrackedNode:
    """One node: its streams (the newest last), whether it counts, since when it is gone.

    `lost`: it has been gone for so long that nobody waits for it. `agent`: one has reported for
    it; `ping`: that can send ICMP echo requests. Both outlive the agent's stream. `canary`: it is
    given its fleet's changes first (`tidegate.canary`). `left_rev`: what it may have been sent
    before it left was no newer; 0: it has not been here in this process.
    """

    fleet: str
    name: str
    joined_rev: int
    counted: bool = False
    envoy_version: str = ""
    gone_since: float | None = None
    lost: bool = False
    last_seen: datetime = EPOCH
    agent: bool = False
    ping: bool = False
    left_rev: int = 0
    canary: bool = False
    streams: list[NodeStream] = field(default_factory=list)

    @property
    def stream(self) -> NodeStream | None:
        """Gives the newest stream, which is the one whose word counts, or None."""
        return self.streams[-1] if self.streams else None

    def holds(self, key: Key, revision: int, *, owner: str) -> bool:
        """Tells whether it runs a resource at `revision` or newer, as far as `owner` cares.

        A VIP's listener and routes that it refuses are that VIP's trouble: the pool behind it,
        whose change reached them too, does not wait for them.
        """
        stream = self.stream
        if stream is None:
            return False
        others = key.type_url in (LISTENER, ROUTE) and key.name != owner
        return stream.confirmed(key, revision) or (others and stream.refused(key))

    def stored(self) -> Node:
        """Gives what the store keeps of the node."""
        return Node(
            name=self.name,
            envoy_version=self.envoy_version,
            counted=self.counted,
            joined_rev=self.joined_rev,
            last_seen=self.last_seen,
            agent=self.agent,
            ping=self.ping,
            canary=self.canary,
        )


class NodeRegister:
    """All nodes of all fleets. Time comes from `clock` (seconds, monotonic).

    Attributes:
        on_counted: called with a fleet's id when one of its nodes begins or ceases to count.
    """

    def __init__(self, *, lost_after: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes after how many seconds without a stream a node is lost."""
        self._lost_after = lost_after
        self._clock = clock
        self._nodes: dict[str, dict[str, TrackedNode]] = {}
        self.on_counted: list[Callable[[str], None]] = []

    def restore(self, nodes: tuple[Node, ...]) -> None:
        """Takes the nodes the store knew; those that counted have `lost_after` to return."""
        now = self._clock()
        for node in nodes:
            fleet = node.name.split("/", 2)[1]
            self._nodes.setdefault(fleet, {})[node_id(node.name)] = TrackedNode(
                fleet=fleet,
                name=node.name,
                joined_rev=node.joined_rev,
                counted=node.counted,
                envoy_version=node.envoy_version,
                gone_since=now,
                lost=not node.counted,
                last_seen=node.last_seen,
                agent=node.agent,
                ping=node.ping,
                canary=node.canary,
            )

    def opened(self, stream: NodeStream, revision: int) -> TrackedNode:
        """Takes a new stream; a node unknown or lost joins anew at `revision`."""
        nodes = self._nodes.setdefault(stream.fleet, {})
        tracked = nodes.get(stream.node.id)
        if tracked is None:
            tracked = TrackedNode(
                fleet=stream.fleet,
                name=node_name(stream.fleet, stream.node.id),
                joined_rev=revision,
            )
            nodes[stream.node.id] = tracked
        elif not tracked.counted and not tracked.streams:
            tracked.joined_rev = revision
        tracked.streams.append(stream)
        tracked.gone_since, tracked.lost = None, False
        tracked.envoy_version = stream.node.version
        tracked.last_seen = datetime.now(UTC)
        return tracked

    def closed(self, stream: NodeStream) -> TrackedNode | None:
        """Takes the end of a stream; gives its node."""
        tracked = self._nodes.get(stream.fleet, {}).get(stream.node.id)
        if tracked is None:
            return None
        tracked.streams = [other for other in tracked.streams if other is not stream]
        tracked.left_rev = max(tracked.left_rev, stream.revision)
        tracked.last_seen = datetime.now(UTC)
        if not tracked.streams:
            tracked.gone_since = self._clock()
        return tracked

    def heard(self, stream: NodeStream) -> TrackedNode | None:
        """Takes a sign of life; gives the node if it begins to count by it, else None."""
        tracked = self._nodes.get(stream.fleet, {}).get(stream.node.id)
        if tracked is None:
            return None
        tracked.last_seen = datetime.now(UTC)
        if tracked.counted or tracked.stream is not stream:
            return None
        if not stream.in_step(tracked.joined_rev):
            return None
        tracked.counted = True
        self._say(tracked.fleet)
        return tracked

    def agent_came(self, name: str, *, ping: bool) -> TrackedNode:
        """Takes that a node (by its name) has an agent, and whether that can ping.

        One that was never connected is not waited for, and counts for nothing yet.
        """
        fleet = name.split("/", 2)[1]
        nodes = self._nodes.setdefault(fleet, {})
        tracked = nodes.get(node_id(name))
        if tracked is None:
            now = self._clock()
            tracked = TrackedNode(fleet=fleet, name=name, joined_rev=0, gone_since=now, lost=True)
            nodes[node_id(name)] = tracked
        tracked.agent, tracked.ping = True, ping
        return tracked

    def find(self, name: str) -> TrackedNode | None:
        """Gives a node by its name, None if it was never seen."""
        return self._nodes.get(name.split("/", 2)[1], {}).get(node_id(name))

    def _say(self, fleet: str) -> None:
        for listener in self.on_counted:
            listener(fleet)

    def expire(self) -> list[TrackedNode]:
        """Gives the nodes that are lost now: their time has run out, they do not count."""
        deadline = self._clock() - self._lost_after
        lost = [node for node in self._going() if (node.gone_since or 0.0) <= deadline]
        for node in lost:
            node.counted, node.lost = False, True
        for fleet in {node.fleet for node in lost}:
            self._say(fleet)
        return lost

    def forget(self) -> list[TrackedNode]:
        """Takes out, and gives, the nodes that are gone for good."""
        deadline = self._clock() - FORGOTTEN_AFTER
        gone = [
            node
            for node in self.all()
            if node.lost and node.gone_since is not None and node.gone_since <= deadline
        ]
        for node in gone:
            nodes = self._nodes[node.fleet]
            del nodes[node_id(node.name)]
            if not nodes:
                del self._nodes[node.fleet]
        return gone

    def next_expiry(self) -> float | None:
        """Gives in how many seconds the next node may be lost, or None."""
        gone = [node.gone_since for node in self._going() if node.gone_since is not None]
        return max(0.0, min(gone) + self._lost_after - self._clock()) if gone else None

    def _going(self) -> Iterator[TrackedNode]:
        """Gives the nodes that are gone and may be back in time."""
        return (node for node in self.all() if node.gone_since is not None and not node.lost)

    def arriving(self) -> list[NodeStream]:
        """Gives the streams of connected nodes that do not count yet."""
        return [node.stream for node in self.all() if not node.counted and node.stream is not None]

    def all(self) -> Iterator[TrackedNode]:
        """Gives every node ever seen."""
        for nodes in self._nodes.values():
            yield from nodes.values()

    def of(self, fleet: str) -> list[TrackedNode]:
        """Gives the nodes of a fleet (by its id), sorted by name."""
        return sorted(self._nodes.get(fleet, {}).values(), key=lambda node: node.name)

    def known(self, fleet: str) -> Collection[TrackedNode]:
        """Gives the nodes of a fleet (by its id) in no order: all that may come back."""
        return self._nodes.get(fleet, {}).values()

    def counted(self, fleet: str) -> list[TrackedNode]:
        """Gives the nodes whose word is needed for ACTIVE."""
        return [node for node in self._nodes.get(fleet, {}).values() if node.counted]

    def holding(self, fleet: str) -> list[TrackedNode]:
        """Gives the nodes that may serve what is being removed: connected, or not lost yet."""
        return [node for node in self._nodes.get(fleet, {}).values() if not node.lost]

    def connected(self, fleet: str) -> int:
        """Gives how many nodes of a fleet have a stream."""
        return sum(1 for node in self._nodes.get(fleet, {}).values() if node.streams)

    def state(self, node: TrackedNode, *, rejects: bool) -> NodeState:
        """Gives how a node stands to its fleet. `rejects`: it has refused something."""
        stream = node.stream
        if stream is None and node.last_seen == EPOCH:
            return NodeState.JOINING  # its agent is there, its Envoy has never connected
        if stream is None:
            return NodeState.LOST if node.lost or not node.counted else NodeState.PENDING
        if rejects:
            return NodeState.REJECTED
        if not node.counted and not stream.in_step(node.joined_rev):
            return NodeState.JOINING
        return NodeState.PENDING if stream.pending else NodeState.SYNCED

    def view(
        self,
        node: TrackedNode,
        rejected: frozenset[str],
        agent: AgentView | None = None,
        *,
        held: Collection[str] = (),
    ) -> NodeView:
        """Gives what an operator sees of a node.

        Args:
            node: the node.
            rejected: the names of resources that it refused.
            agent: the agent beside it.
            held: the names of resources that the canary has to try first.
        """
        stream = node.stream
        lacks = () if stream is None else {*held, *(key.name for key in stream.pending)}
        pending = tuple(sorted(lacks))
        state = self.state(node, rejects=bool(rejected))
        if held and state is NodeState.SYNCED:
            state = NodeState.PENDING
        return NodeView(
            name=node.name,
            state=state,
            connected=stream is not None,
            envoy_version=node.envoy_version,
            base_rev=0 if stream is None else stream.revision,
            pending=pending[:PENDING_SHOWN],
            last_seen=node.last_seen,
            agent=agent,
            canary=node.canary,
        )

"""A fleet of honest Envoys, a control plane that may die, and what must hold at every moment."""

import math
from collections import Counter
from dataclasses import dataclass, field, replace

from tests.cache.client import LAYER, Envoy, Violation, targets
from tests.cache.messages import cluster, endpoints, http_listener, route, runtime, tcp_listener
from xds.cache import (
    CLUSTER,
    LISTENER,
    RUNTIME,
    Key,
    NodeInfo,
    NodeStream,
    RejectedVersion,
    Resource,
    SnapshotCache,
)
from xds.cache.channel import MOST_IN_FLIGHT
from xds.cache.resource import is_placeholder
from xds.cache.types import ADDRESS

FLEET = "edge"
LIMITS = Key(RUNTIME, LAYER)
FAULT = "fault"
"""The poison that is found before it is sent."""


@dataclass(frozen=True)
class Tree:
    """One tenant's pool and VIP; `generation` renames the cluster, `rename` the listener."""

    index: int
    port: int
    generation: int = 0
    rename: int = 0
    tags: tuple[int, int, int, int] = (0, 0, 0, 0)
    tcp: bool = False
    bare: bool = False  # no VIP yet

    def resources(self) -> dict[str, Resource]:
        pool = f"pool-{self.index}" + f"-{self.generation}" * bool(self.generation)
        vip = f"vip-{self.index}" + f"-{self.rename}" * bool(self.rename)
        of_cluster, of_endpoints, of_listener, of_route = self.tags
        made = {
            "cluster": cluster(pool, of_cluster),
            "endpoints": endpoints(pool, 80 + of_endpoints),
        }
        if self.bare:
            return made
        if self.tcp:
            return made | {"listener": tcp_listener(vip, self.port, pool, of_listener)}
        made["listener"] = http_listener(vip, self.port, vip, of_listener)
        made["route"] = route(vip, pool, tag=of_route)
        return made


@dataclass
class Node:
    envoy: Envoy
    stream: NodeStream | None = None
    dirty: bool = False
    revision: int = 0
    connections: int = 0
    unknown: bool = False  # not seen since the control plane was restarted
    salt: int = 0
    layers: list[tuple[int, str]] = field(default_factory=list)  # revision, version
    asked: NodeStream | None = None  # the stream for which its agent was asked for evidence
    said: tuple[dict[str, str], dict[str, str]] | None = None  # and what the agent has read


class World:
    def __init__(self) -> None:
        self.now = 1.0
        self.revision = 0
        self.trees: dict[int, Tree] = {}
        self.wanted: dict[Key, Resource] = {}
        self.changed_at: dict[int, int] = {}
        self.poison: dict[str, str] = {}
        self.stored: dict[tuple[str, Key], RejectedVersion] = {}
        self.refusals: Counter[tuple[str, Key, str]] = Counter()
        self.history: dict[int, list[tuple[int, dict[Key, str]]]] = {}
        self.largest = 1
        self.exchanged = False
        self.live: set[tuple[str, int, int, int]] = set()
        self.doubtful: dict[Key, int] = {}  # what some node may hold otherwise than it says
        self.cache = SnapshotCache(self)
        self.cache.advance(FLEET, 0, {})
        self.nodes: list[Node] = []

    # What the control plane hears.
    def opened(self, stream): ...

    def closed(self, stream): ...

    def confirmed(self, stream, keys):
        for key in keys:
            if stream.confirmed(key, stream.revision):
                self.stored.pop((stream.node.id, key), None)

    def rejected(self, stream, rejection):
        self.stored[stream.node.id, rejection.key] = rejection

    # What happens.
    def join(self, *, delta: bool, limited: bool = False) -> None:
        name = f"node-{len(self.nodes)}"
        envoy = Envoy(name, delta=delta, poison=self.poison, limited=limited)
        self.nodes.append(Node(envoy))
        self.limit(self.nodes[-1], self.revision)

    def limit(self, node: Node, revision: int) -> None:
        """Gives a node its own runtime layer: a limit for every listener that is wanted."""
        if not node.envoy.limited:
            return
        names = dict.fromkeys(self.listeners(), node.salt)
        layer = runtime(LAYER, names) if names else None
        version = layer.version if layer else ""
        if not node.layers or node.layers[-1][1] != version:
            node.layers.append((revision, version))
        changes = {LIMITS: layer} if layer else {}
        self.cache.overlay(FLEET, node.envoy.name, revision, changes)

    def listeners(self) -> set[str]:
        """The listeners that a node may be given."""
        return {key.name for key in self.wanted if key.type_url == LISTENER}

    def connect(self, node: Node) -> None:
        node.envoy.connect()
        node.connections += 1
        node.stream = self.cache.connect(
            fleet=FLEET,
            node=NodeInfo(node.envoy.name),
            delta=node.envoy.delta,
            now=self.now,
            variant=node.envoy.name,
        )
        node.stream.on_dirty = lambda: setattr(node, "dirty", True)

    def disconnect(self, node: Node) -> None:
        self.cache.disconnect(node.stream)
        node.stream = None
        node.envoy.start_stream()

    def change(self, trees: dict[int, Tree], poison: dict[str, str] | None = None) -> None:
        self.revision += 1
        before, self.wanted = self.wanted, {}
        for tree in trees.values():
            self.wanted |= {one.key: one for one in tree.resources().values()}
        for version, mode in (poison or {}).items():
            self.poison[version] = mode
        for key, resource in self.wanted.items():
            if self.poison.get(f"*/{resource.version}") == FAULT:
                self.wanted[key] = replace(resource, fault="it breaks a constraint")
        for index in {*trees, *self.trees}:
            if trees.get(index) != self.trees.get(index):
                self.changed_at[index] = self.revision
                made = trees[index].resources().values() if index in trees else ()
                versions = {one.key: one.version for one in made}
                self.history.setdefault(index, []).append((self.revision, versions))
        self.trees = trees
        changes: dict[Key, Resource | None] = {
            key: resource
            for key, resource in self.wanted.items()
            if key not in before or before[key].version != resource.version
        }
        changes |= {key: None for key in before if key not in self.wanted}
        self.doubtful |= dict.fromkeys(changes, self.revision)
        self.cache.advance(FLEET, self.revision, changes)
        for node in self.nodes:
            self.limit(node, self.revision)
        self.run()

    def limit_anew(self, node: Node, revision: int) -> None:
        """A node's limits change, as part of a change that was made before."""
        node.salt += 1
        self.limit(node, revision)
        if node.stream is not None:
            self.check_limits(node)  # before the stream has seen it
        self.run()

    def forget_settled(self) -> None:
        """Drops the doubts about what every node has confirmed since."""
        for key, revision in list(self.doubtful.items()):
            nodes = [node.stream for node in self.nodes]
            if all(stream is not None and stream.confirmed(key, revision) for stream in nodes):
                del self.doubtful[key]

    def restart(self) -> None:
        self.forget_settled()
        # What was found out so far of what was refused and not named ends with the process.
        for name, key, version in list(self.refusals):
            stored = self.stored.get((name, key))
            if stored is None or stored.version != version:
                del self.refusals[name, key, version]
        self.cache = SnapshotCache(self)
        self.cache.bury(FLEET, self.doubtful)
        for node in self.nodes:
            node.unknown = True
            if node.stream is not None:
                node.stream = None
                node.envoy.start_stream()
        for (name, _), rejection in self.stored.items():
            self.cache.restore_rejection(FLEET, name, rejection)
        self.cache.advance(FLEET, self.revision, dict(self.wanted))
        for node in self.nodes:
            self.limit(node, self.revision)

    def run(self) -> None:
        for node in self.nodes:
            if node.stream is not None and node.dirty:
                self.turn(node)

    def turn(self, node: Node) -> None:
        node.dirty = False
        node.envoy.inbox.extend(node.stream.run(self.now))
        if node.stream.revision < node.revision:
            raise Violation("the revision of a node fell (11)")
        node.revision = node.stream.revision
        flights = Counter()
        for channel in node.stream._state.channels.values():
            unseen = [flight for flight in channel.flights.values() if not flight.processed]
            flights[channel.type_url] = len(unseen)
            if len(channel.flights) > MOST_IN_FLIGHT:
                raise Violation("too many in flight (12)")
        if flights[CLUSTER] > 4 or any(count > 16 for count in flights.values()):
            raise Violation(f"too many in flight (12): {flights}")

    def take(self, node: Node) -> bool:
        """The node takes one response."""
        if not node.envoy.inbox:
            return False
        response = node.envoy.inbox[0]
        self.largest = max(self.largest, len(response.resources))
        node.envoy.take()
        return True

    def deliver(self, node: Node) -> bool:
        """The control plane takes one request."""
        if node.stream is None or not node.envoy.outbox:
            return False
        request = node.envoy.outbox.popleft()
        if request.error is not None:
            channel = node.stream._state.channels[request.type_url]
            flight = channel.flights.get(request.nonce)
            for resource in flight.entries.values() if flight else ():
                if resource is not None:
                    self.refusals[node.envoy.name, resource.key, resource.version] += 1
        node.stream.receive(request, self.now)
        node.unknown = not all(
            node.stream._state.cursor.opened(type_url) for type_url in node.envoy.open
        )
        self.turn(node)
        return True

    def tick(self, seconds: float) -> None:
        for node in self.nodes:
            while node.stream is not None and not set(node.envoy.open) <= set(
                node.stream._state.channels
            ):
                self.deliver(node)  # what a client asks for at first, it asks at once
        self.now += seconds
        for node in self.nodes:
            if node.stream is not None:
                self.turn(node)

    def evidence(self, node: Node) -> None:
        """One step of the agent's: it is asked, it reads, what it read arrives."""
        if node.said is not None:
            if node.asked is not None and node.asked is node.stream:
                node.stream.evidence(*node.said)
            node.asked = node.said = None
        elif node.asked is not None:
            node.said = node.envoy.config_dump()
        elif node.stream is not None and node.stream.evidence_wanted(self.now):
            node.asked = node.stream
        self.run()

    def pump(self) -> None:
        """Lets all messages pass until nothing moves."""
        for _ in range(3000):
            moved = False
            for node in self.nodes:
                if node.stream is not None:
                    moved |= self.take(node)
                    moved |= self.deliver(node)
            if not moved:
                return
        raise Violation("it never comes to rest (3)")

    def settle(self) -> None:
        """Faults end: everybody is there and answers."""
        for node in self.nodes:
            node.envoy.muted = False
            node.envoy.release()
            if node.stream is None:
                self.connect(node)
                self.turn(node)
        for _ in range(6):
            self.pump()
            self.tick(1.1)
            for node in self.nodes:
                bad = {key.name for key in self.wanted if self.bad(node, key)}
                if node.envoy.warming <= bad:  # 15 s later it gives up waiting for endpoints
                    node.envoy.warming.clear()
                    node.envoy.release()
        self.pump()

    def as_wanted(self, node: Node) -> bool:
        held = {r.key: r.version for names in node.envoy.held.values() for r in names.values()}
        held.pop(LIMITS, None)
        return held == {key: resource.version for key, resource in self.wanted.items()}

    # What must hold.
    def bad(self, node: Node, key: Key) -> bool:
        resource = self.wanted.get(key)
        if resource is None:
            return False
        names = (f"*/{resource.version}", f"{node.envoy.name}/{resource.version}")
        return any(name in self.poison for name in names)

    def check(self) -> None:
        """Invariants 1 and 2 for every tenant on every node, 6 for every refused version."""
        for node in self.nodes:
            if node.stream is None:
                continue
            self.check_limits(node)
            for tree in self.trees.values():
                at = self.changed_at[tree.index]
                keys = [one.key for one in tree.resources().values()]
                stands = all(node.stream.confirmed(key, at) for key in keys)
                mark = (node.envoy.name, node.connections, tree.index, at)
                if mark in self.live and not stands:
                    raise Violation(f"what was live is not any more (2): {tree}")
                if stands:
                    self.live.add(mark)
                    for one in tree.resources().values():
                        held = node.envoy.version(one.key)
                        if held != one.version and one.key not in node.stream.pending:
                            raise Violation(f"{one.key} is not what {node.envoy.name} holds (1)")
            for history in self.history.values():
                self.check_history(node, history)
        self.check_refusals()

    def check_limits(self, node: Node) -> None:
        """Invariant 1 for what a node alone is sent, whatever revision that belongs to."""
        held = node.envoy.held[RUNTIME].get(LAYER)
        version = held.version if held and node.envoy.layer() else ""
        for revision in range(max(1, self.revision - 4), self.revision + 1):
            if node.layers and node.stream.confirmed(LIMITS, revision):
                last = max(i for i, (at, _) in enumerate(node.layers) if at <= revision)
                if version not in {each for _, each in node.layers[last:]}:
                    raise Violation(f"{node.envoy.name} has not the limits of {revision} (1)")

    def check_history(self, node: Node, history: list[tuple[int, dict[Key, str]]]) -> None:
        """Invariant 1 for who waits on an older revision: it holds that, or something newer."""
        for place, (revision, versions) in enumerate(history[-4:-1], max(0, len(history) - 4)):
            if not versions or not all(node.stream.confirmed(key, revision) for key in versions):
                continue
            for key in versions:
                allowed = {later.get(key) for _, later in history[place:]}
                held = node.envoy.held[key.type_url].get(key.name)
                if held is None or is_placeholder(held):
                    continue  # gone or emptied on the way to a newer revision
                if held.version not in allowed:
                    raise Violation(f"{node.envoy.name}: {key} is older than {revision} (1)")

    def check_refusals(self) -> None:
        """Invariant 6."""
        for (name, _, version), count in self.refusals.items():
            mode = self.poison.get(f"*/{version}") or self.poison.get(f"{name}/{version}")
            most = 2 + math.ceil(math.log2(max(2, self.largest)))
            if count > (3 if mode == "named" else most):
                raise Violation(f"a version was refused {count} times (6)")

    def check_settled(self) -> None:
        """Invariants 3, 4, 7, 8, 12 after `settle`."""
        for node in self.nodes:
            for key, resource in self.wanted.items():
                self.check_name(node, key, resource)
            version = runtime(LAYER, node.envoy.layer()).version if node.envoy.layer() else ""
            if node.layers and node.layers[-1][1] != version:
                raise Violation(f"{node.envoy.name} has not its limits (3)")
            for type_url, held in node.envoy.held.items():
                for name in held:
                    key = Key(type_url, name)
                    if key == LIMITS:
                        continue
                    if key not in self.wanted and not self.lingers(node, key):
                        raise Violation(f"{node.envoy.name}: {key} should be gone (8)")
            if not node.stream.in_step(self.revision):
                pending = list(node.stream.pending)
                raise Violation(f"{node.envoy.name} is not in step (3): {pending}")

    def check_name(self, node: Node, key: Key, resource: Resource) -> None:
        held = node.envoy.version(key)
        if self.bad(node, key):
            if held == resource.version:
                raise Violation(f"{key} is bad and held")
        elif held == resource.version:
            if not node.stream.confirmed(key, self.revision):
                raise Violation(f"{key} is as wanted and not confirmed (3)")
        elif not self.hindered(node, key):
            why = node.stream.waiting(key, self.now)
            raise Violation(f"{node.envoy.name}: {key} is not as wanted (3, 7): {why}")
        if key in node.stream.pending and not self.bad(node, key) and not self.hindered(node, key):
            raise Violation(f"{key} is pending for ever (12)")

    def hindered(self, node: Node, key: Key) -> bool:
        """Whether a tenant's own bad resource keeps a name from being as wanted."""
        for tree in self.trees.values():
            mine = {one.key for one in tree.resources().values()}
            if key in mine and any(self.bad(node, one) for one in mine):
                return True
            if key in mine and self.address_kept(node, tree):
                return True
        return False

    def address_kept(self, node: Node, tree: Tree) -> bool:
        """Whether another listener stays on the address, because what moves it was refused."""
        wanted = tree.resources().get("listener")
        return wanted is not None and any(
            held.key != wanted.key and targets(held, ADDRESS) & targets(wanted, ADDRESS)
            for held in node.envoy.held[LISTENER].values()
        )

    def lingers(self, node: Node, key: Key) -> bool:
        """Whether a name that is not wanted is still used by what replaced nothing yet."""
        if self.unknown(node):
            return True  # it may need it
        index = key.name.split("-")[1]
        return any(
            str(tree.index) == index
            and any(self.bad(node, one.key) for one in tree.resources().values())
            for tree in self.trees.values()
        )

    def unknown(self, node: Node) -> bool:
        """Whether a node certainly holds something of which only the name is known.

        It listed it after a restart, and what replaces it cannot be sent, for it was refused, or
        what it needs. Taking it away would end what serves, so nothing goes that it may need.
        """
        cursor = node.stream._state.cursor
        pending = (cursor.pending.get(key) for key in node.stream._state.foreign)
        return any(
            None not in each.states and not all(one.known for one in each.states)
            for each in pending
            if each is not None
        )

    def check_reconnect(self) -> None:
        """Invariant 10: an unchanged reconnect re-sends nothing."""
        for node in self.nodes:
            self.disconnect(node)
            self.connect(node)
            self.turn(node)
        self.pump()
        for node in self.nodes:
            if node.envoy.received and not any(self.bad(node, key) for key in self.wanted):
                raise Violation(f"{node.envoy.name} was sent {node.envoy.received} again (10)")


def changed(tree: Tree, part: int) -> Tree:
    tags = list(tree.tags)
    tags[part] += 1
    return replace(tree, tags=tuple(tags))

"""A fleet of honest Envoys in which every change goes to one node first."""

from dataclasses import replace

from tests.cache.client import Violation
from tests.cache.world import FLEET, LIMITS, Node, World
from xds.cache import Key, Resource
from xds.cache.resource import is_placeholder
from xds.cache.types import LISTENER

NODE = "node-0"


class CanaryWorld(World):
    """The canary is a node that is connected; it stays it until it is lost, or all are."""

    def __init__(self) -> None:
        super().__init__()
        self.canary = ""
        self.proved: set[tuple[Key, str]] = set()

    # What the control plane does.
    def elect(self) -> None:
        """Gives the part to the first node by name that is there."""
        there = sorted(node.envoy.name for node in self.nodes if node.stream is not None)
        if self.canary in there or not there:
            return
        for (name, key), rejection in self.stored.items():
            if name == self.canary:
                self.stored[name, key] = replace(rejection, alone=False)
        self.appoint(there[0])

    def appoint(self, name: str) -> None:
        if not self.canary:
            self.prove_all()
        self.canary = name
        self.cache.canary(FLEET, name)

    def dismiss(self) -> None:
        """An operator switches it off: all that was held back goes to all."""
        self.canary = ""
        self.cache.canary(FLEET, None)
        for which, rejection in self.stored.items():
            self.stored[which] = replace(rejection, alone=False)
        self.prove_all()
        self.run()

    def listeners(self) -> set[str]:
        """A listener that is removed is limited until the last node has heard of that."""
        canary = self.cache.canary_of(FLEET)
        kept = canary.rest.of_type(LISTENER) if canary else ()
        return super().listeners() | {*kept}

    def prove_all(self) -> None:
        refused = {(key, each.version) for (_, key), each in self.stored.items() if each.alone}
        wanted = {(key, one.version) for key, one in self.wanted.items()}
        self.proved |= wanted - refused

    def change(self, trees, poison=None) -> None:
        super().change(trees, poison)
        if not self.canary:
            self.prove_all()

    def restart(self) -> None:
        super().restart()
        if self.canary:
            self.cache.canary(FLEET, self.canary)
            rest = self.cache.canary_of(FLEET).rest
            for type_url in rest.types():  # what was on its way is not known any more
                self.proved |= {(one.key, one.version) for one in rest.of_type(type_url).values()}

    # What the control plane hears.
    def confirmed(self, stream, keys):
        super().confirmed(stream, keys)
        if stream.node.id == self.canary:
            for key in keys:
                states = stream.holds(key)
                if len(states) == 1 and states[0] is not None:
                    self.proved.add((key, states[0].version))

    def rejected(self, stream, rejection):
        canary = self.cache.canary_of(FLEET)
        alone = canary is not None and stream.node.id == canary.node
        alone = alone and rejection.key in canary.held
        super().rejected(stream, replace(rejection, alone=alone))

    def take(self, node: Node) -> bool:
        if node.envoy.inbox and self.canary and node.envoy.name != self.canary:
            for resource in node.envoy.inbox[0].resources:
                self.check_proved(node, resource)
        return super().take(node)

    # What must hold.
    def check_proved(self, node: Node, resource: Resource) -> None:
        if resource.key == LIMITS or is_placeholder(resource):
            return
        if (resource.key, resource.version) not in self.proved:
            raise Violation(f"{node.envoy.name} is sent {resource.key} untried (canary)")

    def settle(self) -> None:
        for node in self.nodes:
            if node.stream is None:
                self.connect(node)
        if self.canary:
            self.elect()
        super().settle()

    def check_settled(self) -> None:
        super().check_settled()
        canary = self.cache.canary_of(FLEET)
        for key in canary.held if canary else ():
            if not self.stuck(key):
                raise Violation(f"{key} is held back for ever (3)")
            mine = self.exchanged or self.bad_tree(key)
            # A cluster that is gone stays while the canary lists a listener that may need it.
            if not mine and not (self.wanted.get(key) is None and self.unknown(self.first())):
                raise Violation(f"{key} is held back by another tenant's (4)")

    def first(self) -> Node:
        return next(node for node in self.nodes if node.envoy.name == self.canary)

    def held(self, key: Key) -> bool:
        canary = self.cache.canary_of(FLEET)
        return canary is not None and key in canary.held

    def stuck(self, key: Key) -> bool:
        """Whether what is held back is, or touches, what the canary cannot take."""
        canary = self.cache.canary_of(FLEET)
        base = self.cache.snapshot(FLEET)
        seen, todo = {key}, [key]
        while todo:
            at = todo.pop()
            if not self.first().stream.tried(at):
                return True
            new = {other for other, needed in canary._ties(base, at) if needed} - seen
            seen |= new
            todo.extend(new)
        return False

    def bad_tree(self, key: Key) -> bool:
        index = key.name.split("-")[1]
        return any(
            str(tree.index) == index
            and any(self.bad(self.first(), one.key) for one in tree.resources().values())
            for tree in self.trees.values()
        )

    def hindered(self, node: Node, key: Key) -> bool:
        if super().hindered(node, key):
            return True
        return node.envoy.name != self.canary and any(
            self.held(one) for tree in self.trees.values() for one in self.mine(tree, key)
        )

    @staticmethod
    def mine(tree, key: Key) -> set[Key]:
        keys = {one.key for one in tree.resources().values()}
        return keys if key in keys else set()

    def lingers(self, node: Node, key: Key) -> bool:
        return super().lingers(node, key) or (node.envoy.name != self.canary and self.held(key))

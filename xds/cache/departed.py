"""What is remembered of nodes without a stream: so much, and the oldest are forgotten first.

A node that comes back is sent only what it lacks, and not what it refused. Most of those that are
away do come back; some never do, and in a place where nodes have a new id each time none does.
"""

from __future__ import annotations

from collections import OrderedDict

from xds.cache.cursor import Left

MOST_NODES = 4096
"""Nodes that are remembered."""

MOST_NAMES = 1 << 18
"""Names not confirmed that are remembered of all of them: a node that goes before it answers has
as many as its fleet."""

Node = tuple[str, str]
"""A fleet and a node's id."""

_Types = frozenset[str] | None


class Departed:
    """What nodes held when a stream of theirs ended, and which of them have refused something."""

    def __init__(self) -> None:
        self._left: OrderedDict[tuple[Node, _Types], Left] = OrderedDict()
        self._names = 0
        self._refusing: OrderedDict[Node, None] = OrderedDict()

    def keep(self, node: Node, types: _Types, left: Left) -> None:
        """Takes what a node holds whose last stream of these types ended."""
        self.take(node, types)
        self._left[node, types] = left
        self._names += len(left.states)
        while len(self._left) > MOST_NODES or self._names > MOST_NAMES:
            _, oldest = self._left.popitem(last=False)
            self._names -= len(oldest.states)

    def take(self, node: Node, types: _Types) -> Left | None:
        """Gives what a node held, which has a stream of these types again."""
        left = self._left.pop((node, types), None)
        self._names -= len(left.states) if left is not None else 0
        return left

    def refusing(self, node: Node) -> Node | None:
        """Takes that a node is away that has refused something.

        Returns:
            The node that is to be forgotten for it, if they are too many.
        """
        self._refusing[node] = None
        self._refusing.move_to_end(node)
        if len(self._refusing) <= MOST_NODES:
            return None
        return self._refusing.popitem(last=False)[0]

    def back(self, node: Node) -> None:
        """Takes that a node has a stream, or has nothing refused any more."""
        self._refusing.pop(node, None)

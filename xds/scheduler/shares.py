"""A limit over a fleet, split over its nodes: who takes how much now. Pure, no I/O.

Nodes learn of their shares at different times, and some never answer. What all of them may take
together never exceeds the limit because of a change: shares are lowered at once, and raised only
by what the lowered nodes have confirmed to have given up.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b


def split(limit: int, nodes: Iterable[str], *, key: str = "") -> dict[str, int]:
    """Gives each node's share: they add up to the limit exactly and differ by 1 at most.

    The same for any order of nodes. A limit below their number leaves some with 0; who takes one
    more than others depends on `key`, so that many small limits do not meet on the same nodes.
    """
    ranked = sorted(set(nodes), key=lambda node: (_rank(key, node), node))
    if not ranked:
        return {}
    each, over = divmod(limit, len(ranked))
    return {node: each + (place < over) for place, node in enumerate(ranked)}


def _rank(key: str, node: str) -> bytes:
    return blake2b(f"{key}\0{node}".encode(), digest_size=8).digest()


def step(limit: int, shares: Mapping[str, int], held: Mapping[str, int | None]) -> dict[str, int]:
    """Gives what each node is to be granted now, on the way to its share.

    Args:
        limit: the limit.
        shares: the nodes that share it, and what each is to have in the end (`split`).
        held: what each node may take at most as far as is known: the most of all that it was
            sent since, and with, what it confirmed last. None: it may take any number.

    Returns:
        For every node in `shares` or `held` (who has no share: 0, and who is not in `held` takes
        nothing yet) its grant: its share at once where that lowers it, and where that raises it
        as much of it as the limit has left.
    """
    free = 0 if None in held.values() else max(0, limit - sum(held[node] or 0 for node in held))
    grants = {}
    for node in sorted({*shares, *held}):
        share, has = shares.get(node, 0), held.get(node, 0)
        if has is None or has >= share:
            grants[node] = share
            continue
        more = min(share - has, free)
        free -= more
        grants[node] = has + more
    return grants


@dataclass(slots=True)
class Allotment:
    """One limit on its fleet, from step to step.

    Attributes:
        limit: the limit.
        key: sees to it that not all limits favour the same nodes.
        granted: what each node was last told, or is to be told.
        held: what each node may take at most (`step`).
    """

    limit: int
    key: str = ""
    granted: dict[str, int] = field(default_factory=dict)
    held: dict[str, int | None] = field(default_factory=dict)

    def settle(self, sharing: Iterable[str], serving: Collection[str]) -> set[str]:
        """Grants what can be granted now.

        Args:
            sharing: the nodes that are to share the limit in the end.
            serving: the nodes that may serve: those, and such as have still to be lowered, or
                are to have nothing. What others held is free.

        Returns:
            The nodes whose grant changed.
        """
        for node in [node for node in self.held if node not in serving]:
            del self.held[node]
        held = {node: self.held.get(node, 0) for node in serving}
        grants = step(self.limit, split(self.limit, sharing, key=self.key), held)
        for node, grant in grants.items():
            has = held.get(node, 0)
            self.held[node] = None if has is None else max(has, grant)
        before, self.granted = self.granted, grants
        return {node for node in {*before, *grants} if before.get(node) != grants.get(node)}

    def confirmed(self, node: str, share: int) -> bool:
        """Takes that a node takes no more than `share`, for it has what says so and nothing else.

        Returns:
            Whether that is news.
        """
        if node not in self.held:
            return False
        now = max(share, self.granted.get(node, 0))  # what it is to be told may be under way
        before, self.held[node] = self.held[node], now
        return before != now

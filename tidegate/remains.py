"""What objects may have left on fleets that their pool left: waited for if they are deleted."""

from collections.abc import Collection, Mapping

from tidegate.nodes import NodeRegister
from tidegate.rendering import Place, PoolRendering

SWEPT = 2000
"""How many objects one look takes."""


class Remains:
    """Per object the places on fleets that it left, until all that may hold them said they do not.

    A living object is judged by its pool's own fleet; its row and its id may go only when nobody
    holds anything of it, wherever it was.
    """

    def __init__(self, nodes: NodeRegister) -> None:
        """Takes who knows which nodes may hold something."""
        self._nodes = nodes
        self._places: dict[str, dict[Place, int]] = {}
        self._turn: list[str] = []

    def left(self, rendering: PoolRendering, fleets: Collection[str], published: int) -> None:
        """Takes that a pool, rendered so until now, left fleets (their ids) at a revision."""
        for place, rendered in rendering.resources.items():
            if place.fleet in fleets and not self._is_gone(place, published):
                for name in rendered.objects:
                    self._places.setdefault(name, {})[place] = published

    def of(self, name: str) -> Mapping[Place, int]:
        """Gives where an object may still be, each with the revision that removed it."""
        return self._places.get(name, {})

    def forget(self, name: str) -> None:
        """Takes that an object's row is gone."""
        self._places.pop(name, None)

    def sweep(self) -> None:
        """Forgets of some objects, each in its turn, the places that nobody holds any more."""
        if not self._turn:
            self._turn = list(self._places)
        turn, self._turn = self._turn[:SWEPT], self._turn[SWEPT:]
        for name in turn:
            held = {
                place: since
                for place, since in self._places.get(name, {}).items()
                if not self._is_gone(place, since)
            }
            if held:
                self._places[name] = held
            else:
                self._places.pop(name, None)

    def _is_gone(self, place: Place, since: int) -> bool:
        return all(
            node.stream is not None and node.stream.confirmed(place.key, since)
            for node in self._nodes.holding(place.fleet)
        )

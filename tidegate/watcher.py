"""What the streams say, to all who have to hear it, in the order in which they have to."""

from collections.abc import Callable, Collection

from tidegate.feedback import Feedback
from tidegate.limits import Limits
from tidegate.pace import Pace
from xds.cache.stream import NodeStream
from xds.cache.types import Key, RejectedVersion


class StreamWatcher:
    """Passes the streams' events on (`xds.cache.types.Observer`).

    Limits hear of a confirmation before feedback: what one node gives up is granted to another
    before anything is called live. `nodes_changed` is called when a node connected.
    """

    def __init__(
        self, feedback: Feedback, limits: Limits, pace: Pace, nodes_changed: Callable[[], None]
    ) -> None:
        """Takes who has to hear."""
        self._pace = pace
        self._feedback = feedback
        self._limits = limits
        self._nodes_changed = nodes_changed

    def opened(self, stream: NodeStream) -> None:
        """Takes that a node connected."""
        self._pace.opened(stream)
        self._feedback.opened(stream)
        self._limits.opened(stream)
        self._nodes_changed()

    def closed(self, stream: NodeStream) -> None:
        """Takes that a stream ended."""
        self._pace.closed(stream)
        self._feedback.closed(stream)

    def confirmed(self, stream: NodeStream, keys: Collection[Key]) -> None:
        """Takes that a node runs the wanted version of these resources."""
        self._pace.confirmed(stream)
        self._limits.confirmed(stream, keys)
        self._feedback.confirmed(stream, keys)

    def rejected(self, stream: NodeStream, refused: RejectedVersion) -> None:
        """Takes that a node refused a version."""
        self._feedback.rejected(stream, refused)

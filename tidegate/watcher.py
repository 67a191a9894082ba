"""What the streams say, to all who have to hear it, in the order in which they have to."""

from collections.abc import Callable, Collection

from tidegate.feedback import Feedback
from tidegate.limits import Limits
from tidegate.pace import Pace
from tidegate.proxyless import Proxyless, is_proxyless
from xds.cache.stream import NodeStream
from xds.cache.types import Key, RejectedVersion


class StreamWatcher:
    """Passes the streams' events on (`xds.cache.types.Observer`).

    Limits hear of a confirmation before feedback: what one node gives up is granted to another
    before anything is called live. `nodes_changed` is called when a node connected.
    gRPC clients are no nodes: only `proxyless` hears of them, so that no status waits for them.
    """

    def __init__(
        self,
        feedback: Feedback,
        limits: Limits,
        pace: Pace,
        proxyless: Proxyless,
        *,
        nodes_changed: Callable[[], None],
    ) -> None:
        """Takes who has to hear."""
        self._feedback = feedback
        self._limits = limits
        self._pace = pace
        self._proxyless = proxyless
        self._nodes_changed = nodes_changed

    def opened(self, stream: NodeStream) -> None:
        """Takes that a node connected."""
        if is_proxyless(stream):
            self._proxyless.opened(stream)
            return
        self._pace.opened(stream)
        self._feedback.opened(stream)
        self._limits.opened(stream)
        self._nodes_changed()

    def closed(self, stream: NodeStream) -> None:
        """Takes that a stream ended."""
        if is_proxyless(stream):
            return
        self._pace.closed(stream)
        self._feedback.closed(stream)

    def confirmed(self, stream: NodeStream, keys: Collection[Key]) -> None:
        """Takes that a node runs the wanted version of these resources."""
        if is_proxyless(stream):
            return
        self._pace.confirmed(stream)
        self._limits.confirmed(stream, keys)
        self._feedback.confirmed(stream, keys)

    def rejected(self, stream: NodeStream, refused: RejectedVersion) -> None:
        """Takes that a node refused a version."""
        if is_proxyless(stream):
            self._proxyless.rejected(stream, refused)
            return
        self._feedback.rejected(stream, refused)

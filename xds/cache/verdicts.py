"""Verdicts for a callback: what each node says of each resource, one at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from xds.cache.stream import NodeStream
from xds.cache.types import Key, RejectedVersion

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a node says of one resource.

    Attributes:
        fleet: the node's fleet.
        node: the node's id.
        type_url: the resource's type.
        name: the resource's name.
        version: the version that it speaks of; empty if that is gone.
        accepted: whether the node runs it, or is rid of it.
        message: the node's own words if it refused it.
    """

    fleet: str
    node: str
    type_url: str
    name: str
    version: str
    accepted: bool
    message: str = ""


class Verdicts:
    """An observer that hands each verdict to a function, which must return at once.

    What the function raises is logged, and the node is served on: it is no fault of the node's.

    Example:
        >>> from xds.cache import SnapshotCache
        >>> cache = SnapshotCache(Verdicts(print))
    """

    def __init__(self, hear: Callable[[Verdict], None]) -> None:
        self._hear = hear

    def opened(self, stream: NodeStream) -> None:
        """Takes that a node opened a stream: no verdict."""

    def closed(self, stream: NodeStream) -> None:
        """Takes that a stream ended: no verdict."""

    def confirmed(self, stream: NodeStream, keys: Collection[Key]) -> None:
        """Takes what a node runs; of what it is only nearer to nothing is said yet."""
        for key in keys:
            if stream.confirmed(key, stream.revision):
                held = stream.holds(key)
                version = held[0].version if held and held[0] is not None else ""
                self._say(stream, key, version)

    def rejected(self, stream: NodeStream, rejection: RejectedVersion) -> None:
        """Takes what a node refused."""
        self._say(stream, rejection.key, rejection.version, rejection.message)

    def _say(self, stream: NodeStream, key: Key, version: str, message: str | None = None) -> None:
        verdict = Verdict(
            fleet=stream.fleet,
            node=stream.node.id,
            type_url=key.type_url,
            name=key.name,
            version=version,
            accepted=message is None,
            message=message or "",
        )
        try:
            self._hear(verdict)
        except Exception:  # noqa: BLE001 - whatever it is, it is the function's own
            _log.exception("the callback failed on the verdict %r", verdict)

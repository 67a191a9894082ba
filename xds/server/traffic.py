"""What went over a stream, counted: tests and benchmarks assert on it."""

from dataclasses import dataclass

from xds.cache.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, RUNTIME, SECRET

_KINDS = {
    type_url: type_url.rpartition(".")[2]
    for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE, RUNTIME, SECRET)
}

OTHER = "other"
"""Every type that is none of these: a client may ask for anything."""


@dataclass(slots=True)
class Traffic:
    """Counts since a stream, or a server, began.

    Attributes:
        requests: messages received.
        responses: messages sent.
        resources: resources sent in them.
        removals: names sent as removed in them.
        sent_bytes: their size before HTTP/2 framing.
        nacks: messages received that refuse a response.
    """

    requests: int = 0
    responses: int = 0
    resources: int = 0
    removals: int = 0
    sent_bytes: int = 0
    nacks: int = 0

    def sent(self, *, resources: int, removals: int, size: int) -> None:
        """Counts one response."""
        self.responses += 1
        self.resources += resources
        self.removals += removals
        self.sent_bytes += size


class Totals(Traffic):
    """What went over all streams, also apart by fleet and type.

    Attributes:
        by_type: by fleet and the type's last word (`Cluster`), `OTHER` for one that is not known.
    """

    __slots__ = ("by_type",)

    def __init__(self) -> None:
        super().__init__()
        self.by_type: dict[tuple[str, str], Traffic] = {}

    def of(self, fleet: str, type_url: str) -> Traffic:
        """Gives the counts of one type on one fleet: one that is loaded, or anybody adds some."""
        which = (fleet, _KINDS.get(type_url, OTHER))
        return self.by_type.get(which) or self.by_type.setdefault(which, Traffic())

"""What went over a stream, counted: tests and benchmarks assert on it."""

from dataclasses import dataclass


@dataclass(slots=True)
class Traffic:
    """Counts since a stream, or a server, began.

    Attributes:
        requests: messages received.
        responses: messages sent.
        resources: resources sent in them.
        removals: names sent as removed in them.
        sent_bytes: their size before HTTP/2 framing.
    """

    requests: int = 0
    responses: int = 0
    resources: int = 0
    removals: int = 0
    sent_bytes: int = 0

    def sent(self, *, resources: int, removals: int, size: int) -> None:
        """Counts one response."""
        self.responses += 1
        self.resources += resources
        self.removals += removals
        self.sent_bytes += size

"""What the fleet side says of an object at a moment, taken before a read or a write.

The fleet side answers on the event loop alone, and a write makes its answer on the writer's
thread: so what is seen is taken first, and travels as a value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from api.fleet_view import Trial
from lbaas.model.capabilities import EVERYTHING
from lbaas.model.enums import OperatingStatus
from lbaas.model.health import Health
from lbaas.model.objects import Capabilities, HeldRemovals, Record
from lbaas.model.status import Progress

NOT_SEEN = Health(status=OperatingStatus.UNKNOWN)
"""The health of what no agent can have looked at yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the fleet side says of an object.

    `connection_limits` is a VIP's share on each node, by the node's name; empty: no limit.
    `offered` is what a fleet could do if everything were declared; `connected` counts its nodes;
    `trial` is what is given to one of them first; `held_removals` waits for an operator's word.
    """

    progress: Progress = field(default_factory=Progress)
    health: Health = NOT_SEEN
    connection_limits: Mapping[str, int] = field(default_factory=dict)
    offered: Capabilities = EVERYTHING
    connected: int = 0
    held_removals: HeldRemovals | None = None
    trial: Trial = field(default_factory=Trial)

    def after_write(self, record: Record) -> "Seen":
        """Gives what is seen of an object that was just written, which no node has seen yet."""
        if not record.deleted_rev and record.live_rev >= record.spec_rev:
            return self
        told = self.progress
        return replace(self, progress=Progress(total=told.total, waiting=told.waiting))

    def of_new(self) -> "Seen":
        """Gives what is seen of a new object on the same nodes."""
        return replace(self, health=NOT_SEEN, connection_limits={})

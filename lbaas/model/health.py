"""Operating status as a pure function of what the nodes' agents found."""

from dataclasses import dataclass
from datetime import datetime

from lbaas.model.enums import OperatingStatus
from lbaas.model.objects import EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeVerdict:
    """How one node (`fleets/{fleet}/nodes/{node}`) finds one member, since `time`.

    `monitor` is the health monitor it fails, `cause` what that met.
    """

    node: str
    status: OperatingStatus
    monitor: str = ""
    cause: str = ""
    time: datetime = EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """An object's operating status, why (`reason` UPPER_SNAKE and `message`), since when.

    `verdicts` are each node's, of members alone. `members_up` and `members_total` are of pools
    and VIPs: how many of the members that should take new traffic can.
    """

    status: OperatingStatus
    reason: str = ""
    message: str = ""
    node: str = ""
    time: datetime = EPOCH
    verdicts: tuple[NodeVerdict, ...] = ()
    members_up: int = 0
    members_total: int = 0


NO_AGENT = Health(
    status=OperatingStatus.UNKNOWN,
    reason="NO_AGENT",
    message="no agent reports the health of this fleet's nodes",
)
"""What is known without an agent."""

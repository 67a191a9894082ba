"""Status as a pure function of stored facts (design: status-and-order).

Nothing waits in a state, so nothing can be stuck in one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lbaas.model.enums import OperatingStatus, ProvisioningStatus
from lbaas.model.health import NO_AGENT, Health
from lbaas.model.objects import EPOCH, Pool, Record, Rejection, TenantObject, Vip

_SETTLED = frozenset({ProvisioningStatus.ACTIVE, ProvisioningStatus.INACTIVE})


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusDetail:
    """Why an object has its status: a stable reason, a message for people, and where."""

    reason: str
    message: str = ""
    fleet: str = ""
    node: str = ""
    resource: str = ""
    time: datetime = EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an object's newest change has come on the nodes that count.

    `missing` holds (node, resource) pairs that are still to confirm. `waiting` explains why,
    when there is more to say than that (NO_NODE_CONNECTED, HELD_BY_CANARY).
    """

    applied: int = 0
    total: int = 0
    missing: tuple[tuple[str, str], ...] = ()
    waiting: StatusDetail | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """An object's two statuses, and the reason behind them."""

    provisioning: ProvisioningStatus
    operating: OperatingStatus
    detail: StatusDetail | None = None
    progress: Progress = Progress()

    @property
    def reconciling(self) -> bool:
        """Tells whether the Envoys do not yet run what was written (AIP-128)."""
        return self.provisioning in {
            ProvisioningStatus.PENDING_CREATE,
            ProvisioningStatus.PENDING_UPDATE,
            ProvisioningStatus.PENDING_DELETE,
        }


def in_force(record: Record, name: str, rejections: Sequence[Rejection]) -> tuple[Rejection, ...]:
    """Gives the rejections that concern the object as it is now, not as it was."""
    return tuple(
        rejection
        for rejection in rejections
        if any(who == name and rev >= record.spec_rev for who, rev in rejection.objects)
    )


def failure(
    obj: TenantObject, rejections: Sequence[Rejection], pool: Pool | None
) -> StatusDetail | None:
    """Gives why the object is in ERROR, or None: rejected, unplaceable, address in use.

    `pool` is the pool the object lives in (itself for a pool, None for a monitor).
    """
    if rejected := in_force(obj.record, obj.name, rejections):
        first = rejected[0]
        return StatusDetail(
            reason="REJECTED_BY_ENVOY",
            message=first.message,
            fleet=first.fleet,
            node=first.node,
            resource=first.resource,
            time=first.time,
        )
    if isinstance(obj, Vip) and obj.address_in_use_by and not obj.address:
        return StatusDetail(
            reason="ADDRESS_RANGE_EXHAUSTED",
            message=f"{obj.address_in_use_by}; delete a VIP, or ask the operator for more",
            resource=obj.name,
        )
    if isinstance(obj, Vip) and obj.address_in_use_by:
        return StatusDetail(
            reason="ADDRESS_IN_USE",
            message=f"{obj.address}:{obj.port} is taken on this fleet by"
            " another VIP; delete this one and create it on another address or port",
            resource=obj.name,
        )
    return None if pool is None else _refusal(pool)


def _refusal(pool: Pool) -> StatusDetail | None:
    """Gives why no fleet fits the pool as it is now; a newer pool has yet to be looked at."""
    placement = pool.placement
    if placement is None or placement.fleet or placement.rev < pool.record.spec_rev:
        return None
    return StatusDetail(
        reason="NO_ELIGIBLE_FLEET",
        message=placement.reason,
        resource=pool.name,
        time=placement.time,
    )


def provisioning(
    record: Record, *, admin_state_up: bool, failed: StatusDetail | None
) -> ProvisioningStatus:
    """Gives the provisioning status from the row's revisions and what failed."""
    if record.deleted_rev:
        return ProvisioningStatus.PENDING_DELETE
    if failed is not None:
        return ProvisioningStatus.ERROR
    if record.live_rev >= record.spec_rev:
        return ProvisioningStatus.ACTIVE if admin_state_up else ProvisioningStatus.INACTIVE
    if record.live_rev == 0:
        return ProvisioningStatus.PENDING_CREATE
    return ProvisioningStatus.PENDING_UPDATE


def status_of(
    obj: TenantObject,
    *,
    rejections: Sequence[Rejection],
    pool: Pool | None,
    progress: Progress,
    health: Health = NO_AGENT,
) -> Status:
    """Gives the whole status of a tenant's object.

    `health` is what the agents make of it. There is one detail for both statuses: what keeps the
    object from being live comes first, then why it does not serve.
    """
    failed = failure(obj, rejections, pool)
    code = provisioning(obj.record, admin_state_up=obj.admin_state_up, failed=failed)
    detail = failed
    if detail is None and code not in _SETTLED:
        detail = progress.waiting or _unconfirmed(progress)
    if detail is None:
        detail = _ailment(health, settled=code in _SETTLED)
    return Status(provisioning=code, operating=health.status, detail=detail, progress=progress)


def _ailment(health: Health, *, settled: bool) -> StatusDetail | None:
    """Gives why the object does not serve; that nobody can tell is no reason why it pends."""
    if not health.reason or (not settled and health.status is OperatingStatus.UNKNOWN):
        return None
    node = health.node
    return StatusDetail(
        reason=health.reason,
        message=health.message,
        fleet=node.partition("/nodes/")[0],
        node=node,
        time=health.time,
    )


def _unconfirmed(progress: Progress) -> StatusDetail | None:
    """Gives the first (node, resource) still to confirm, and how many more there are."""
    if not progress.missing:
        return None
    node, resource = progress.missing[0]
    more = len(progress.missing) - 1
    return StatusDetail(
        reason="NOT_CONFIRMED_YET",
        message=f"{node} has not confirmed {resource}" + (f", and {more} more" if more else ""),
        node=node,
        resource=resource,
    )

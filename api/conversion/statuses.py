"""What the server alone writes on a tenant's objects: record, status, progress."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from api.seen import Seen
from lbaas.model.objects import EPOCH, Pool, Record, Rejection, TenantObject
from lbaas.model.status import Status, StatusDetail, status_of
from lbaas.v1 import (
    fleet_pb2,
    health_monitor_pb2,
    member_pb2,
    pool_pb2,
    service_type_pb2,
    status_pb2,
    vip_pb2,
)

TenantMessage = pool_pb2.Pool | member_pb2.Member | health_monitor_pb2.HealthMonitor | vip_pb2.Vip
OperatorMessage = service_type_pb2.ServiceType | fleet_pb2.Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is stored beside objects and belongs to their picture, by the objects' names.

    `pools` are the pools that members and VIPs live in. `vips` are those on a pool, `monitored`
    the pools that a monitor watches.
    """

    rejections: Mapping[str, tuple[Rejection, ...]] = field(default_factory=dict)
    pools: Mapping[str, Pool] = field(default_factory=dict)
    vips: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    monitored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def status_from(obj: TenantObject, facts: Facts, seen: Seen, *, pool: str = "") -> Status:
    """Gives an object's status from what was read and seen; `pool` is the pool it lives in."""
    home = obj if isinstance(obj, Pool) else facts.pools.get(pool)
    return status_of(
        obj,
        rejections=facts.rejections.get(obj.name, ()),
        pool=home,
        progress=seen.progress,
        health=seen.health,
    )


def write_record(message: TenantMessage | OperatorMessage, record: Record) -> None:
    """Writes uid, revision, etag and times."""
    message.uid = record.uid
    message.revision = max(record.rev, record.deleted_rev)
    message.etag = record.etag
    write_time(message.create_time, record.create_time)
    write_time(message.update_time, record.update_time)


def write_status(message: TenantMessage | status_pb2.ObjectStatus, status: Status) -> None:
    """Writes both statuses, their reason, and how far the change has come."""
    message.provisioning_status = status_pb2.ProvisioningStatus.Code.Value(status.provisioning)
    message.operating_status = status_pb2.OperatingStatus.Code.Value(status.operating)
    message.nodes_applied = status.progress.applied
    message.nodes_total = status.progress.total
    message.reconciling = status.reconciling
    if status.detail is not None:
        message.status_detail.CopyFrom(write_detail(status.detail))


def write_detail(detail: StatusDetail) -> status_pb2.StatusDetail:
    """Gives the reason behind a status."""
    message = status_pb2.StatusDetail(
        reason=detail.reason,
        message=detail.message,
        fleet=detail.fleet,
        node=detail.node,
        resource=detail.resource,
    )
    write_time(message.time, detail.time)
    return message


def write_time(message: Timestamp, time: datetime) -> None:
    """Writes a time; the epoch stands for none and leaves the field as it is."""
    if time != EPOCH:
        message.FromDatetime(time)

"""A client of the API as tests use it: all stubs on one channel, and errors taken apart."""

from dataclasses import dataclass, field

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from lbaas.v1.fleet_service_pb2_grpc import FleetServiceStub
from lbaas.v1.health_monitor_service_pb2_grpc import HealthMonitorServiceStub
from lbaas.v1.load_balancer_service_pb2_grpc import LoadBalancerServiceStub
from lbaas.v1.member_service_pb2_grpc import MemberServiceStub
from lbaas.v1.pool_service_pb2_grpc import PoolServiceStub
from lbaas.v1.quota_service_pb2_grpc import QuotaServiceStub
from lbaas.v1.service_type_service_pb2_grpc import ServiceTypeServiceStub
from lbaas.v1.vip_service_pb2_grpc import VipServiceStub

Code = grpc.StatusCode


class Client:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.pools = PoolServiceStub(channel)
        self.members = MemberServiceStub(channel)
        self.monitors = HealthMonitorServiceStub(channel)
        self.vips = VipServiceStub(channel)
        self.trees = LoadBalancerServiceStub(channel)
        self.types = ServiceTypeServiceStub(channel)
        self.fleets = FleetServiceStub(channel)
        self.quotas = QuotaServiceStub(channel)


@dataclass
class Refusal:
    """An error, with its details read."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    status: status_pb2.Status = field(default_factory=status_pb2.Status)


_DETAILS = {
    f"type.googleapis.com/google.rpc.{kind.__name__}": kind
    for kind in (
        error_details_pb2.BadRequest,
        error_details_pb2.ResourceInfo,
        error_details_pb2.PreconditionFailure,
        error_details_pb2.QuotaFailure,
        error_details_pb2.RetryInfo,
    )
}


def taken_apart(error: grpc.aio.AioRpcError) -> Refusal:
    refusal = Refusal(code=error.code(), message=error.details() or "")
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        refusal.status = status_pb2.Status.FromString(value)
        assert refusal.status.code == error.code().value[0]
        assert refusal.status.message == error.details()
        for detail in refusal.status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                assert info.domain == "tidegate"
                refusal.reason, refusal.metadata = info.reason, dict(info.metadata)
                continue
            kind = _DETAILS[detail.type_url]
            refusal.kinds.append(kind.__name__)
            if kind is error_details_pb2.BadRequest:
                bad = error_details_pb2.BadRequest()
                detail.Unpack(bad)
                for violation in bad.field_violations:
                    refusal.fields[violation.field] = violation.description
                    refusal.reasons[violation.field] = violation.reason
    return refusal


async def refused(call, code: grpc.StatusCode, reason: str = "") -> Refusal:
    """Awaits a call that must be refused so."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    refusal = taken_apart(caught.value)
    assert refusal.code is code, (refusal.code, refusal.message)
    if reason:
        assert refusal.reason == reason, (refusal.reason, refusal.message)
    return refusal

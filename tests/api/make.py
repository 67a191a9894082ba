"""Messages as tests need them: good, and short to write."""

from google.protobuf.duration_pb2 import Duration

from lbaas.v1.enums_pb2 import HealthMonitorType, LbMethod, Protocol
from lbaas.v1.fleet_pb2 import Fleet
from lbaas.v1.fleet_service_pb2 import CreateFleetRequest
from lbaas.v1.health_monitor_pb2 import HealthMonitor
from lbaas.v1.health_monitor_service_pb2 import CreateHealthMonitorRequest
from lbaas.v1.member_pb2 import Member
from lbaas.v1.member_service_pb2 import CreateMemberRequest
from lbaas.v1.pool_pb2 import Pool
from lbaas.v1.pool_service_pb2 import CreatePoolRequest
from lbaas.v1.vip_pb2 import Vip
from lbaas.v1.vip_service_pb2 import CreateVipRequest

ACME = "projects/acme"
WEB = f"{ACME}/pools/web"


def pool(**fields) -> Pool:
    return Pool(**{"protocol": Protocol.HTTP, "lb_method": LbMethod.ROUND_ROBIN, **fields})


def member(number: int = 1, **fields) -> Member:
    return Member(**{"address": f"10.1.{number // 250}.{number % 250 + 1}", "port": 80, **fields})


def monitor(**fields) -> HealthMonitor:
    given = {
        "type": HealthMonitorType.HTTP,
        "delay": Duration(seconds=5),
        "timeout": Duration(seconds=2),
        "max_retries": 3,
        **fields,
    }
    return HealthMonitor(**given)


def vip(**fields) -> Vip:
    return Vip(**{"pool": WEB, "protocol": Protocol.HTTP, "port": 80, **fields})


def fleet(**fields) -> Fleet:
    given = {"vip_ranges": ["203.0.113.0/24"], "service_types": ["serviceTypes/default"], **fields}
    return Fleet(**given)


def create_pool(pool_id: str = "web", *, parent: str = ACME, **fields) -> CreatePoolRequest:
    return CreatePoolRequest(parent=parent, pool_id=pool_id, pool=pool(**fields))


def create_member(
    number: int = 1, *, parent: str = WEB, member_id: str = "", **fields
) -> CreateMemberRequest:
    return CreateMemberRequest(
        parent=parent, member_id=member_id or f"m{number}", member=member(number, **fields)
    )


def create_monitor(
    monitor_id: str = "check", *, parent: str = ACME, **fields
) -> CreateHealthMonitorRequest:
    return CreateHealthMonitorRequest(
        parent=parent, health_monitor_id=monitor_id, health_monitor=monitor(**fields)
    )


def create_vip(vip_id: str = "web", *, parent: str = ACME, **fields) -> CreateVipRequest:
    return CreateVipRequest(parent=parent, vip_id=vip_id, vip=vip(**fields))


def create_fleet(fleet_id: str = "edge", **fields) -> CreateFleetRequest:
    return CreateFleetRequest(fleet_id=fleet_id, fleet=fleet(**fields))

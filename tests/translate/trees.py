"""Trees for tests, small and valid; what a test is about it passes itself."""

from datetime import timedelta

from lbaas.model.enums import HealthMonitorType, LbMethod, Protocol
from lbaas.model.objects import Fleet, HealthMonitor, Member, Pool, PoolTree, Record, Vip

POOL = "projects/acme/pools/web"
FLEET = Fleet(name="fleets/edge")


def pool(**fields: object) -> Pool:
    given = {"name": POOL, "protocol": Protocol.HTTP, "lb_method": LbMethod.ROUND_ROBIN, **fields}
    return Pool(**given)


def member(number: int, **fields: object) -> Member:
    given = {"address": f"10.0.{number // 250}.{number % 250 + 1}", "port": 8080, **fields}
    return Member(name=f"{POOL}/members/m{number}", record=Record(uid=f"uid-{number}"), **given)


def monitor(name: str = "alive", **fields: object) -> HealthMonitor:
    given = {
        "name": f"projects/acme/healthMonitors/{name}",
        "type": HealthMonitorType.HTTP,
        "delay": timedelta(seconds=5),
        "timeout": timedelta(seconds=2),
        "max_retries": 3,
        **fields,
    }
    return HealthMonitor(**given)


def vip(name: str = "front", **fields: object) -> Vip:
    given = {
        "name": f"projects/acme/vips/{name}",
        "pool": POOL,
        "protocol": Protocol.HTTP,
        "address": "192.0.2.10",
        "port": 80,
        **fields,
    }
    return Vip(**given)


def tree(**fields: object) -> PoolTree:
    given = {"pool": pool(), "members": (member(1), member(2)), "vips": (vip(),), **fields}
    return PoolTree(**given)

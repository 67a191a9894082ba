"""Objects that break no rule, to be broken one field at a time."""

from datetime import timedelta

from hypothesis import strategies as st

from lbaas.model.enums import (
    FleetKind,
    HealthMonitorType,
    LbMethod,
    Protocol,
    SessionPersistenceType,
)
from lbaas.model.objects import (
    Fleet,
    HealthMonitor,
    Member,
    Pool,
    PoolTree,
    Quota,
    ServiceType,
    SessionPersistence,
    Vip,
)

POOL = Pool(
    name="projects/acme/pools/web",
    protocol=Protocol.HTTP,
    lb_method=LbMethod.ROUND_ROBIN,
    health_monitors=("projects/acme/healthMonitors/check",),
)
MEMBER = Member(name="projects/acme/pools/web/members/m1", address="10.0.0.1", port=8080)
MONITOR = HealthMonitor(
    name="projects/acme/healthMonitors/check",
    type=HealthMonitorType.HTTP,
    delay=timedelta(seconds=5),
    timeout=timedelta(seconds=2),
    max_retries=3,
)
VIP = Vip(
    name="projects/acme/vips/web",
    pool=POOL.name,
    protocol=Protocol.HTTP,
    port=80,
    address="203.0.113.7",
)
SERVICE_TYPE = ServiceType(name="serviceTypes/default", default=True)
FLEET = Fleet(name="fleets/edge", kind=FleetKind.EDGE, vip_ranges=("203.0.113.0/24",))
QUOTA = Quota(name="projects/acme/quota")
TREE = PoolTree(pool=POOL, members=(MEMBER,), health_monitors=(MONITOR,), vips=(VIP,))


def persistence(
    kind: str, cookie_name: str = "", ttl: timedelta = timedelta(0)
) -> SessionPersistence:
    return SessionPersistence(type=SessionPersistenceType(kind), cookie_name=cookie_name, ttl=ttl)


ids = st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
"""Every id there can be."""

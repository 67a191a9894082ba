"""The shelves: which kind lies in which table. Only commands use them."""

from lbaas.model.names import (
    FLEET,
    HEALTH_MONITOR,
    MEMBER,
    POOL,
    SERVICE_TYPE,
    VIP,
    pool_of_member,
    project_of,
)
from lbaas.model.objects import Fleet, HealthMonitor, Member, Pool, ServiceType, Vip
from lbaas.store import tables
from lbaas.store.shelf import Shelf

POOLS: Shelf[Pool] = Shelf(
    POOL,
    tables.pools,
    Pool,
    elsewhere=frozenset({"health_monitors", "placement"}),
    extra=lambda pool: {"project": project_of(pool.name)},
)
"""Pools without their monitors and placement: `lbaas.store.pools` puts those on."""

MEMBERS: Shelf[Member] = Shelf(
    MEMBER,
    tables.members,
    Member,
    extra=lambda member: {
        "project": project_of(member.name),
        "pool": pool_of_member(member.name),
    },
)
HEALTH_MONITORS: Shelf[HealthMonitor] = Shelf(
    HEALTH_MONITOR,
    tables.health_monitors,
    HealthMonitor,
    extra=lambda monitor: {"project": project_of(monitor.name)},
)
VIPS: Shelf[Vip] = Shelf(VIP, tables.vips, Vip, extra=lambda vip: {"project": project_of(vip.name)})
SERVICE_TYPES: Shelf[ServiceType] = Shelf(SERVICE_TYPE, tables.service_types, ServiceType)
FLEETS: Shelf[Fleet] = Shelf(FLEET, tables.fleets, Fleet)

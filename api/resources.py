"""The kinds of resources: what differs between them, for `api.standard_methods`."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from api import facts
from api.conversion import health_monitors as health_monitor_conversion
from api.conversion import members as member_conversion
from api.conversion import operators as operator_conversion
from api.conversion import pools as pool_conversion
from api.conversion import vips as vip_conversion
from api.serving import Serving
from api.standard_methods import Resource
from lbaas.model.filter import Filter, parse
from lbaas.model.names import (
    FLEET,
    HEALTH_MONITOR,
    MEMBER,
    POOL,
    PROJECT,
    SERVICE_TYPE,
    VIP,
    Kind,
    pool_of_member,
)
from lbaas.model.objects import Fleet, HealthMonitor, Member, Pool, ServiceType, StoredObject, Vip
from lbaas.model.rules import (
    check_fleet,
    check_health_monitor,
    check_member,
    check_pool,
    check_service_type,
    check_vip,
)
from lbaas.store import fleets, health_monitors, members, pools, service_types, vips
from lbaas.store.transaction import Transaction
from lbaas.v1 import (
    fleet_pb2,
    health_monitor_pb2,
    member_pb2,
    pool_pb2,
    service_type_pb2,
    vip_pb2,
)


def _monitors_of(pool: Pool) -> Iterator[tuple[Kind, str]]:
    return ((HEALTH_MONITOR, name) for name in pool.health_monitors)


def _carry_vip(old: Vip, new: Vip) -> Vip:
    # An address that was allocated stays when an update that replaces all leaves it out.
    return replace(
        new,
        address=new.address or old.address,
        address_in_use_by=old.address_in_use_by,
        record=old.record,
    )


def _no_references(obj: StoredObject) -> tuple[tuple[Kind, str], ...]:  # noqa: ARG001
    return ()


def _page_of_members(
    tx: Transaction,
    parent: str,
    *,
    filter: Filter,  # noqa: A002  the API's word
    after: str,
    limit: int,
) -> tuple[Member, ...]:
    if POOL.parse(parent) is not None:
        pools.get(tx, parent)  # no pool is not an empty pool
    return members.page(tx, parent, filter=filter, after=after, limit=limit)


def _page_of_service_types(
    tx: Transaction,
    parent: str,  # noqa: ARG001  they have none
    *,
    filter: Filter,  # noqa: A002  the API's word
    after: str,
    limit: int,
) -> tuple[ServiceType, ...]:
    return service_types.page(tx, filter=filter, after=after, limit=limit)


def _page_of_fleets(
    tx: Transaction,
    parent: str,  # noqa: ARG001  they have none
    *,
    filter: Filter,  # noqa: A002  the API's word
    after: str,
    limit: int,
) -> tuple[Fleet, ...]:
    return fleets.page(tx, filter=filter, after=after, limit=limit)


POOLS: Resource[Pool, pool_pb2.Pool] = Resource(
    kind=POOL,
    message=pool_pb2.Pool,
    field="pool",
    parent=PROJECT,
    filter=partial(parse, kind=Pool),
    read=pool_conversion.read_pool,
    write=pool_conversion.write_pool,
    check=lambda pool, _: check_pool(pool),
    references=_monitors_of,
    carry=lambda old, new: replace(new, placement=old.placement, record=old.record),
    facts=facts.of_tenant_objects,
    show=pool_conversion.show_pool,
    see=Serving.see,
    near=lambda obj: obj.name,
    create=pools.create,
    get=pools.get,
    update=pools.update,
    page=pools.page,
)
MEMBERS: Resource[Member, member_pb2.Member] = Resource(
    kind=MEMBER,
    message=member_pb2.Member,
    field="member",
    parent=POOL,
    filter=partial(parse, kind=Member),
    read=member_conversion.read_member,
    write=member_conversion.write_member,
    check=lambda member, policy: check_member(member, policy=policy),
    references=_no_references,
    carry=lambda old, new: replace(
        new, drain_end=old.drain_end, drained=old.drained, record=old.record
    ),
    facts=facts.of_tenant_objects,
    show=member_conversion.show_member,
    see=Serving.see,
    near=lambda member: pool_of_member(member.name),
    create=members.create,
    get=members.get,
    update=members.update,
    page=_page_of_members,
)
HEALTH_MONITORS: Resource[HealthMonitor, health_monitor_pb2.HealthMonitor] = Resource(
    kind=HEALTH_MONITOR,
    message=health_monitor_pb2.HealthMonitor,
    field="health_monitor",
    parent=PROJECT,
    filter=partial(parse, kind=HealthMonitor),
    read=health_monitor_conversion.read_health_monitor,
    write=health_monitor_conversion.write_health_monitor,
    check=lambda monitor, _: check_health_monitor(monitor),
    references=_no_references,
    carry=lambda old, new: replace(new, record=old.record),
    facts=facts.of_tenant_objects,
    show=health_monitor_conversion.show_health_monitor,
    see=Serving.see,
    near=lambda obj: obj.name,
    create=health_monitors.create,
    get=health_monitors.get,
    update=health_monitors.update,
    page=health_monitors.page,
)
VIPS: Resource[Vip, vip_pb2.Vip] = Resource(
    kind=VIP,
    message=vip_pb2.Vip,
    field="vip",
    parent=PROJECT,
    filter=partial(parse, kind=Vip),
    read=vip_conversion.read_vip,
    write=vip_conversion.write_vip,
    check=lambda vip, _: check_vip(vip),
    references=lambda vip: [(POOL, vip.pool)],
    carry=_carry_vip,
    facts=facts.of_tenant_objects,
    show=vip_conversion.show_vip,
    see=Serving.see,
    near=lambda vip: vip.pool,
    create=vips.create,
    get=vips.get,
    update=vips.update,
    page=vips.page,
)
SERVICE_TYPES: Resource[ServiceType, service_type_pb2.ServiceType] = Resource(
    kind=SERVICE_TYPE,
    message=service_type_pb2.ServiceType,
    field="service_type",
    parent=None,
    filter=partial(parse, kind=ServiceType),
    read=operator_conversion.read_service_type,
    write=operator_conversion.write_service_type,
    check=lambda service_type, _: check_service_type(service_type),
    references=_no_references,
    carry=lambda old, new: replace(new, record=old.record),
    facts=facts.none,
    show=lambda service_type, *_: operator_conversion.show_service_type(service_type),
    see=Serving.see,
    near=lambda obj: obj.name,
    create=service_types.create,
    get=service_types.get,
    update=service_types.update,
    page=_page_of_service_types,
)
FLEETS: Resource[Fleet, fleet_pb2.Fleet] = Resource(
    kind=FLEET,
    message=fleet_pb2.Fleet,
    field="fleet",
    parent=None,
    filter=partial(parse, kind=Fleet),
    read=operator_conversion.read_fleet,
    write=operator_conversion.write_fleet,
    check=lambda fleet, _: check_fleet(fleet),
    references=_no_references,
    carry=lambda old, new: replace(new, draining=old.draining, pools=old.pools, record=old.record),
    facts=facts.none,
    show=lambda fleet, _, seen: operator_conversion.show_fleet(
        fleet,
        offered=seen.offered,
        connected=seen.connected,
        trial=seen.trial,
        held=seen.held_removals,
    ),
    see=Serving.see_fleet,
    near=lambda obj: obj.name,
    create=fleets.create,
    get=fleets.get,
    update=fleets.update,
    page=_page_of_fleets,
)

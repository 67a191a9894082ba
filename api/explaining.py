"""Explain: where an object lives and why, what renders it, what each node says of that."""

from api import facts
from api.conversion.pools import show_placement
from api.conversion.reading import Reading
from api.conversion.statuses import Facts, status_from, write_status
from api.fleet_view import NodeVerdict, ResourceView
from api.serving import Serving
from lbaas.model.enums import NodeState
from lbaas.model.errors import NotFound
from lbaas.model.names import HEALTH_MONITOR, MEMBER, POOL, VIP, kind_of, pool_of_member
from lbaas.model.objects import Fleet, HealthMonitor, Member, Pool, ServiceType, TenantObject, Vip
from lbaas.store import objects
from lbaas.store.transaction import Transaction
from lbaas.v1 import explanation_pb2

_TENANT_KINDS = (POOL, MEMBER, HEALTH_MONITOR, VIP)
_STATES = {
    NodeState.SYNCED: explanation_pb2.ResourceState.APPLIED,
    NodeState.REJECTED: explanation_pb2.ResourceState.REJECTED,
}


async def explain(serving: Serving, name: str) -> explanation_pb2.Explanation:
    """Gives the explanation of a tenant's object.

    Raises:
        InvalidArgument: It is no tenant object's name.
        NotFound: There is none.
    """
    check_tenant_name(name)
    obj, known, homes = await serving.store.read(lambda tx: _facts(tx, name))
    message = explanation_pb2.Explanation(name=name)
    message.status.name = name
    status = status_from(obj, known, serving.see(name), pool=home_of(obj))
    write_status(message.status, status)
    for pool in homes:
        part = message.pools.add(pool=pool.name)
        if pool.placement is not None:
            part.placement.CopyFrom(show_placement(pool.placement))
        part.resources.extend(
            _show(resource)
            for resource in serving.view.resources(pool.name)
            if isinstance(obj, Pool) or name in resource.objects
        )
    return message


def check_tenant_name(name: str) -> None:
    """Refuses what is no name of a pool, member, monitor or VIP.

    Raises:
        InvalidArgument: Field `name`.
    """
    if kind_of(name) not in _TENANT_KINDS:
        reading = Reading()
        reading.wrong("name", "is no name of a pool, member, health monitor or VIP", "INVALID_NAME")
        reading.finish()


def home_of(obj: TenantObject) -> str:
    """Gives the name of the pool that an object lives in; "" for a monitor."""
    match obj:
        case Pool():
            return obj.name
        case Member():
            return pool_of_member(obj.name)
        case Vip():
            return obj.pool
        case HealthMonitor():
            return ""


def tenant_object(tx: Transaction, name: str) -> TenantObject | None:
    """Gives a tenant's object, or None."""
    found = objects.get_many(tx, [name]).get(name)
    return None if isinstance(found, ServiceType | Fleet) else found


def _facts(tx: Transaction, name: str) -> tuple[TenantObject, Facts, list[Pool]]:
    obj = tenant_object(tx, name)
    if obj is None:
        kind = kind_of(name)
        raise NotFound(kind.title if kind else "object", name)
    known = facts.of_tenant_objects(tx, [obj])
    if isinstance(obj, Pool):
        return obj, known, [obj]
    if isinstance(obj, HealthMonitor):
        watched = objects.get_many(tx, known.monitored.get(name, ()))
        return obj, known, [each for each in watched.values() if isinstance(each, Pool)]
    return obj, known, list(known.pools.values())


def _show(resource: ResourceView) -> explanation_pb2.EnvoyResource:
    return explanation_pb2.EnvoyResource(
        type_url=resource.type_url,
        name=resource.name,
        version=resource.version,
        json=resource.json,
        objects=resource.objects,
        nodes=[_show_verdict(each) for each in resource.nodes],
    )


def _show_verdict(verdict: NodeVerdict) -> explanation_pb2.NodeVerdict:
    message = explanation_pb2.NodeVerdict(
        node=verdict.node,
        state=_STATES.get(verdict.state, explanation_pb2.ResourceState.PENDING),
        version=verdict.version,
        message=verdict.message,
        sent_version=verdict.sent,
    )
    if verdict.sent_at is not None:
        message.sent_time.FromDatetime(verdict.sent_at)
    return message

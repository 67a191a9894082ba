"""Whole trees: a pool with its members, monitors and VIPs."""

from collections.abc import Callable, Sequence

from api.conversion.health_monitors import read_health_monitor, show_health_monitor
from api.conversion.members import read_member, show_member
from api.conversion.pools import read_pool, show_pool
from api.conversion.reading import Reading
from api.conversion.statuses import Facts
from api.conversion.vips import read_vip, show_vip
from api.seen import Seen
from lbaas.model.objects import HealthMonitor, Member, Pool, PoolTree, TenantObject, Vip
from lbaas.v1 import load_balancer_pb2, vip_pb2


def read_tree(message: load_balancer_pb2.LoadBalancer, reading: Reading) -> PoolTree:
    """Gives the tree that a message describes, in the order in which it is written."""
    name = message.pool.name
    return PoolTree(
        pool=read_pool(message.pool, name, reading.under("pool")),
        members=tuple(
            read_member(each, each.name, reading.under(f"members[{index}]"))
            for index, each in enumerate(message.members)
        ),
        health_monitors=tuple(
            read_health_monitor(each, each.name, reading.under(f"health_monitors[{index}]"))
            for index, each in enumerate(message.health_monitors)
        ),
        vips=tuple(
            read_vip(_on_pool(each, name), each.name, reading.under(f"vips[{index}]"))
            for index, each in enumerate(message.vips)
        ),
    )


def show_tree(
    objects: Sequence[TenantObject],
    facts: Facts,
    look: Callable[[TenantObject], Seen],
    *,
    revision: int,
) -> load_balancer_pb2.LoadBalancer:
    """Gives a tree as it is answered; `objects` are all that is in it, in any order."""
    message = load_balancer_pb2.LoadBalancer(revision=revision)
    for obj in objects:
        seen = look(obj)
        match obj:
            case Pool():
                message.pool.CopyFrom(show_pool(obj, facts, seen))
            case Member():
                message.members.append(show_member(obj, facts, seen))
            case HealthMonitor():
                message.health_monitors.append(show_health_monitor(obj, facts, seen))
            case Vip():
                message.vips.append(show_vip(obj, facts, seen))
    return message


def _on_pool(vip: vip_pb2.Vip, pool: str) -> vip_pb2.Vip:
    if vip.pool:
        return vip
    copy = vip_pb2.Vip()
    copy.CopyFrom(vip)
    copy.pool = pool
    return copy

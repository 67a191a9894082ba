"""Changes, as a watch tells them."""

from api.conversion.health_monitors import show_health_monitor
from api.conversion.members import show_member
from api.conversion.pools import show_pool
from api.conversion.statuses import Facts
from api.conversion.vips import show_vip
from api.seen import Seen
from lbaas.model.objects import HealthMonitor, Member, Pool, TenantObject, Vip
from lbaas.v1 import watch_pb2


def show_change(obj: TenantObject, facts: Facts, seen: Seen, what: str) -> watch_pb2.ObjectChange:
    """Gives what happened to an object (a word of ChangeType) and what it is now."""
    change = watch_pb2.ObjectChange(type=watch_pb2.ChangeType.Code.Value(what))
    match obj:
        case Pool():
            change.pool.CopyFrom(show_pool(obj, facts, seen))
        case Member():
            change.member.CopyFrom(show_member(obj, facts, seen))
        case HealthMonitor():
            change.health_monitor.CopyFrom(show_health_monitor(obj, facts, seen))
        case Vip():
            change.vip.CopyFrom(show_vip(obj, facts, seen))
    return change

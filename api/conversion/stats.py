"""Traffic: only shown, never read."""

from api.conversion.statuses import write_time
from api.fleet_view import TrafficView
from lbaas.v1 import pool_pb2, vip_pb2


def show_pool_stats(pool: str, view: TrafficView) -> pool_pb2.PoolStats:
    """Gives the traffic of a pool, and of each of its members, sorted by name."""
    traffic = view.traffic
    message = pool_pb2.PoolStats(
        name=pool,
        bytes_in=traffic.bytes_in,
        bytes_out=traffic.bytes_out,
        active_connections=traffic.active_connections,
        total_connections=traffic.total_connections,
        requests=traffic.requests,
        errors=traffic.errors,
        nodes_reporting=view.reporting,
        nodes_total=view.total,
        members=[
            pool_pb2.MemberStats(
                name=name,
                active_connections=each.active_connections,
                total_connections=each.total_connections,
                requests=each.requests,
                errors=each.errors,
            )
            for name, each in sorted(view.members.items())
        ],
    )
    write_time(message.time, view.time)
    return message


def show_vip_stats(vip: str, view: TrafficView) -> vip_pb2.VipStats:
    """Gives the traffic of a VIP."""
    traffic = view.traffic
    message = vip_pb2.VipStats(
        name=vip,
        bytes_in=traffic.bytes_in,
        bytes_out=traffic.bytes_out,
        active_connections=traffic.active_connections,
        total_connections=traffic.total_connections,
        requests=traffic.requests,
        errors=traffic.errors,
        refused_connections=traffic.refused_connections,
        nodes_reporting=view.reporting,
        nodes_total=view.total,
    )
    write_time(message.time, view.time)
    return message

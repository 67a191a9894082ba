"""Pools."""

from api.conversion.reading import Reading
from api.conversion.statuses import Facts, status_from, write_record, write_status, write_time
from api.seen import Seen
from lbaas.model.enums import LbMethod, Protocol
from lbaas.model.objects import Placement, Pool
from lbaas.v1 import enums_pb2, pool_pb2


def read_pool(message: pool_pb2.Pool, name: str, reading: Reading) -> Pool:
    """Gives the pool that a message describes, under the name it has or is to have."""
    return Pool(
        name=name,
        display_name=message.display_name,
        description=message.description,
        labels=dict(sorted(message.labels.items())),
        admin_state_up=message.admin_state_up if message.HasField("admin_state_up") else True,
        protocol=reading.choice(
            "protocol",
            message.protocol,
            enums_pb2.Protocol.Code.Name,
            Protocol,
            instead=Protocol.HTTP,
        ),
        lb_method=reading.choice(
            "lb_method",
            message.lb_method,
            enums_pb2.LbMethod.Code.Name,
            LbMethod,
            instead=LbMethod.ROUND_ROBIN,
        ),
        health_monitors=tuple(message.health_monitors),
        service_type=message.service_type,
    )


def write_pool(pool: Pool) -> pool_pb2.Pool:
    """Gives what a tenant wrote of a pool."""
    return pool_pb2.Pool(
        name=pool.name,
        display_name=pool.display_name,
        description=pool.description,
        labels=pool.labels,
        admin_state_up=pool.admin_state_up,
        protocol=enums_pb2.Protocol.Code.Value(pool.protocol),
        lb_method=enums_pb2.LbMethod.Code.Value(pool.lb_method),
        health_monitors=pool.health_monitors,
        service_type=pool.service_type,
    )


def show_pool(pool: Pool, facts: Facts, seen: Seen) -> pool_pb2.Pool:
    """Gives the pool as it is answered: with record, status, placement and VIPs."""
    message = write_pool(pool)
    write_record(message, pool.record)
    write_status(message, status_from(pool, facts, seen))
    message.vips.extend(facts.vips.get(pool.name, ()))
    if pool.placement is not None:
        message.placement.CopyFrom(show_placement(pool.placement))
    return message


def show_placement(placement: Placement) -> pool_pb2.Placement:
    """Gives where a pool lives, or why nowhere."""
    message = pool_pb2.Placement(
        fleet=placement.fleet, reason=placement.reason, leaving_fleet=placement.leaving
    )
    write_time(message.time, placement.time)
    return message

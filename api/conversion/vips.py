"""VIPs."""

from api.conversion.reading import Reading
from api.conversion.statuses import Facts, status_from, write_record, write_status
from api.seen import Seen
from lbaas.model.enums import Protocol, SessionPersistenceType
from lbaas.model.objects import UNLIMITED, SessionPersistence, Vip
from lbaas.v1 import enums_pb2, vip_pb2


def read_vip(message: vip_pb2.Vip, name: str, reading: Reading) -> Vip:
    """Gives the VIP that a message describes, under the name it has or is to have."""
    return Vip(
        name=name,
        display_name=message.display_name,
        description=message.description,
        labels=dict(sorted(message.labels.items())),
        admin_state_up=message.admin_state_up if message.HasField("admin_state_up") else True,
        pool=message.pool,
        address=message.address,
        port=message.port,
        protocol=reading.choice(
            "protocol",
            message.protocol,
            enums_pb2.Protocol.Code.Name,
            Protocol,
            instead=Protocol.HTTP,
        ),
        session_persistence=_read_persistence(message, reading),
        connection_limit=(
            message.connection_limit if message.HasField("connection_limit") else UNLIMITED
        ),
    )


def write_vip(vip: Vip) -> vip_pb2.Vip:
    """Gives what a tenant wrote of a VIP."""
    message = vip_pb2.Vip(
        name=vip.name,
        display_name=vip.display_name,
        description=vip.description,
        labels=vip.labels,
        admin_state_up=vip.admin_state_up,
        pool=vip.pool,
        address=vip.address,
        port=vip.port,
        protocol=enums_pb2.Protocol.Code.Value(vip.protocol),
        connection_limit=vip.connection_limit,
    )
    persistence = vip.session_persistence
    if persistence is not None:
        message.session_persistence.type = enums_pb2.SessionPersistenceType.Code.Value(
            persistence.type
        )
        message.session_persistence.cookie_name = persistence.cookie_name
        if persistence.ttl:
            message.session_persistence.ttl.FromTimedelta(persistence.ttl)
    return message


def show_vip(vip: Vip, facts: Facts, seen: Seen) -> vip_pb2.Vip:
    """Gives the VIP as it is answered: with record, status and each node's share of the limit."""
    message = write_vip(vip)
    write_record(message, vip.record)
    write_status(message, status_from(vip, facts, seen, pool=vip.pool))
    for node, limit in sorted(seen.connection_limits.items()):
        message.node_connection_limits.add(node=node, connection_limit=limit)
    return message


def _read_persistence(message: vip_pb2.Vip, reading: Reading) -> SessionPersistence | None:
    if not message.HasField("session_persistence"):
        return None
    part, inner = message.session_persistence, reading.under("session_persistence")
    return SessionPersistence(
        type=inner.choice(
            "type",
            part.type,
            enums_pb2.SessionPersistenceType.Code.Name,
            SessionPersistenceType,
            instead=SessionPersistenceType.HTTP_COOKIE,
        ),
        cookie_name=part.cookie_name,
        ttl=inner.duration("ttl", part.ttl, given=part.HasField("ttl")),
    )

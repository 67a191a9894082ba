"""Members."""

from api.conversion.reading import Reading
from api.conversion.statuses import Facts, status_from, write_record, write_status, write_time
from api.seen import Seen
from lbaas.model.health import NodeVerdict
from lbaas.model.names import pool_of_member
from lbaas.model.objects import Member
from lbaas.v1 import member_pb2, status_pb2


def read_member(message: member_pb2.Member, name: str, reading: Reading) -> Member:
    """Gives the member that a message describes, under the name it has or is to have."""
    return Member(
        name=name,
        display_name=message.display_name,
        description=message.description,
        labels=dict(sorted(message.labels.items())),
        admin_state_up=message.admin_state_up if message.HasField("admin_state_up") else True,
        address=message.address,
        port=message.port,
        weight=message.weight if message.HasField("weight") else 1,
        backup=message.backup,
        drain_timeout=reading.duration(
            "drain_timeout", message.drain_timeout, given=message.HasField("drain_timeout")
        ),
    )


def write_member(member: Member) -> member_pb2.Member:
    """Gives what a tenant wrote of a member."""
    message = member_pb2.Member(
        name=member.name,
        display_name=member.display_name,
        description=member.description,
        labels=member.labels,
        admin_state_up=member.admin_state_up,
        address=member.address,
        port=member.port,
        weight=member.weight,
        backup=member.backup,
    )
    message.drain_timeout.FromTimedelta(member.drain_timeout)
    return message


def show_member(member: Member, facts: Facts, seen: Seen) -> member_pb2.Member:
    """Gives the member as it is answered: with record, status, verdicts and the drain's end."""
    message = write_member(member)
    write_record(message, member.record)
    status = status_from(member, facts, seen, pool=pool_of_member(member.name))
    write_status(message, status)
    message.verdicts.extend(_show_verdict(each) for each in seen.health.verdicts)
    if member.drain_end is not None and not member.drained:
        write_time(message.drain_end_time, member.drain_end)
    return message


def _show_verdict(verdict: NodeVerdict) -> member_pb2.MemberVerdict:
    message = member_pb2.MemberVerdict(
        node=verdict.node,
        operating_status=status_pb2.OperatingStatus.Code.Value(verdict.status),
        failed_health_monitor=verdict.monitor,
        cause=verdict.cause,
    )
    write_time(message.time, verdict.time)
    return message

"""Members."""

from api.conversion.reading import Reading
from api.conversion.statuses import Facts, status_from, write_record, write_status
from lbaas.model.names import pool_of_member
from lbaas.model.objects import Member
from lbaas.model.status import Progress
from lbaas.v1 import member_pb2


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


def show_member(member: Member, facts: Facts, progress: Progress) -> member_pb2.Member:
    """Gives the member as it is answered: with record and status."""
    message = write_member(member)
    write_record(message, member.record)
    status = status_from(member, facts, progress, pool=pool_of_member(member.name))
    write_status(message, status)
    return message

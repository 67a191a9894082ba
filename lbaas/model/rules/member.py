"""Rules for a member."""

from datetime import timedelta

from lbaas.model.errors import Violation
from lbaas.model.names import MEMBER
from lbaas.model.objects import Member
from lbaas.model.rules.addresses import STRICT, AddressPolicy, check_member_address
from lbaas.model.rules.bounds import lasting, within
from lbaas.model.rules.text import check_described

MAX_PORT = 65535
MAX_WEIGHT = 256
MAX_DRAIN = timedelta(hours=24)


def check_member(member: Member, *, policy: AddressPolicy = STRICT) -> tuple[Violation, ...]:
    """Gives every rule that the member breaks; `policy` is what the operator allows beyond."""
    return (
        *check_described(member, MEMBER),
        *check_member_address("address", member.address, policy=policy),
        *within("port", member.port, low=1, high=MAX_PORT),
        *within("weight", member.weight, low=0, high=MAX_WEIGHT),
        *lasting("drain_timeout", member.drain_timeout, low=timedelta(0), high=MAX_DRAIN),
    )

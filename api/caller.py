"""Who calls, and what they may do: the one place where that is decided.

The server listens on loopback only (`api.server` refuses anything else), and who can reach
loopback runs on this machine: every caller has the operator's role, in every project.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import grpc.aio

from lbaas.model.errors import PermissionDenied

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
"""What gRPC knows of a call."""


class Role(StrEnum):
    """What a caller may do: a member writes in its projects, an operator everywhere."""

    READER = "reader"
    MEMBER = "member"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call."""

    subject: str
    role: Role

    def must_operate(self) -> None:
        """Refuses whoever is no operator.

        Raises:
            PermissionDenied: The caller has another role.
        """
        if self.role is not Role.OPERATOR:
            raise PermissionDenied("only an operator may do this", reason="OPERATOR_ROLE_REQUIRED")


def caller_of(context: Context) -> Caller:
    """Gives who makes the call in this context."""
    return Caller(subject=context.peer(), role=Role.OPERATOR)

"""The one error tree of the domain.

    LbaasError                  carries `reason` (UPPER_SNAKE, stable), `message`, `metadata`
    +- InvalidArgument          `violations`: all of them at once
    +- NotFound                 `resource_type`, `resource_name`
    +- AlreadyExists            `resource_type`, `resource_name`
    +- FailedPrecondition       `subject`: what stands in the way
    +- QuotaExceeded            `subject`: the project and the limit
    +- Aborted                  etag mismatch
    +- PermissionDenied         the caller's role does not allow it
    +- Unavailable              the store cannot be reached; `retry_after` seconds

`api/` maps each to a google.rpc.Status (AIP-193); nothing else raises across a room's border.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: the field's path as in the proto (`members[2].port`), and what to do."""

    field: str
    description: str
    reason: str = "INVALID_VALUE"


class LbaasError(Exception):
    """The root: anything the domain refuses to do."""

    def __init__(self, message: str, *, reason: str, metadata: Mapping[str, str] = NOTHING) -> None:
        """Takes the message for people, the stable reason and metadata for programs."""
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = metadata


class InvalidArgument(LbaasError):
    """The request breaks rules, whatever is stored; carries every violation."""

    def __init__(self, violations: Sequence[Violation], *, reason: str = "INVALID_OBJECT") -> None:
        """Takes all violations; the message joins them."""
        message = "; ".join(f"{each.field}: {each.description}" for each in violations)
        super().__init__(message, reason=reason)
        self.violations = tuple(violations)


class NotFound(LbaasError):
    """No such object, or another project's."""

    def __init__(self, resource_type: str, resource_name: str) -> None:
        """Takes the kind's title and the name asked for."""
        super().__init__(
            f"{resource_type} {resource_name!r} does not exist", reason="RESOURCE_NOT_FOUND"
        )
        self.resource_type = resource_type
        self.resource_name = resource_name


class AlreadyExists(LbaasError):
    """The name, or the address and port, is taken."""

    def __init__(
        self, resource_type: str, resource_name: str, message: str = "", *, reason: str = ""
    ) -> None:
        """Takes the kind and name of what is in the way."""
        super().__init__(
            message or f"{resource_type} {resource_name!r} already exists",
            reason=reason or "RESOURCE_ALREADY_EXISTS",
        )
        self.resource_type = resource_type
        self.resource_name = resource_name


class FailedPrecondition(LbaasError):
    """Right in itself, but not as things stand."""

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        subject: str,
        metadata: Mapping[str, str] = NOTHING,
    ) -> None:
        """Takes the message, the reason and the name of what stands in the way."""
        super().__init__(message, reason=reason, metadata=metadata)
        self.subject = subject


class QuotaExceeded(LbaasError):
    """The project has as many of these as it may."""

    def __init__(self, project: str, resource_type: str, limit: int) -> None:
        """Takes the project id, the kind's plural and the limit."""
        super().__init__(
            f"project {project!r} may have {limit} {resource_type}, and has them;"
            f" delete one or ask the operator for more",
            reason="QUOTA_EXCEEDED",
            metadata={"resource": resource_type, "limit": str(limit)},
        )
        self.subject = f"projects/{project}"


class Aborted(LbaasError):
    """Somebody else changed the object since its etag was read."""

    def __init__(self, name: str, given: str, current: str) -> None:
        """Takes the object's name, the etag given and the current one."""
        super().__init__(
            f"{name!r} has changed since you read it (etag {given}, now {current});"
            f" read it again and repeat",
            reason="ETAG_MISMATCH",
            metadata={"etag": current},
        )


class PermissionDenied(LbaasError):
    """The caller's role does not allow this call."""


class Unavailable(LbaasError):
    """The store cannot be reached now."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        """Takes the message and after how many seconds to try again."""
        super().__init__(message, reason="STORE_UNAVAILABLE")
        self.retry_after = retry_after

"""Every error as a google.rpc.Status (AIP-193): code, message, and details for programs.

    InvalidArgument     INVALID_ARGUMENT     BadRequest with every violation
    NotFound            NOT_FOUND            ResourceInfo
    AlreadyExists       ALREADY_EXISTS       ResourceInfo
    FailedPrecondition  FAILED_PRECONDITION  PreconditionFailure
    QuotaExceeded       RESOURCE_EXHAUSTED   QuotaFailure
    Aborted, Replaced   ABORTED
    PermissionDenied    PERMISSION_DENIED
    Unavailable         UNAVAILABLE          RetryInfo
    anything else       INTERNAL             an id that is in the log beside the exception

Each carries ErrorInfo {reason, domain `tidegate`, metadata} first.
"""

import secrets

import structlog
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from lbaas.model.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    LbaasError,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    Unavailable,
    Violation,
)

DOMAIN = "tidegate"

_log = structlog.get_logger(__name__)

# Both travel in trailers, and clients refuse trailers of more than 8 KiB (gRPC's soft limit):
# the message may triple when it is percent-encoded, the details grow by a third in base64.
_MESSAGE_BYTES = 512
_DETAILS_BYTES = 4096
_DESCRIPTION_CHARACTERS = 300
_FIELD_CHARACTERS = 120

_CODES: dict[type[LbaasError], int] = {
    InvalidArgument: code_pb2.INVALID_ARGUMENT,
    NotFound: code_pb2.NOT_FOUND,
    AlreadyExists: code_pb2.ALREADY_EXISTS,
    FailedPrecondition: code_pb2.FAILED_PRECONDITION,
    QuotaExceeded: code_pb2.RESOURCE_EXHAUSTED,
    Aborted: code_pb2.ABORTED,
    PermissionDenied: code_pb2.PERMISSION_DENIED,
    Unavailable: code_pb2.UNAVAILABLE,
}


class Replaced(LbaasError):
    """A newer stream of the same node has come, and the newest counts."""

    def __init__(self) -> None:
        """Takes nothing."""
        super().__init__("another agent has connected for this node", reason="REPLACED")


_CODES[Replaced] = code_pb2.ABORTED


class Stopping(Unavailable):
    """The server ends; another one, or this one again, will answer."""

    def __init__(self) -> None:
        """Takes nothing."""
        super().__init__("the server is stopping; call again")
        self.reason = "SERVER_STOPPING"


def to_status(error: BaseException) -> status_pb2.Status:
    """Gives the google.rpc.Status of an error; of an unknown one, INTERNAL with an opaque id.

    The unknown one is logged with its traceback beside the id; nothing of it is in the answer.
    """
    if not isinstance(error, LbaasError):
        return _internal(error)
    code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), code_pb2.UNKNOWN)
    if code == code_pb2.UNKNOWN:
        return _internal(error)
    status = status_pb2.Status(code=code, message=clip(error.message, size=_MESSAGE_BYTES))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    for key, value in error.metadata.items():
        info.metadata[key] = clip(value, size=_DESCRIPTION_CHARACTERS)
    _pack(status, info)
    detail = _detail(error)
    if detail is not None:
        _pack(status, detail)
    return status


def clip(text: str, *, size: int) -> str:
    """Gives at most `size` bytes of UTF-8, cut at a character, an ellipsis where it was cut."""
    clean = text.encode("utf-8", "replace")
    if len(clean) <= size:
        return clean.decode()
    return clean[: size - 3].decode("utf-8", "ignore") + "…"


def _internal(error: BaseException) -> status_pb2.Status:
    incident = secrets.token_hex(8)
    _log.error("api.internal_error", incident=incident, exc_info=error)
    status = status_pb2.Status(
        code=code_pb2.INTERNAL,
        message=f"internal error; the operator finds it in the log under {incident}",
    )
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN)
    info.metadata["incident"] = incident
    _pack(status, info)
    return status


def _detail(error: LbaasError) -> Message | None:
    match error:
        case InvalidArgument():
            return _bad_request(error.violations)
        case NotFound() | AlreadyExists():
            return error_details_pb2.ResourceInfo(
                resource_type=error.resource_type,
                resource_name=clip(error.resource_name, size=_DESCRIPTION_CHARACTERS),
                description=clip(error.message, size=_MESSAGE_BYTES),
            )
        case FailedPrecondition():
            failure = error_details_pb2.PreconditionFailure()
            failure.violations.add(
                type=error.reason,
                subject=clip(error.subject, size=_DESCRIPTION_CHARACTERS),
                description=clip(error.message, size=_MESSAGE_BYTES),
            )
            return failure
        case QuotaExceeded():
            quota = error_details_pb2.QuotaFailure()
            quota.violations.add(subject=error.subject, description=error.message)
            return quota
        case Unavailable():
            seconds = int(error.retry_after)
            nanos = int((error.retry_after - seconds) * 1_000_000_000)
            return error_details_pb2.RetryInfo(
                retry_delay=duration_pb2.Duration(seconds=seconds, nanos=nanos)
            )
        case _:
            return None


def _bad_request(violations: tuple[Violation, ...]) -> error_details_pb2.BadRequest:
    """Gives all violations; when they outgrow the trailers, the last one counts the rest."""
    request = error_details_pb2.BadRequest()
    size = 0
    for index, violation in enumerate(violations):
        one = error_details_pb2.BadRequest.FieldViolation(
            field=clip(violation.field, size=_FIELD_CHARACTERS),
            description=clip(violation.description, size=_DESCRIPTION_CHARACTERS),
            reason=violation.reason,
        )
        size += one.ByteSize() + 4
        if size > _DETAILS_BYTES:
            request.field_violations.add(
                description=f"and {len(violations) - index} more violations", reason="MORE"
            )
            break
        request.field_violations.append(one)
    return request


def _pack(status: status_pb2.Status, detail: Message) -> None:
    status.details.add().Pack(detail)

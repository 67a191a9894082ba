"""A call's error (google.rpc.Status, AIP-193) in words: what, why, and the next command."""

from collections.abc import Collection, Sequence

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from tidegate.cli.failure import CommandError, Exit
from tidegate.cli.json_value import JsonObject, text
from tidegate.cli.nouns import NOUNS, noun_of, short_name
from tidegate.cli.option_names import option_of

_EXITS = {
    grpc.StatusCode.INVALID_ARGUMENT: Exit.USAGE,
    grpc.StatusCode.OUT_OF_RANGE: Exit.USAGE,
    grpc.StatusCode.NOT_FOUND: Exit.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: Exit.CONFLICT,
    grpc.StatusCode.ABORTED: Exit.CONFLICT,
    grpc.StatusCode.FAILED_PRECONDITION: Exit.CONFLICT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Exit.CONFLICT,
    grpc.StatusCode.PERMISSION_DENIED: Exit.CONFLICT,
    grpc.StatusCode.UNIMPLEMENTED: Exit.CONFLICT,
    grpc.StatusCode.UNAUTHENTICATED: Exit.CONFLICT,
    grpc.StatusCode.DEADLINE_EXCEEDED: Exit.UNAVAILABLE,
    grpc.StatusCode.UNAVAILABLE: Exit.UNAVAILABLE,
}
# What to do about a refusal that depends on how things stand; {} is the object's short name.
_AFTER = {
    "ADDRESS_IN_USE": ("vip list",),
    "MEMBER_ADDRESS_IN_USE": ("member list",),
    "ADDRESS_NOT_ON_FLEET": ("fleet list",),
    "CAPABILITY_MISSING": ("fleet list -o wide", "status"),
    "FLEET_IN_USE": ("fleet drain {}", "fleet get {}"),
    "NOTHING_HELD": ("fleet get {}",),
    "HEALTH_MONITOR_IN_USE": ("monitor get {}", "pool disassociate POOL {}"),
    "POOL_HAS_MEMBERS": ("pool delete {} --force",),
    "POOL_HAS_VIPS": ("vip list", "pool delete {} --tree"),
    "REVISION_COMPACTED": ("watch --from 0",),
    "SERVICE_TYPE_IN_USE": ("pool list -o wide",),
}


def refusal(
    error: grpc.RpcError,
    *,
    server: str,
    command: str,
    request: JsonObject,
    options: Collection[str] = (),
) -> CommandError:
    """Gives a failed call as the command's error, with every violation.

    `options` are the command's own: a field that one of them sets is called by its name.
    """
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    said = (error.details() if isinstance(error, grpc.Call) else None) or str(error)
    if code is grpc.StatusCode.UNAVAILABLE and not _details(error):
        return CommandError(
            f"no answer from {server}",
            why=[_plain(said)],
            following=["tidegate serve", "tidegate demo", "say --server HOST:PORT"],
            code=Exit.UNAVAILABLE,
        )
    details = _details(error)
    why = _why(details, options)
    reasons = (each.reason for each in details if isinstance(each, error_details_pb2.ErrorInfo))
    reason = next(reasons, code.name)
    found_not = code is grpc.StatusCode.NOT_FOUND
    return CommandError(
        f"{command.removeprefix('tidegate ')}: {_headline(said, why)}",
        why=why if len(why) > 1 else (),
        following=_following(code, command=command, request=request, details=details),
        code=_EXITS.get(code, Exit.FAULT),
        reason=reason,
        missing=_subject(details, request) if found_not else "",
    )


def _headline(said: str, why: Sequence[str]) -> str:
    # The server's message joins the violations; they follow line by line.
    if len(why) > 1:
        return f"{len(why)} things are wrong"
    return why[0] if why else said


def _details(error: grpc.RpcError) -> list[Message]:
    if not isinstance(error, grpc.Call):
        return []
    try:
        status: Status | None = rpc_status.from_call(error)
    except ValueError:  # code and details disagree: the server is not ours
        return []
    found: list[Message] = []
    for packed in status.details if status is not None else ():
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.BadRequest,
            error_details_pb2.ResourceInfo,
            error_details_pb2.PreconditionFailure,
            error_details_pb2.QuotaFailure,
        ):
            if packed.Is(kind.DESCRIPTOR):
                message = kind()
                packed.Unpack(message)
                found.append(message)
    return found


def _why(details: Sequence[Message], options: Collection[str]) -> list[str]:
    lines: list[str] = []
    for each in details:
        if isinstance(each, error_details_pb2.BadRequest):
            lines += [
                f"{option_of(wrong.field, options)}: {wrong.description}"
                for wrong in each.field_violations
            ]
    return lines


def _subject(details: Sequence[Message], request: JsonObject) -> str:
    """Gives the name of the object that an error is about."""
    named = (
        each.resource_name
        for each in details
        if isinstance(each, error_details_pb2.ResourceInfo) and each.resource_name
    )
    return next(named, text(request, "name"))


def _following(
    code: grpc.StatusCode, *, command: str, request: JsonObject, details: Sequence[Message]
) -> list[str]:
    noun = next((each for each in NOUNS if f" {each.word} " in f"{command} "), None)
    name = _subject(details, request)
    kind = noun_of(name) or noun
    known = f"{kind.word} get {short_name(name)}" if kind and name else "status"
    reason = next((e.reason for e in details if isinstance(e, error_details_pb2.ErrorInfo)), "")
    if reason in _AFTER:
        short = short_name(name) if name else "NAME"
        return [f"tidegate {each.format(short)}" for each in _AFTER[reason]]
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT:
            return [f"{command} --help"]
        case grpc.StatusCode.NOT_FOUND:
            pool = f" {short_name(name).split('/')[0]}" if kind and kind.word == "member" else ""
            return [f"tidegate {kind.word} list{pool}" if kind else "tidegate status"]
        case grpc.StatusCode.ALREADY_EXISTS:
            return [f"tidegate {known}"]
        case grpc.StatusCode.ABORTED:
            return [f"tidegate {known} -o json", "try again with its etag"]
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return ["tidegate quota get"]
        case _:
            return []


def _plain(said: str) -> str:
    # grpc wraps the reason: "failed to connect to all addresses; last error: UNKNOWN: ipv4:...:
    # Failed to connect to remote host: connect: Connection refused (111)".
    return said.rsplit("last error: ", 1)[-1].removeprefix("UNKNOWN: ")

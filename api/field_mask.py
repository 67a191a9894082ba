"""Updates by field mask (AIP-134), from the descriptors' own field behaviour.

    no mask     the fields that are set are written; what is left out stays
    paths       each is written or, where it is left out, cleared; `labels.env` names one label,
                `session_persistence.ttl` one field inside a message
    `*`         everything that may be written is replaced

What is output only is ignored unless a path names it; an immutable field may be repeated as it
is. So an object that was read can be changed and sent back whole.
"""

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from lbaas.model.errors import Violation

M = TypeVar("M", bound=Message)

_IMMUTABLE = field_behavior_pb2.IMMUTABLE
_IDENTIFIER = field_behavior_pb2.IDENTIFIER
_OUTPUT_ONLY = field_behavior_pb2.OUTPUT_ONLY
# The stubs know the extension of one library and the options of the other.
_BEHAVIOUR = cast("Any", field_behavior_pb2.field_behavior)
_CONDITIONS = frozenset({"etag"})
"""Fields that say something of the request, not of the object."""


def merged(current: M, patch: M, mask: FieldMask | None, violations: list[Violation]) -> M:
    """Gives the object as it is to be: `current` with what `patch` changes under the mask.

    Args:
        current: What is stored, as its message.
        patch: What the caller sent.
        mask: None where the caller sent none.
        violations: Collects what is wrong with the mask, and immutable fields that would change.
    """
    wanted = type(current)()
    wanted.CopyFrom(current)
    _refuse_immutable_changes(current, patch, violations)
    if mask is None:
        for field, _ in patch.ListFields():
            if _writable(field):
                _copy(field, patch, wanted)
        return wanted
    if not mask.paths:
        violations.append(
            Violation(
                "update_mask",
                "names no field; leave it out to write the fields that are set,"
                " or use `*` to replace all",
                "EMPTY_MASK",
            )
        )
    if "*" in mask.paths:
        if len(mask.paths) > 1:
            violations.append(
                Violation("update_mask", "`*` stands alone: it replaces all", "INVALID_MASK")
            )
        for field in _fields(wanted):
            if _writable(field):
                _copy(field, patch, wanted)
        return wanted
    for path in mask.paths:
        _write(path, patch=patch, wanted=wanted, violations=violations)
    return wanted


def behaviours(field: FieldDescriptor) -> frozenset[int]:
    """Gives the google.api.field_behavior values of a field."""
    return frozenset(field.GetOptions().Extensions[_BEHAVIOUR])


def _writable(field: FieldDescriptor) -> bool:
    if field.name in _CONDITIONS:
        return False
    return not behaviours(field) & {_IMMUTABLE, _IDENTIFIER, _OUTPUT_ONLY}


def _write(path: str, *, patch: Message, wanted: Message, violations: list[Violation]) -> None:
    """Writes what one path names."""
    first, _, rest = path.partition(".")
    field = next((each for each in _fields(wanted) if each.name == first), None)
    if field is None:
        known = ", ".join(each.name for each in _fields(wanted) if _writable(each))
        _refuse(violations, path, f"is no field; there are {known}", "UNKNOWN_FIELD")
    elif not _writable(field):
        marks = behaviours(field)
        if marks & {_IMMUTABLE}:
            _refuse(violations, path, "is immutable: it is set once, on create", "IMMUTABLE_FIELD")
        else:
            _refuse(violations, path, "is written by the server alone", "OUTPUT_ONLY_FIELD")
    elif not rest:
        _copy(field, patch, wanted)
    elif _is_map(field):
        given, kept = getattr(patch, first), getattr(wanted, first)
        if rest in given:
            kept[rest] = given[rest]
        elif rest in kept:
            del kept[rest]
    elif field.message_type is None or field.is_repeated:
        _refuse(violations, path, f"goes too deep: name {first!r} as a whole", "INVALID_MASK")
    else:
        inner: list[Violation] = []
        _write(rest, patch=getattr(patch, first), wanted=getattr(wanted, first), violations=inner)
        for each in inner:
            _refuse(violations, path, each.description, each.reason)


def _copy(field: FieldDescriptor, source: Message, target: Message) -> None:
    """Makes one field of the target what it is in the source, set or not."""
    name = field.name
    target.ClearField(name)
    value = getattr(source, name)
    if field.is_repeated:
        getattr(target, name).MergeFrom(value)
    elif field.message_type is not None:
        if source.HasField(name):
            getattr(target, name).CopyFrom(value)
    elif not field.has_presence or source.HasField(name):
        setattr(target, name, value)


def _refuse_immutable_changes(
    current: Message, patch: Message, violations: list[Violation]
) -> None:
    for field, value in patch.ListFields():
        if _IMMUTABLE in behaviours(field) and value != getattr(current, field.name):
            violations.append(
                Violation(
                    field.name,
                    "is immutable: it is set once, on create; create another object instead",
                    "IMMUTABLE_FIELD",
                )
            )


def _fields(message: Message) -> Sequence[FieldDescriptor]:
    return cast("Sequence[FieldDescriptor]", message.DESCRIPTOR.fields)


def _is_map(field: FieldDescriptor) -> bool:
    entry = field.message_type
    return entry is not None and bool(entry.GetOptions().map_entry)


def _refuse(violations: list[Violation], path: str, problem: str, reason: str) -> None:
    shown = path if len(path) <= 60 else path[:60] + "..."  # noqa: PLR2004  to be read, not parsed
    violations.append(Violation("update_mask", f"{shown!r} {problem}", reason))

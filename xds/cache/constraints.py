"""Whether a message keeps the constraints that Envoy declares in its protos.

Envoy refuses a whole response for one message that breaks one (measured, 1.40: a reconnect with
one bad listener among 13 left the node with none). The rules (`validate.rules`) are options of the
descriptors, so they are checked here as Envoy checks them, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any as Value
from typing import cast

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from validate import validate_pb2

from xds.cache.rules import DEADLY, DIFFERENT_IN_ENVOY, Check, check_of

UNKEPT = "not sent, for Envoy's constraints are not kept"
"""How the text of each fault begins."""

LONGEST_FAULT = 2048
"""Characters of a fault's text that are kept."""

_NOTHING: Sequence[str] = ()
_KEPT = 256
_UNREAD = frozenset({"envoy.config.core.v3.Metadata.typed_filter_metadata"})
"""Messages in an `Any` that Envoy leaves packed unless an extension asks for them."""

_LARGEST = 4096
"""Bytes of a message that is remembered as good; larger ones are rare, and would be kept alive."""

_UNCHECKED = "envoy.extensions.load_balancing_policies."
_CHECKED = frozenset({f"{_UNCHECKED}override_host.v3.OverrideHost"})
"""Of the policies Envoy 1.40 checks this one: with `choice_count` 0 it serves (measured)."""

_ANY = Any.DESCRIPTOR.full_name
_Look = Callable[[Value], Sequence[str]]


def violations(message: Message) -> Sequence[str]:
    """Gives every constraint that a message breaks, or a message in it: `field.path: rule`.

    What is packed in an `Any` is checked too, if its type is known here; Envoy does so when it
    unpacks it. Costs 10 to 50 us for a resource of a load balancer.
    """
    return _look_at(message, plan_of(cast("Descriptor", message.DESCRIPTOR)))


def fault(message: Message) -> str:
    """Gives what is wrong with a message in one text, empty if nothing is."""
    found = violations(message)
    if not found:
        return ""
    return f"{UNKEPT} ({'; '.join(found)})"[:LONGEST_FAULT]


@dataclass(frozen=True, slots=True)
class _Field:
    """What is to be looked at in a field that is set; `missing`: the violation if it is not."""

    name: str
    look: _Look | None
    missing: str = ""


@dataclass(slots=True)
class Plan:
    """What is to be looked at in messages of one type, compiled once.

    Attributes:
        unread: rules of which nothing is known here; those of the protos in use have none.
        good: messages in which nothing was found, as bytes: most of what is in a resource is the
            same in thousands of them.
    """

    fields: dict[int, _Field] = field(default_factory=dict)
    needed: int = 0
    oneofs: tuple[str, ...] = ()
    unread: list[str] = field(default_factory=list)
    good: set[bytes] = field(default_factory=set)


_plans: dict[str, Plan] = {}
_classes: dict[str, tuple[type[Message], Plan]] = {}
_reaching: dict[str, bool] = {_ANY: True}


def plan_of(descriptor: Descriptor) -> Plan:
    """Gives what is to be looked at in messages of a type."""
    plan = _plans.get(descriptor.full_name)
    if plan is None:
        plan = _plans[descriptor.full_name] = Plan()  # before its fields: types contain themselves
        _compile(descriptor, plan)
    return plan


def _look_into(message: Message, plan: Plan) -> Sequence[str]:
    """Looks at a message in another one; to see that it was seen costs a tenth of that."""
    if message.ByteSize() > _LARGEST:
        return _look_at(message, plan)
    body = message.SerializePartialToString()
    if body in plan.good:
        return _NOTHING
    found = _look_at(message, plan)
    if not found:
        if len(plan.good) >= _KEPT:
            plan.good.clear()
        plan.good.add(body)
    return found


def _look_at(message: Message, plan: Plan) -> Sequence[str]:
    found: list[str] = []
    fields, needed = plan.fields, plan.needed
    for descriptor, value in message.ListFields():
        each = fields.get(descriptor.number)
        if each is None:
            continue
        if each.missing:
            needed -= 1
        if each.look is not None and (some := each.look(value)):
            found.extend(some)
    if needed:
        there = {descriptor.number for descriptor, _ in message.ListFields()}
        found.extend(
            f"{each.name}: {each.missing}"
            for number, each in fields.items()
            if each.missing and number not in there
        )
    found.extend(f"{name}: is required" for name in plan.oneofs if message.WhichOneof(name) is None)
    return found or _NOTHING


def _compile(descriptor: Descriptor, plan: Plan) -> None:
    plan.oneofs = tuple(
        oneof.name
        for oneof in descriptor.oneofs
        if oneof.GetOptions().Extensions[validate_pb2.required]
    )
    for each in descriptor.fields:
        made = _field(each, plan)
        if made is not None:
            plan.fields[each.number] = made
            plan.needed += bool(made.missing)


def rules_of(descriptor: FieldDescriptor) -> validate_pb2.FieldRules:
    """Gives the rules of a field, as Envoy 1.40 has them."""
    name = descriptor.full_name
    other = DIFFERENT_IN_ENVOY.get(name) or DEADLY.get(name)
    if other is not None:
        return other
    return descriptor.GetOptions().Extensions[validate_pb2.rules]


def _field(descriptor: FieldDescriptor, plan: Plan) -> _Field | None:
    rules, name = rules_of(descriptor), descriptor.name
    check, unread = check_of(rules, descriptor)
    plan.unread.extend(f"{descriptor.full_name}: {rule}" for rule in unread)
    looks: list[_Look] = []
    if check is not None:
        looks.append(_checked(name, check))
    skipped = rules.message.skip or rules.repeated.items.message.skip
    inner = None if skipped or descriptor.full_name in _UNREAD else _inner(descriptor)
    if inner is not None:
        looks.append(inner)
    missing = _missing(descriptor, rules, check)
    if not looks and not missing:
        return None
    look = None
    if looks:
        first, *others = looks
        look = first if not others else lambda value: [*first(value), *others[0](value)]
    return _Field(name, look, missing)


def _missing(
    descriptor: FieldDescriptor, rules: validate_pb2.FieldRules, check: Check | None
) -> str:
    """Gives what is wrong if a field is not set.

    A field that does not know whether it is set has its default, which is checked like any value.
    """
    if descriptor.containing_oneof is not None:
        return ""
    if descriptor.is_repeated or not descriptor.has_presence:
        empty = () if descriptor.is_repeated else descriptor.default_value
        return "" if check is None else check(empty)
    required = rules.message.required or rules.duration.required or rules.any.required
    return "value is required" if required else ""


def _checked(name: str, check: Check) -> _Look:
    def look(value: Value) -> Sequence[str]:
        wrong = check(value)
        if not wrong:
            return _NOTHING
        # Of one element of a list: `[3]: value ...`.
        return (f"{name}{wrong}" if wrong[0] == "[" else f"{name}: {wrong}",)

    return look


def _inner(descriptor: FieldDescriptor) -> _Look | None:
    """Gives what looks into a field's messages; None if there is nothing to find in them."""
    name, inner, repeated = descriptor.name, descriptor.message_type, descriptor.is_repeated
    if inner is None:
        return None
    mapped = inner.GetOptions().map_entry
    if mapped:
        inner = inner.fields_by_name["value"].message_type
    if inner is None or not _reaches_rules(inner):
        return None
    plan = plan_of(inner)
    into = _packed if inner.full_name == _ANY else lambda value: _look_into(value, plan)

    def one(value: Value) -> Sequence[str]:
        found = into(value)
        return [f"{name}.{each}" for each in found] if found else _NOTHING

    def many(values: Value) -> Sequence[str]:
        entries = values.items() if mapped else enumerate(values)
        found = _NOTHING
        for at, value in entries:
            some = into(value)
            if some:
                found = [*found, *(f"{name}[{at}].{each}" for each in some)]
        return found

    return many if repeated else one


def _reaches_rules(descriptor: Descriptor) -> bool:
    """Whether messages of a type have rules, or contain, however deep, some that do."""
    seen: dict[str, None] = {}
    todo = [descriptor]
    while todo:
        at = todo.pop()
        known = _reaching.get(at.full_name)
        if known or _has_rules(at):
            _reaching[descriptor.full_name] = True
            return True
        if known is None and at.full_name not in seen:
            seen[at.full_name] = None
            todo.extend(each.message_type for each in at.fields if each.message_type is not None)
    _reaching.update(dict.fromkeys(seen, False))
    return False


def _has_rules(descriptor: Descriptor) -> bool:
    return any(
        oneof.GetOptions().HasExtension(validate_pb2.required) for oneof in descriptor.oneofs
    ) or any(rules_of(each).ByteSize() for each in descriptor.fields)


def _packed(value: Any) -> Sequence[str]:
    look = _unpacked if len(value.value) > _LARGEST else _unpacked_before
    return look(value.type_url, value.value)


@lru_cache(maxsize=1024)
def _unpacked_before(type_url: str, value: bytes) -> Sequence[str]:
    """Most of what is packed is the same in thousands of resources: filters, protocol options."""
    return _unpacked(type_url, value)


def _unpacked(type_url: str, value: bytes) -> Sequence[str]:
    known = _known(type_url)
    if known is None:
        return _NOTHING
    message = known[0]()
    try:
        message.ParseFromString(value)
    except DecodeError:
        return (f"value: is no {type_url.rpartition('/')[2]}",)
    return _look_at(message, known[1])


def _known(type_url: str) -> tuple[type[Message], Plan] | None:
    """Gives the class of what is packed; None: its type is not known here, or not checked."""
    if (known := _classes.get(type_url)) is not None:
        return known
    name = type_url.rpartition("/")[2]
    if name.startswith(_UNCHECKED) and name not in _CHECKED:
        return None
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        return None  # an extension of which nothing is known here
    known = _classes[type_url] = message_factory.GetMessageClass(descriptor), plan_of(descriptor)
    return known

"""Messages with one thing changed: every field of every message in them, in several ways."""

from collections.abc import Callable, Iterator

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

Change = Callable[[Message], None]
F = FieldDescriptor

_NUMBERS = {
    F.CPPTYPE_INT32: (0, 1, -1, 2**31 - 1),
    F.CPPTYPE_INT64: (0, 1, -1, 2**40),
    F.CPPTYPE_UINT32: (0, 1, 2, 256, 65536, 2**32 - 1),
    F.CPPTYPE_UINT64: (0, 1, 2**40),
    F.CPPTYPE_DOUBLE: (-1.0, 0.0, 100.5, float("nan")),
    F.CPPTYPE_FLOAT: (-1.0, 0.0, 100.5),
    F.CPPTYPE_ENUM: (0, 1, 2, 6, 77),
}
_TEXTS = ("", "a", "a b", "a\nb", "a\x00b", "/x?y#z", ":x", "e\u0301\u20ac", "x" * 17000)
_SPANS = ((0, 0), (0, 1), (0, 999_999), (0, 1_000_000), (1, 0), (-1, 0), (86400 * 400, 0))


DEADLY = ("=nan", "AdditionalAddress.address=", "additional_addresses=", "alpn_protocols=")
"""Changes of which Envoy 1.40 dies, or nearly: no verdict is to be had of them."""


def mutants(message: Message) -> Iterator[tuple[str, Message]]:
    """Gives copies of a message, each with one change, and what that is: `type.field=change`."""
    for path, descriptor in _nodes(message):
        for field in descriptor.fields:
            if field.GetOptions().deprecated:
                continue
            for name, change in _changes(field):
                what = f"{field.full_name}={name}"
                if any(each in what for each in DEADLY):
                    continue
                copy = type(message)()
                copy.CopyFrom(message)
                _at(copy, path, change)
                yield what, copy
        for oneof in descriptor.oneofs:
            copy = type(message)()
            copy.CopyFrom(message)
            _at(copy, path, lambda node, name=oneof.name: _clear_oneof(node, name))
            yield f"{descriptor.full_name}.{oneof.name}=none", copy


def _clear_oneof(node: Message, name: str) -> None:
    which = node.WhichOneof(name)
    if which is not None:
        node.ClearField(which)


def _nodes(message: Message) -> Iterator[tuple]:
    """Gives every message in a message, itself first, with the way to it."""
    yield (), message.DESCRIPTOR
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        steps = _steps(field, value)
        for step in steps:
            inner = _step(message, step)
            if inner.DESCRIPTOR.full_name == Any.DESCRIPTOR.full_name:
                unpacked = _unpack(inner)
                if unpacked is not None:
                    for path, descriptor in _nodes(unpacked):
                        yield (step, "any", *path), descriptor
            elif not inner.DESCRIPTOR.full_name.startswith("google.protobuf."):
                for path, descriptor in _nodes(inner):
                    yield (step, *path), descriptor


def _steps(field: FieldDescriptor, value) -> list[tuple]:
    if field.message_type.GetOptions().map_entry:
        kept = field.message_type.fields_by_name["value"].message_type is not None
        return [(field.name, key) for key in value] if kept else []
    if field.is_repeated:
        return [(field.name, at) for at in range(len(value))]
    return [(field.name, None)]


def _step(message: Message, step: tuple) -> Message:
    name, at = step
    return getattr(message, name) if at is None else getattr(message, name)[at]


def _unpack(packed: Any) -> Message | None:
    try:
        name = packed.type_url.rpartition("/")[2]
        descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        return None
    message = message_factory.GetMessageClass(descriptor)()
    packed.Unpack(message)
    return message


def _at(message: Message, path: tuple, change: Change) -> None:
    if not path:
        change(message)
    elif path[0] == "any":
        inner = _unpack(message)
        _at(inner, path[1:], change)
        message.Pack(inner)
    else:
        _at(_step(message, path[0]), path[1:], change)


def _changes(field: FieldDescriptor) -> Iterator[tuple[str, Change]]:
    name = field.name
    yield "cleared", lambda node: node.ClearField(name)
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        yield from _of_map(name, inner)
    elif field.is_repeated:
        yield from _of_list(field)
    elif inner is not None:
        yield "empty", lambda node: (node.ClearField(name), getattr(node, name).SetInParent())
        if inner.full_name == "google.protobuf.Duration":
            for span in _SPANS:
                yield f"{span}", lambda node, span=span: _span(getattr(node, name), span)
        elif inner.full_name.startswith("google.protobuf.") and inner.name.endswith("Value"):
            if inner.name in ("Value", "ListValue"):
                return
            for value in _values(inner.fields_by_name["value"]):
                yield (
                    f"{value!r:.20}",
                    lambda node, value=value: setattr(getattr(node, name), "value", value),
                )
    else:
        for value in _values(field):
            yield f"{value!r:.20}", lambda node, value=value: setattr(node, name, value)


def _span(duration: Message, span: tuple[int, int]) -> None:
    duration.seconds, duration.nanos = span
    duration.SetInParent()


def _values(field: FieldDescriptor) -> tuple:
    if field.cpp_type == F.CPPTYPE_STRING:
        return tuple(t.encode() for t in _TEXTS) if field.type == F.TYPE_BYTES else _TEXTS
    return _NUMBERS.get(field.cpp_type, ())


def _of_map(name: str, entry) -> Iterator[tuple[str, Change]]:
    if entry.fields_by_name["key"].cpp_type != F.CPPTYPE_STRING:
        return
    if entry.fields_by_name["value"].message_type is not None:
        for key in ("", "a"):
            yield f"{key!r}", lambda node, key=key: getattr(node, name)[key].SetInParent()
    elif entry.fields_by_name["value"].cpp_type == F.CPPTYPE_STRING:
        for key, value in (("", "a"), ("a", "")):
            yield f"{key!r}", lambda node, k=key, v=value: getattr(node, name).update({k: v})


def _of_list(field: FieldDescriptor) -> Iterator[tuple[str, Change]]:
    name = field.name

    def times(count: int) -> Change:
        def change(node: Message) -> None:
            values = getattr(node, name)
            for _ in range(count):
                if field.message_type is None:
                    values.append(values[0] if values else field_default(field))
                elif values:
                    values.add().CopyFrom(values[0])
                else:
                    values.add()

        return change

    yield "one more", times(1)
    yield "nine more", times(9)
    yield "1001 more", times(1001)
    if field.message_type is None:
        for value in _values(field):
            yield f"[{value!r:.20}]", lambda node, value=value: getattr(node, name).append(value)


def field_default(field: FieldDescriptor):
    return {F.CPPTYPE_STRING: "", F.CPPTYPE_DOUBLE: 0.0, F.CPPTYPE_FLOAT: 0.0}.get(
        field.cpp_type, 0
    )

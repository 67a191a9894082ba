"""The descriptors that Envoy's binary carries, read from its bytes without running it."""

import re
from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    OneofDescriptorProto,
)

from tests.harness.envoy_process import BINARY

_WIRE = dict.fromkeys((1, 2, 3, 4, 5, 6, 7, 8, 9, 12), 2) | {10: 0, 11: 0}
"""The fields of a FileDescriptorProto and how they are written."""

_START = re.compile(rb"\x0a([\x01-\x7f])(?=((?:envoy|xds)/[\w./-]+?\.proto)[\x12\x1a\x22\x2a])")


def files() -> Iterator[FileDescriptorProto]:
    """Gives each file of Envoy's own API once, as Envoy was built with it."""
    data, seen = BINARY.read_bytes(), set()
    for found in _START.finditer(data):
        if found.group(1)[0] != len(found.group(2)):
            continue
        file = FileDescriptorProto.FromString(data[found.start() : _end(data, found.start())])
        if file.name not in seen:
            seen.add(file.name)
            yield file


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        result |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return result, at


def _end(data: bytes, at: int) -> int:
    """Gives where a file ends: where no field of one follows, or a second name."""
    start = at
    while True:
        tag, after = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if _WIRE.get(number) != wire or (number == 1 and at != start):
            return at
        value, after = _varint(data, after)
        at = after + value if wire == 2 else after
        if number == 12:  # the syntax, which comes last
            return at


def members(
    file: FileDescriptorProto,
) -> Iterator[tuple[str, FieldDescriptorProto | OneofDescriptorProto]]:
    """Gives all fields and oneofs of a file, with their full names."""

    def of(prefix: str, message: DescriptorProto) -> Iterator[tuple]:
        name = f"{prefix}.{message.name}"
        for member in (*message.field, *message.oneof_decl):
            yield f"{name}.{member.name}", member
        for inner in message.nested_type:
            yield from of(name, inner)

    for message in file.message_type:
        yield from of(file.package, message)

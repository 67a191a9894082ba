"""Every method of the API, from its descriptors; and requests made up for it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import grpc.aio
from google.api import field_behavior_pb2, resource_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from lbaas.v1 import (
    agent_service_pb2,
    fleet_service_pb2,
    health_monitor_service_pb2,
    load_balancer_service_pb2,
    member_service_pb2,
    pool_service_pb2,
    quota_service_pb2,
    service_type_service_pb2,
    vip_service_pb2,
)

_FILES = (
    agent_service_pb2,
    fleet_service_pb2,
    health_monitor_service_pb2,
    load_balancer_service_pb2,
    member_service_pb2,
    pool_service_pb2,
    quota_service_pb2,
    service_type_service_pb2,
    vip_service_pb2,
)
_NASTY = (
    "",
    "-",
    "projects/-",
    "projects/acme",
    "projects/acme/pools/web",
    "projects/acme/pools/web/members/m1",
    "projects/acme/healthMonitors/check",
    "projects/acme/vips/web",
    "projects/acme/quota",
    "fleets/edge",
    "fleets/edge/nodes/n1",
    "serviceTypes/default",
    "projects/acme/pools/-",
    "web",
    "10.0.0.1",
    "a\0b",
    "a\r\nb",
    "\u202eabc",
    "💥" * 50,
    "x" * 3000,
    "%s%n{0}",
    "'; DROP TABLE pools; --",
    "/",
    "200",
    "*",
    "protocol = HTTP",
)
_INTEGERS = (0, 1, -1, 80, 65535, 65536, 2**31 - 1, -(2**31))
_DEEPEST = 4


@dataclass(frozen=True)
class Method:
    descriptor: MethodDescriptor

    @property
    def path(self) -> str:
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def request(self) -> type[Message]:
        return GetMessageClass(self.descriptor.input_type)

    @property
    def writes(self) -> bool:
        return "validate_only" in self.descriptor.input_type.fields_by_name

    async def call(self, channel: grpc.aio.Channel, request: Message) -> Message | None:
        """Calls the method; of a stream it gives the first message."""
        answer = await self.send(channel, request.SerializeToString())
        if answer is None:
            return None
        return GetMessageClass(self.descriptor.output_type).FromString(answer)

    async def send(self, channel: grpc.aio.Channel, data: bytes) -> bytes | None:
        """Calls the method with any bytes; of a stream it gives the first message's, if any."""
        if not self.descriptor.server_streaming:
            return await channel.unary_unary(self.path, _as_is, _as_is)(data, timeout=20)
        if self.descriptor.client_streaming:
            call = channel.stream_stream(self.path, _as_is, _as_is)(timeout=20)
            await call.write(data)
            await call.done_writing()
        else:
            call = channel.unary_stream(self.path, _as_is, _as_is)(data, timeout=20)
        first = await call.read()
        call.cancel()
        return None if first is grpc.aio.EOF else first


def _as_is(data: bytes) -> bytes:
    return data


METHODS = tuple(
    Method(method)
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)


def made_up(kind: type[Message], chance: random.Random, depth: int = 0) -> Message:
    """Gives a message with anything in it."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.25:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for _ in range(chance.randrange(3)):
                getattr(message, field.name)[chance.choice(_NASTY)] = chance.choice(_NASTY)
        elif field.is_repeated:
            for _ in range(chance.randrange(4)):
                _append(message, field, chance, depth=depth)
        elif field.message_type is not None:
            if depth < _DEEPEST:
                made = made_up(GetMessageClass(field.message_type), chance, depth + 1)
                getattr(message, field.name).CopyFrom(made)
        else:
            setattr(message, field.name, _scalar(field, chance))
    _hurry(message)
    return message


def references(kind: type[Message]) -> Iterator[tuple[str, ...]]:
    """Gives the paths of fields that refer to another object (not to the one that is meant)."""
    for field in kind.DESCRIPTOR.fields:
        marks = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        if field_behavior_pb2.OUTPUT_ONLY in marks:
            continue
        reference = field.GetOptions().Extensions[resource_pb2.resource_reference]
        if reference.type and field.name not in {"name", "names"}:
            yield (field.name,)
        elif field.message_type is not None and not field.is_repeated:
            inner = GetMessageClass(field.message_type)
            yield from ((field.name, *path) for path in references(inner))


def _append(message: Message, field: FieldDescriptor, chance: random.Random, *, depth: int) -> None:
    if field.message_type is None:
        getattr(message, field.name).append(_scalar(field, chance))
    elif depth < _DEEPEST:
        made = made_up(GetMessageClass(field.message_type), chance, depth + 1)
        getattr(message, field.name).add().CopyFrom(made)


def _scalar(field: FieldDescriptor, chance: random.Random) -> str | int | bool:
    if field.type == field.TYPE_STRING:
        return chance.choice(_NASTY)
    if field.type == field.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type == field.TYPE_ENUM:
        return chance.choice((0, 1, 2, 3, 99, -5))
    if field.type == field.TYPE_INT64:
        return chance.choice((*_INTEGERS, 2**63 - 1, -(2**63)))
    return chance.choice(_INTEGERS)


def _hurry(message: Message) -> None:
    """Makes no test wait for minutes."""
    timeout = message.DESCRIPTOR.fields_by_name.get("timeout")
    if message.DESCRIPTOR.name == "WaitForAppliedRequest" and timeout is not None:
        getattr(message, "timeout").FromMilliseconds(20)  # noqa: B009

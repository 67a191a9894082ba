"""What a library's user publishes, in whichever form, becomes resources."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeAlias

from google.protobuf import message_factory
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import DecodeError, Message

from xds.cache.resource import Resource
from xds.cache.types import Key
from xds.cache.xdstp import canonical

_PREFIX = "type.googleapis.com/"
_DATA_PLANE = "envoy_data_plane."
"""The package of envoy-data-plane; below it the modules are named as the protos' packages."""


class DataPlaneMessage(Protocol):
    """A message of the package envoy-data-plane (betterproto2)."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Gives its bytes."""
        ...


Publishable: TypeAlias = Message | DataPlaneMessage | tuple[str, str, bytes]
"""A message of xds-protos or of envoy-data-plane, or a type URL, a name and a message's bytes."""


def resources_of(messages: Iterable[Publishable]) -> dict[Key, Resource]:
    """Gives the resources of what is published, by key.

    The same content is the same version, whichever library made the message.

    Raises:
        TypeError: something is neither a message nor a type URL, a name and bytes.
        ValueError: something has no name, another name than it is given with, bytes that are no
            such message, or the name of another of its type.
    """
    found: dict[Key, Resource] = {}
    for index, item in enumerate(messages):
        try:
            resource = _resource(item)
        except (TypeError, ValueError) as error:
            raise type(error)(f"messages[{index}]: {error}") from None
        if not resource.key.name:
            raise ValueError(f"messages[{index}]: a {_short(resource.key.type_url)} without a name")
        if resource.key in found:
            kind, name = _short(resource.key.type_url), resource.key.name
            raise ValueError(f"messages[{index}]: {kind} {name!r} is there twice")
        found[resource.key] = resource
    return found


def stored_resource(key: Key, version: str, body: bytes) -> Resource:
    """Gives a resource that was kept as bytes (a serialised Any), with what it refers to."""
    packed = Any.FromString(body)
    made = _of_bytes(packed.type_url, key.name, packed.value)
    return Resource(key, version, body, made.references)


def _resource(item: Publishable) -> Resource:
    if isinstance(item, Message):
        return Resource.of(item)
    if isinstance(item, tuple):
        if [type(part) for part in item] != [str, str, bytes]:
            raise TypeError("a tuple is (type URL, name, bytes)")
        return _of_bytes(*item)
    module = type(item).__module__
    if not module.startswith(_DATA_PLANE):
        raise TypeError(
            f"{type(item).__name__} is no message of xds-protos or envoy-data-plane; give those, "
            "or (type URL, name, bytes)"
        )
    full_name = f"{module.removeprefix(_DATA_PLANE)}.{type(item).__qualname__}"
    message = _parsed(full_name, item.SerializeToString())
    if message is None:
        raise TypeError(f"xds-protos has no message {full_name}")
    return Resource.of(message)


def _of_bytes(type_url: str, name: str, body: bytes) -> Resource:
    if not type_url.startswith(_PREFIX):
        raise ValueError(f"the type URL {type_url!r} does not begin with {_PREFIX}")
    name = canonical(name)
    message = _parsed(type_url.removeprefix(_PREFIX), body)
    if message is None:  # somebody's own type: it refers to nothing that is known here
        packed = Any(type_url=type_url, value=body)
        return Resource.packed(Key(type_url, name), packed.SerializeToString(deterministic=True))
    resource = Resource.of(message)
    if resource.key.name not in ("", name):
        raise ValueError(f"it is named {resource.key.name!r}, and given as {name!r}")
    if resource.key.name:
        return resource
    return Resource.packed(Key(type_url, name), resource.body, resource.references, resource.fault)


def _parsed(full_name: str, body: bytes) -> Message | None:
    """Gives bytes as a message of xds-protos; None: it is not loaded or there is no such one."""
    try:
        descriptor = Default().FindMessageTypeByName(full_name)
    except KeyError:
        return None
    message: Message = message_factory.GetMessageClass(descriptor)()
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise ValueError(f"its bytes are no {full_name}") from None
    return message


def _short(type_url: str) -> str:
    return type_url.rpartition(".")[2]

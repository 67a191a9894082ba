"""A resource: bytes, serialised once, versioned by a hash of them, shared by all streams."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.runtime.v3.rtds_pb2 import Runtime
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from xds.cache.constraints import fault
from xds.cache.references import references
from xds.cache.types import ENDPOINT, Key
from xds.cache.xdstp import canonical


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One version of one resource.

    Attributes:
        key: its type and name.
        version: a hash of its content: same content, same version, in every process.
        body: a serialised `google.protobuf.Any`; empty if only the version is known (what a
            reconnecting client says it holds, and this process never made).
        references: what it needs, and the addresses it binds (see `xds.cache.references`).
        fault: which of Envoy's constraints its message breaks, in words; then no client is sent
            it. Empty if it keeps them all, and of bytes that were packed elsewhere.
    """

    key: Key
    version: str
    body: bytes
    references: frozenset[Key] = frozenset()
    fault: str = ""

    @classmethod
    def of(cls, message: Message) -> Resource:
        """Packs an Envoy message; its name is its `name`, or `cluster_name` of endpoints."""
        packed = Any()
        packed.Pack(message, deterministic=True)
        name = getattr(message, "cluster_name", None) or getattr(message, "name", "")
        return cls.packed(
            Key(packed.type_url, canonical(str(name))),
            packed.SerializeToString(deterministic=True),
            frozenset(Key(kind, canonical(target)) for kind, target in references(message)),
            fault(message),
        )

    @classmethod
    def packed(
        cls, key: Key, body: bytes, references: frozenset[Key] = frozenset(), fault: str = ""
    ) -> Resource:
        """Wraps bytes that are packed already (a stored last good version, for one)."""
        return cls(key, blake2b(body, digest_size=12).hexdigest(), body, references, fault)

    @classmethod
    def foreign(cls, key: Key, version: str) -> Resource:
        """Stands for a version that a client holds and this process cannot know."""
        return cls(key, version, b"")

    @property
    def known(self) -> bool:
        """Whether its content, and so what it refers to, is known."""
        return bool(self.body)


@lru_cache(maxsize=1024)
def empty_endpoints(name: str) -> Resource:
    """Gives the ClusterLoadAssignment without members that a new cluster is sent first.

    A cluster whose members answer no health check holds back the ACK of all clusters of its node
    for the check's timeout (measured, Envoy 1.40); one without members warms at once.
    """
    return Resource.of(ClusterLoadAssignment(cluster_name=name))


def is_placeholder(resource: Resource) -> bool:
    """Whether it is a ClusterLoadAssignment without members."""
    if resource.key.type_url != ENDPOINT:
        return False
    return resource.version == empty_endpoints(resource.key.name).version


@lru_cache(maxsize=64)
def empty_runtime(name: str) -> Resource:
    """Gives the runtime layer that stands, in state of the world, for one that does not exist.

    An empty answer leaves Envoy 1.40 without listeners for 15 s at its start (measured); in delta
    the layer's name among the removed ones is answer enough.
    """
    return Resource.of(Runtime(name=name, layer=Struct()))


def same(one: Resource | None, other: Resource | None) -> bool:
    """Whether both are the same version, or both are nothing."""
    if one is None or other is None:
        return one is other
    return one.version == other.version


__all__ = ["ENDPOINT", "Resource", "empty_endpoints", "empty_runtime", "is_placeholder", "same"]

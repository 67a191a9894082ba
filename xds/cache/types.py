"""The words that streams, snapshots and servers share: keys, requests, responses, observers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from xds.cache.resource import Resource
    from xds.cache.stream import NodeStream

_PREFIX = "type.googleapis.com/"
CLUSTER = _PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = _PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = _PREFIX + "envoy.config.route.v3.RouteConfiguration"
SECRET = _PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
RUNTIME = _PREFIX + "envoy.service.runtime.v3.Runtime"

ADDRESS = "address"
"""Not a type of resource: a key of it is an address that only one listener may bind."""

WILDCARD = "*"


class Key(NamedTuple):
    """Names one resource."""

    type_url: str
    name: str


_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """Who a client says it is, from the first message of its stream.

    Attributes:
        id: the node's id, unique in its fleet.
        cluster: the node's cluster: by default the fleet.
        user_agent: "envoy", "gRPC Python", ...
        version: the client's version, "1.40.0"; empty if it did not say.
        metadata: the node's metadata, flat, as text.
        features: the client features it declares.
    """

    id: str
    cluster: str = ""
    user_agent: str = ""
    version: str = ""
    metadata: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    features: frozenset[str] = frozenset()

    @property
    def is_grpc(self) -> bool:
        """Whether it is a gRPC client without a proxy.

        Every channel of every process that was started with one bootstrap has a stream, all under
        one id: nothing that is learnt of a stream holds for another.
        """
        return self.user_agent.startswith("gRPC")


@dataclass(frozen=True, slots=True)
class Request:
    """One message of a client, delta or state of the world.

    Attributes:
        type_url: the type it is about.
        nonce: of the response that it answers; empty if it answers none.
        error: the text of a NACK; None if it is none (rule 14: never by comparing versions).
        subscribe: delta: names added.
        unsubscribe: delta: names dropped.
        initial_versions: delta, first request of a type: what the client holds already.
        names: state of the world: all names that the client asks for.
        version_info: state of the world: the version that the client accepted last.
    """

    type_url: str
    nonce: str = ""
    error: str | None = None
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    names: tuple[str, ...] = ()
    version_info: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """One message to a client.

    Attributes:
        type_url: the type it is about.
        nonce: unique on the stream.
        resources: what is sent; in state of the world for listeners and clusters the full set.
        removed: delta: names that are gone, or never were.
        version: the version of the response: same content, same version.
        missing: state of the world: listeners and clusters asked for by name that there are not.
    """

    type_url: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]
    version: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RejectedVersion:
    """One version of a resource that a node refused.

    Attributes:
        key: the resource.
        version: the version refused.
        message: the client's own words.
        last_good: what the node serves instead, if that is known and not nothing.
        alone: whether no other node of the fleet was given it: the node is its canary.
    """

    key: Key
    version: str
    message: str
    last_good: Resource | None = None
    alone: bool = False


class Observer(Protocol):
    """Hears what streams learn; called in the event loop, must return at once."""

    def opened(self, stream: NodeStream) -> None:
        """A node opened a stream."""

    def closed(self, stream: NodeStream) -> None:
        """A stream ended."""

    def confirmed(self, stream: NodeStream, keys: Collection[Key]) -> None:
        """The node now holds these as wanted (or nearer to it: ask `stream.confirmed`)."""

    def rejected(self, stream: NodeStream, rejection: RejectedVersion) -> None:
        """The node refused a version of a resource."""

"""A raw xDS client for protocol tests: it sends what it is told and shows what came.

`DeltaClient` and `SotwClient` do nothing by themselves: no ACK, no subscription.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Generic, Self, TypeVar

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2

_PREFIX = "type.googleapis.com/"
CDS = _PREFIX + "envoy.config.cluster.v3.Cluster"
EDS = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LDS = _PREFIX + "envoy.config.listener.v3.Listener"
RDS = _PREFIX + "envoy.config.route.v3.RouteConfiguration"
SDS = _PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
RTDS = _PREFIX + "envoy.service.runtime.v3.Runtime"

METHODS = {
    "": "/envoy.service.discovery.v3.AggregatedDiscoveryService/{}AggregatedResources",
    CDS: "/envoy.service.cluster.v3.ClusterDiscoveryService/{}Clusters",
    EDS: "/envoy.service.endpoint.v3.EndpointDiscoveryService/{}Endpoints",
    LDS: "/envoy.service.listener.v3.ListenerDiscoveryService/{}Listeners",
    RDS: "/envoy.service.route.v3.RouteDiscoveryService/{}Routes",
    SDS: "/envoy.service.secret.v3.SecretDiscoveryService/{}Secrets",
    RTDS: "/envoy.service.runtime.v3.RuntimeDiscoveryService/{}Runtime",
}
"""By type, "" for all of them (ADS); the forms are Delta, Stream and Fetch."""

Answer = TypeVar("Answer")


class _Client(Generic[Answer]):
    """One channel with one stream: ADS, or with `only` the service of that type alone."""

    form: str
    answer: type[Any]

    def __init__(
        self,
        address: str,
        *,
        fleet: str = "fleet",
        node: str = "node",
        only: str = "",
        user_agent: str = "test",
    ) -> None:
        self._address = address
        self._method = METHODS[only].format(self.form)
        self._node = base_pb2.Node(id=node, cluster=fleet, user_agent_name=user_agent)
        self._sent_node = False

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(
            self._address,
            # Every client has a connection of its own, as nodes have.
            options=[
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.max_receive_message_length", 64 << 20),
            ],
        )
        return self.over(self)

    def over(self, other: "_Client[Any]") -> Self:
        """Opens the stream on the connection of another client."""
        self._channel = other._channel
        self._call = self._channel.stream_stream(
            self._method,
            request_serializer=None,
            response_deserializer=self.answer.FromString,
        )()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._call.cancel()
        await self._channel.close()

    async def send_raw(self, data: bytes) -> None:
        """Sends bytes as one message, whatever they are."""
        await self._call.write(data)

    async def _send(self, request: Any, *, node: bool) -> None:
        if node and not self._sent_node:
            request.node.CopyFrom(self._node)
            self._sent_node = True
        await self.send_raw(request.SerializeToString())

    async def receive(self, type_url: str = "", *, within: float = 5.0) -> Answer:
        """The next response.

        Args:
            type_url: if given, the response must be of this type.
            within: seconds to wait.

        Raises:
            TimeoutError: nothing came.
            EOFError: the server ended the stream.
            AssertionError: a response of another type came.
        """
        async with asyncio.timeout(within):
            answer = await self._call.read()
        if answer is grpc.aio.EOF:
            raise EOFError(await self._call.details())
        if type_url:
            assert answer.type_url == type_url, answer
        return answer

    async def silent(self, seconds: float = 0.15) -> None:
        """Asserts that nothing comes for a while.

        The pending read is not cancelled (that would cancel the call): this ends the stream's use
        unless nothing came, so it is a coroutine that peeks at the call's next message.
        """
        reading = asyncio.ensure_future(self._call.read())
        done, _ = await asyncio.wait({reading}, timeout=seconds)
        if done:
            raise AssertionError(f"came unasked: {reading.result()}")
        self._call = _Peeked(self._call, reading)

    async def status(self, *, within: float = 5.0) -> tuple[grpc.StatusCode, str]:
        """How the server ended the stream: code and details."""
        async with asyncio.timeout(within):
            return await self._call.code(), await self._call.details()


class _Peeked:
    """A call whose next message is being read already."""

    def __init__(self, call: Any, reading: "asyncio.Future[Any]") -> None:
        self._call = call
        self._reading: asyncio.Future[Any] | None = reading

    async def read(self) -> Any:
        if self._reading is not None:
            reading, self._reading = self._reading, None
            return await reading
        return await self._call.read()

    def cancel(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._call.cancel()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class DeltaClient(_Client[discovery_pb2.DeltaDiscoveryResponse]):
    """A client of the incremental form."""

    form = "Delta"
    answer = discovery_pb2.DeltaDiscoveryResponse

    async def send(
        self,
        type_url: str,
        *,
        subscribe: Iterable[str] = (),
        unsubscribe: Iterable[str] = (),
        initial: Mapping[str, str] | None = None,
        nonce: str = "",
        error: str | None = None,
        node: bool = True,
    ) -> None:
        """One request; the node goes with the first."""
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=type_url,
            resource_names_subscribe=subscribe,
            resource_names_unsubscribe=unsubscribe,
            initial_resource_versions=dict(initial or {}),
            response_nonce=nonce,
        )
        if error is not None:
            request.error_detail.code = 3
            request.error_detail.message = error
        await self._send(request, node=node)

    async def ack(self, answer: Any) -> None:
        """Accepts a response."""
        await self.send(answer.type_url, nonce=answer.nonce)

    async def nack(self, answer: Any, error: str) -> None:
        """Rejects a response with Envoy's words."""
        await self.send(answer.type_url, nonce=answer.nonce, error=error)

    async def take(self, type_url: str = "", *, within: float = 5.0) -> Any:
        """Receives a response and accepts it."""
        answer = await self.receive(type_url, within=within)
        await self.ack(answer)
        return answer


class SotwClient(_Client[discovery_pb2.DiscoveryResponse]):
    """A client of state of the world."""

    form = "Stream"
    answer = discovery_pb2.DiscoveryResponse

    def __init__(
        self,
        address: str,
        *,
        fleet: str = "fleet",
        node: str = "node",
        only: str = "",
        user_agent: str = "test",
    ) -> None:
        super().__init__(address, fleet=fleet, node=node, only=only, user_agent=user_agent)
        self.names: dict[str, list[str]] = {}
        self.versions: dict[str, str] = {}

    async def send(
        self,
        type_url: str,
        names: Iterable[str] = (),
        *,
        nonce: str = "",
        version: str = "",
        error: str | None = None,
        node: bool = True,
    ) -> None:
        """One request; the node goes with the first."""
        self.names[type_url] = list(names)
        request = discovery_pb2.DiscoveryRequest(
            type_url=type_url,
            resource_names=self.names[type_url],
            response_nonce=nonce,
            version_info=version,
        )
        if error is not None:
            request.error_detail.code = 3
            request.error_detail.message = error
        await self._send(request, node=node)

    async def ack(self, answer: Any) -> None:
        """Accepts a response."""
        self.versions[answer.type_url] = answer.version_info
        await self.send(
            answer.type_url,
            self.names[answer.type_url],
            nonce=answer.nonce,
            version=answer.version_info,
        )

    async def nack(self, answer: Any, error: str) -> None:
        """Rejects a response: the version before it, and Envoy's words."""
        await self.send(
            answer.type_url,
            self.names[answer.type_url],
            nonce=answer.nonce,
            version=self.versions.get(answer.type_url, ""),
            error=error,
        )

    async def take(self, type_url: str = "", *, within: float = 5.0) -> Any:
        """Receives a response and accepts it."""
        answer = await self.receive(type_url, within=within)
        await self.ack(answer)
        return answer

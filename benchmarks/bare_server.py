"""The floor: a delta ADS server that pushes what it is told, and knows nothing else."""

import asyncio
from collections.abc import Iterable
from typing import Any, Self

import grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from google.protobuf.message import Message

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_WILDCARD = ("Cluster", "Listener")


class BareServer:
    """Serves one Envoy: what it asks for it gets, and `push` sends at once."""

    def __init__(self) -> None:
        self.port = 0
        self._held: dict[str, dict[str, tuple[str, bytes]]] = {}
        self._context: Any = None
        self._acks: dict[str, asyncio.Future[None]] = {}
        self._nonce = 0

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(self._serve)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {"DeltaAggregatedResources": handler}),)
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._server.stop(None)

    def hold(self, messages: Iterable[Message]) -> str:
        """Takes what is given to whoever asks; gives the type of the last one."""
        type_url = ""
        for message in messages:
            body = message.SerializeToString()
            type_url = f"type.googleapis.com/{message.DESCRIPTOR.full_name}"
            name = getattr(message, "cluster_name", "") or message.name  # type: ignore[attr-defined]
            self._nonce += 1
            self._held.setdefault(type_url, {})[name] = (str(self._nonce), body)
        return type_url

    async def push(self, message: Message) -> "asyncio.Future[None]":
        """Sends one resource; gives what is done when it is acknowledged."""
        type_url = self.hold([message])
        name = getattr(message, "cluster_name", "") or message.name  # type: ignore[attr-defined]
        nonce = await self._send(self._context, type_url, [name])
        acked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._acks[nonce] = acked
        return acked

    async def _send(self, context: Any, type_url: str, names: Iterable[str]) -> str:
        self._nonce += 1
        response = DeltaDiscoveryResponse(type_url=type_url, nonce=str(self._nonce))
        held = self._held.get(type_url, {})
        for name in names:
            if name not in held:
                response.removed_resources.append(name)
                continue
            version, body = held[name]
            entry = response.resources.add(name=name, version=version)
            entry.resource.type_url, entry.resource.value = type_url, body
        await context.write(response.SerializeToString())
        return response.nonce

    async def _serve(self, _requests: object, context: Any) -> None:
        self._context = context
        known: set[str] = set()
        while isinstance(data := await context.read(), bytes):
            request = DeltaDiscoveryRequest.FromString(data)
            if request.response_nonce:
                if request.HasField("error_detail"):
                    raise RuntimeError(request.error_detail.message)
                acked = self._acks.pop(request.response_nonce, None)
                if acked is not None:
                    acked.set_result(None)
            names = list(request.resource_names_subscribe)
            if request.type_url not in known and request.type_url.endswith(_WILDCARD):
                names = list(self._held.get(request.type_url, {}))
            elif not names:
                continue
            known.add(request.type_url)
            await self._send(context, request.type_url, names)

"""A real Envoy that is asked, resource by resource, whether it takes it: one response for each."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Self

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import Message

from tests.harness.bootstrap import ads_bootstrap
from tests.harness.envoy_process import EnvoyProcess

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"


class Jury:
    """An Envoy and the bare delta stream to it. The resources are clusters or listeners."""

    def __init__(self) -> None:
        self._nonces = itertools.count(1)
        self._answers: dict[str, asyncio.Future[str]] = {}
        self._types: dict[str, asyncio.Event] = {}
        self._outgoing: asyncio.Queue[discovery_pb2.DeltaDiscoveryResponse] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(
            self._serve,
            request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {"DeltaAggregatedResources": handler}),)
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        self.envoy = EnvoyProcess(ads_bootstrap(port))
        await self.envoy.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.envoy.__aexit__(*exc)
        await self._server.stop(None)

    async def _serve(self, requests, context) -> None:
        async def read() -> None:
            async for request in requests:
                waiting = self._answers.pop(request.response_nonce, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(request.error_detail.message)
                asked = self._types.setdefault(request.type_url, asyncio.Event())
                if not asked.is_set():
                    # Nothing there: Envoy goes on with its start, and asks for listeners.
                    asked.set()
                    self._outgoing.put_nowait(
                        discovery_pb2.DeltaDiscoveryResponse(
                            type_url=request.type_url,
                            nonce=str(next(self._nonces)),
                            removed_resources=request.resource_names_subscribe,
                        )
                    )

        reading = asyncio.create_task(read())
        try:
            while True:
                await context.write(await self._outgoing.get())
        finally:
            reading.cancel()

    async def ask(self, messages: Sequence[Message]) -> list[str]:
        """Gives, for each message, Envoy's words against it; empty if it took it.

        All are sent at once, each in a response of its own; those of one name replace each other.
        """
        answers = []
        for message in messages:
            response = discovery_pb2.DeltaDiscoveryResponse(nonce=str(next(self._nonces)))
            entry = response.resources.add(name=message.name, version=response.nonce)
            entry.resource.Pack(message)
            response.type_url = entry.resource.type_url
            await asyncio.wait_for(
                self._types.setdefault(response.type_url, asyncio.Event()).wait(), 10
            )
            answer = asyncio.get_running_loop().create_future()
            self._answers[response.nonce] = answer
            answers.append(answer)
            self._outgoing.put_nowait(response)
        async with asyncio.timeout(30):
            return await asyncio.gather(*answers)

"""A client with the manners of its own choice, over any of the forms and services of xDS.

`Node` is one node: over ADS it has one stream, over the single-type services one for each type that
it asks for. It sends what it is told, and never answers by itself.
"""

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.service.runtime.v3.rtds_pb2 import Runtime

from tests.harness.ads_client import CDS, EDS, LDS, RDS, RTDS, SDS, DeltaClient, SotwClient
from tests.harness.waiting import until
from xds.server import Server

PATIENCE = float(os.environ.get("CONFORMANCE_PATIENCE", "10"))
"""Seconds after which nothing is expected to come any more; `make mutants` has less."""

KINDS = {
    CDS: Cluster,
    EDS: ClusterLoadAssignment,
    LDS: Listener,
    RDS: RouteConfiguration,
    SDS: Secret,
    RTDS: Runtime,
}


@dataclass(frozen=True, slots=True)
class Wire:
    """One of the four ways to speak xDS."""

    delta: bool
    ads: bool

    def __str__(self) -> str:
        return f"{'delta' if self.delta else 'sotw'}-{'ads' if self.ads else 'single'}"


ALL = [Wire(delta, ads) for delta in (True, False) for ads in (True, False)]
DELTA = [wire for wire in ALL if wire.delta]
SOTW = [wire for wire in ALL if not wire.delta]
ADS = [wire for wire in ALL if wire.ads]
SINGLE = [wire for wire in ALL if not wire.ads]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response in the words that both forms share.

    `names` are those of its resources, as they came; `versions` are delta's.
    """

    type_url: str
    nonce: str
    version: str
    names: list[str]
    removed: list[str]
    versions: dict[str, str]
    messages: dict[str, Any]
    raw: Any

    @classmethod
    def of(cls, raw: Any) -> Self:
        """Reads a response of either form."""
        delta = hasattr(raw, "system_version_info")
        names, messages = [], {}
        for entry in raw.resources:
            message = KINDS[raw.type_url]()
            assert (entry.resource if delta else entry).Unpack(message), raw
            name = getattr(message, "cluster_name", "") or message.name
            assert not delta or entry.name == name, raw
            names.append(name)
            messages[name] = message
        return cls(
            type_url=raw.type_url,
            nonce=raw.nonce,
            version=raw.system_version_info if delta else raw.version_info,
            names=names,
            removed=list(raw.removed_resources) if delta else [],
            versions={entry.name: entry.version for entry in raw.resources} if delta else {},
            messages=messages,
            raw=raw,
        )


class Node:
    """One node; `name` is its id."""

    def __init__(
        self, server: Server, wire: Wire, *, name: str = "node", fleet: str = "fleet"
    ) -> None:
        self.wire = wire
        self.name = name
        self._server = server
        self._sent = 0
        self._fleet = fleet
        self._streams: dict[str, DeltaClient | SotwClient] = {}
        self._names: dict[str, dict[str, None]] = {}
        self._accepted: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for stream in self._streams.values():
            await stream.__aexit__(None, None, None)

    async def stream(self, type_url: str) -> DeltaClient | SotwClient:
        """The stream that carries a type; opened if it is not open yet."""
        only = "" if self.wire.ads else type_url
        if only not in self._streams:
            client = DeltaClient if self.wire.delta else SotwClient
            made = client(
                f"127.0.0.1:{self._server.port}", fleet=self._fleet, node=self.name, only=only
            )
            self._streams[only] = await made.__aenter__()
        return self._streams[only]

    async def ask(
        self,
        type_url: str,
        *names: str,
        drop: Iterable[str] = (),
        nonce: str = "",
        error: str | None = None,
        version: str = "",
        initial: dict[str, str] | None = None,
    ) -> None:
        """One request: `names` are added to what is asked for, `drop` is taken out.

        `version` is said by state of the world alone, `initial` by delta alone.
        """
        stream = await self.stream(type_url)
        self._sent += 1
        if isinstance(stream, DeltaClient):
            await stream.send(
                type_url,
                subscribe=names,
                unsubscribe=drop,
                initial=initial,
                nonce=nonce,
                error=error,
            )
            return
        asked = self._names.setdefault(type_url, {})
        asked.update(dict.fromkeys(names))
        for name in drop:
            asked.pop(name, None)
        await stream.send(type_url, asked, nonce=nonce, version=version, error=error)

    async def ack(self, answer: Answer, *names: str, drop: Iterable[str] = ()) -> None:
        """Accepts a response."""
        self._accepted[answer.type_url] = answer.version
        await self.ask(
            answer.type_url, *names, drop=drop, nonce=answer.nonce, version=answer.version
        )

    async def nack(
        self, answer: Answer, error: str, *names: str, version: str | None = None
    ) -> None:
        """Refuses a response; its version is the one accepted before, unless said otherwise."""
        before = self._accepted.get(answer.type_url, "")
        said = before if version is None else version
        await self.ask(answer.type_url, *names, nonce=answer.nonce, error=error, version=said)

    async def receive(self, type_url: str, *, within: float = PATIENCE) -> Answer:
        """The next response of the stream that carries a type: it must be of that type."""
        stream = await self.stream(type_url)
        return Answer.of(await stream.receive(type_url, within=within))

    async def take(self, type_url: str, *, within: float = PATIENCE) -> Answer:
        """Receives a response and accepts it."""
        answer = await self.receive(type_url, within=within)
        await self.ack(answer)
        return answer

    async def first(self, type_url: str, *names: str) -> Answer:
        """Asks, and takes the answer."""
        await self.ask(type_url, *names)
        return await self.take(type_url)

    async def any(self, *, within: float = PATIENCE) -> Answer:
        """The next response of an aggregated stream, of whatever type."""
        return Answer.of(await self._streams[""].receive(within=within))

    async def arrived(self) -> None:
        """Waits until the server has taken all that this node sent."""

        async def all_taken() -> bool:
            mine = (one for one in self._server.service.streams if one.node is not None)
            return self._sent <= sum(
                one.traffic.requests for one in mine if one.node.id == self.name
            )

        await until(all_taken, within=PATIENCE, what=f"{self._sent} requests arrived", every=0.005)

    async def silent(self, seconds: float = 0.1) -> None:
        """Asserts that nothing comes, on any stream, once all that was sent has arrived."""
        await self.arrived()
        await asyncio.gather(*(stream.silent(seconds) for stream in self._streams.values()))

"""The xDS server over grpc.aio: ADS and the single-type services, delta and state of the world."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import random
from collections.abc import Awaitable, Callable
from typing import Self

import grpc

from xds.cache import NodeInfo, SnapshotCache
from xds.server import client_status
from xds.server.admission import Admission
from xds.server.connections import cut
from xds.server.errors import AddressNotBound, UnsafeAddress
from xds.server.for_operators import HealthChecks, add_for_operators
from xds.server.options import ServerOptions
from xds.server.services import AGGREGATED, NOT_POLLED, NOT_SEPARATE, SINGLE_TYPE, Service
from xds.server.stream import DELTA, STATE_OF_THE_WORLD, Context, Dialect, DiscoveryStream, End
from xds.server.traffic import Totals

_log = logging.getLogger(__name__)

_DEFAULTS = ServerOptions()


def cluster_of(node: NodeInfo) -> str:
    """The fleet of a node unless told otherwise: its `node.cluster`."""
    return node.cluster


_ENDED_PER_SECOND = 1000
"""Few streams are ended sooner than many: restarts of small fleets should not take longer."""


def departures(
    count: int, spread: float, chance: Callable[[], float] = random.random
) -> list[float]:
    """When each of `count` streams is ended at a stop: seconds from now, within `spread`."""
    within = min(spread, count / _ENDED_PER_SECOND)
    return [within * chance() for _ in range(count)]


class DiscoveryService:
    """The discovery services, aggregated and of single types, to be added to a grpc.aio server.

    Attributes:
        traffic: what went over all streams, those that ended included.
    """

    def __init__(
        self,
        cache: SnapshotCache,
        *,
        options: ServerOptions = _DEFAULTS,
        fleet_of: Callable[[NodeInfo], str] = cluster_of,
        aggregated_only: bool = False,
    ) -> None:
        self.traffic = Totals()
        self._cache = cache
        self._options = options
        self._fleet_of = fleet_of
        self._aggregated_only = aggregated_only
        self._admission = Admission(
            at_once=options.first_answers,
            per_second=options.first_answers_per_second,
            hold=options.first_answer_hold,
        )
        self._streams: set[DiscoveryStream] = set()
        self._stopping = False

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers all services, each in both forms.

        Messages stay bytes: grpcio's own deserialiser tells the client what Python said about a
        malformed one (measured), and resources are serialised already.
        """
        server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(service.name, self._handlers(service))
                for service in (AGGREGATED, *SINGLE_TYPE)
            ]
        )

    def _handlers(self, service: Service) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        if service.type_url and self._aggregated_only:
            refused = grpc.stream_stream_rpc_method_handler(_unimplemented(NOT_SEPARATE))
            handlers = {service.delta: refused, service.stream: refused}
        else:
            handlers = {
                service.delta: self._handler(DELTA, service.type_url),
                service.stream: self._handler(STATE_OF_THE_WORLD, service.type_url),
            }
        if service.fetch:
            polled = grpc.unary_unary_rpc_method_handler(_unimplemented(NOT_POLLED))
            handlers[service.fetch] = polled
        return handlers

    @property
    def streams(self) -> tuple[DiscoveryStream, ...]:
        """The streams that are open now."""
        return tuple(self._streams)

    def end_streams(self, reason: str) -> float:
        """Ends all streams, and each that opens from now on, with UNAVAILABLE.

        Clients keep what they have and reconnect, to another server if they know one: not all at
        once, so they are told one by one and in random order (rule 64).

        Returns:
            Seconds until the last one is told.
        """
        self._stopping = True
        streams = tuple(self._streams)
        times = departures(len(streams), self._options.stop_spread)
        loop = asyncio.get_running_loop()
        for stream, after in zip(streams, times, strict=True):
            loop.call_later(after, stream.end, grpc.StatusCode.UNAVAILABLE, reason)
        return max(times, default=0.0)

    def _handler(self, dialect: Dialect, type_url: str) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def serve_stream(_requests: object, context: Context) -> None:
            if self._stopping:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "this server is stopping")
            stream = DiscoveryStream(
                self._cache,
                dialect,
                type_url=type_url,
                options=self._options,
                admission=self._admission,
                fleet_of=self._fleet_of,
                total=self.traffic,
            )
            self._streams.add(stream)
            try:
                end = await stream.serve(context)
            except Exception:  # noqa: BLE001 - grpcio would tell the client what Python said
                _log.exception("serving %s", context.peer())
                end = End(grpc.StatusCode.INTERNAL, "internal error")
            finally:
                self._streams.discard(stream)
            if end is not None and end.code is not grpc.StatusCode.OK:
                await self._finish(context, end)

        return grpc.stream_stream_rpc_method_handler(serve_stream)

    async def _finish(self, context: Context, end: End) -> None:
        """Tells the client why its stream ends; breaks the connection with one that reads nothing.

        To that the status never goes out, and what was being written would be kept with it.
        """
        try:
            async with asyncio.timeout(self._options.status_stall):
                await context.abort(end.code, end.reason)
        except TimeoutError:
            peer = context.peer()
            if all(stream.peer != peer for stream in self._streams):
                cut(peer)


def _unimplemented(reason: str) -> Callable[[object, Context], Awaitable[None]]:
    async def refuse(_request: object, context: Context) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, reason)

    return refuse


class Server:
    """A running xDS server; as an async context manager it stops at the end.

    Attributes:
        port: the port it listens on; 0 for a unix socket.
        service: its streams and counters.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        service: DiscoveryService,
        *,
        checks: HealthChecks,
        port: int,
        grace: float,
    ) -> None:
        self.port = port
        self.service = service
        self._server = server
        self._checks = checks
        self._grace = grace

    @property
    def traffic(self) -> Totals:
        """What went over all streams since the start."""
        return self.service.traffic

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Ends the streams with UNAVAILABLE, then the server."""
        await self._checks.enter_graceful_shutdown()
        told = self.service.end_streams("this server is stopping; keep what you have and reconnect")
        await self._server.stop(told + self._grace)


async def serve(
    cache: SnapshotCache,
    address: str,
    *,
    options: ServerOptions = _DEFAULTS,
    fleet_of: Callable[[NodeInfo], str] | None = None,
    aggregated_only: bool = False,
    credentials: grpc.ServerCredentials | None = None,
) -> Server:
    """Starts an xDS server.

    Args:
        cache: what it serves.
        address: `host:port` (port 0 takes a free one, see `Server.port`), or `unix:path`, which
            is its owner's alone (mode 0600).
        options: limits and times.
        fleet_of: which fleet a node belongs to; by default its `node.cluster`.
        aggregated_only: ADS alone; the services of a single type answer UNIMPLEMENTED. For whoever
            needs the order across types, or one stream that speaks for its node.
        credentials: TLS; without them only loopback and unix sockets are listened on.

    Returns:
        The running server.

    Raises:
        UnsafeAddress: the address is beyond loopback and there are no credentials.
        AddressNotBound: the address cannot be listened on.
    """
    if credentials is None and not is_loopback(address):
        raise UnsafeAddress(
            f"refusing to serve xDS without TLS on {address!r}: whoever reaches it could read all "
            "configuration; listen on 127.0.0.1, [::1] or unix:..., or give TLS credentials"
        )
    server = grpc.aio.server(options=options.channel_arguments())
    service = DiscoveryService(
        cache, options=options, fleet_of=fleet_of or cluster_of, aggregated_only=aggregated_only
    )
    service.add_to(server)
    services = [each.name for each in (AGGREGATED, *(() if aggregated_only else SINGLE_TYPE))]
    if offers_client_status(address, options):
        client_status.ClientStatusService(cache).add_to(server)
        services.append(client_status.SERVICE)
    checks = await add_for_operators(server, services)
    try:
        port = _bind(server, address, credentials)
    except RuntimeError as error:
        await server.stop(None)
        raise AddressNotBound(f"cannot listen on {address!r}: {error}") from error
    await server.start()
    unix = address.startswith("unix:")
    return Server(server, service, checks=checks, port=0 if unix else port, grace=options.grace)


def _bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    # A unix socket has no other credentials than its owner's.
    mask = os.umask(0o177)
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    finally:
        os.umask(mask)


def offers_client_status(address: str, options: ServerOptions) -> bool:
    """Whether a server on an address offers CSDS: see `ServerOptions.client_status`."""
    return is_loopback(address) if options.client_status is None else options.client_status


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

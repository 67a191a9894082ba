"""One client's stream: its requests go to the core, the core's responses go to the client.

There is no queue. A wake says that something changed; what is sent is computed when the client can
take it, so the newest wins, and a slow client holds back nobody but itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from xds.cache import NodeInfo, NodeStream, Request, Response, SnapshotCache
from xds.server.admission import Admission, Place
from xds.server.framing import Malformed, read_delta, read_sotw, write_delta, write_sotw
from xds.server.options import ServerOptions
from xds.server.traffic import Totals, Traffic

_log = logging.getLogger(__name__)

LONGEST_ID = 1024
"""Characters of a node's id."""

Context = grpc.aio.ServicerContext[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One of the protocol's two forms.

    Attributes:
        delta: whether it is the incremental one.
        read: bytes, and the stream's only type if it has one, to a request and the node in it.
        write: a response to bytes.
    """

    delta: bool
    read: Callable[[bytes, str], tuple[Request, NodeInfo | None]]
    write: Callable[[Response], bytes]


DELTA = Dialect(delta=True, read=read_delta, write=write_delta)
STATE_OF_THE_WORLD = Dialect(delta=False, read=read_sotw, write=write_sotw)


@dataclass(frozen=True, slots=True)
class End:
    """Why a stream ends.

    Attributes:
        code: the gRPC status.
        reason: its text, for the client.
    """

    code: grpc.StatusCode
    reason: str


class DiscoveryStream:
    """Serves one stream, aggregated or of a single type, from its first message to its end.

    Attributes:
        type_url: the one type that it carries; empty: all (ADS).
        traffic: what went over it.
        node: who the client says it is; None before its first message.
        core: its subscriptions and what it holds; None before its first message.
        peer: the other end of its connection, as gRPC names it.
    """

    def __init__(
        self,
        cache: SnapshotCache,
        dialect: Dialect,
        *,
        type_url: str,
        options: ServerOptions,
        admission: Admission,
        fleet_of: Callable[[NodeInfo], str],
        total: Totals,
    ) -> None:
        self.type_url = type_url
        self.traffic = Traffic()
        self.node: NodeInfo | None = None
        self.core: NodeStream | None = None
        self.peer = ""
        self._cache = cache
        self._dialect = dialect
        self._options = options
        self._fleet_of = fleet_of
        self._total = total
        self._wake = asyncio.Event()
        self._admission = admission
        self._place = Place(self._wake.set)
        self._end: End | None = None
        self._clock = asyncio.get_running_loop().time
        self._since = self._clock()
        self._alarm: asyncio.TimerHandle | None = None

    def end(self, code: grpc.StatusCode, reason: str) -> None:
        """Asks the stream to end with a status, once what is being written is out."""
        self._end = self._end or End(code, reason)
        self._wake.set()

    async def serve(self, context: Context) -> End | None:
        """Serves the stream until the client goes, misbehaves or is told to go.

        Returns:
            The status to end it with; None if the client has ended it.
        """
        self.peer = context.peer()
        reading = asyncio.create_task(self._read(context))
        try:
            await self._write(context)
        finally:
            reading.cancel()
            if self._alarm is not None:
                self._alarm.cancel()
            self._admission.leave(self._place)
            if self.core is not None:
                self._cache.disconnect(self.core)
        return self._end

    def _open(self, first: bytes) -> None:
        """Opens the stream in the cache with what the first message says (rules 1, 2, 8)."""
        request, node = self._dialect.read(first, self.type_url)
        if node is None or not node.id:
            raise Malformed("the first request of a stream carries the node, with its id")
        fleet = self._fleet_of(node)
        if not fleet:
            raise Malformed("the node names no fleet: set node.cluster to the fleet's name")
        if len(node.id) > LONGEST_ID:  # it is remembered when the node has gone
            raise Malformed(
                f"the node's id has {len(node.id)} characters: {LONGEST_ID} are allowed"
            )
        core = self._cache.connect(
            fleet=fleet,
            node=node,
            delta=self._dialect.delta,
            now=self._clock(),
            types=frozenset({self.type_url}) if self.type_url else None,
            variant=node.id,  # what is this node's own, if there is anything
        )
        core.on_dirty = self._wake.set
        self.node, self.core = node, core
        self._receive(core, request)

    def _receive(self, core: NodeStream, request: Request) -> None:
        self.traffic.requests += 1
        self._total.requests += 1
        if request.error is not None and request.nonce and core.revision:
            of_type = self._total.of(core.fleet, request.type_url)
            for traffic in (self.traffic, self._total, of_type):
                traffic.nacks += 1
        core.receive(request, self._clock())
        self._bound(len(core.asked()), self._options.most_types, "types")
        self._bound(core.names_asked, self._options.most_names, "names")
        if core.busy:  # most answers leave nothing to do
            self._wake.set()

    def _bound(self, asked: int, most: int, what: str) -> None:
        if asked > most:
            words = f"the stream asks for {asked} {what}: {most} are allowed"
            self.end(grpc.StatusCode.RESOURCE_EXHAUSTED, words)

    async def _read(self, context: Context) -> None:
        try:
            await self._take(context)
        except Malformed as error:
            self.end(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception:  # noqa: BLE001 - whatever it is, the client is told nothing of it
            _log.exception("reading from %s", self.peer)
            self.end(grpc.StatusCode.INTERNAL, "internal error")

    async def _take(self, context: Context) -> None:
        while isinstance(data := await context.read(), bytes):
            if self.core is None:
                self._open(data)
            else:
                request, _ = self._dialect.read(data, self.type_url)
                self._receive(self.core, request)
        self.end(grpc.StatusCode.OK, "")

    async def _write(self, context: Context) -> None:
        answered = False
        while self._end is None:
            self._wake.clear()
            if self.core is None:
                pass  # it has not said yet who it is
            elif answered:
                await self._send(context, self.core.run(self._clock()))
            elif self._place.its_turn:
                await self._send(context, self.core.run(self._clock()))
                # A client that came back and lacks nothing may be answered with nothing.
                answered = self.core.loaded
                self._admission.leave(self._place)
            else:
                self._admission.ask(self._place)
            if self._end is None:
                await self._sleep(self._timer())

    async def _send(self, context: Context, responses: list[Response]) -> None:
        for response in responses:
            data = self._dialect.write(response)
            try:
                async with asyncio.timeout(self._options.write_stall):
                    await context.write(data)
            except TimeoutError:
                stall = f"nothing could be written for {self._options.write_stall:g} s"
                self.end(grpc.StatusCode.DEADLINE_EXCEEDED, stall)
                return
            except grpc.aio.InternalError:  # the connection broke under it
                self.end(grpc.StatusCode.OK, "")
                return
            counts = (len(response.resources), len(response.removed), len(data))
            of_type = self._total.of(self.core.fleet if self.core else "", response.type_url)
            for traffic in (self.traffic, self._total, of_type):
                traffic.sent(resources=counts[0], removals=counts[1], size=counts[2])

    def _timer(self) -> float | None:
        """Gives when to look again though nothing happens; ends a stream that is overdue."""
        now, core = self._clock(), self.core
        awaited: float | None = self._since
        patience, what = self._options.first_request, "request came"
        timer = None
        if core is not None:
            awaited, timer = core.awaited_since(), core.next_timer(now)
            patience, what = self._options.answer_overdue, "answer to an EDS or LDS response"
        if awaited is None:
            return timer
        limit = awaited + patience
        if limit <= now:
            self.end(grpc.StatusCode.DEADLINE_EXCEEDED, f"no {what} for {patience:g} s")
        return limit if timer is None else min(limit, timer)

    async def _sleep(self, until: float | None) -> None:
        """Waits for a wake, until a time at most; it may be woken before that for nothing."""
        if until is not None and not self._wake.is_set():
            self._set_alarm(until)
        await self._wake.wait()

    def _set_alarm(self, until: float) -> None:
        # Most are for an answer that is overdue, and most answers come: one that is set serves on.
        if self._alarm is not None:
            if self._alarm.when() <= until:
                return
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(until, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._wake.set()

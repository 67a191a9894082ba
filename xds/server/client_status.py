"""CSDS: what every connected node runs, is sent and has refused, resource by resource.

`version_info` and `xds_config` are what the node is known to run; what it refused is in
`error_state`. The protocol has no place for a version that is on its way: `config_status` says that
there is one. `last_updated` is left out: when a name was last confirmed is not kept, which would
cost every stream memory for each of its names.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import grpc
from envoy.admin.v3.config_dump_shared_pb2 import ClientResourceStatus, UpdateFailureState
from envoy.service.status.v3 import csds_pb2
from envoy.type.matcher.v3.node_pb2 import NodeMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.message import DecodeError

from xds.cache import NodeStream, SnapshotCache
from xds.cache.client_status import ResourceStatus, Standing

SERVICE = csds_pb2.DESCRIPTOR.services_by_name["ClientStatusDiscoveryService"].full_name

LARGEST_ANSWER = 64 << 20
"""Bytes of one answer: what this process is ready to build for one who asks."""

_TURN = 128
"""Resources built before others in the event loop have their turn: 2 ms."""

_log = logging.getLogger(__name__)

_Context = grpc.aio.ServicerContext[bytes, bytes]
_Config = csds_pb2.ClientConfig.GenericXdsConfig
_Matches = Callable[[str], bool]

_CONFIG_STATUS = {
    Standing.SYNCED: csds_pb2.SYNCED,
    Standing.NOT_SENT: csds_pb2.NOT_SENT,
    Standing.SENT: csds_pb2.STALE,
    Standing.REJECTED: csds_pb2.ERROR,
}


class _Refused(Exception):
    """A request that is not answered: the code and the words for the client."""

    def __init__(self, code: grpc.StatusCode, words: str) -> None:
        super().__init__(words)
        self.code = code


class ClientStatusService:
    """The client status discovery service, to be added to a grpc.aio server.

    It tells all configuration to whoever may call it, so a server offers it to its own machine
    alone unless it is told otherwise (`ServerOptions.client_status`).
    """

    def __init__(self, cache: SnapshotCache) -> None:
        self._cache = cache

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers both methods.

        Fetch answers with all nodes that match in one message; Stream answers each request with
        one message a node, and an empty one if there is none.
        """
        handlers = {
            "FetchClientStatus": grpc.unary_unary_rpc_method_handler(self._fetch),
            "StreamClientStatus": grpc.stream_stream_rpc_method_handler(self._stream),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def _fetch(self, data: bytes, context: _Context) -> bytes:
        response, size = csds_pb2.ClientStatusResponse(), 0
        async with _own_words(context):
            async for config in self._configs(data):
                size += config.ByteSize()
                _bounded(size)
                response.config.append(config)
        return response.SerializeToString()

    async def _stream(self, requests: AsyncIterator[bytes], context: _Context) -> None:
        async with _own_words(context):
            async for data in requests:
                found = False
                async for config in self._configs(data):
                    found = True
                    response = csds_pb2.ClientStatusResponse(config=[config])
                    await context.write(response.SerializeToString())
                if not found:
                    await context.write(csds_pb2.ClientStatusResponse().SerializeToString())

    async def _configs(self, data: bytes) -> AsyncIterator[csds_pb2.ClientConfig]:
        """Gives the nodes that a request asks for, each built when it is its turn."""
        request = csds_pb2.ClientStatusRequest()
        try:
            request.ParseFromString(data)
        except DecodeError:
            words = "the message is no ClientStatusRequest of envoy.service.status.v3"
            raise _Refused(grpc.StatusCode.INVALID_ARGUMENT, words) from None
        matchers = [_matcher(each) for each in request.node_matchers]
        for fleet in self._cache.fleets:
            nodes: dict[tuple[str, int], list[NodeStream]] = {}
            for number, stream in enumerate(self._cache.streams(fleet)):
                if not matchers or any(matches(stream.node.id) for matches in matchers):
                    # Many gRPC clients have one id: each stream is one of its own.
                    who = (stream.node.id, number if stream.node.is_grpc else -1)
                    nodes.setdefault(who, []).append(stream)
            for node in sorted(nodes):
                yield await self._node(nodes[node], contents=not request.exclude_resource_contents)
                await asyncio.sleep(0)

    async def _node(self, streams: list[NodeStream], *, contents: bool) -> csds_pb2.ClientConfig:
        """Gives one node; of its streams the newest counts, type by type."""
        newest = streams[-1]
        config = csds_pb2.ClientConfig(client_scope=newest.fleet)
        config.node.id, config.node.cluster = newest.node.id, newest.node.cluster
        config.node.user_agent_name = newest.node.user_agent
        if newest.node.version:
            config.node.user_agent_version = newest.node.version
        size = 0
        for index, (stream, status) in enumerate(_newest(streams)):
            shown = self._show(stream.fleet, status, contents=contents)
            size += shown.ByteSize()
            _bounded(size)
            config.generic_xds_configs.append(shown)
            if index % _TURN == _TURN - 1:
                await asyncio.sleep(0)
        return config

    def _show(self, fleet: str, status: ResourceStatus, *, contents: bool) -> _Config:
        key, held, refused = status.key, status.held, status.rejection
        config = _Config(
            type_url=key.type_url,
            name=key.name,
            version_info=held.version if held else "",
            config_status=_CONFIG_STATUS[status.standing],
            client_status=_client_status(status),
        )
        if status.wanted is None and status.holds == (None,):
            config.config_status = csds_pb2.NOT_SENT  # there is nothing that could be sent
        if contents and held is not None and held.known:
            config.xds_config.MergeFromString(held.body)
        if refused is not None:
            failed = UpdateFailureState(details=refused.message, version_info=refused.version)
            if math.isfinite(refused.at):  # not from before this process
                at = time.time() - (_clock() - refused.at)
                failed.last_update_attempt.FromMicroseconds(int(at * 1e6))
            wanted = status.wanted
            if wanted is None or wanted.version != refused.version:
                wanted = self._cache.former(fleet, key, refused.version)
            if contents and wanted is not None and wanted.known:
                failed.failed_configuration.MergeFromString(wanted.body)
            config.error_state.CopyFrom(failed)
        return config


@asynccontextmanager
async def _own_words(context: _Context) -> AsyncIterator[None]:
    """Ends a call that fails: grpcio would tell the client what Python said."""
    try:
        yield
    except _Refused as refused:
        await context.abort(refused.code, str(refused))
    except Exception:  # noqa: BLE001 - whatever it is, the client is told nothing of it
        _log.exception("client status for %s", context.peer())
        await context.abort(grpc.StatusCode.INTERNAL, "internal error")


def _newest(streams: list[NodeStream]) -> Iterator[tuple[NodeStream, ResourceStatus]]:
    """Gives the status of each name, from the newest stream that carries its type."""
    told: set[str] = set()
    for stream in reversed(streams):
        types = stream.asked()
        for status in stream.statuses(_clock()):
            if status.key.type_url not in told:
                yield stream, status
        told |= types


def _client_status(status: ResourceStatus) -> ClientResourceStatus.ValueType:
    """Gives how the client sees a resource, in the words of Envoy's own dumps."""
    if status.rejection is not None:
        return ClientResourceStatus.NACKED
    if status.held is not None:
        return ClientResourceStatus.ACKED
    if status.wanted is None and status.standing is Standing.SYNCED:
        return ClientResourceStatus.DOES_NOT_EXIST
    return ClientResourceStatus.REQUESTED


def _bounded(size: int) -> None:
    if size > LARGEST_ANSWER:
        raise _Refused(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"the answer is larger than {LARGEST_ANSWER >> 20} MiB: name fewer nodes in"
            " node_matchers, set exclude_resource_contents, or use StreamClientStatus, which"
            " answers node by node",
        )


def _matcher(matcher: NodeMatcher) -> _Matches:
    """Gives a test of node ids.

    Raises:
        _Refused: it asks for what is not supported.
    """
    if matcher.node_metadatas:
        raise _unsupported("node_metadatas")
    if not matcher.HasField("node_id"):
        return lambda _: True
    return _text_matcher(matcher.node_id)


def _text_matcher(matcher: StringMatcher) -> _Matches:
    kind = matcher.WhichOneof("match_pattern")
    if kind not in ("exact", "prefix", "suffix", "contains"):
        raise _unsupported(f"node_id with {kind or 'no pattern'}")
    fold: Callable[[str], str] = str.lower if matcher.ignore_case else str
    part = fold(str(getattr(matcher, kind)))
    match kind:
        case "exact":
            return lambda node: fold(node) == part
        case "prefix":
            return lambda node: fold(node).startswith(part)
        case "suffix":
            return lambda node: fold(node).endswith(part)
        case _:
            return lambda node: part in fold(node)


def _unsupported(what: str) -> _Refused:
    return _Refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"node_matchers: {what} is not supported; node_id with exact, prefix, suffix or contains"
        " is, with and without ignore_case",
    )


def _clock() -> float:
    return asyncio.get_running_loop().time()

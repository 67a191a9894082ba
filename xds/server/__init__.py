"""The streams: ADS over grpc.aio, delta and state of the world, on the pure core of the cache.

With `xds.cache` it is an xDS server by itself: it needs no database and none of the other rooms.
A node belongs to the fleet that its `node.cluster` names.

Example:
    >>> import asyncio
    >>> from envoy.config.cluster.v3.cluster_pb2 import Cluster
    >>> from xds.cache import SnapshotCache
    >>> from xds.server import serve
    >>> async def main():
    ...     cache = SnapshotCache()
    ...     cache.publish("edge", [Cluster(name="web", type=Cluster.STATIC)])
    ...     async with await serve(cache, "127.0.0.1:0") as server:
    ...         return server.port > 0
    >>> asyncio.run(main())
    True
"""

from xds.server.client_status import ClientStatusService
from xds.server.errors import AddressNotBound, UnsafeAddress, XdsServerError
from xds.server.options import ServerOptions
from xds.server.server import AdsService, Server, serve
from xds.server.traffic import Totals, Traffic

__all__ = [
    "AddressNotBound",
    "AdsService",
    "ClientStatusService",
    "Server",
    "ServerOptions",
    "Totals",
    "Traffic",
    "UnsafeAddress",
    "XdsServerError",
    "serve",
]

"""The streams over grpc.aio: ADS and single-type services, delta and state of the world.

With `xds.cache` it is an xDS server by itself: it needs no database and none of the other rooms.
A node belongs to the fleet that its `node.cluster` names.

Example:
    >>> import asyncio
    >>> from envoy.config.cluster.v3.cluster_pb2 import Cluster
    >>> from xds.cache import SnapshotCache, Verdicts
    >>> from xds.server import serve
    >>> async def main():
    ...     cache = SnapshotCache(Verdicts(print))
    ...     cache.publish("edge", [Cluster(name="web", type=Cluster.STATIC)])
    ...     server = await serve(cache, "127.0.0.1:0")
    ...     print("serving" if server.port else "not there")
    ...     await server.stop()
    >>> asyncio.run(main())
    serving
"""

from xds.server.client_status import ClientStatusService
from xds.server.errors import AddressNotBound, UnsafeAddress, XdsServerError
from xds.server.options import ServerOptions
from xds.server.server import DiscoveryService, Server, serve
from xds.server.traffic import Totals, Traffic

__all__ = [
    "AddressNotBound",
    "ClientStatusService",
    "DiscoveryService",
    "Server",
    "ServerOptions",
    "Totals",
    "Traffic",
    "UnsafeAddress",
    "XdsServerError",
    "serve",
]

"""The streams: ADS over grpc.aio, delta and state of the world, on the pure core of the cache."""

from xds.server.errors import AddressNotBound, UnsafeAddress, XdsServerError
from xds.server.options import ServerOptions
from xds.server.server import AdsService, Server, serve
from xds.server.traffic import Traffic

__all__ = [
    "AddressNotBound",
    "AdsService",
    "Server",
    "ServerOptions",
    "Traffic",
    "UnsafeAddress",
    "XdsServerError",
    "serve",
]

"""Snapshots, subscriptions and the order of things: the pure core of the xDS server."""

from xds.cache.cache import SnapshotCache
from xds.cache.cursor import Pending
from xds.cache.guard import RemovalGuard
from xds.cache.published import Publishable
from xds.cache.resource import Resource, empty_endpoints
from xds.cache.snapshot import Snapshot
from xds.cache.stream import NodeStream
from xds.cache.types import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    RUNTIME,
    SECRET,
    Key,
    NodeInfo,
    Observer,
    RejectedVersion,
    Request,
    Response,
)
from xds.cache.verdicts import Verdict, Verdicts

__all__ = [
    "CLUSTER",
    "ENDPOINT",
    "LISTENER",
    "ROUTE",
    "RUNTIME",
    "SECRET",
    "Key",
    "NodeInfo",
    "NodeStream",
    "Observer",
    "Pending",
    "Publishable",
    "RejectedVersion",
    "RemovalGuard",
    "Request",
    "Resource",
    "Response",
    "Snapshot",
    "SnapshotCache",
    "Verdict",
    "Verdicts",
    "empty_endpoints",
]

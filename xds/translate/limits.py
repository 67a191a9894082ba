"""A VIP's connection limit on one node is a runtime key: it changes live and cuts nothing.

The other ways were measured and are not taken (Envoy 1.40.0): the filter `connection_limit` begins
to count anew when it is changed, and what it counted before is cut at drain time; circuit breakers
do not limit clients. Here a connection over the limit is accepted and closed at once, counted in
`listener.<VIP>.downstream_cx_overflow`; lowering the number ends no connection.
"""

from collections.abc import Mapping
from typing import Final

from envoy.service.runtime.v3.rtds_pb2 import Runtime
from google.protobuf.any_pb2 import Any

from xds.cache.resource import Resource
from xds.cache.types import RUNTIME, Key
from xds.translate.bootstrap import RUNTIME_LAYER

_BEFORE: Final = "envoy.resource_limits.listener."
_AFTER: Final = ".connection_limit"

LIMITS: Final = Key(RUNTIME, RUNTIME_LAYER)
"""The one Runtime resource of a node; each node has its own."""


def build_limits(shares: Mapping[str, int]) -> Resource | None:
    """Gives a node's runtime layer: how many connections each VIP may hold there, by its name.

    Returns:
        None if there is no limit: the layer is empty then.
    """
    if not shares:
        return None
    runtime = Runtime(name=RUNTIME_LAYER)
    for vip, share in shares.items():
        runtime.layer.fields[f"{_BEFORE}{vip}{_AFTER}"].number_value = share
    return Resource.of(runtime)


def read_limits(resource: Resource | None) -> dict[str, int] | None:
    """Gives the shares that a version of a node's layer holds, by VIP.

    Returns:
        None if only its hash is known; nothing for None, the layer that does not exist.
    """
    if resource is None:
        return {}
    if not resource.known:
        return None
    runtime = Runtime()
    Any.FromString(resource.body).Unpack(runtime)
    return {
        key.removeprefix(_BEFORE).removesuffix(_AFTER): round(value.number_value)
        for key, value in runtime.layer.fields.items()
        if key.startswith(_BEFORE) and key.endswith(_AFTER)
    }

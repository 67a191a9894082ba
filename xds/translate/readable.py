"""Envoy's messages as people read them: JSON with every Any opened."""

from typing import Final, cast

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.health_check_pb2 import HealthCheck
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.json_format import MessageToDict
from google.protobuf.unknown_fields import UnknownFieldSet

Json = dict[str, object]
_NAME_FIELD: Final = 27
_METADATA: Final = "filter_metadata"
_MAPS: Final = frozenset({_METADATA, "typed_extension_protocol_options", "typed_per_filter_config"})


def readable(body: bytes) -> Json:
    """Gives a resource's body (a serialised Any) as proto3 JSON, names as in the protos.

    Maps, which have no order of their own, are sorted: the same body always reads the same.
    The types of Any's content must be imported, as they are by the builders of this package.
    """
    box = Packed.FromString(body)
    shown = cast("Json", MessageToDict(box, preserving_proto_field_name=True))
    cluster = Cluster()
    if box.Unpack(cluster):
        _show_names(cluster, shown)
    return cast("Json", _sorted_maps(shown))


def check_name(check: HealthCheck) -> str:
    """Gives the name of a health check, which xds-protos cannot show, or ""."""
    fields = UnknownFieldSet(check)
    for index in range(len(fields)):
        unknown = fields[index]
        if unknown.field_number == _NAME_FIELD:
            return bytes(unknown.data).decode()
    return ""


def _sorted_maps(value: object, *, inside: str = "") -> object:
    """Sorts the maps of a message in JSON; `inside` is the field that it stands in."""
    if isinstance(value, list):
        return [_sorted_maps(each, inside=inside) for each in value]
    if not isinstance(value, dict):
        return value
    items = sorted(value.items()) if inside in _MAPS else value.items()
    # All that is in metadata is a map.
    deeper = inside if inside == _METADATA else ""
    return {key: _sorted_maps(inner, inside=deeper or key) for key, inner in items}


def _show_names(cluster: Cluster, shown: Json) -> None:
    checks = cast("list[Json]", shown.get("health_checks", []))
    for check, entry in zip(cluster.health_checks, checks, strict=True):
        if name := check_name(check):
            entry["name"] = name

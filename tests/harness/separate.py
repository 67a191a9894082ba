"""An Envoy without ADS: a stream for clusters, one for listeners, one for each thing they name."""

import copy
from typing import Any

from google.protobuf import json_format

from tests.harness import resources
from tests.harness.bootstrap import ads_bootstrap


def source(*, delta: bool) -> dict[str, Any]:
    """Where a type comes from: its own service, on the server of the bootstrap."""
    return {
        "api_config_source": {
            "api_type": "DELTA_GRPC" if delta else "GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
        },
        "resource_api_version": "V3",
    }


def separate_bootstrap(xds_port: int, *, delta: bool, **options: Any) -> dict[str, Any]:
    """The bootstrap of the harness, with a stream of its own for each type."""
    made = copy.deepcopy(ads_bootstrap(xds_port, delta=delta, **options))
    own = source(delta=delta)
    made["dynamic_resources"] = {"cds_config": own, "lds_config": own}
    made["layered_runtime"]["layers"][0]["rtds_layer"]["rtds_config"] = own
    return made


def separate_vip(name: str, port: int, members: list[str], *, delta: bool, tag: int = 0) -> list:
    """A whole tree whose endpoints and routes come over streams of their own."""
    tree = resources.vip(name, port, members, connect_timeout=1 + tag)
    own = source(delta=delta)
    json_format.ParseDict(own, cleared(tree[0].eds_cluster_config.eds_config))
    config = tree[2].filter_chains[0].filters[0].typed_config
    manager = resources.http_connection_manager_pb2.HttpConnectionManager()
    assert config.Unpack(manager)
    json_format.ParseDict(own, cleared(manager.rds.config_source))
    config.Pack(manager)
    return tree


def cleared(message: Any) -> Any:
    """Empties a message, and gives it."""
    message.Clear()
    return message

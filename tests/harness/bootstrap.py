"""The least bootstrap with which Envoy follows an ADS server (the product's own is elsewhere)."""

from typing import Any

_RECONNECT = {"retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}}}


def ads_bootstrap(
    xds_port: int,
    *,
    fleet: str = "fleet",
    node: str = "node",
    delta: bool = True,
    keepalive: str = "5s",
) -> dict[str, Any]:
    """Clusters, listeners and a runtime layer over one ADS stream, delta or state of the world."""
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {"id": node, "cluster": fleet},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC" if delta else "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds", **_RECONNECT}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "layered_runtime": {
            "layers": [{"name": "rtds", "rtds_layer": {"name": "runtime", "rtds_config": ads}}]
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": "type.googleapis.com/"
                            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                            "explicit_http_config": {
                                "http2_protocol_options": {
                                    "connection_keepalive": {"interval": keepalive, "timeout": "3s"}
                                }
                            },
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "xds",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {
                                        "endpoint": {
                                            "address": {
                                                "socket_address": {
                                                    "address": "127.0.0.1",
                                                    "port_value": xds_port,
                                                }
                                            }
                                        }
                                    }
                                ]
                            }
                        ],
                    },
                }
            ]
        },
    }

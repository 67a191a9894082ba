"""One resource of any type, and others of the same name with other content."""

from typing import Any

from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.service.runtime.v3.rtds_pb2 import Runtime

from tests.harness import resources
from tests.harness.ads_client import CDS, EDS, LDS, RDS, RTDS, SDS

TYPES = [CDS, EDS, LDS, RDS, SDS, RTDS]
BY_NAME = [EDS, RDS, SDS, RTDS]
WILD = [CDS, LDS]
ELSEWHERE = "of-the-bootstrap"
"""A cluster that no snapshot holds: nothing waits for it."""


def make(type_url: str, name: str, tag: int = 0) -> Any:
    """A resource that needs no other; another `tag` is another version."""
    if type_url == CDS:
        return resources.cluster(name, connect_timeout=1 + tag)
    if type_url == EDS:
        return resources.endpoints(name, [f"127.0.0.1:{9001 + tag}"])
    if type_url == LDS:
        port = 10_000 + int.from_bytes(name.encode()) % 50_000
        listener = resources.tcp_listener(name, port, ELSEWHERE)
        listener.per_connection_buffer_limit_bytes.value = 1000 + tag
        return listener
    if type_url == RDS:
        return resources.route(name, ELSEWHERE, timeout=15 + tag)
    if type_url == SDS:
        secret = Secret(name=name)
        secret.generic_secret.secret.inline_string = f"secret {tag}"
        return secret
    runtime = Runtime(name=name)
    runtime.layer["tag"] = tag
    return runtime


def large(type_url: str, name: str, size: int = 64 << 10) -> Any:
    """A cluster or some endpoints of about `size` bytes."""
    message = make(type_url, name)
    if type_url == CDS:
        message.metadata.filter_metadata["filler"]["text"] = "x" * size
    else:
        entry = message.endpoints[0].lb_endpoints[0]
        entry.metadata.filter_metadata["filler"]["text"] = "x" * size
    return message

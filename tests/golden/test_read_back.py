"""What we send, read by an implementation that is not ours, means what we meant.

envoy-data-plane has its own generated types and its own parser (betterproto2).
"""

import re
import warnings
from collections.abc import Callable
from importlib import import_module

import pytest

from tests.golden.case import Case, all_cases
from xds.translate import readable, translate

CASES = list(all_cases())
MODULES = (
    "config.cluster.v3",
    "config.endpoint.v3",
    "config.listener.v3",
    "config.route.v3",
    "extensions.common.matching.v3",
    "extensions.filters.http.composite.v3",
    "extensions.filters.http.header_mutation.v3",
    "extensions.filters.http.header_to_metadata.v3",
    "extensions.filters.http.lua.v3",
    "extensions.filters.http.router.v3",
    "extensions.filters.http.stateful_session.v3",
    "extensions.filters.network.http_connection_manager.v3",
    "extensions.filters.network.tcp_proxy.v3",
    "extensions.http.stateful_session.header.v3",
    "extensions.load_balancing_policies.least_request.v3",
    "extensions.load_balancing_policies.maglev.v3",
    "extensions.load_balancing_policies.round_robin.v3",
    "extensions.retry.host.previous_hosts.v3",
    "extensions.transport_sockets.tls.v3",
    "extensions.upstreams.http.v3",
    "type.matcher.v3",
)
DURATION = re.compile(r"^\d+(\.\d+)?s$")


@pytest.fixture(scope="module")
def their_reading() -> Callable[[bytes], object]:
    """Gives their JSON of a body, every Any opened; an Any of a type not listed above fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's deprecations in the generated code
        for module in MODULES:
            import_module(f"envoy_data_plane.envoy.{module}")
        protobuf = import_module("envoy_data_plane.google.protobuf")
        snake = import_module("betterproto2").Casing.SNAKE

    def read(body: bytes) -> object:
        return protobuf.Any.parse(body).to_dict(casing=snake)

    return read


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_independent_reader_sees_the_same(case: Case, their_reading) -> None:
    for rendered in translate(case.tree, case.fleet).values():
        body = rendered.resource.body
        ours = readable(body)
        for check in ours.get("health_checks", ()):
            check.pop("name", None)  # unknown to them as well
        assert _meaning(their_reading(body)) == _meaning(ours)


def _meaning(value: object) -> object:
    """Strips what JSON may write in several ways: the order of keys, zeros of a duration."""
    if isinstance(value, dict):
        return {key: _meaning(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_meaning(inner) for inner in value]
    if isinstance(value, str) and DURATION.match(value):
        return float(value[:-1])
    return value

"""The name of a health check, which xds-protos does not know yet."""

import pytest
from envoy.config.core.v3.health_check_pb2 import HealthCheck
from google.protobuf.internal.decoder import _DecodeVarint  # type: ignore[attr-defined]

from xds.translate.health_check import name_check
from xds.translate.readable import check_name


def test_xds_protos_still_lacks_the_name() -> None:
    assert "name" not in HealthCheck.DESCRIPTOR.fields_by_name, (
        "xds-protos has HealthCheck.name now: make name_check() set it, and raise the bound"
    )
    assert 27 not in HealthCheck.DESCRIPTOR.fields_by_number


@pytest.mark.parametrize("length", [1, 127, 128, 300, 20_000])
def test_a_name_of_any_length_is_field_27(length: int) -> None:
    check = HealthCheck()
    check.interval.seconds = 5
    name_check(check, "n" * length)
    wire = check.SerializeToString()
    start = wire.index(b"\xda\x01") + 2
    size, start = _DecodeVarint(wire, start)
    assert (size, wire[start:]) == (length, b"n" * length)
    again = HealthCheck.FromString(wire)
    assert again.interval.seconds == 5
    assert check_name(again) == "n" * length
    assert check_name(HealthCheck()) == ""

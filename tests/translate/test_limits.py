"""Shares of connection limits as a node's runtime layer, and read back."""

from envoy.service.runtime.v3.rtds_pb2 import Runtime
from google.protobuf.any_pb2 import Any
from google.protobuf.json_format import MessageToDict

from xds.cache.resource import Resource
from xds.cache.types import RUNTIME, Key
from xds.translate.limits import LIMITS, build_limits, read_limits

SHARES = {"projects/acme/vips/front": 5, "projects/acme/vips/a.b": 0}


def test_a_share_is_envoys_own_key_for_its_listener():
    made = build_limits({"projects/acme/vips/front": 5})
    assert made.key == LIMITS == Key(RUNTIME, "tidegate")
    runtime = Runtime()
    Any.FromString(made.body).Unpack(runtime)
    key = "envoy.resource_limits.listener.projects/acme/vips/front.connection_limit"
    assert MessageToDict(runtime.layer) == {key: 5.0}


def test_what_is_built_is_read_back():
    assert read_limits(build_limits(SHARES)) == SHARES
    assert build_limits(SHARES).version == build_limits(dict(reversed(SHARES.items()))).version


def test_without_limits_there_is_no_layer():
    assert build_limits({}) is None
    assert read_limits(None) == {}


def test_of_what_another_process_sent_nothing_is_known():
    assert read_limits(Resource.foreign(LIMITS, "abc")) is None

"""The protos say what the rules do, and keep the AIPs that no linter knows."""

import importlib.resources
import re
from itertools import chain

import pytest
from google.api import annotations_pb2, field_behavior_pb2, resource_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from lbaas.model.filter import fields_of
from lbaas.model.names import KINDS
from lbaas.model.objects import Fleet, HealthMonitor, Member, NodeView, Pool, ServiceType, Vip
from lbaas.model.rules import IMMUTABLE
from lbaas.v1 import (
    fleet_pb2,
    health_monitor_pb2,
    member_pb2,
    pool_pb2,
    quota_pb2,
    service_type_pb2,
    vip_pb2,
)

FILES = [
    file
    for file in FileDescriptorSet.FromString(
        importlib.resources.files("lbaas.v1").joinpath("descriptors.binpb").read_bytes()
    ).file
    if file.package == "lbaas.v1"
]
MESSAGES = {
    Pool: pool_pb2.Pool,
    Member: member_pb2.Member,
    HealthMonitor: health_monitor_pb2.HealthMonitor,
    Vip: vip_pb2.Vip,
    ServiceType: service_type_pb2.ServiceType,
    Fleet: fleet_pb2.Fleet,
}


def comment(message_name: str, field_name: str) -> str:
    """Gives a field's comment in one line."""
    for file in FILES:
        for m, message in enumerate(file.message_type):
            for f, field in enumerate(message.field):
                if (message.name, field.name) == (message_name, field_name):
                    [found] = [
                        each.leading_comments
                        for each in file.source_code_info.location
                        if list(each.path) == [4, m, 2, f]
                    ]
                    return " ".join(found.split())
    raise LookupError(message_name, field_name)


@pytest.mark.parametrize(
    ("request_name", "kind"),
    [
        ("ListPoolsRequest", Pool),
        ("ListMembersRequest", Member),
        ("ListHealthMonitorsRequest", HealthMonitor),
        ("ListVipsRequest", Vip),
        ("ListServiceTypesRequest", ServiceType),
        ("ListFleetsRequest", Fleet),
        ("ListNodesRequest", NodeView),
    ],
)
def test_a_lists_filter_comment_names_the_fields_that_work(request_name, kind) -> None:
    named = re.findall(r"`([a-z_.{}]+)`", comment(request_name, "filter"))
    labels = [] if kind is NodeView else ["labels.{key}"]
    assert sorted(named) == sorted([*fields_of(kind), *labels])


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_the_protos_call_immutable_is_what_the_rules_keep(kind) -> None:
    marked = {
        field.name
        for field in MESSAGES[kind].DESCRIPTOR.fields
        if field_behavior_pb2.IMMUTABLE
        in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    }
    assert marked == set(IMMUTABLE[kind])


def test_resources_have_the_models_name_patterns() -> None:
    messages = [*MESSAGES.values(), fleet_pb2.Node, quota_pb2.Quota]
    patterns = {
        pattern
        for message in messages
        for pattern in message.DESCRIPTOR.GetOptions().Extensions[resource_pb2.resource].pattern
    }
    assert patterns == {kind.pattern for kind in KINDS} - {"projects/{project}"}


def test_every_method_has_a_path_of_its_own() -> None:
    paths = []
    for method in chain.from_iterable(s.method for file in FILES for s in file.service):
        if method.client_streaming:
            continue  # an agent's stream: HTTP has none in both directions
        rule = method.options.Extensions[annotations_pb2.http]
        assert rule.WhichOneof("pattern"), method.name
        for each in (rule, *rule.additional_bindings):
            verb = each.WhichOneof("pattern")
            # Two paths collide if they differ in the variables' names alone.
            paths.append((verb, re.sub(r"\{[a-z_.]+=([^}]+)\}", r"\1", getattr(each, verb))))
    assert len(paths) == len(set(paths))


def test_every_mutation_can_be_tried_and_repeated() -> None:
    reading = ("Get", "List", "Explain", "Watch", "WaitForApplied", "Connect")
    messages = {message.name: message for file in FILES for message in file.message_type}
    for method in chain.from_iterable(s.method for file in FILES for s in file.service):
        fields = {f.name for f in messages[method.input_type.rpartition(".")[2]].field}
        if not method.name.startswith(reading):
            assert {"validate_only", "request_id"} <= fields, method.name
        if method.name.startswith(
            ("Delete", "Move", "Associate", "Disassociate", "Apply", "Drain")
        ):
            assert "etag" in fields, method.name

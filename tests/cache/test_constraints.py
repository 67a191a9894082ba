"""Envoy's constraints: which rules are known, and that Envoy and the checker refuse the same."""

import importlib
import pkgutil
import tracemalloc

import envoy
import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.config.core.v3.health_check_pb2 import HealthCheck
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as http,
)
from envoy.extensions.load_balancing_policies.least_request.v3.least_request_pb2 import (
    LeastRequest,
)
from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from validate import validate_pb2

from tests.cache.mutants import mutants
from tests.golden.case import all_cases
from tests.harness import envoy_protos
from tests.harness.verdicts import Jury
from xds.cache.constraints import LONGEST_FAULT, fault, plan_of, violations
from xds.cache.rules import DIFFERENT_IN_ENVOY, check_of
from xds.translate import translate

NO_HEADER = r'value does not match regex pattern "^[^\x00\x0a\x0d]*$"'
TOO_MUCH = "value must be less than or equal to 100.0"
BY_CONSTRAINT = "Proto constraint validation failed"


def descriptors() -> list[Descriptor]:
    """All messages of Envoy's v3 API that are installed."""
    found: list[Descriptor] = []

    def walk(descriptor: Descriptor) -> None:
        found.append(descriptor)
        for inner in descriptor.nested_types:
            walk(inner)

    for module in pkgutil.walk_packages(envoy.__path__, "envoy."):
        if ".v3" in module.name and module.name.endswith("_pb2"):
            file = importlib.import_module(module.name).DESCRIPTOR
            for descriptor in file.message_types_by_name.values():
                walk(descriptor)
    return found


def test_every_rule_of_the_installed_protos_is_known() -> None:
    found = descriptors()
    assert len(found) > 1000
    unread = [rule for descriptor in found for rule in plan_of(descriptor).unread]
    assert unread == []
    for descriptor in found:  # of these there are none, and so nothing reads them
        options = descriptor.GetOptions()
        assert not options.Extensions[validate_pb2.disabled]
        assert not options.Extensions[validate_pb2.ignored]


def test_a_rule_of_which_nothing_is_known_is_told() -> None:
    name = Cluster.DESCRIPTOR.fields_by_name["name"]
    rules = validate_pb2.FieldRules(string=validate_pb2.StringRules(hostname=True, min_len=1))
    check, unread = check_of(rules, name)
    assert unread == ["string.hostname"]
    assert check is not None
    assert check("a") == ""


def test_the_rules_are_those_that_envoys_binary_declares() -> None:
    """Where they differ the checker has Envoy's; the list of differences is exact."""
    assert descriptors()  # which loads them
    differing = {}
    compared = 0
    for file in envoy_protos.files():
        try:
            mine = descriptor_pool.Default().FindFileByName(file.name)
        except KeyError:
            continue  # newer than the protos installed
        copy = type(file)()
        mine.CopyToProto(copy)
        ours = dict(envoy_protos.members(copy))
        for name, theirs in envoy_protos.members(file):
            if name not in ours:
                continue
            compared += 1
            extension = validate_pb2.rules if hasattr(theirs, "number") else validate_pb2.required
            rules = theirs.options.Extensions[extension]
            if rules != ours[name].options.Extensions[extension]:
                differing[name] = rules
    assert compared > 4000
    # Envoy sends and gets these itself; they are no part of a resource.
    for name in ("ProcessingRequest.request", "ProcessingResponse.response"):
        differing.pop(f"envoy.service.ext_proc.v3.{name}")
    assert differing == DIFFERENT_IN_ENVOY


def header(key: str, value: str = "x") -> HeaderValue:
    return HeaderValue(key=key, value=value)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (Cluster(), ["name: value length must be at least 1 characters"]),
        (
            Cluster(name="c", connect_timeout={"seconds": -1}),
            ["connect_timeout: value must be greater than 0s"],
        ),
        (
            Cluster(name="c", type=77),
            ["type: value must be one of the defined enum values"],
        ),
        (
            Cluster(name="c", health_checks=[{}]),
            [
                "health_checks[0].timeout: value is required",
                "health_checks[0].interval: value is required",
                "health_checks[0].unhealthy_threshold: value is required",
                "health_checks[0].healthy_threshold: value is required",
                "health_checks[0].health_checker: is required",
            ],
        ),
        (
            ClusterLoadAssignment(cluster_name="c", policy={"drop_overloads": [{}]}),
            ["policy.drop_overloads[0].category: value length must be at least 1 characters"],
        ),
        (header("a\nb"), [f"key: {NO_HEADER}"]),
        (header(""), ["key: value length must be at least 1 characters"]),
        (header("k", "x" * 16385), ["value: value length must be at most 16384 bytes"]),
        (
            HealthCheck.HttpHealthCheck(path="/", method=6),
            ["method: value must not be in list [6]"],
        ),
        (
            HealthCheck.HttpHealthCheck(path="/", request_headers_to_remove=["a", "b\r"]),
            [f"request_headers_to_remove[1]: {NO_HEADER}"],
        ),
        (
            Cluster(name="c", common_lb_config={"healthy_panic_threshold": {"value": 101}}),
            [f"common_lb_config.healthy_panic_threshold.value: {TOO_MUCH}"],
        ),
    ],
)
def test_violations_are_told_in_envoys_words_and_where(message: Message, told: list[str]) -> None:
    assert list(violations(message)) == told


def _checked() -> HealthCheck:
    second = {"seconds": 1}
    one = {"value": 1}
    return HealthCheck(
        timeout=second,
        interval=second,
        unhealthy_threshold=one,
        healthy_threshold=one,
        tcp_health_check={},
    )


def test_all_violations_are_told_in_one_text_that_is_not_too_long() -> None:
    text = fault(Cluster(health_checks=[_checked()] * 9))
    assert "name: value length must be at least" in text
    assert "health_checks: value must contain no more than 8 item(s)" in text
    assert len(fault(Cluster(health_checks=[{}] * 999))) == LONGEST_FAULT
    assert fault(Cluster(name="c")) == ""


def test_what_is_packed_is_checked_where_envoy_does() -> None:
    listener = Listener(name="l")
    packed = listener.filter_chains.add().filters.add(name="http").typed_config
    packed.Pack(http.HttpConnectionManager())
    where = "filter_chains[0].filters[0].typed_config"
    assert f"{where}.stat_prefix: value length must be at least 1 characters" in violations(
        listener
    )
    packed.value = b"\xff"
    assert violations(listener) == [
        f"{where}.value: is no {http.HttpConnectionManager.DESCRIPTOR.full_name}"
    ]
    packed.CopyFrom(Any(type_url="type.googleapis.com/not.Known", value=b"\xff"))
    assert not violations(listener)
    cluster = Cluster(name="c")
    policy = cluster.load_balancing_policy.policies.add().typed_extension_config
    policy.name = "least"
    policy.typed_config.Pack(LeastRequest(choice_count={"value": 1}))
    assert not violations(cluster)  # Envoy serves with it (measured)


def test_what_envoy_dies_of_is_not_sent() -> None:
    cluster = Cluster(name="c")
    cluster.common_lb_config.healthy_panic_threshold.value = float("nan")
    assert "healthy_panic_threshold.value: value must be" in fault(cluster)
    listener = Listener(name="l", additional_addresses=[{}])
    assert "additional_addresses[0].address: value is required" in fault(listener)


def asked(message: Message) -> Message:
    """Gives a golden resource as a cluster or listener that Envoy judges at once.

    No member to warm on, no route to wait for, no address to bind: those would answer with it.
    """
    if isinstance(message, Cluster):
        made = Cluster()
        made.CopyFrom(message)
        made.ClearField("eds_cluster_config")
        made.name, made.type, made.load_assignment.cluster_name = "m", Cluster.STATIC, "m"
        return made
    if isinstance(message, ClusterLoadAssignment):
        return Cluster(
            name="m", type=Cluster.STATIC, load_assignment=message, connect_timeout={"seconds": 1}
        )
    listener = Listener(name="m", bind_to_port={"value": False})
    if isinstance(message, Listener):
        listener.MergeFrom(message)
        listener.name = "m"
        return listener
    assert isinstance(message, RouteConfiguration)
    socket = listener.address.socket_address
    socket.address, socket.port_value = "127.0.0.1", 1
    manager = http.HttpConnectionManager(stat_prefix="m", route_config=message)
    manager.route_config.ClearField("validate_clusters")
    router = "envoy.extensions.filters.http.router.v3.Router"
    config = manager.http_filters.add(name="router").typed_config
    config.type_url = f"type.googleapis.com/{router}"
    listener.filter_chains.add().filters.add(name="http").typed_config.Pack(manager)
    return listener


def golden() -> list[Message]:
    """What the translator makes of all golden cases, each once."""
    found: dict[bytes, Message] = {}
    for case in all_cases():
        for rendered in translate(case.tree, case.fleet).values():
            packed = Any.FromString(rendered.resource.body)
            kinds = (Cluster, ClusterLoadAssignment, Listener, RouteConfiguration)
            (kind,) = (each for each in kinds if packed.Is(each.DESCRIPTOR))
            message = kind()
            packed.Unpack(message)
            found[rendered.resource.body] = message
    return list(found.values())


def test_the_translators_own_resources_keep_all_constraints() -> None:
    assert [text for text in map(fault, golden()) if text] == []


async def test_envoy_and_the_checker_refuse_the_same() -> None:
    """Some 2,800 mutants of the golden resources: each field of each message in several ways."""
    made: dict[tuple[str, str], Message] = {}
    for message in golden():
        start = asked(message)
        for what, mutant in mutants(start):
            # A cluster that asks DNS warms, and holds back the verdicts of all.
            if not what.startswith("envoy.config.cluster.v3.Cluster.type="):
                made.setdefault((start.DESCRIPTOR.name, what), mutant)
    assert len(made) > 2500
    found = {name: violations(mutant) for name, mutant in made.items()}
    said: dict[tuple[str, str], str] = {}
    names = list(made)
    async with Jury() as jury:
        for at in range(0, len(names), 50):
            some = names[at : at + 50]
            said |= zip(some, await jury.ask([made[name] for name in some]), strict=True)
    false = {name: told for name, told in found.items() if told and not said[name]}
    missed = {
        name: words for name, words in said.items() if BY_CONSTRAINT in words and not found[name]
    }
    assert false == {}
    assert missed == {}
    assert sum(BY_CONSTRAINT in words for words in said.values()) > 400


def test_large_messages_are_not_kept_to_be_known_again():
    """300 clusters with 1 MiB of metadata, sent one after another, held 256 MiB for ever."""
    tracemalloc.start()
    try:
        for number in range(8):
            filler = f"{number}" * (1 << 20)
            message = Cluster(name="big")
            message.metadata.filter_metadata["filler"]["text"] = filler
            packed = message.typed_extension_protocol_options["big"]
            packed.Pack(Cluster(name="big", alt_stat_name=filler))
            assert not violations(message)
        del filler, message, packed
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1 << 20

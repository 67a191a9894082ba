"""What agents say, read; what they are told, written."""

from collections.abc import Iterator
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from api.conversion.health_monitors import write_health_monitor
from api.conversion.reading import Reading
from lbaas.model.names import NODE, check_name
from lbaas.model.objects import EPOCH
from lbaas.model.reports import (
    AgentHello,
    AgentReport,
    AgentSpec,
    Evidence,
    MemberObservation,
    MemberState,
    PingVerdict,
    PoolSpec,
    Traffic,
    TrafficSample,
)
from lbaas.v1 import agent_service_pb2

LONGEST_TEXT = 300
"""How many characters of an agent's own words are kept; they are shown to tenants."""

LARGEST_SPEC = 1024 * 1024
"""After how many bytes a spec goes on in another message: gRPC's clients refuse over 4 MiB."""

_COUNTERS = (
    "bytes_in",
    "bytes_out",
    "active_connections",
    "total_connections",
    "requests",
    "errors",
    "refused_connections",
)


def read_hello(message: agent_service_pb2.AgentHello, reading: Reading) -> AgentHello:
    """Gives who an agent says it is."""
    reading.add(check_name(NODE, message.node, field="node"))
    return AgentHello(
        node=message.node,
        version=_text(message.version),
        driver=_text(message.driver),
        ping_refusal=_text(message.ping_refusal),
    )


def read_report(message: agent_service_pb2.AgentReport, reading: Reading) -> AgentReport:
    """Gives what an agent found. Names that are no object's are the fleet side's to ignore."""
    if not message.HasField("time"):
        reading.wrong("time", "is required: say when the report was made", "REQUIRED")
    return AgentReport(
        time=_time("time", message.time, reading),
        envoy_running=message.envoy_running,
        envoy_start=_time("envoy_start_time", message.envoy_start_time, reading),
        whole=message.whole,
        members=tuple(
            _read_observation(each, reading.under(f"members[{index}]"))
            for index, each in enumerate(message.members)
        ),
        pings=tuple(
            PingVerdict(
                member=each.member,
                monitor=each.health_monitor,
                up=each.up,
                cause=_text(each.cause),
                time=_time("time", each.time, reading.under(f"pings[{index}]")),
            )
            for index, each in enumerate(message.pings)
        ),
        traffic=tuple(
            _read_sample(each, reading.under(f"traffic[{index}]"))
            for index, each in enumerate(message.traffic)
        ),
        warming=tuple(message.warming),
        evidence=_read_evidence(message.evidence) if message.HasField("evidence") else None,
    )


def write_spec(spec: AgentSpec) -> Iterator[agent_service_pb2.AgentSpec]:
    """Gives what changed for an agent, in one message or several.

    Of a whole spec the first message alone says so: the others add to it.
    """
    message = agent_service_pb2.AgentSpec(whole=spec.whole, removed_pools=spec.removed)
    if spec.evidence is not None:
        message.evidence.ask = spec.evidence.ask
        message.evidence.clusters.extend(spec.evidence.clusters)
    size = message.ByteSize()
    for pool in spec.pools:
        part = _write_pool(pool)
        size += part.ByteSize()
        if size > LARGEST_SPEC and message.pools:
            yield message
            message, size = agent_service_pb2.AgentSpec(), part.ByteSize()
        message.pools.append(part)
    yield message


def _read_evidence(message: agent_service_pb2.ClusterEvidence) -> Evidence:
    active, warming = dict(message.active), dict(message.warming)
    return Evidence(ask=message.ask, active=active, warming=warming)


def _read_observation(
    message: agent_service_pb2.MemberObservation, reading: Reading
) -> MemberObservation:
    return MemberObservation(
        member=message.member,
        state=reading.choice(
            "state",
            message.state,
            agent_service_pb2.MemberState.Code.Name,
            MemberState,
            instead=MemberState.PENDING,
        ),
        monitor=message.health_monitor,
        cause=_text(message.cause),
        time=_time("time", message.time, reading),
    )


def _read_sample(message: agent_service_pb2.TrafficSample, reading: Reading) -> TrafficSample:
    counted = {name: int(getattr(message, name)) for name in _COUNTERS}
    for name, value in counted.items():
        if value < 0:
            reading.wrong(name, "must not be negative", "OUT_OF_RANGE")
    return TrafficSample(name=message.name, traffic=Traffic(**counted))


def _write_pool(spec: PoolSpec) -> agent_service_pb2.PoolSpec:
    message = agent_service_pb2.PoolSpec(
        pool=spec.pool,
        clusters=spec.clusters,
        health_monitors=[write_health_monitor(each) for each in spec.monitors],
        vips=spec.vips,
    )
    for member in spec.members:
        message.members.add(member=member.name, address=member.address, port=member.port)
    return message


def _text(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _time(name: str, message: Timestamp, reading: Reading) -> datetime:
    """Gives a time; EPOCH for one that is not set."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        reading.wrong(name, "is no time between the years 1 and 9999", "INVALID_TIME")
        return EPOCH

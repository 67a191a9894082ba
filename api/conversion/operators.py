"""What operators write: service types, fleets, quotas."""

from api.conversion.reading import Reading
from api.conversion.statuses import write_record
from api.fleet_view import Trial
from lbaas.model.capabilities import intersection
from lbaas.model.enums import (
    FleetKind,
    HealthMonitorType,
    LbMethod,
    Protocol,
    SessionPersistenceType,
)
from lbaas.model.names import PROJECT, leaf
from lbaas.model.objects import Capabilities, Fleet, HeldRemovals, Quota, ServiceType
from lbaas.v1 import capabilities_pb2, enums_pb2, fleet_pb2, quota_pb2, service_type_pb2


def read_service_type(
    message: service_type_pb2.ServiceType, name: str, reading: Reading
) -> ServiceType:
    """Gives the service type that a message describes."""
    return ServiceType(
        name=name,
        display_name=message.display_name,
        description=message.description,
        labels=dict(sorted(message.labels.items())),
        default=message.default,
        fleet_kind=reading.optional_choice(
            "fleet_kind", message.fleet_kind, enums_pb2.FleetKind.Code.Name, FleetKind
        ),
        required=_read_capabilities(
            message.required_capabilities, reading.under("required_capabilities")
        ),
        fleet_labels=dict(message.fleet_selector),
    )


def write_service_type(service_type: ServiceType) -> service_type_pb2.ServiceType:
    """Gives what an operator wrote of a service type."""
    message = service_type_pb2.ServiceType(
        name=service_type.name,
        display_name=service_type.display_name,
        description=service_type.description,
        labels=service_type.labels,
        default=service_type.default,
        fleet_selector=service_type.fleet_labels,
    )
    if service_type.fleet_kind is not None:
        message.fleet_kind = enums_pb2.FleetKind.Code.Value(service_type.fleet_kind)
    if service_type.required != Capabilities():
        message.required_capabilities.CopyFrom(_write_capabilities(service_type.required))
    return message


def show_service_type(service_type: ServiceType) -> service_type_pb2.ServiceType:
    """Gives the service type as it is answered."""
    message = write_service_type(service_type)
    write_record(message, service_type.record)
    return message


def read_fleet(message: fleet_pb2.Fleet, name: str, reading: Reading) -> Fleet:
    """Gives the fleet that a message describes; whether it drains is not the message's."""
    kind = reading.optional_choice("kind", message.kind, enums_pb2.FleetKind.Code.Name, FleetKind)
    return Fleet(
        name=name,
        display_name=message.display_name,
        description=message.description,
        labels=dict(sorted(message.labels.items())),
        kind=kind or FleetKind.EDGE,
        service_types=tuple(message.service_types),
        capabilities=(
            _read_capabilities(message.capabilities, reading.under("capabilities"))
            if message.HasField("capabilities")
            else None
        ),
        project=_read_project(message.project, reading),
        vip_ranges=tuple(message.vip_ranges),
        max_pools=message.max_pools,
        canary=message.canary,
    )


def write_fleet(fleet: Fleet) -> fleet_pb2.Fleet:
    """Gives what an operator wrote of a fleet."""
    message = fleet_pb2.Fleet(
        name=fleet.name,
        display_name=fleet.display_name,
        description=fleet.description,
        labels=fleet.labels,
        kind=enums_pb2.FleetKind.Code.Value(fleet.kind),
        service_types=fleet.service_types,
        project=f"projects/{fleet.project}" if fleet.project else "",
        vip_ranges=fleet.vip_ranges,
        max_pools=fleet.max_pools,
        canary=fleet.canary,
    )
    if fleet.capabilities is not None:
        message.capabilities.CopyFrom(_write_capabilities(fleet.capabilities))
    return message


def show_fleet(
    fleet: Fleet,
    *,
    offered: Capabilities,
    connected: int,
    trial: Trial,
    held: HeldRemovals | None,
) -> fleet_pb2.Fleet:
    """Gives the fleet as it is answered.

    Args:
        fleet: As stored.
        offered: What it could do if everything were declared: built, and known to its nodes.
        connected: How many of its nodes are connected.
        held: The removals that wait for an operator's word.
        trial: What is given to one of its nodes first, if it has a canary.
    """
    message = write_fleet(fleet)
    write_record(message, fleet.record)
    message.shared = not fleet.project
    message.draining = fleet.draining
    message.pools = fleet.pools
    message.nodes_connected = connected
    if held is not None:
        message.held_removals = held.count
        message.held_removals_time.FromDatetime(held.since)
    if fleet.canary:
        message.canary_node = trial.node
        message.held_by_canary.extend(trial.held)
    declared = offered if fleet.capabilities is None else fleet.capabilities
    message.effective_capabilities.CopyFrom(_write_capabilities(intersection(declared, offered)))
    return message


def read_quota(message: quota_pb2.Quota, name: str) -> Quota:
    """Gives the quota that a message describes; a limit left out is the default."""
    given = {field.name: value for field, value in message.ListFields() if field.name != "name"}
    return Quota(name=name, **given)


def show_quota(quota: Quota) -> quota_pb2.Quota:
    """Gives the quota as it is answered."""
    return quota_pb2.Quota(
        name=quota.name,
        vips=quota.vips,
        pools=quota.pools,
        members=quota.members,
        health_monitors=quota.health_monitors,
    )


def _read_project(text: str, reading: Reading) -> str:
    if text and PROJECT.parse(text) is None:
        reading.wrong("project", "is no project's name: write projects/{project}", "INVALID_NAME")
        return ""
    return leaf(text)


def _read_capabilities(message: capabilities_pb2.Capabilities, reading: Reading) -> Capabilities:
    return Capabilities(
        lb_methods=frozenset(
            reading.choice(
                f"lb_methods[{index}]",
                value,
                enums_pb2.LbMethod.Code.Name,
                LbMethod,
                instead=LbMethod.ROUND_ROBIN,
            )
            for index, value in enumerate(message.lb_methods)
        ),
        protocols=frozenset(
            reading.choice(
                f"protocols[{index}]",
                value,
                enums_pb2.Protocol.Code.Name,
                Protocol,
                instead=Protocol.TCP,
            )
            for index, value in enumerate(message.protocols)
        ),
        health_monitor_types=frozenset(
            reading.choice(
                f"health_monitor_types[{index}]",
                value,
                enums_pb2.HealthMonitorType.Code.Name,
                HealthMonitorType,
                instead=HealthMonitorType.TCP,
            )
            for index, value in enumerate(message.health_monitor_types)
        ),
        session_persistences=frozenset(
            reading.choice(
                f"session_persistences[{index}]",
                value,
                enums_pb2.SessionPersistenceType.Code.Name,
                SessionPersistenceType,
                instead=SessionPersistenceType.SOURCE_IP,
            )
            for index, value in enumerate(message.session_persistences)
        ),
        connection_limit=message.connection_limit,
        multiple_monitors=message.multiple_monitors,
    )


def _write_capabilities(capabilities: Capabilities) -> capabilities_pb2.Capabilities:
    return capabilities_pb2.Capabilities(
        lb_methods=[
            enums_pb2.LbMethod.Code.Value(each)
            for each in LbMethod
            if each in capabilities.lb_methods
        ],
        protocols=[
            enums_pb2.Protocol.Code.Value(each)
            for each in Protocol
            if each in capabilities.protocols
        ],
        health_monitor_types=[
            enums_pb2.HealthMonitorType.Code.Value(each)
            for each in HealthMonitorType
            if each in capabilities.health_monitor_types
        ],
        session_persistences=[
            enums_pb2.SessionPersistenceType.Code.Value(each)
            for each in SessionPersistenceType
            if each in capabilities.session_persistences
        ],
        connection_limit=capabilities.connection_limit,
        multiple_monitors=capabilities.multiple_monitors,
    )

"""Rules for what operators write: service types, fleets, quotas."""

from collections import Counter

from lbaas.model.enums import FleetKind
from lbaas.model.errors import Violation
from lbaas.model.names import FLEET, QUOTA, SERVICE_TYPE, check_id, check_name
from lbaas.model.objects import Fleet, Quota, ServiceType
from lbaas.model.rules.addresses import check_vip_ranges
from lbaas.model.rules.bounds import LARGEST, unlimited_or, within
from lbaas.model.rules.text import check_described, check_labels

MAX_LISTED = 64
"""How many service types or VIP ranges a fleet may list."""


def check_service_type(service_type: ServiceType) -> tuple[Violation, ...]:
    """Gives every rule that the service type breaks."""
    # The proto's field is `fleet_selector`, and violations speak the proto's words.
    return (
        *check_described(service_type, SERVICE_TYPE),
        *check_labels(service_type.fleet_labels, field="fleet_selector"),
    )


def check_fleet(fleet: Fleet) -> tuple[Violation, ...]:
    """Gives every rule that the fleet breaks."""
    return (
        *check_described(fleet, FLEET),
        *_check_service_types(fleet),
        *(check_id(fleet.project, field="project") if fleet.project else ()),
        *_check_count("vip_ranges", fleet.vip_ranges),
        *check_vip_ranges(
            "vip_ranges",
            fleet.vip_ranges[:MAX_LISTED],
            loopback_only=fleet.kind is FleetKind.SIDECAR,
        ),
        *within("max_pools", fleet.max_pools, low=0, high=LARGEST),
    )


def check_quota(quota: Quota) -> tuple[Violation, ...]:
    """Gives every rule that the quota breaks."""
    return (
        *check_name(QUOTA, quota.name),
        *unlimited_or("vips", quota.vips, low=0),
        *unlimited_or("pools", quota.pools, low=0),
        *unlimited_or("members", quota.members, low=0),
        *unlimited_or("health_monitors", quota.health_monitors, low=0),
    )


def _check_service_types(fleet: Fleet) -> list[Violation]:
    found = _check_count("service_types", fleet.service_types)
    listed = fleet.service_types[:MAX_LISTED]
    for index, name in enumerate(listed):
        found += check_name(SERVICE_TYPE, name, field=f"service_types[{index}]")
    found += [
        Violation("service_types", f"names {name} {count} times; name it once", "DUPLICATE")
        for name, count in Counter(listed).items()
        if count > 1 and not check_name(SERVICE_TYPE, name)
    ]
    return found


def _check_count(field: str, listed: tuple[str, ...]) -> list[Violation]:
    if len(listed) <= MAX_LISTED:
        return []
    return [Violation(field, f"has {len(listed)} entries; keep at most {MAX_LISTED}", "TOO_MANY")]

"""What a pool's tree needs of a fleet, what a fleet really offers, and what is missing."""

from lbaas.model.enums import HealthMonitorType, LbMethod, Protocol, SessionPersistenceType
from lbaas.model.objects import UNLIMITED, Capabilities, PoolTree

EVERYTHING = Capabilities(
    lb_methods=frozenset(LbMethod),
    protocols=frozenset(Protocol),
    health_monitor_types=frozenset(HealthMonitorType),
    session_persistences=frozenset(SessionPersistenceType),
    connection_limit=True,
    multiple_monitors=True,
)
"""All that the model can ask for; what is built is less, and says so."""


def needed(tree: PoolTree) -> Capabilities:
    """Gives what a pool with its monitors and VIPs needs of a fleet."""
    monitors = [monitor for monitor in tree.health_monitors if monitor.admin_state_up]
    persistences = [vip.session_persistence for vip in tree.vips if vip.session_persistence]
    return Capabilities(
        lb_methods=frozenset({tree.pool.lb_method}),
        protocols=frozenset({tree.pool.protocol}),
        health_monitor_types=frozenset(monitor.type for monitor in monitors),
        session_persistences=frozenset(persistence.type for persistence in persistences),
        connection_limit=any(vip.connection_limit != UNLIMITED for vip in tree.vips),
        multiple_monitors=len(monitors) > 1,
    )


def union(one: Capabilities, other: Capabilities) -> Capabilities:
    """Gives what either asks for."""
    return Capabilities(
        lb_methods=one.lb_methods | other.lb_methods,
        protocols=one.protocols | other.protocols,
        health_monitor_types=one.health_monitor_types | other.health_monitor_types,
        session_persistences=one.session_persistences | other.session_persistences,
        connection_limit=one.connection_limit or other.connection_limit,
        multiple_monitors=one.multiple_monitors or other.multiple_monitors,
    )


def intersection(one: Capabilities, other: Capabilities) -> Capabilities:
    """Gives what both offer."""
    return Capabilities(
        lb_methods=one.lb_methods & other.lb_methods,
        protocols=one.protocols & other.protocols,
        health_monitor_types=one.health_monitor_types & other.health_monitor_types,
        session_persistences=one.session_persistences & other.session_persistences,
        connection_limit=one.connection_limit and other.connection_limit,
        multiple_monitors=one.multiple_monitors and other.multiple_monitors,
    )


def missing(required: Capabilities, offered: Capabilities) -> tuple[str, ...]:
    """Gives what is required and not offered, as `field=VALUE` words, sorted; empty if it fits."""
    words = [
        *(f"lb_method={value}" for value in required.lb_methods - offered.lb_methods),
        *(f"protocol={value}" for value in required.protocols - offered.protocols),
        *(
            f"health_monitor_type={value}"
            for value in required.health_monitor_types - offered.health_monitor_types
        ),
        *(
            f"session_persistence={value}"
            for value in required.session_persistences - offered.session_persistences
        ),
    ]
    if required.connection_limit and not offered.connection_limit:
        words.append("connection_limit")
    if required.multiple_monitors and not offered.multiple_monitors:
        words.append("multiple_monitors")
    return tuple(sorted(words))

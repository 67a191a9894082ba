"""What a pool's tree needs of a fleet, what a fleet really offers, and what is missing."""

import dataclasses
from collections.abc import Iterator, Sequence

from lbaas.model.enums import HealthMonitorType, LbMethod, Protocol, SessionPersistenceType
from lbaas.model.objects import UNLIMITED, Capabilities, Fleet, Node, PoolTree

MULTIPLE_MONITORS_SINCE = (1, 40)
"""HealthCheck.name, which several checks on one cluster need, exists from Envoy 1.40 on."""

COOKIES_SINCE = (1, 40)
"""Cookie persistence was measured with Envoy 1.40; with older ones nobody has tried it."""

_PING = f"health_monitor_type={HealthMonitorType.PING}"
_SINCE = {
    "multiple_monitors": MULTIPLE_MONITORS_SINCE,
    f"session_persistence={SessionPersistenceType.HTTP_COOKIE}": COOKIES_SINCE,
    f"session_persistence={SessionPersistenceType.APP_COOKIE}": COOKIES_SINCE,
}
"""What `missing` says, and the Envoy that it takes on every node."""

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


def offered(fleet: Fleet, *, built: Capabilities, nodes: Sequence[Node]) -> Capabilities:
    """Gives what a fleet really offers: declared, built, and known to its nodes.

    Args:
        fleet: the fleet; one that declares nothing offers all that is built.
        built: what this version of Tidegate can render.
        nodes: the fleet's nodes, as far as they may serve. Versions are asked of all of them, PING
            of those that count: there must be one, and the agents of all must be able to ping.
    """
    declared = intersection(fleet.capabilities or EVERYTHING, built)
    words = missing(declared, Capabilities())
    hindered = frozenset(word for word in words if hindrance(word, nodes))
    return dataclasses.replace(
        declared,
        health_monitor_types=frozenset(
            each
            for each in declared.health_monitor_types
            if f"health_monitor_type={each}" not in hindered
        ),
        session_persistences=frozenset(
            each
            for each in declared.session_persistences
            if f"session_persistence={each}" not in hindered
        ),
        multiple_monitors=declared.multiple_monitors and "multiple_monitors" not in hindered,
    )


def hindrance(word: str, nodes: Sequence[Node]) -> str:
    """Gives why a fleet's nodes keep it from offering something, for people, or "".

    `word` is one of `missing`; the nodes are those of `offered`.
    """
    return next(_hindrances(word, sorted(nodes, key=lambda node: node.name)), "")


def _hindrances(word: str, nodes: Sequence[Node]) -> Iterator[str]:
    since = _SINCE.get(word)
    if since is not None:
        yield from (
            f"node {_id(node)} runs Envoy {node.envoy_version}, it takes"
            f" {'.'.join(map(str, since))}"
            for node in nodes
            if _older_than(node.envoy_version, since)
        )
    if word == _PING:
        counted = [node for node in nodes if node.counted]
        if not any(node.agent for node in counted):
            yield "no node of it has an agent"
        for node in counted:
            if not node.agent:
                yield f"node {_id(node)} has no agent"
            elif not node.ping:
                yield f"the agent of node {_id(node)} may not send ICMP echo requests"


def _id(node: Node) -> str:
    return node.name.split("/nodes/", 1)[-1]


def _older_than(version: str, wanted: tuple[int, int]) -> bool:
    """Tells whether a reported version is older; one that was not reported is not judged."""
    parts = version.split(".")
    if len(parts) < len(wanted) or not all(part.isdigit() for part in parts[: len(wanted)]):
        return False
    return (int(parts[0]), int(parts[1])) < wanted


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

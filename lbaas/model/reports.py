"""What agents report of their nodes, and what they are told to watch, as immutable values."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from lbaas.model.objects import EPOCH, HealthMonitor


class MemberState(StrEnum):
    """How one node's Envoy finds a member; PENDING: its first check has not ended yet."""

    UP = "UP"
    DOWN = "DOWN"
    PENDING = "PENDING"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHello:
    """Who an agent is. `node` is `fleets/{fleet}/nodes/{node}`.

    `ping_refusal` tells why it cannot send ICMP echo requests, "" if it can.
    """

    node: str
    version: str = ""
    driver: str = ""
    ping_refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberObservation:
    """How a node's Envoy finds a member, since `time`.

    DOWN: `monitor` is the health monitor that fails, "" if the agent cannot tell, and `cause`
    what it met, for people: `HTTP 503, wanted 200`, `timeout after 2 s`, `connection refused`.
    """

    member: str
    state: MemberState
    monitor: str = ""
    cause: str = ""
    time: datetime = EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class PingVerdict:
    """What a PING monitor finds of a member from a node, after `max_retries` or `rise`."""

    member: str
    monitor: str
    up: bool
    cause: str = ""
    time: datetime = EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Counters and gauges of a VIP, pool or member on one node, or summed over nodes.

    `active_connections` is how many there are now; all others count, in bytes and in whole
    connections or requests.
    """

    bytes_in: int = 0
    bytes_out: int = 0
    active_connections: int = 0
    total_connections: int = 0
    requests: int = 0
    errors: int = 0
    refused_connections: int = 0


COUNTERS = tuple(
    each.name for each in dataclasses.fields(Traffic) if each.name != "active_connections"
)
"""The counters of a `Traffic`; what is open now is none, and is not stored."""


def total(*parts: Traffic) -> Traffic:
    """Gives the sum."""
    names = (*COUNTERS, "active_connections")
    return Traffic(**{name: sum(getattr(each, name) for each in parts) for name in names})


def fell(new: Traffic, old: Traffic) -> bool:
    """Tells whether a counter is lower than before: it was begun anew."""
    return any(getattr(new, name) < getattr(old, name) for name in COUNTERS)


SAME_START = timedelta(seconds=1.5)
"""Two starts that are nearer than this are one: an Envoy tells its age in whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSample:
    """A VIP's, pool's or member's traffic as the node's Envoy counted it since it started."""

    name: str
    traffic: Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRequest:
    """Asks what an Envoy has of clusters, by name. `ask` tells it from other requests."""

    ask: int
    clusters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an Envoy has of the clusters of the request `ask`, each with the version it was sent in.

    `active` are those that it uses, `warming` those in a version that it does not use yet.
    """

    ask: int
    active: Mapping[str, str]
    warming: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """A batch from one agent. What is not named in it is as it was in the report before.

    `envoy_start` is when the Envoy started that `traffic` is of (exact to a second). `whole`: the
    observations and pings are all there are; what is not named is not known.
    `warming` replaces what was said before. `evidence` answers the spec's.
    """

    time: datetime
    envoy_running: bool
    envoy_start: datetime = EPOCH
    whole: bool = False
    members: tuple[MemberObservation, ...] = ()
    pings: tuple[PingVerdict, ...] = ()
    traffic: tuple[TrafficSample, ...] = ()
    warming: tuple[str, ...] = ()
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAddress:
    """A member as an agent needs it: its name, and where it is."""

    name: str
    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """A pool as an agent needs it: what its Envoy calls it, what to watch, what to count.

    `clusters` are the Envoy clusters of the pool. `monitors` are those that are switched on.
    """

    pool: str
    clusters: tuple[str, ...]
    members: tuple[MemberAddress, ...]
    monitors: tuple[HealthMonitor, ...]
    vips: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """What changed for an agent; `whole`: it is everything, forget what is not named.

    `evidence` is to be answered at once, and replaces what was asked before.
    """

    whole: bool = False
    pools: tuple[PoolSpec, ...] = ()
    removed: tuple[str, ...] = ()
    evidence: EvidenceRequest | None = None

"""The objects of LBaaS as immutable values.

One shape per object from the API's edge to the translator: the API converts protobuf to these,
the store keeps these, the translator reads these. Fields that the server owns (uid, revisions,
times) sit in `Record`; everything else is what the tenant or operator wrote.
Limits and defaults follow Grizzly LBaaS v1 where they make sense, see docs/design.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from lbaas.model.enums import (
    FleetKind,
    HealthMonitorType,
    LbMethod,
    NodeState,
    Protocol,
    SessionPersistenceType,
)

NO_LABELS: Mapping[str, str] = MappingProxyType({})
UNLIMITED = -1
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the server alone knows of a stored object.

    `rev` is the last change of anything, `spec_rev` the last change of what is rendered,
    `live_rev` the newest revision that was live on every counted node (a latch: it never falls),
    `deleted_rev` the revision of the delete (0: not deleted).
    """

    uid: str = ""
    rev: int = 0
    spec_rev: int = 0
    live_rev: int = 0
    deleted_rev: int = 0
    create_time: datetime = EPOCH
    update_time: datetime = EPOCH

    @property
    def etag(self) -> str:
        """Gives the object's etag: it changes with every write, and only then (AIP-154)."""
        return f'"{self.uid[:8]}-{self.rev}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a pool lives: `fleets/{fleet}`, or "" and the reason why nowhere.

    `reason` tells why this fleet was chosen, or holds every fleet's refusal.
    `rev` is the revision of the transaction that decided.
    `leaving` is the fleet that the pool moves away from and that still serves it, "" for none:
    it lets go when the new one is live. `closing`: it takes no new connections any more.
    """

    fleet: str = ""
    reason: str = ""
    time: datetime = EPOCH
    rev: int = 0
    leaving: str = ""
    closing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A group of like members and the balancing method between them. Root of a tree."""

    name: str
    protocol: Protocol
    lb_method: LbMethod
    display_name: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    admin_state_up: bool = True
    health_monitors: tuple[str, ...] = ()
    service_type: str = ""
    placement: Placement | None = None
    record: Record = field(default_factory=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One application server. Weight 0 takes no new connections.

    Deleted or switched off with a `drain_timeout` it drains: `drain_end` is until when, and
    `drained` is set when that time has come and it leaves its cluster.
    """

    name: str
    address: str
    port: int
    display_name: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    admin_state_up: bool = True
    weight: int = 1
    backup: bool = False
    drain_timeout: timedelta = timedelta(0)
    drain_end: datetime | None = None
    drained: bool = False
    record: Record = field(default_factory=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthMonitor:
    """A check; many-to-many with pools, and all monitors of a pool count.

    `max_retries` consecutive failures take a member down, `rise` successes bring it back.
    The HTTP fields matter for HTTP and HTTPS only.
    """

    name: str
    type: HealthMonitorType
    delay: timedelta
    timeout: timedelta
    max_retries: int
    rise: int = 1
    display_name: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    admin_state_up: bool = True
    http_method: str = "GET"
    url_path: str = "/"
    expected_codes: str = "200"
    host: str = ""
    record: Record = field(default_factory=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPersistence:
    """How a VIP keeps a client on one member. `ttl` zero: a session cookie."""

    type: SessionPersistenceType
    cookie_name: str = ""
    ttl: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vip:
    """A virtual address and port on one pool. `address` "" until allocated from the fleet."""

    name: str
    pool: str
    protocol: Protocol
    port: int
    address: str = ""
    display_name: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    admin_state_up: bool = True
    session_persistence: SessionPersistence | None = None
    connection_limit: int = UNLIMITED
    address_in_use_by: str = ""
    record: Record = field(default_factory=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a fleet can do, or what a pool's tree needs of one."""

    lb_methods: frozenset[LbMethod] = frozenset()
    protocols: frozenset[Protocol] = frozenset()
    health_monitor_types: frozenset[HealthMonitorType] = frozenset()
    session_persistences: frozenset[SessionPersistenceType] = frozenset()
    connection_limit: bool = False
    multiple_monitors: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceType:
    """What a tenant may ask for; fleets offer service types.

    `fleet_kind` None: either kind. `fleet_labels` must all be on the fleet.
    """

    name: str
    default: bool = False
    display_name: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    fleet_kind: FleetKind | None = None
    required: Capabilities = field(default_factory=Capabilities)
    fleet_labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    record: Record = field(default_factory=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The device: a group of like Envoy nodes.

    `capabilities` None: whatever Tidegate can build. `project` "": shared between all.
    `vip_ranges` are CIDRs; empty: VIPs must name their address, any is allowed.
    `max_pools` 0: no limit. `pools` counts what the fleet carries. `canary`: a change goes to one
    node first, and to the others when that has confirmed it. `removals_allowed_rev` is the
    revision of an operator's last word that removals which were withheld may go.
    """

    name: str
    kind: FleetKind = FleetKind.EDGE
    service_types: tuple[str, ...] = ()
    capabilities: Capabilities | None = None
    project: str = ""
    vip_ranges: tuple[str, ...] = ()
    max_pools: int = 0
    canary: bool = False
    draining: bool = False
    display_name: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    pools: int = 0
    removals_allowed_rev: int = 0
    record: Record = field(default_factory=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRemovals:
    """Listeners of a fleet that should go, that nobody is known to have asked for, and that stay.

    `count` of them wait `since` then for an operator's word.
    """

    count: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """A resource that a node of a fleet may hold though it does not say so.

    `fleet` is the fleet's name. `rev`: the revision of the fleet's snapshot that removed it, or
    changed it last; a node that is in step with that is rid of it, or holds what is wanted.
    """

    fleet: str
    type_url: str
    resource: str
    rev: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One Envoy of a fleet, as last seen. `name` is `fleets/{fleet}/nodes/{node}`.

    `joined_rev` is the revision at which it joined; it counts once it is in step with that.
    `counted` is kept over a restart of the control plane, until the node has been gone 30 s.
    `agent`: an agent has reported for it; `ping`: that agent can send ICMP echo requests.
    `canary`: it is given its fleet's changes first.
    """

    name: str
    envoy_version: str = ""
    counted: bool = False
    joined_rev: int = 0
    last_seen: datetime = EPOCH
    agent: bool = False
    ping: bool = False
    canary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """What the streams, and the node's agent, know of a node at this moment.

    `lag`: how long it took to confirm the newest change that it has; None: not known. `overdue`:
    what it has not confirmed for a minute or longer and why, "" for nothing.
    """

    name: str
    state: NodeState
    connected: bool
    envoy_version: str
    base_rev: int
    pending: tuple[str, ...]
    last_seen: datetime
    agent: "AgentView | None" = None
    canary: bool = False
    lag: timedelta | None = None
    overdue: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """What is known of the agent beside a node. `ping_refusal`: why it cannot ping, "" if it can.

    `envoy_running`: whether the Envoy answers it. `warming`: the clusters and listeners that this
    Envoy has and does not use yet.
    """

    connected: bool
    version: str
    driver: str
    ping_refusal: str = ""
    envoy_running: bool = False
    warming: tuple[str, ...] = ()
    last_report: datetime = EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How many objects a project may have; -1: no limit. Defaults are LBaaS v1's."""

    name: str
    vips: int = 10
    pools: int = 10
    members: int = UNLIMITED
    health_monitors: int = UNLIMITED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """An Envoy refused a version of a resource.

    `node` is the node's resource name. `objects` are the names it is attributed to, each with
    the `spec_rev` that was refused: a newer spec_rev puts the rejection out of force.
    `last_good` holds the bytes that the node goes on serving ("" bytes: none). `alone`: the node is
    its fleet's canary, and no other node was given that version.
    """

    fleet: str
    node: str
    type_url: str
    resource: str
    version: str
    message: str
    objects: tuple[tuple[str, int], ...]
    time: datetime
    last_good: bytes = b""
    last_good_version: str = ""
    translator_version: str = ""
    alone: bool = False


TenantObject = Pool | Member | HealthMonitor | Vip
StoredObject = TenantObject | ServiceType | Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTree:
    """A pool with all that is rendered with it: living objects, each sorted by name.

    `members` has those that are deleted and still drain too. `leaving` are the VIPs that are being
    deleted: clients of a listener that drains are served on. `health_monitors` are the associated
    ones. `unreachable` names the members that take no traffic because a PING monitor of the pool
    finds them down on most nodes, or has not reached them yet. Deleted pools do not occur.
    """

    pool: Pool
    members: tuple[Member, ...] = ()
    health_monitors: tuple[HealthMonitor, ...] = ()
    vips: tuple[Vip, ...] = ()
    leaving: tuple[Vip, ...] = ()
    unreachable: frozenset[str] = frozenset()

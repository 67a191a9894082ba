"""The tables. A change here needs a migration beside it; a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from lbaas.model.enums import FleetKind, HealthMonitorType, LbMethod, Protocol
from lbaas.model.reports import COUNTERS
from lbaas.store.columns import (
    NAME,
    SERIAL,
    CapabilitySet,
    Duration,
    Labels,
    Persistence,
    UtcTime,
    Word,
    Words,
)

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)
RECORD = ("uid", "rev", "spec_rev", "live_rev", "deleted_rev", "create_time", "update_time")
"""The columns of a `Record`, on every object's table."""


def _described() -> list[Column[object]]:
    """Gives the columns that every object has beside its own."""
    columns: list[Column[object]] = [
        Column("display_name", Text, nullable=False),
        Column("description", Text, nullable=False),
        Column("labels", Labels, nullable=False),
        Column("uid", Text, nullable=False),
        Column("rev", BigInteger, nullable=False),
        Column("spec_rev", BigInteger, nullable=False),
        Column("live_rev", BigInteger, nullable=False),
        Column("deleted_rev", BigInteger, nullable=False),
        Column("create_time", UtcTime, nullable=False),
        Column("update_time", UtcTime, nullable=False),
    ]
    return columns


revision = Table(
    "revision",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    Column("compacted_rev", BigInteger, nullable=False),
    comment="One row: the counter that orders all changes, and the newest one forgotten.",
)

changes = Table(
    "changes",
    METADATA,
    Column("seq", SERIAL, primary_key=True, autoincrement=True),
    Column("rev", BigInteger, nullable=False, index=True),
    Column("name", NAME, nullable=False),
    Column("pool", NAME, nullable=False),
    Column("action", Text, nullable=False),
)

pools = Table(
    "pools",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("project", NAME, nullable=False),
    Column("protocol", Word(Protocol), nullable=False),
    Column("lb_method", Word(LbMethod), nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("service_type", NAME, nullable=False, index=True),
    *_described(),
    Index(None, "project", "name"),
)

placements = Table(
    "placements",
    METADATA,
    Column("pool", NAME, ForeignKey("pools.name", ondelete="CASCADE"), primary_key=True),
    Column("fleet", NAME, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("rev", BigInteger, nullable=False),
    Column("leaving", NAME, nullable=False, comment="the fleet that serves until this one is live"),
    Column("closing", Boolean, nullable=False, comment="which has no listeners any more"),
)

members = Table(
    "members",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("project", NAME, nullable=False),
    Column("pool", NAME, ForeignKey("pools.name"), nullable=False),
    Column("address", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("backup", Boolean, nullable=False),
    Column("drain_timeout", Duration, nullable=False),
    Column("drain_end", UtcTime, nullable=True),
    Column("drained", Boolean, nullable=False),
    *_described(),
    UniqueConstraint("pool", "address", "port"),
    Index(None, "project", "name"),
)

health_monitors = Table(
    "health_monitors",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("project", NAME, nullable=False),
    Column("type", Word(HealthMonitorType), nullable=False),
    Column("delay", Duration, nullable=False),
    Column("timeout", Duration, nullable=False),
    Column("max_retries", Integer, nullable=False),
    Column("rise", Integer, nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("http_method", Text, nullable=False),
    Column("url_path", Text, nullable=False),
    Column("expected_codes", Text, nullable=False),
    Column("host", Text, nullable=False),
    *_described(),
    Index(None, "project", "name"),
)

pool_monitors = Table(
    "pool_monitors",
    METADATA,
    Column("pool", NAME, ForeignKey("pools.name", ondelete="CASCADE"), primary_key=True),
    Column(
        "monitor",
        NAME,
        ForeignKey("health_monitors.name", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
)

vips = Table(
    "vips",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("project", NAME, nullable=False),
    Column("pool", NAME, ForeignKey("pools.name"), nullable=False, index=True),
    Column("protocol", Word(Protocol), nullable=False),
    Column("port", Integer, nullable=False),
    Column("address", Text, nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("session_persistence", Persistence, nullable=True),
    Column("connection_limit", BigInteger, nullable=False),
    Column("address_in_use_by", Text, nullable=False),
    *_described(),
    Index(None, "project", "name"),
)

addresses = Table(
    "addresses",
    METADATA,
    Column("fleet", NAME, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("port", Integer, primary_key=True, autoincrement=False),
    Column("vip", NAME, ForeignKey("vips.name", ondelete="CASCADE"), nullable=False),
    Column("allocated", Boolean, nullable=False, comment="the fleet's choice, not the tenant's"),
    UniqueConstraint("vip", "fleet"),
    comment="Which VIP holds an address and port of a fleet; kept until the VIP is purged.",
)

service_types = Table(
    "service_types",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("default", Boolean, nullable=False),
    Column("fleet_kind", Word(FleetKind), nullable=True),
    Column("required", CapabilitySet, nullable=False),
    Column("fleet_labels", Labels, nullable=False),
    *_described(),
)

fleets = Table(
    "fleets",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("kind", Word(FleetKind), nullable=False),
    Column("service_types", Words, nullable=False),
    Column("capabilities", CapabilitySet, nullable=True),
    Column("project", NAME, nullable=False),
    Column("vip_ranges", Words, nullable=False),
    Column("max_pools", Integer, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("canary", Boolean, nullable=False),
    Column("pools", Integer, nullable=False),
    Column(
        "removals_allowed_rev",
        BigInteger,
        nullable=False,
        comment="when an operator last let withheld removals go",
    ),
    *_described(),
)

nodes = Table(
    "nodes",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("fleet", NAME, nullable=False, index=True),
    Column("envoy_version", Text, nullable=False),
    Column("counted", Boolean, nullable=False),
    Column("joined_rev", BigInteger, nullable=False),
    Column("last_seen", UtcTime, nullable=False),
    Column("agent", Boolean, nullable=False),
    Column("ping", Boolean, nullable=False),
    Column("canary", Boolean, nullable=False),
)

ping_verdicts = Table(
    "ping_verdicts",
    METADATA,
    Column("member", NAME, ForeignKey("members.name", ondelete="CASCADE"), primary_key=True),
    Column(
        "monitor",
        NAME,
        ForeignKey("health_monitors.name", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
    Column("up", Boolean, nullable=False),
    comment="What most nodes find by PING. No row: not reached yet, so no traffic.",
)

traffic = Table(
    "traffic",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("node", NAME, primary_key=True),
    Column("envoy_start", UtcTime, nullable=False),
    *(
        Column(f"{counter}{when}", BigInteger, nullable=False)
        for counter in COUNTERS
        for when in ("", "_before")
    ),
    comment="What each node's Envoy counted since its start, and what those before it did.",
)

rejections = Table(
    "rejections",
    METADATA,
    Column("id", SERIAL, primary_key=True, autoincrement=True),
    Column("fleet", NAME, nullable=False),
    Column("node", NAME, nullable=False),
    Column("type_url", Text, nullable=False),
    Column("resource", NAME, nullable=False),
    Column("version", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("last_good", LargeBinary, nullable=False),
    Column("last_good_version", Text, nullable=False),
    Column("translator_version", Text, nullable=False),
    Column("alone", Boolean, nullable=False),
    UniqueConstraint("fleet", "node", "type_url", "resource"),
)

rejection_objects = Table(
    "rejection_objects",
    METADATA,
    Column("rejection", SERIAL, ForeignKey("rejections.id", ondelete="CASCADE"), primary_key=True),
    Column("name", NAME, primary_key=True, index=True),
    Column("spec_rev", BigInteger, nullable=False),
    comment="What a rejection is attributed to, each with the spec_rev that was refused.",
)

tombstones = Table(
    "tombstones",
    METADATA,
    Column("fleet", NAME, primary_key=True),
    Column("type_url", Text, primary_key=True),
    Column("resource", NAME, primary_key=True),
    Column("rev", BigInteger, nullable=False),
    comment="What a node may hold though it does not say so, since a revision of its fleet.",
)

requests = Table(
    "requests",
    METADATA,
    Column("project", NAME, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("time", UtcTime, nullable=False, index=True),
)

quotas = Table(
    "quotas",
    METADATA,
    Column("project", NAME, primary_key=True),
    Column("resource", Text, primary_key=True),
    Column("most", BigInteger, nullable=True, comment="NULL: the default; -1: no limit"),
    Column("used", BigInteger, nullable=False),
)

"""The first tables.

Revision: 0001
Revises: nothing: the database is empty
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# As they were at this revision: a migration imports nothing that may change after it.
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("seq", SERIAL, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("pool", NAME, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_changes")),
    )
    op.create_index(op.f("ix_changes_rev"), "changes", ["rev"], unique=False)
    op.create_table(
        "fleets",
        sa.Column("name", NAME, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("service_types", sa.Text(), nullable=False),
        sa.Column("capabilities", sa.Text(), nullable=True),
        sa.Column("project", NAME, nullable=False),
        sa.Column("vip_ranges", sa.Text(), nullable=False),
        sa.Column("max_pools", sa.Integer(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("pools", sa.Integer(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("spec_rev", sa.BigInteger(), nullable=False),
        sa.Column("live_rev", sa.BigInteger(), nullable=False),
        sa.Column("deleted_rev", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_fleets")),
    )
    op.create_table(
        "health_monitors",
        sa.Column("name", NAME, nullable=False),
        sa.Column("project", NAME, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("delay", sa.BigInteger(), nullable=False),
        sa.Column("timeout", sa.BigInteger(), nullable=False),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("rise", sa.Integer(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("http_method", sa.Text(), nullable=False),
        sa.Column("url_path", sa.Text(), nullable=False),
        sa.Column("expected_codes", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("spec_rev", sa.BigInteger(), nullable=False),
        sa.Column("live_rev", sa.BigInteger(), nullable=False),
        sa.Column("deleted_rev", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_health_monitors")),
    )
    op.create_index(
        op.f("ix_health_monitors_project_name"),
        "health_monitors",
        ["project", "name"],
        unique=False,
    )
    op.create_table(
        "nodes",
        sa.Column("name", NAME, nullable=False),
        sa.Column("fleet", NAME, nullable=False),
        sa.Column("envoy_version", sa.Text(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("joined_rev", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_nodes")),
    )
    op.create_index(op.f("ix_nodes_fleet"), "nodes", ["fleet"], unique=False)
    op.create_table(
        "pools",
        sa.Column("name", NAME, nullable=False),
        sa.Column("project", NAME, nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("lb_method", sa.Text(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("service_type", NAME, nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("spec_rev", sa.BigInteger(), nullable=False),
        sa.Column("live_rev", sa.BigInteger(), nullable=False),
        sa.Column("deleted_rev", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pools")),
    )
    op.create_index(op.f("ix_pools_project_name"), "pools", ["project", "name"], unique=False)
    op.create_index(op.f("ix_pools_service_type"), "pools", ["service_type"], unique=False)
    op.create_table(
        "quotas",
        sa.Column("project", NAME, nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column(
            "most", sa.BigInteger(), nullable=True, comment="NULL: the default; -1: no limit"
        ),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "resource", name=op.f("pk_quotas")),
    )
    op.create_table(
        "rejections",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("fleet", NAME, nullable=False),
        sa.Column("node", NAME, nullable=False),
        sa.Column("type_url", sa.Text(), nullable=False),
        sa.Column("resource", NAME, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_good", sa.LargeBinary(), nullable=False),
        sa.Column("last_good_version", sa.Text(), nullable=False),
        sa.Column("translator_version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejections")),
        sa.UniqueConstraint(
            "fleet",
            "node",
            "type_url",
            "resource",
            name=op.f("uq_rejections_fleet_node_type_url_resource"),
        ),
    )
    op.create_table(
        "requests",
        sa.Column("project", NAME, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project", "request_id", name=op.f("pk_requests")),
    )
    op.create_index(op.f("ix_requests_time"), "requests", ["time"], unique=False)
    op.create_table(
        "revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("compacted_rev", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revision")),
        comment="One row: the counter that orders all changes, and the newest one forgotten.",
    )
    op.create_table(
        "service_types",
        sa.Column("name", NAME, nullable=False),
        sa.Column("default", sa.Boolean(), nullable=False),
        sa.Column("fleet_kind", sa.Text(), nullable=True),
        sa.Column("required", sa.Text(), nullable=False),
        sa.Column("fleet_labels", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("spec_rev", sa.BigInteger(), nullable=False),
        sa.Column("live_rev", sa.BigInteger(), nullable=False),
        sa.Column("deleted_rev", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_service_types")),
    )
    op.create_table(
        "members",
        sa.Column("name", NAME, nullable=False),
        sa.Column("project", NAME, nullable=False),
        sa.Column("pool", NAME, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("backup", sa.Boolean(), nullable=False),
        sa.Column("drain_timeout", sa.BigInteger(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("spec_rev", sa.BigInteger(), nullable=False),
        sa.Column("live_rev", sa.BigInteger(), nullable=False),
        sa.Column("deleted_rev", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["pool"], ["pools.name"], name=op.f("fk_members_pool")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_members")),
        sa.UniqueConstraint("pool", "address", "port", name=op.f("uq_members_pool_address_port")),
    )
    op.create_index(op.f("ix_members_project_name"), "members", ["project", "name"], unique=False)
    op.create_table(
        "placements",
        sa.Column("pool", NAME, nullable=False),
        sa.Column("fleet", NAME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pool"], ["pools.name"], name=op.f("fk_placements_pool"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pool", name=op.f("pk_placements")),
    )
    op.create_index(op.f("ix_placements_fleet"), "placements", ["fleet"], unique=False)
    op.create_table(
        "pool_monitors",
        sa.Column("pool", NAME, nullable=False),
        sa.Column("monitor", NAME, nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor"],
            ["health_monitors.name"],
            name=op.f("fk_pool_monitors_monitor"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["pool"], ["pools.name"], name=op.f("fk_pool_monitors_pool"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pool", "monitor", name=op.f("pk_pool_monitors")),
    )
    op.create_index(op.f("ix_pool_monitors_monitor"), "pool_monitors", ["monitor"], unique=False)
    op.create_table(
        "rejection_objects",
        sa.Column("rejection", SERIAL, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("spec_rev", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rejection"],
            ["rejections.id"],
            name=op.f("fk_rejection_objects_rejection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("rejection", "name", name=op.f("pk_rejection_objects")),
        comment="What a rejection is attributed to, each with the spec_rev that was refused.",
    )
    op.create_index(op.f("ix_rejection_objects_name"), "rejection_objects", ["name"], unique=False)
    op.create_table(
        "vips",
        sa.Column("name", NAME, nullable=False),
        sa.Column("project", NAME, nullable=False),
        sa.Column("pool", NAME, nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("session_persistence", sa.Text(), nullable=True),
        sa.Column("connection_limit", sa.BigInteger(), nullable=False),
        sa.Column("address_in_use_by", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("spec_rev", sa.BigInteger(), nullable=False),
        sa.Column("live_rev", sa.BigInteger(), nullable=False),
        sa.Column("deleted_rev", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["pool"], ["pools.name"], name=op.f("fk_vips_pool")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_vips")),
    )
    op.create_index(op.f("ix_vips_pool"), "vips", ["pool"], unique=False)
    op.create_index(op.f("ix_vips_project_name"), "vips", ["project", "name"], unique=False)
    op.create_table(
        "addresses",
        sa.Column("fleet", NAME, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("vip", NAME, nullable=False),
        sa.Column(
            "allocated",
            sa.Boolean(),
            nullable=False,
            comment="the fleet's choice, not the tenant's",
        ),
        sa.ForeignKeyConstraint(
            ["vip"], ["vips.name"], name=op.f("fk_addresses_vip"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("fleet", "address", "port", name=op.f("pk_addresses")),
        sa.UniqueConstraint("vip", name=op.f("uq_addresses_vip")),
        comment="Which VIP holds an address and port of a fleet; kept until the VIP is purged.",
    )
    op.execute("INSERT INTO revision (id, n, compacted_rev) VALUES (1, 0, 0)")


def downgrade() -> None:
    op.drop_table("addresses")
    op.drop_index(op.f("ix_vips_project_name"), table_name="vips")
    op.drop_index(op.f("ix_vips_pool"), table_name="vips")
    op.drop_table("vips")
    op.drop_index(op.f("ix_rejection_objects_name"), table_name="rejection_objects")
    op.drop_table("rejection_objects")
    op.drop_index(op.f("ix_pool_monitors_monitor"), table_name="pool_monitors")
    op.drop_table("pool_monitors")
    op.drop_index(op.f("ix_placements_fleet"), table_name="placements")
    op.drop_table("placements")
    op.drop_index(op.f("ix_members_project_name"), table_name="members")
    op.drop_table("members")
    op.drop_table("service_types")
    op.drop_table("revision")
    op.drop_index(op.f("ix_requests_time"), table_name="requests")
    op.drop_table("requests")
    op.drop_table("rejections")
    op.drop_table("quotas")
    op.drop_index(op.f("ix_pools_service_type"), table_name="pools")
    op.drop_index(op.f("ix_pools_project_name"), table_name="pools")
    op.drop_table("pools")
    op.drop_index(op.f("ix_nodes_fleet"), table_name="nodes")
    op.drop_table("nodes")
    op.drop_index(op.f("ix_health_monitors_project_name"), table_name="health_monitors")
    op.drop_table("health_monitors")
    op.drop_table("fleets")
    op.drop_index(op.f("ix_changes_rev"), table_name="changes")
    op.drop_table("changes")

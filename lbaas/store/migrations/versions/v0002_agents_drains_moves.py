"""What agents report, the ends of drains, and pools that move between fleets.

Revision: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# As they were at this revision: a migration imports nothing that may change after it.
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
COUNTERS = (
    "bytes_in",
    "bytes_out",
    "total_connections",
    "requests",
    "errors",
    "refused_connections",
)


def upgrade() -> None:
    with op.batch_alter_table("members") as members:
        members.add_column(sa.Column("drain_end", sa.DateTime(timezone=True), nullable=True))
        members.add_column(
            sa.Column("drained", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    # Who is switched off or deleted by now left its cluster at once: there was no drain.
    op.execute("UPDATE members SET drained = (admin_state_up = false OR deleted_rev > 0)")
    with op.batch_alter_table("placements") as placements:
        placements.add_column(
            sa.Column(
                "leaving",
                NAME,
                nullable=False,
                server_default="",
                comment="the fleet that serves until this one is live",
            )
        )
        placements.add_column(
            sa.Column(
                "closing",
                sa.Boolean(),
                nullable=False,
                server_default=sa.false(),
                comment="which has no listeners any more",
            )
        )
    with op.batch_alter_table("nodes") as nodes:
        for column in ("agent", "ping"):
            nodes.add_column(
                sa.Column(column, sa.Boolean(), nullable=False, server_default=sa.false())
            )
    with op.batch_alter_table("addresses") as addresses:
        addresses.drop_constraint(op.f("uq_addresses_vip"), type_="unique")
        addresses.create_unique_constraint(op.f("uq_addresses_vip_fleet"), ["vip", "fleet"])
    op.create_table(
        "ping_verdicts",
        sa.Column("member", NAME, nullable=False),
        sa.Column("monitor", NAME, nullable=False),
        sa.Column("up", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member"],
            ["members.name"],
            name=op.f("fk_ping_verdicts_member_members"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["monitor"],
            ["health_monitors.name"],
            name=op.f("fk_ping_verdicts_monitor_health_monitors"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("member", "monitor", name=op.f("pk_ping_verdicts")),
        comment="What most nodes find by PING. No row: not reached yet, so no traffic.",
    )
    op.create_index(op.f("ix_ping_verdicts_monitor"), "ping_verdicts", ["monitor"], unique=False)
    op.create_table(
        "traffic",
        sa.Column("name", NAME, nullable=False),
        sa.Column("node", NAME, nullable=False),
        sa.Column("envoy_start", sa.DateTime(timezone=True), nullable=False),
        *(
            sa.Column(f"{counter}{when}", sa.BigInteger(), nullable=False)
            for counter in COUNTERS
            for when in ("", "_before")
        ),
        sa.PrimaryKeyConstraint("name", "node", name=op.f("pk_traffic")),
        comment="What each node's Envoy counted since its start, and what those before it did.",
    )


def downgrade() -> None:
    op.drop_table("traffic")
    op.drop_table("ping_verdicts")
    with op.batch_alter_table("addresses") as addresses:
        addresses.drop_constraint(op.f("uq_addresses_vip_fleet"), type_="unique")
        addresses.create_unique_constraint(op.f("uq_addresses_vip"), ["vip"])
    with op.batch_alter_table("nodes") as nodes:
        nodes.drop_column("ping")
        nodes.drop_column("agent")
    with op.batch_alter_table("placements") as placements:
        placements.drop_column("closing")
        placements.drop_column("leaving")
    with op.batch_alter_table("members") as members:
        members.drop_column("drained")
        members.drop_column("drain_end")

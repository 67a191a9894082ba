"""Tombstones of what nodes may still hold, and an operator's word on removals.

Revision: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# As it was at this revision: a migration imports nothing that may change after it.
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "tombstones",
        sa.Column("fleet", NAME, nullable=False),
        sa.Column("type_url", sa.Text(), nullable=False),
        sa.Column("resource", NAME, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("fleet", "type_url", "resource", name=op.f("pk_tombstones")),
        comment="What a node may hold though it does not say so, since a revision of its fleet.",
    )
    with op.batch_alter_table("fleets") as fleets:
        fleets.add_column(
            sa.Column(
                "removals_allowed_rev",
                sa.BigInteger(),
                nullable=False,
                server_default="0",
                comment="when an operator last let withheld removals go",
            )
        )


def downgrade() -> None:
    with op.batch_alter_table("fleets") as fleets:
        fleets.drop_column("removals_allowed_rev")
    op.drop_table("tombstones")

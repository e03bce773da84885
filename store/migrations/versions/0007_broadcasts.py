"""Broadcasts; a pace that slows down and recovers"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None

_MEMBER = sa.text("broadcast_id IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "broadcast",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("broadcast_id", sa.String(length=100), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("recipients", sa.LargeBinary(), nullable=True),
        sa.Column("wanted", sa.String(length=16), nullable=False),
        sa.Column("rate", sa.Float(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("campaign_id", sa.BigInteger(), nullable=True),
        sa.Column("template_ref", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "broadcast_id", name=op.f("pk_broadcast")),
    )
    op.create_table(
        "lane",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("broadcast_id", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Text(), nullable=True),
        sa.Column("tally", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "broadcast_id"],
            ["broadcast.workspace_id", "broadcast.broadcast_id"],
            name=op.f("fk_lane_broadcast"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "broadcast_id", "name", name=op.f("pk_lane")),
    )
    op.create_table(
        "held_row",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("broadcast_id", sa.String(length=100), nullable=False),
        sa.Column("audience_row", sa.BigInteger(), nullable=False),
        sa.Column("send_id", sa.String(length=128), nullable=True),
        sa.Column("recipient_hash", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("counted_as", sa.String(length=48), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("row", sa.LargeBinary(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("held_at", sa.BigInteger(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("has_profile", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "broadcast_id"],
            ["broadcast.workspace_id", "broadcast.broadcast_id"],
            name=op.f("fk_held_row_broadcast"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "broadcast_id", "audience_row", name=op.f("pk_held_row")),
    )
    op.create_index(
        op.f("ix_held_row_workspace_id_broadcast_id_state_due_at"),
        "held_row",
        ["workspace_id", "broadcast_id", "state", "due_at"],
    )
    op.add_column("send", sa.Column("broadcast_id", sa.String(length=100), nullable=True))
    op.add_column("send", sa.Column("audience_row", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_send_member",
        "send",
        ["workspace_id", "broadcast_id", "recipient_hash"],
        unique=True,
        sqlite_where=_MEMBER,
        postgresql_where=_MEMBER,
    )
    op.create_index(
        "ix_send_audience_row",
        "send",
        ["workspace_id", "broadcast_id", "audience_row"],
        sqlite_where=_MEMBER,
        postgresql_where=_MEMBER,
    )
    op.add_column("pace", sa.Column("share", sa.Float(), nullable=True))
    op.add_column("pace", sa.Column("slowed_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """What broadcasts sent stays in the ledger, as sends of their own."""
    with op.batch_alter_table("pace") as batch_op:
        batch_op.drop_column("slowed_at")
        batch_op.drop_column("share")
    op.drop_index("ix_send_audience_row", "send")
    op.drop_index("ix_send_member", "send")
    with op.batch_alter_table("send") as batch_op:
        batch_op.drop_column("audience_row")
        batch_op.drop_column("broadcast_id")
    op.drop_table("held_row")
    op.drop_table("lane")
    op.drop_table("broadcast")

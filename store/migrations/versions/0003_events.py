"""Events: joins that can be revised, a feed without gaps, back-fill, push"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

_TO_SIGNAL = sa.text("signalled = false AND send_id IS NOT NULL")
_LOOSE = sa.text("firm = false")
_WAITING = sa.text("problem IS NULL")
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.drop_index("ix_inbox_workspace_id_shard_id", table_name="inbox")
    op.create_index(
        "ix_inbox_waiting",
        "inbox",
        ["workspace_id", "shard", "id"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )

    op.drop_index("ix_event_to_signal", table_name="event")
    op.drop_index("ix_event_workspace_id_cursor", table_name="event")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.alter_column("cursor", new_column_name="id", existing_type=_ID, existing_nullable=False)
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.add_column(sa.Column("named_send", sa.String(length=128), nullable=True))
        batch_op.add_column(sa.Column("firm", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("cursor", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("user_hash", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("looked_at", sa.BigInteger(), nullable=True))
    # What was joined before stays joined: from then on it counts as proven.
    op.execute(
        sa.text(
            "UPDATE event SET looked_at = received_at, cursor = CASE WHEN send_id IS NULL THEN NULL ELSE id END, "
            "firm = send_id IS NOT NULL, named_send = send_id"
        )
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.alter_column("looked_at", existing_type=sa.BigInteger(), nullable=False)
    op.create_index("ix_event_workspace_id_cursor", "event", ["workspace_id", "cursor"], unique=True)
    op.create_index(
        "ix_event_to_signal", "event", ["workspace_id", "id"], sqlite_where=_TO_SIGNAL, postgresql_where=_TO_SIGNAL
    )
    for name, column in (("ix_event_loose", "recipient_hash"), ("ix_event_loose_user", "user_hash")):
        op.create_index(
            name,
            "event",
            ["workspace_id", "campaign_id", column],
            sqlite_where=_LOOSE,
            postgresql_where=_LOOSE,
        )

    op.create_table(
        "feed",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_feed")),
    )
    op.execute(sa.text("INSERT INTO feed (workspace_id, last) SELECT workspace_id, max(id) FROM event GROUP BY 1"))
    op.create_table(
        "backfill",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_backfill")),
    )
    op.create_table(
        "push",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("disabled", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_push")),
    )
    op.create_table(
        "dead_letter",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("given_up_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "first", name=op.f("pk_dead_letter")),
    )


def downgrade() -> None:
    for table in ("dead_letter", "push", "backfill", "feed"):
        op.drop_table(table)
    for index in ("ix_event_loose_user", "ix_event_loose", "ix_event_to_signal", "ix_event_workspace_id_cursor"):
        op.drop_index(index, table_name="event")
    with op.batch_alter_table("event", schema=None) as batch_op:
        for column in ("looked_at", "user_hash", "cursor", "firm", "named_send"):
            batch_op.drop_column(column)
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.alter_column("id", new_column_name="cursor", existing_type=_ID, existing_nullable=False)
    op.create_index("ix_event_workspace_id_cursor", "event", ["workspace_id", "cursor"])
    op.create_index(
        "ix_event_to_signal", "event", ["workspace_id", "cursor"], sqlite_where=_TO_SIGNAL, postgresql_where=_TO_SIGNAL
    )
    op.drop_index("ix_inbox_waiting", table_name="inbox")
    op.create_index("ix_inbox_workspace_id_shard_id", "inbox", ["workspace_id", "shard", "id"])

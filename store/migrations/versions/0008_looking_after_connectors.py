"""What is known of a connector's health; refused webhooks; sends of which nothing was reported"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None

_SILENT = sa.text("message_id IS NULL AND accepted_at IS NOT NULL")


def upgrade() -> None:
    with op.batch_alter_table("connector") as batch_op:
        batch_op.add_column(sa.Column("findings", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("checked_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("last_webhook_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("pending_webhook_token", sa.LargeBinary(), nullable=True))
    # A connector that is active has seen a webhook; when is not known any more.
    op.execute("UPDATE connector SET last_webhook_at = changed_at WHERE state = 'active'")
    op.create_table(
        "refused_webhook",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "reason", name=op.f("pk_refused_webhook")),
    )
    op.create_index(
        "ix_send_silent", "send", ["workspace_id", "accepted_at"], sqlite_where=_SILENT, postgresql_where=_SILENT
    )


def downgrade() -> None:
    """A paused connector becomes one that awaits its webhook: the earlier release knows no pause."""
    op.drop_index("ix_send_silent", table_name="send")
    op.drop_table("refused_webhook")
    op.execute("UPDATE connector SET state = 'awaiting_webhook' WHERE state = 'paused'")
    with op.batch_alter_table("connector") as batch_op:
        for name in ("pending_webhook_token", "last_webhook_at", "checked_at", "findings"):
            batch_op.drop_column(name)

"""Care of the shadows: when one was used last, and campaigns that wait to be archived"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

_OPEN = sa.text("status IS NULL")


def upgrade() -> None:
    op.add_column("shadow", sa.Column("last_used_at", sa.BigInteger(), nullable=True))
    op.add_column("shadow", sa.Column("retiring_at", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_shadow_campaign_id"), "shadow", ["campaign_id"])
    op.create_index("ix_send_open", "send", ["workspace_id", "fingerprint"], sqlite_where=_OPEN, postgresql_where=_OPEN)
    op.create_table(
        "retired",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=False),
        sa.Column("archived_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "campaign_id", name=op.f("pk_retired")),
    )
    op.create_index(op.f("ix_retired_fingerprint"), "retired", ["fingerprint"])


def downgrade() -> None:
    op.drop_table("retired")
    op.drop_index("ix_send_open", table_name="send")
    op.drop_index(op.f("ix_shadow_campaign_id"), table_name="shadow")
    with op.batch_alter_table("shadow") as batch_op:
        batch_op.drop_column("retiring_at")
        batch_op.drop_column("last_used_at")

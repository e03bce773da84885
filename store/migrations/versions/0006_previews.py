"""Previews of dry runs"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "preview",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("send_id", sa.String(length=128), nullable=False),
        sa.Column("recipient_hash", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "send_id", name=op.f("pk_preview")),
    )
    op.create_index(op.f("ix_preview_made_at"), "preview", ["made_at"])


def downgrade() -> None:
    op.drop_table("preview")

"""Attempts know their campaign; held rows know what is excused"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"
branch_labels: str | None = None
depends_on: str | None = None

_OF_ITS_SEND = """UPDATE attempt SET campaign_id = (
    SELECT send.campaign_id FROM send
    WHERE send.workspace_id = attempt.workspace_id AND send.send_id = attempt.send_id
)"""


def upgrade() -> None:
    op.add_column("attempt", sa.Column("campaign_id", sa.BigInteger(), nullable=True))
    op.execute(_OF_ITS_SEND)
    op.add_column("held_row", sa.Column("excused", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("held_row", sa.Column("answered_since", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_send_recipient_hash"), "send", ["recipient_hash"])


def downgrade() -> None:
    op.drop_index(op.f("ix_send_recipient_hash"), table_name="send")
    op.drop_column("held_row", "answered_since")
    op.drop_column("held_row", "excused")
    op.drop_column("attempt", "campaign_id")

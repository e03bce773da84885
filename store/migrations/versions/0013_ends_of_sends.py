"""Remembers how a send's run ended, for events that are taken from it again"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision: str | None = "0012"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("send", sa.Column("ended_status", sa.String(16), nullable=True))
    op.add_column("send", sa.Column("ended_reason", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("send", "ended_reason")
    op.drop_column("send", "ended_status")

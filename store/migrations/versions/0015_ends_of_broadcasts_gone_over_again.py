"""Remembers how a broadcast ended that is gone over again"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision: str | None = "0014"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("broadcast", sa.Column("ended_as", sa.String(16), nullable=True))
    op.add_column("broadcast", sa.Column("ended_because", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("broadcast", "ended_because")
    op.drop_column("broadcast", "ended_as")

"""What was told of a send before it went out"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("send", sa.Column("warnings", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("send", "warnings")

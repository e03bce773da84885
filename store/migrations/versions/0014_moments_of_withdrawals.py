"""Keeps the moment of a withdrawal beside that of the push before it"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision: str | None = "0013"
branch_labels: str | None = None
depends_on: str | None = None

_WITHDRAWN = "push_state IN ('withdrawing', 'withdrawn', 'not_withdrawn')"


def upgrade() -> None:
    op.add_column("suppression", sa.Column("withdrawn_at", sa.BigInteger(), nullable=True))
    op.execute(f"UPDATE suppression SET withdrawn_at = pushed_at WHERE {_WITHDRAWN}")  # noqa: S608


def downgrade() -> None:
    op.execute(
        f"UPDATE suppression SET pushed_at = withdrawn_at WHERE {_WITHDRAWN} AND withdrawn_at IS NOT NULL"  # noqa: S608
    )
    op.drop_column("suppression", "withdrawn_at")

"""Finds the events of a message whose send is not proven, without reading those whose send is"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision: str | None = "0011"
branch_labels: str | None = None
depends_on: str | None = None

_LOOSE = sa.text("firm = false")


def upgrade() -> None:
    op.create_index(
        "ix_event_loose_message",
        "event",
        ["workspace_id", "message_id"],
        sqlite_where=_LOOSE,
        postgresql_where=_LOOSE,
    )


def downgrade() -> None:
    op.drop_index("ix_event_loose_message", "event")

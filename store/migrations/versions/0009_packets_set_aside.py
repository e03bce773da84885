"""A packet that no key opens is set aside"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None

_WAITING = sa.text("problem IS NULL")
_KEY = ["workspace_id", "shard", "id"]


def upgrade() -> None:
    op.add_column("packet", sa.Column("problem", sa.Text(), nullable=True))
    op.drop_index(op.f("ix_packet_workspace_id_shard_id"), table_name="packet")
    op.create_index("ix_packet_waiting", "packet", _KEY, sqlite_where=_WAITING, postgresql_where=_WAITING)


def downgrade() -> None:
    """What was set aside stands in the way again: the earlier release stops at a packet that it cannot open."""
    op.drop_index("ix_packet_waiting", table_name="packet")
    op.drop_column("packet", "problem")
    op.create_index(op.f("ix_packet_workspace_id_shard_id"), "packet", _KEY)

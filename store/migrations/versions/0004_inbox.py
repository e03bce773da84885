"""Events wait packed, a row a commit; the ledger knows runs that have ended"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "packet",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("gone", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_packet")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_packet_workspace_id_shard_id"), "packet", ["workspace_id", "shard", "id"])
    op.add_column("send", sa.Column("run_ended_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Refused while packets wait: only the worker has the keys to move their events."""
    waiting = op.get_bind().scalar(sa.text("SELECT count(*) FROM packet"))
    if waiting:
        raise RuntimeError(f"{waiting} packets wait: let the worker drain them, then go back")
    with op.batch_alter_table("send") as batch_op:
        batch_op.drop_column("run_ended_at")
    op.drop_table("packet")

"""Events wait in the inbox packed, a row a commit; the ledger knows runs that have ended"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    _require_empty()
    with op.batch_alter_table("inbox", recreate="auto", table_kwargs={"sqlite_autoincrement": True}) as batch_op:
        batch_op.drop_constraint("uq_inbox_workspace_id_event_id", type_="unique")
        batch_op.drop_column("event_id")
        batch_op.add_column(sa.Column("key", sa.String(length=32), nullable=False))
        batch_op.add_column(sa.Column("size", sa.Integer(), nullable=False))
        batch_op.add_column(sa.Column("events", sa.Integer(), nullable=False))
        batch_op.add_column(sa.Column("gone", sa.LargeBinary(), nullable=True))
    with op.batch_alter_table("send") as batch_op:
        batch_op.add_column(sa.Column("run_ended_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    _require_empty()
    with op.batch_alter_table("send") as batch_op:
        batch_op.drop_column("run_ended_at")
    with op.batch_alter_table("inbox") as batch_op:
        batch_op.drop_column("gone")
        batch_op.drop_column("events")
        batch_op.drop_column("size")
        batch_op.drop_column("key")
        batch_op.add_column(sa.Column("event_id", sa.String(length=64), nullable=False))
        batch_op.create_unique_constraint("uq_inbox_workspace_id_event_id", ["workspace_id", "event_id"])


def _require_empty() -> None:
    """Sealed events can be rewritten by nobody but the worker, who has the keys."""
    waiting = op.get_bind().scalar(sa.text("SELECT count(*) FROM inbox"))
    if waiting:
        raise RuntimeError(f"{waiting} rows wait in the inbox: let the worker drain it, then migrate again")

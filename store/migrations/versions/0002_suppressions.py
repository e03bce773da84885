"""Suppressions with a scope, and a catalog of channels"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

# The primary key changes, so the table is made anew. A renamed table would keep the name of its key on PostgreSQL, and
# the new one could not have it: hence a copy.
_KEEP = "CREATE TABLE suppression_before AS SELECT * FROM suppression"
_FORTH = """
INSERT INTO suppression
    (workspace_id, recipient_hash, cause, scope, cursor, source, event_id, first_seen_at, last_seen_at)
SELECT workspace_id, recipient_hash, cause, 'workspace',
    ROW_NUMBER() OVER (PARTITION BY workspace_id ORDER BY since, recipient_hash, cause),
    'webhook', event_id, since, since
FROM suppression_before
"""
_FEED = """
INSERT INTO suppression_feed (workspace_id, last_cursor)
SELECT workspace_id, MAX(cursor) FROM suppression GROUP BY workspace_id
"""
# The first schema has neither scopes nor other causes: what they held is left out.
_BACK = """
INSERT INTO suppression (workspace_id, recipient_hash, cause, since, event_id)
SELECT workspace_id, recipient_hash, cause, first_seen_at, event_id
FROM suppression_before
WHERE cause IN ('hard_bounce', 'complaint') AND scope = 'workspace'
    AND last_seen_at IS NOT NULL AND (lifted_at IS NULL OR lifted_at <= last_seen_at)
"""


def upgrade() -> None:
    op.add_column("connector", sa.Column("catalog", sa.Text(), nullable=True))
    op.execute(_KEEP)
    op.drop_table("suppression")
    op.create_table(
        "suppression",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("recipient_hash", sa.String(length=64), nullable=False),
        sa.Column("cause", sa.String(length=16), nullable=False),
        sa.Column("scope", sa.String(length=40), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=True),
        sa.Column("source", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("event_id", sa.String(length=64), nullable=True),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=True),
        sa.Column("lifted_at", sa.BigInteger(), nullable=True),
        sa.Column("push_state", sa.String(length=16), nullable=True),
        sa.Column("push_problem", sa.String(length=16), nullable=True),
        sa.Column("pushed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "recipient_hash", "cause", "scope", name=op.f("pk_suppression")),
        sa.UniqueConstraint("workspace_id", "cursor", name=op.f("uq_suppression_workspace_id_cursor")),
    )
    op.create_table(
        "suppression_feed",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("last_cursor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_suppression_feed")),
    )
    op.execute(_FORTH)
    op.execute(_FEED)
    op.drop_table("suppression_before")


def downgrade() -> None:
    op.drop_table("suppression_feed")
    op.execute(_KEEP)
    op.drop_table("suppression")
    op.create_table(
        "suppression",
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("recipient_hash", sa.String(length=64), nullable=False),
        sa.Column("cause", sa.String(length=16), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "recipient_hash", "cause", name=op.f("pk_suppression")),
    )
    op.execute(_BACK)
    op.drop_table("suppression_before")
    with op.batch_alter_table("connector") as batch_op:
        batch_op.drop_column("catalog")

"""The tables. What could name a person or open a door is sealed (`store/keyring.py`) or a keyed hash."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
    }
)


def microseconds(moment: datetime) -> int:
    """Since 1970 UTC. Raises `ValueError` where the moment has no time zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


class Moment(TypeDecorator[datetime]):
    """An aware instant, kept as microseconds since 1970 UTC: the same on every engine, and it compares as a number."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        del dialect
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else datetime.fromtimestamp(value / 1_000_000, tz=UTC)


Counter = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only in an INTEGER key

secret = Table(
    "secret",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

connector = Table(
    "connector",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("state", String(32), nullable=False),
    Column("reason", Text),
    Column("settings", Text, nullable=False),  # sealed: senders are addresses, of people it may be
    Column("api_key", LargeBinary),
    Column("pending_api_key", LargeBinary),  # offered by an installation that is still being checked
    Column("changed_at", Moment, nullable=False),
    Column("catalog", Text),  # channels and message types of the Iterable project
    Column("findings", Text),  # of the last look at it
    Column("checked_at", Moment),
    Column("last_webhook_at", Moment),
    Column("pending_webhook_token", LargeBinary),  # until Iterable's webhook sends it; afterwards only its hash is kept
)

webhook_token = Table(
    "webhook_token",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("token_hash", String(64), primary_key=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
)

# Webhooks that were refused, by why: counted so that a wrong header in Iterable shows itself.
refused_webhook = Table(
    "refused_webhook",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("reason", String(32), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
)

template = Table(
    "template",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("template_ref", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
)

# One row a content. `create_tried_at` is when the request for a campaign is over at the latest; it is set before that
# leaves and cleared once the answer is known: a set one tells the next attempt that a campaign may exist.
shadow = Table(
    "shadow",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),
    Column("template_id", BigInteger),
    Column("campaign_id", BigInteger),
    Column("create_tried_at", Moment),
    Column("ready_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("last_used_at", Moment),  # to the hour
    Column("retiring_at", Moment),  # set: nobody used it for long; a send that does takes the mark off
    Index(None, "campaign_id"),
)

# Campaigns that no send uses any more. Their contents get other ones.
retired = Table(
    "retired",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("campaign_id", BigInteger, primary_key=True, autoincrement=False),
    Column("fingerprint", String(64), nullable=False),
    Column("retired_at", Moment, nullable=False),
    Column("archived_at", Moment),  # null until Iterable has archived it
    Index(None, "fingerprint"),
)

_OPEN = text("status IS NULL")
_MEMBER = text("broadcast_id IS NOT NULL")
_SILENT = text("message_id IS NULL AND accepted_at IS NOT NULL")

# What dry runs rendered, for a week. Sealed: it is what a person would read.
preview = Table(
    "preview",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("send_id", String(128), primary_key=True),
    Column("recipient_hash", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("made_at", Moment, nullable=False, index=True),
)

# The ledger: outlives Temporal's retention, so that a send id is used once, for ever.
send = Table(
    "send",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("send_id", String(128), primary_key=True),
    Column("run_id", String(64), nullable=False),
    Column("stream", String(16), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("template_ref", String(64), nullable=False),
    Column("recipient_hash", String(64), nullable=False),
    Column("template_id", BigInteger),
    Column("campaign_id", BigInteger),
    Column("message_id", String(64)),
    Column("status", String(16)),
    Column("reason", Text),
    Column("accepted_at", Moment),
    Column("run_ended_at", Moment),  # since when nobody needs to be told of its events
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("broadcast_id", String(100)),
    Column("audience_row", BigInteger),  # the row of the broadcast's audience, from 1
    Column("warnings", Text),  # a list in JSON, where there are any
    Column("ended_status", String(16)),  # as its run or lane ended it; it stands while no event tells otherwise
    Column("ended_reason", Text),
    Index(None, "workspace_id", "message_id"),
    Index(None, "workspace_id", "campaign_id", "recipient_hash"),
    Index(None, "recipient_hash"),  # workspaces on one project of Iterable's send to the same people
    Index("ix_send_open", "workspace_id", "fingerprint", sqlite_where=_OPEN, postgresql_where=_OPEN),
    # A person is in a broadcast once, whoever inserts and however often.
    Index(
        "ix_send_member",
        "workspace_id",
        "broadcast_id",
        "recipient_hash",
        unique=True,
        sqlite_where=_MEMBER,
        postgresql_where=_MEMBER,
    ),
    Index(
        "ix_send_audience_row",
        "workspace_id",
        "broadcast_id",
        "audience_row",
        sqlite_where=_MEMBER,
        postgresql_where=_MEMBER,
    ),
    # Messages that Iterable took and of which nothing was reported: few, unless something is wrong.
    Index("ix_send_silent", "workspace_id", "accepted_at", sqlite_where=_SILENT, postgresql_where=_SILENT),
)

# Written before the request leaves. A row without `end` is an attempt whose outcome is unknown.
attempt = Table(
    "attempt",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("send_id", String(128), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("campaign_id", BigInteger),  # a send may move to another one
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("end", String(16)),
    ForeignKeyConstraint(["workspace_id", "send_id"], ["send.workspace_id", "send.send_id"], ondelete="CASCADE"),
)

# What is set aside has a `problem`; the rest waits. Kept, never dropped.
WAITING = text("problem IS NULL")

# Events as the endpoint took them: all that one commit took for a shard, packed and sealed together (store/packing.py).
# The drain takes them from here; those that must be kept apart go to the inbox, one a row. A packet that no key opens
# is set aside as it is: nobody can tell its events apart.
packet = Table(
    "packet",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("workspace_id", String(64), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("key", String(32), nullable=False),  # random: the place that `body` is sealed for, known before the id is
    Column("size", Integer, nullable=False),  # events in `body`
    Column("events", Integer, nullable=False),  # those that still wait
    Column("gone", LargeBinary),  # a bit for each that does not
    Column("body", LargeBinary, nullable=False),
    Column("problem", Text),
    Index("ix_packet_waiting", "workspace_id", "shard", "id", sqlite_where=WAITING, postgresql_where=WAITING),
    # An id is never used twice: whoever removes an event late must not hit another one.
    sqlite_autoincrement=True,
)

# Events one by one, until they are drained.
inbox = Table(
    "inbox",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("workspace_id", String(64), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("event_id", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("problem", Text),
    UniqueConstraint("workspace_id", "event_id"),
    Index("ix_inbox_waiting", "workspace_id", "shard", "id", sqlite_where=WAITING, postgresql_where=WAITING),
)

# Conditions of partial indexes. A query uses them as they stand here: SQLite looks into such an index only for the very
# words that made it (`firm = 0`, as SQLAlchemy puts it, has it read the whole table).
TO_SIGNAL = text("signalled = false AND send_id IS NOT NULL")
LOOSE = text("firm = false")

# `named_send` is the send that the event itself names; `firm` says that its send is proven by a name, its own or that
# of another event of the message, and not only inferred. `cursor` is its place in the workspace's feed: null until it
# has been joined. `looked_at` is when a send was last looked for.
event = Table(
    "event",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("workspace_id", String(64), nullable=False),
    Column("event_id", String(64), nullable=False),
    Column("send_id", String(128)),
    Column("named_send", String(128)),
    Column("firm", Boolean, nullable=False, server_default=false()),
    Column("cursor", BigInteger),
    Column("kind", String(16), nullable=False),
    Column("occurred_at", Moment, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("message_id", String(64)),
    Column("campaign_id", BigInteger),
    Column("recipient_hash", String(64)),
    Column("user_hash", String(64)),  # where the person is known by an address and a user id
    Column("looked_at", Moment, nullable=False),
    Column("reason", Text),
    Column("url", Text),
    Column("body", LargeBinary, nullable=False),
    Column("signalled", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("workspace_id", "event_id"),
    Index(None, "workspace_id", "send_id"),
    Index(None, "workspace_id", "message_id"),
    Index(None, "workspace_id", "cursor", unique=True),
    Index("ix_event_to_signal", "workspace_id", "id", sqlite_where=TO_SIGNAL, postgresql_where=TO_SIGNAL),
    Index(
        "ix_event_loose",
        "workspace_id",
        "campaign_id",
        "recipient_hash",
        sqlite_where=LOOSE,
        postgresql_where=LOOSE,
    ),
    Index(
        "ix_event_loose_user", "workspace_id", "campaign_id", "user_hash", sqlite_where=LOOSE, postgresql_where=LOOSE
    ),
    Index("ix_event_loose_message", "workspace_id", "message_id", sqlite_where=LOOSE, postgresql_where=LOOSE),
)

# The last cursor that a workspace's feed has handed out. Its row lock puts the workspace's drains in a row.
feed = Table(
    "feed",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("last", BigInteger, nullable=False),
)

# How far Iterable's export has been read.
backfill = Table(
    "backfill",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("until", Moment, nullable=False),
)

# Where signed batches of the feed go. `cursor` is the last one that was delivered or given up.
push = Table(
    "push",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("url", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("cursor", BigInteger, nullable=False),
    Column("disabled", Text),  # why it was switched off; null while it is on
    Column("changed_at", Moment, nullable=False),
)

# Batches that could not be delivered: cursors from `first` (inclusive) to `last` (inclusive).
dead_letter = Table(
    "dead_letter",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("problem", Text, nullable=False),
    Column("given_up_at", Moment, nullable=False),
)

# `share` is the part of the full rate that was left after Iterable's last 429, at `slowed_at`; it grows back with time.
pace = Table(
    "pace",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("operation", String(64), primary_key=True),
    Column("next_at", Moment, nullable=False),
    Column("share", Float),
    Column("slowed_at", Moment),
)

# A broadcast, for ever: its id is used once. `request` is what GenieOS asked for, without the template; recipients that
# stood in it are dropped at the end. `wanted` is what the run's updates have asked for, and is looked at in the
# transaction of every attempt. `ended_as` and `ended_because` are of one that is gone over again, until it ends again.
broadcast = Table(
    "broadcast",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("broadcast_id", String(100), primary_key=True),
    Column("run_id", String(64), nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("recipients", LargeBinary),
    Column("wanted", String(16), nullable=False),
    Column("rate", Float),
    Column("status", String(16), nullable=False),
    Column("reason", Text),
    Column("campaign_id", BigInteger),
    Column("template_ref", String(64)),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("ended_as", String(16)),
    Column("ended_because", Text),
)

# Two activities at most work on a broadcast: one reads the audience, one looks after rows that are held. `holder` is
# the attempt that may write; a worker that was cut off from Temporal finds another one there and stops.
lane = Table(
    "lane",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("broadcast_id", String(100), primary_key=True),
    Column("name", String(16), primary_key=True),
    Column("holder", String(32), nullable=False),
    Column("position", Text),
    Column("tally", Text, nullable=False),
    ForeignKeyConstraint(
        ["workspace_id", "broadcast_id"], ["broadcast.workspace_id", "broadcast.broadcast_id"], ondelete="CASCADE"
    ),
)

# Rows of an audience that were not simply sent or suppressed. `counted_as` is how the reading lane counted the row, and
# never changes; `state` is how it stands. `row` has the recipient and the data for as long as they may be needed.
held_row = Table(
    "held_row",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("broadcast_id", String(100), primary_key=True),
    Column("audience_row", BigInteger, primary_key=True),
    Column("send_id", String(128)),
    Column("recipient_hash", String(64)),
    Column("state", String(16), nullable=False),
    Column("counted_as", String(48), nullable=False),
    Column("reason", Text),
    Column("row", LargeBinary),
    Column("due_at", Moment, nullable=False),
    Column("held_at", Moment, nullable=False),
    Column("repeats", Integer, nullable=False),
    Column("excused", Integer, nullable=False, server_default=text("0")),
    Column("answered_since", Moment),
    Column("has_profile", Boolean, nullable=False),
    ForeignKeyConstraint(
        ["workspace_id", "broadcast_id"], ["broadcast.workspace_id", "broadcast.broadcast_id"], ondelete="CASCADE"
    ),
    Index(None, "workspace_id", "broadcast_id", "state", "due_at"),
)

# One row for every person, cause and scope, whether it holds or was lifted. A row is what all reports together say, in
# whatever order they came: the first and last moment it was reported for, and the last it was lifted for. A row may be
# there for a lift alone (`last_seen_at` is empty): the older report that it overrules may still arrive.
suppression = Table(
    "suppression",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("recipient_hash", String(64), primary_key=True),
    Column("cause", String(16), primary_key=True),
    Column("scope", String(40), primary_key=True),
    Column("cursor", BigInteger, nullable=False),
    Column("identity", LargeBinary),  # sealed; empty where the person asked to be forgotten
    Column("source", String(32)),
    Column("reason", Text),
    Column("event_id", String(64)),
    Column("first_seen_at", Moment),
    Column("last_seen_at", Moment),
    Column("lifted_at", Moment),
    Column("push_state", String(16)),
    Column("push_problem", String(16)),
    Column("pushed_at", Moment),
    Column("withdrawn_at", Moment),
    UniqueConstraint("workspace_id", "cursor"),
)

# The last cursor given out. Its row is locked until the writer commits, so cursors become visible in their order.
suppression_feed = Table(
    "suppression_feed",
    metadata,
    Column("workspace_id", String(64), primary_key=True),
    Column("last_cursor", BigInteger, nullable=False),
)

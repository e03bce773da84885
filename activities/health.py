"""How a connector does: what its own database tells, and what state all findings together make."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from activities.hooks import WEBHOOK, WHAT_THE_API_CANNOT_SEE
from contracts.connector import ConnectorState
from contracts.finding import Finding, Level, attention, problems
from contracts.names import WEBHOOK_TOKEN_HEADER
from store.connectors import ConnectorRow
from store.store import Transaction

REPORTS = "webhook reports"
REFUSED, SILENT, UNMATCHED = f"{REPORTS}: refused", f"{REPORTS}: missing", f"{REPORTS}: unmatched"
_LOOK_BACK = timedelta(days=1)
REFUSED_WITHIN = timedelta(hours=1)
"""For how long a refused webhook is a sign."""
_TAKEN_WITHIN = timedelta(minutes=15)
"""Anybody who knows the URL can have one refused. Where Iterable's own came so shortly before, or since, it is one of
those."""
_MATCHED_WITHIN = timedelta(minutes=10)
"""An event may come before the attempt that caused it is written down; the inbox looks again."""
_OFF = frozenset({ConnectorState.PAUSED, ConnectorState.UNINSTALLED, ConnectorState.VALIDATING})
BECAUSE = {
    "wrong_token": (
        "with a wrong token",
        f"Set the header {WEBHOOK_TOKEN_HEADER} of the webhook in Iterable to the connector's token: "
        "`connector rotate webhook-token` makes another one and sets it.",
    ),
    "not_allowlisted": (
        "from addresses outside the ip_allowlist",
        "Compare the ip_allowlist with the addresses that Iterable publishes, and CONNECTOR_TRUSTED_PROXIES with your "
        "proxies.",
    ),
}


async def signs(tx: Transaction, row: ConnectorRow) -> list[Finding]:
    """What should have been reported and was not, or could not be used."""
    workspace_id, now = row.workspace_id, datetime.now(UTC)
    found: list[Finding] = []
    for one in await tx.webhooks.refused(workspace_id):
        came = row.last_webhook_at is not None and row.last_webhook_at >= one.last_at - _TAKEN_WITHIN
        if one.last_at >= now - REFUSED_WITHIN and not came:
            why, advice = BECAUSE[one.reason]
            found.append(attention(REFUSED, f"{one.count} requests {why} since {_time(one.first_at)}", advice))
    overdue = now - timedelta(seconds=row.settings.confirm_within_seconds)
    silent = await tx.signs.silent_sends(workspace_id, overdue - _LOOK_BACK, overdue)
    if silent:
        found.append(
            attention(
                SILENT,
                f"Iterable took {silent} messages of the last day and nothing was reported of them",
                "Is the webhook enabled, with Triggered sends ticked and its header set? Does it reach the endpoint? "
                + WHAT_THE_API_CANNOT_SEE,
            )
        )
    unmatched = await tx.signs.unmatched_of_ours(workspace_id, now - _LOOK_BACK, now - _MATCHED_WITHIN)
    if unmatched:
        found.append(
            attention(
                UNMATCHED,
                f"{unmatched} events of the connector's campaigns in the last day belong to no send that it knows",
                "Does somebody else send through these campaigns, or another installation use this project? "
                "`connector events unmatched` lists them.",
            )
        )
    return found


def standing(row: ConnectorRow, findings: Sequence[Finding]) -> tuple[ConnectorState, str | None]:
    """The state that findings make, and why. Who is paused or retired stays so, whatever is found."""
    return (row.state, row.reason) if row.state in _OFF else in_force(row, findings)


def in_force(row: ConnectorRow, findings: Sequence[Finding]) -> tuple[ConnectorState, str | None]:
    """Of a connector that is neither paused nor retired. Until a first webhook came, what is wrong with it is awaited
    and no decline."""
    wrong = problems(findings)
    reason = "\n".join(str(one) for one in wrong) or None
    if row.last_webhook_at is None and all(one.point == WEBHOOK for one in wrong):
        return ConnectorState.AWAITING_WEBHOOK, reason or NO_WEBHOOK_YET
    return (ConnectorState.DEGRADED if wrong else ConnectorState.ACTIVE), reason


NO_WEBHOOK_YET = (
    "No webhook has come yet. `connector test` sends a message and waits for one. " + WHAT_THE_API_CANNOT_SEE
)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


UNREACHABLE = Finding(
    point="Iterable",
    level=Level.UNKNOWN,
    found="could not be asked: it does not answer, or its rate limit is used up",
    advice="Look at Iterable's status page. The connector tries again at its next look.",
)

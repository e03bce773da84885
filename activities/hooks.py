"""The webhook in Iterable, as far as its API shows it: there, ours, switched on, for triggered sends."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from pydantic import SecretStr

from contracts.channel import Catalog
from contracts.connector import ConnectorSettings
from contracts.finding import Finding, attention, fine
from contracts.names import WEBHOOK_TOKEN_HEADER, webhook_path
from iterable.client import IterableClient
from iterable.webhooks import Webhook

WEBHOOK = "webhook"
EVENTS_TO_TICK = (
    "Triggered Send",
    "Send Skip",
    "Open",
    "Click",
    "Bounce",
    "Complaint",
    "Subscribe",
    "Unsubscribe",
    "Hosted Unsubscribe Click",
)
"""What Iterable's UI calls the events of email. Its API neither shows nor sets which of them are ticked."""
WHAT_THE_API_CANNOT_SEE = f"In Iterable's UI see to it that these are ticked for Email: {', '.join(EVENTS_TO_TICK)}."


def ours_among(webhooks: Sequence[Webhook], url: str | None, workspace_id: str) -> list[Webhook]:
    """Webhooks that post to our URL; where there is none, those that post to the same path elsewhere: an endpoint that
    moved."""
    exact = [one for one in webhooks if url is not None and _same(one.endpoint, url)]
    return exact or [one for one in webhooks if _path(one.endpoint).endswith(webhook_path(workspace_id))]


def webhook_findings(
    webhooks: Sequence[Webhook], catalog: Catalog, settings: ConnectorSettings, url: str | None, workspace_id: str
) -> list[Finding]:
    """What is wrong with the webhook, as far as the API shows it."""
    shown = url or f"https://YOUR-ENDPOINT{webhook_path(workspace_id)}"
    found = ours_among(webhooks, url, workspace_id)
    if not found:
        return [attention(WEBHOOK, f"Iterable has no webhook that posts to {shown}", how_to_create(shown))]
    if len(found) > 1:
        ids = ", ".join(str(one.id) for one in found)
        return [attention(WEBHOOK, f"Webhooks {ids} all post to the connector", "Delete all but one of them.")]
    (webhook,) = found
    wrong = [
        *([] if url is None or _same(webhook.endpoint, url) else [f"it posts to another host than {shown}"]),
        *([] if webhook.enabled else ["it is not enabled"]),
        *([] if webhook.triggered_send_enabled else ["it does not report triggered sends"]),
        *_left_out(webhook, catalog, settings),
    ]
    if wrong:
        advice = "Open it in Iterable (Integrations, System webhooks) and correct that, or run `connector test`, "
        advice += f"which corrects what Iterable's API allows. {WHAT_THE_API_CANNOT_SEE}"
        return [attention(WEBHOOK, f"Webhook {webhook.id}: {', '.join(wrong)}", advice)]
    if url is None:
        advice = "Set CONNECTOR_PUBLIC_URL for the worker, so that the host can be compared too."
        return [attention(WEBHOOK, f"Webhook {webhook.id} has our path; our address is not known", advice)]
    return [fine(WEBHOOK, f"Webhook {webhook.id} is enabled and reports triggered sends")]


def how_to_create(url: str) -> str:
    """What only Iterable's UI can do, exactly. The rest the connector does once the webhook is there."""
    return (
        f"In Iterable, Integrations → System webhooks → Create webhook: URL {url}; authentication none; tick Enabled, "
        f"and for Email: {', '.join(EVENTS_TO_TICK)}. The connector sets the header {WEBHOOK_TOKEN_HEADER} through the "
        "API at its next look; or set it by hand, to the token that was shown."
    )


def _left_out(webhook: Webhook, catalog: Catalog, settings: ConnectorSettings) -> list[str]:
    """A webhook may be limited to channels or message types [that an empty list means all of them is inferred]."""
    wanted = {settings.transactional_message_type_id, settings.marketing_message_type_id} - {None}
    channels = {channel.id for id_ in wanted if (channel := catalog.channel_of(id_)) is not None}
    limited = (webhook.message_type_ids and not wanted <= set(webhook.message_type_ids)) or (
        webhook.channel_ids and not channels <= set(webhook.channel_ids)
    )
    return ["it leaves out a channel or message type of this connector"] if limited else []


def _path(endpoint: str) -> str:
    return urlsplit(endpoint).path.rstrip("/")


def _same(endpoint: str, url: str) -> bool:
    ours, theirs = urlsplit(url), urlsplit(endpoint)
    return (ours.scheme, ours.netloc.lower(), ours.path.rstrip("/")) == (
        theirs.scheme,
        theirs.netloc.lower(),
        theirs.path.rstrip("/"),
    )


async def set_up(
    client: IterableClient, url: str | None, workspace_id: str, token: SecretStr | None, *, correct: bool
) -> Finding:
    """Sets what Iterable's API allows of our webhook: the token's header, and with `correct` its URL, enabled and
    triggered sends as well. Safe to repeat. Raises `IterableError`.

    A header is set by replacing all of them (Swagger 1.8: only given fields change; headers are not shown), so headers
    that somebody added by hand are gone afterwards.
    """
    shown = url or f"https://YOUR-ENDPOINT{webhook_path(workspace_id)}"
    found = ours_among(await client.webhooks.all(), url, workspace_id)
    if not found:
        return attention(WEBHOOK, f"Iterable has no webhook that posts to {shown}", how_to_create(shown))
    if len(found) > 1:
        ids = ", ".join(str(one.id) for one in found)
        return attention(WEBHOOK, f"Webhooks {ids} all post to the connector", "Delete all but one of them.")
    (webhook,) = found
    moved = url is not None and not _same(webhook.endpoint, url)
    wrong = moved or not webhook.enabled or not webhook.triggered_send_enabled
    if token is not None or (correct and wrong):
        await client.webhooks.update(
            webhook.id,
            endpoint=url if correct and moved else None,
            enabled=True if correct else None,
            triggered_send_enabled=True if correct else None,
            headers=None if token is None else {WEBHOOK_TOKEN_HEADER: token},
        )
    return fine(WEBHOOK, f"Webhook {webhook.id} is set up as far as Iterable's API allows")

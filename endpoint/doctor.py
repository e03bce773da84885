"""What is wrong here, point by point, and what to do about it: for `connector doctor` and for the admin API."""

import asyncio
import base64
import hashlib
from datetime import datetime, timedelta

import httpx
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.service import RPCError

from activities.examination import examine
from activities.health import UNREACHABLE, signs
from contracts.connector import ConnectorState
from contracts.finding import Finding, attention, fine, unknown
from contracts.names import backfill_schedule_id, webhook_url
from images.assets import AssetStore, AssetsUnavailable
from images.rewriting import Asset
from iterable.errors import IterableError
from runtime.clients import client_factory
from runtime.settings import Settings
from runtime.temporal import connect, missing_search_attributes, polling, why
from store.connectors import ConnectorRow
from store.keyring import KeyringError
from store.store import SCHEMA, OlderSchema, Store, Transaction

_PATIENCE_SECONDS = 20.0
"""For one connector: a visit should end, though Iterable be away."""
_HTTP_SECONDS = 5.0
_BACKFILL_LATE = timedelta(hours=3)
"""It is read every hour, which takes some minutes."""
_PUSH_LATE = timedelta(hours=1)
_PIXEL_DATA = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_PIXEL = Asset(f"{hashlib.sha256(_PIXEL_DATA).hexdigest()}.gif", "image/gif", _PIXEL_DATA)


async def visit(settings: Settings, workspace_id: str | None = None) -> list[Finding]:
    """Every point, also after one that failed: one visit should tell all. Of the connectors one, or all."""
    findings: list[Finding] = []
    store = await _store(settings, findings)
    findings += await _temporal(settings)
    findings.append(await examine_endpoint(settings))
    findings.append(await examine_assets(settings))
    if store is None:
        return findings
    try:
        async with store.read() as tx:
            names = await tx.connectors.workspaces() if workspace_id is None else [workspace_id]
            rows = [row for name in names if (row := await tx.connectors.get(name))]
        if not rows:
            findings.append(attention(workspace_id or "connectors", "none is installed", "connector install"))
        for row in rows:
            findings += await examine_connector(settings, store, row)
    finally:
        await store.close()
    return findings


async def _store(settings: Settings, findings: list[Finding]) -> Store | None:
    try:
        keyring = settings.keyring()
    except KeyringError as error:
        findings.append(attention("master key", str(error), "see docs/operations.md, Keys"))
        return None
    findings.append(fine("master key", "readable"))
    try:
        store = await Store.open(settings.database_url, keyring)
        is_current = await store.is_current()
    except OlderSchema as error:
        findings.append(attention("database", error.found, "connector migrate"))
        return None
    except KeyringError:
        advice = "set the key ring that this database was made with"
        findings.append(attention("database", "sealed with another master key", advice))
        return None
    except (SQLAlchemyError, OSError):
        findings.append(attention("database", "does not answer", "start it, and check CONNECTOR_DATABASE_URL"))
        return None
    schema = f"schema is current ({SCHEMA})" if is_current else f"schema is newer than this release's ({SCHEMA})"
    findings.append(fine("database", f"answers, {schema}"))
    return store


async def _temporal(settings: Settings) -> list[Finding]:
    try:
        client = await connect(settings)
    except KeyringError:  # told already
        return []
    except RuntimeError as error:
        advice = "check TEMPORAL_ADDRESS, the credentials, and TEMPORAL_TLS where it needs it"
        return [attention("temporal", f"does not answer: {why(error)}", advice)]
    try:
        missing = await missing_search_attributes(client)
        workers = await _workers(client, settings.task_queue)
    except RPCError as error:
        return [attention("temporal", f"refuses: {error.status.name}", "check TEMPORAL_NAMESPACE and the credentials")]
    registered = (
        attention(
            "search attributes",
            f"missing {', '.join(missing)}",
            "a worker registers them at its start; on Temporal Cloud add them as keywords",
        )
        if missing
        else fine("search attributes", "registered")
    )
    return [fine("temporal", f"answers, namespace {client.namespace}"), registered, workers]


async def _workers(client: Client, task_queue: str) -> Finding:
    count = await polling(client, task_queue)
    found = f"{count} polling {task_queue} within five minutes"
    return fine("worker", found) if count else attention("worker", found, "start one: python -m worker")


async def examine_endpoint(settings: Settings) -> Finding:
    """Asks it under its public address, as Iterable would."""
    if settings.public_url is None:
        advice = "set CONNECTOR_PUBLIC_URL: webhooks and images need it"
        return attention("endpoint", "no address known", advice)
    url = f"{settings.public_url.rstrip('/')}/readyz"
    try:
        async with httpx.AsyncClient(timeout=_HTTP_SECONDS) as client:
            answer = await client.get(url)
    except httpx.HTTPError:
        advice = "start it (python -m endpoint), and check CONNECTOR_PUBLIC_URL and the proxy before it"
        return attention("endpoint", f"{url} does not answer", advice)
    found = f"{url} answers {answer.status_code}"
    if answer.is_success:
        return fine("endpoint", found)
    return attention("endpoint", found, _advice_of_readiness(answer))


def _advice_of_readiness(answer: httpx.Response) -> str:
    """`/readyz` of ours answers 503 and names what it waits for; anything else comes from somebody before it."""
    if answer.status_code != 503:
        return "this is no answer of the endpoint's: does the proxy pass /readyz, /webhooks and /assets on to it?"
    try:
        waits_for = [str(name) for name, state in answer.json().items() if state != "ok"]
    except (ValueError, AttributeError):
        return "the proxy finds no endpoint behind it: start one (python -m endpoint)"
    return (
        f"the endpoint cannot reach: {', '.join(waits_for) or 'something'}. Without the database, webhooks are refused "
        "and Iterable repeats them; without Temporal they are taken, and drained later"
    )


async def examine_assets(settings: Settings) -> Finding:
    """Stores an image of one pixel as a worker would, and loads it as a recipient would."""
    prefix = settings.assets_prefix
    if prefix is None:
        advice = "set CONNECTOR_PUBLIC_URL or CONNECTOR_ASSETS_URL; until then templates with images are refused"
        return attention("images", "no public address", advice)
    try:
        await AssetStore(settings.assets_store).put(_PIXEL)
    except AssetsUnavailable as error:
        return attention("images", str(error), "check CONNECTOR_ASSETS_STORE and its credentials")
    url = f"{prefix}/{_PIXEL.name}"
    try:
        async with httpx.AsyncClient(timeout=_HTTP_SECONDS) as client:
            answer = await client.get(url)
    except httpx.HTTPError:
        return attention("images", f"{url} does not answer", "check the address, start the endpoint")
    if answer.is_success and answer.content == _PIXEL.data:
        return fine("images", f"stored, and served under {prefix}")
    advice = (
        "what is stored here is not what is served there: workers and endpoints (or the CDN) must share one folder, or "
        "one bucket (CONNECTOR_ASSETS_STORE)"
    )
    return attention("images", f"{url} answers {answer.status_code}", advice)


async def examine_connector(settings: Settings, store: Store, row: ConnectorRow) -> list[Finding]:
    """How one connector stands, and everything it looks at itself, asked now: its own last look may be a while ago."""
    point = row.workspace_id
    if row.state is ConnectorState.UNINSTALLED:
        return [fine(point, "uninstalled: new sends are refused")]
    if row.state is ConnectorState.VALIDATING or row.api_key is None:
        found = f"{row.status().word}: {row.reason or 'nothing is in force yet'}"
        return [attention(point, found, "connector install")]
    findings = [_state(row), *await _asked_now(settings, row)]
    async with store.read() as tx:
        findings += await signs(tx, row)
        waiting, set_aside = await tx.inbox.counts(row.workspace_id)
        unmatched = await tx.events.count_unmatched(row.workspace_id)
        findings += await _behind(tx, row.workspace_id, store.now())
    told = f"{waiting} waiting, {unmatched} unmatched, {set_aside} set aside"
    why = f"connector events list-problems {row.workspace_id}"
    events = attention("events", told, why) if set_aside else fine("events", told)
    return [
        findings[0],
        *(one.model_copy(update={"point": f"{point}: {one.point}"}) for one in [*findings[1:], events]),
    ]


async def _behind(tx: Transaction, workspace_id: str, now: datetime) -> list[Finding]:
    """What is done by itself and is late, here and on the way to GenieOS."""
    found: list[Finding] = []
    read_until = await tx.backfills.behind_since(workspace_id)
    if read_until is not None and read_until < now - _BACKFILL_LATE:
        advice = f"see why the runs of the schedule {backfill_schedule_id(workspace_id)} fail, in the Temporal UI"
        found.append(
            attention("back-fill", f"Iterable's export was last read at {read_until:%Y-%m-%d %H:%M} UTC", advice)
        )
    waits_since = await tx.pushes.behind_since(workspace_id)
    if waits_since is not None and waits_since < now - _PUSH_LATE:
        told = f"GenieOS does not take events that wait since {waits_since:%Y-%m-%d %H:%M} UTC"
        found.append(attention("push", told, f"connector events push-status {workspace_id}"))
    return found


def _state(row: ConnectorRow) -> Finding:
    """What is wrong is told by the other points, so a connector that sends is fine here."""
    if row.state is ConnectorState.PAUSED:
        return attention(row.workspace_id, "paused: new sends are refused", f"connector resume {row.workspace_id}")
    if row.state is ConnectorState.AWAITING_WEBHOOK:
        return unknown(
            row.workspace_id,
            "awaiting_webhook: it sends, and no event came back yet",
            f"connector test {row.workspace_id} --send-to ADDRESS shows whether the webhook works",
        )
    if row.state is ConnectorState.DEGRADED:
        seen = "" if row.checked_at is None else f" of {row.checked_at:%Y-%m-%d %H:%M} UTC"
        return unknown(
            row.workspace_id,
            f"degraded, says the connector's last look{seen}",
            f"do what the points below say, then connector test {row.workspace_id}: it looks again",
        )
    return fine(row.workspace_id, row.state.value)


async def _asked_now(settings: Settings, row: ConnectorRow) -> list[Finding]:
    if row.api_key is None:
        return []
    url = webhook_url(settings.public_url, row.workspace_id)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return (await examine(client_factory(settings), row.settings, row.api_key, url, row.workspace_id)).findings
    except (IterableError, TimeoutError):
        return [UNREACHABLE]

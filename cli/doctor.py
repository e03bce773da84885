"""`connector doctor`: what is wrong here, and what to do about it."""

import base64
import hashlib
from dataclasses import dataclass

import httpx
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from contracts.connector import ConnectorState, DataCenter
from images.assets import AssetStore, AssetsUnavailable
from images.rewriting import Asset
from iterable.client import BaseUrls, IterableClient
from iterable.errors import IterableError
from runtime.settings import Settings
from runtime.temporal import connect, missing_search_attributes
from store.connectors import ConnectorRow
from store.keyring import KeyringError
from store.store import Store

_PIXEL_DATA = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_PIXEL = Asset(f"{hashlib.sha256(_PIXEL_DATA).hexdigest()}.gif", "image/gif", _PIXEL_DATA)


@dataclass(frozen=True)
class Finding:
    """One point: `advice` is empty where nothing is to be done."""

    point: str
    ok: bool
    found: str
    advice: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Every point, also after one that failed: one visit should tell all."""
    findings: list[Finding] = []
    store = await _store(settings, findings)
    await _temporal(settings, findings)
    findings.append(await _endpoint(settings))
    findings.append(await examine_assets(settings))
    if store is None:
        return findings
    try:
        async with store.read() as tx:
            rows = [row for name in await tx.connectors.workspaces() if (row := await tx.connectors.get(name))]
        if not rows:
            findings.append(Finding("connectors", ok=False, found="none", advice="connector install"))
        for row in rows:
            findings.extend(await _connector(settings, store, row))
    finally:
        await store.close()
    return findings


async def _store(settings: Settings, findings: list[Finding]) -> Store | None:
    try:
        keyring = settings.keyring()
    except KeyringError as error:
        findings.append(Finding("master key", ok=False, found=str(error), advice="see docs/operations.md, Keys"))
        return None
    findings.append(Finding("master key", ok=True, found="readable"))
    try:
        store = await Store.open(settings.database_url, keyring)
        if not await store.is_current():
            await store.close()
            findings.append(Finding("database", ok=False, found="an older schema", advice="connector migrate"))
            return None
    except KeyringError:
        advice = "set the key ring that this database was made with"
        findings.append(Finding("database", ok=False, found="sealed with another master key", advice=advice))
        return None
    except (SQLAlchemyError, OSError):
        advice = "start the database; on a new one: connector migrate"
        findings.append(Finding("database", ok=False, found="does not answer, or has no tables", advice=advice))
        return None
    findings.append(Finding("database", ok=True, found="answers, schema is current"))
    return store


async def _temporal(settings: Settings, findings: list[Finding]) -> None:
    try:
        client = await connect(settings)
    except KeyringError:  # told already
        return
    except RuntimeError:
        findings.append(Finding("temporal", ok=False, found="does not answer", advice="check TEMPORAL_ADDRESS"))
        return
    findings.append(Finding("temporal", ok=True, found=f"answers, namespace {client.namespace}"))
    missing = await missing_search_attributes(client)
    findings.append(
        Finding(
            "search attributes",
            ok=not missing,
            found=f"missing {', '.join(missing)}" if missing else "registered",
            advice="a worker registers them at its start; on Temporal Cloud add them as keywords" if missing else "",
        )
    )
    findings.append(await _workers(client, settings.task_queue))


async def _workers(client: Client, task_queue: str) -> Finding:
    try:
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=task_queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            )
        )
    except RPCError as error:
        return Finding("worker", ok=False, found=f"cannot ask: {error.status.name}", advice="check the namespace")
    count = len(answer.pollers)
    advice = "" if count else "start one: python -m worker"
    return Finding("worker", ok=count > 0, found=f"{count} polling {task_queue}", advice=advice)


async def _endpoint(settings: Settings) -> Finding:
    if settings.public_url is None:
        return Finding("endpoint", ok=False, found="no address known", advice="set CONNECTOR_PUBLIC_URL")
    url = f"{settings.public_url.rstrip('/')}/readyz"
    try:
        async with httpx.AsyncClient(timeout=5) as client:
            answer = await client.get(url)
    except httpx.HTTPError:
        return Finding("endpoint", ok=False, found=f"{url} does not answer", advice="start it: python -m endpoint")
    return Finding("endpoint", ok=answer.status_code == 200, found=f"{url} answers {answer.status_code}")


async def examine_assets(settings: Settings) -> Finding:
    """Stores an image of one pixel as a worker would, and loads it as a recipient would."""
    prefix = settings.assets_prefix
    if prefix is None:
        advice = "set CONNECTOR_PUBLIC_URL or CONNECTOR_ASSETS_URL; until then templates with images are refused"
        return Finding("images", ok=False, found="no public address", advice=advice)
    try:
        await AssetStore(settings.assets_store).put(_PIXEL)
    except AssetsUnavailable as error:
        return Finding("images", ok=False, found=str(error), advice="check CONNECTOR_ASSETS_STORE and its credentials")
    url = f"{prefix}/{_PIXEL.name}"
    try:
        async with httpx.AsyncClient(timeout=5) as client:
            answer = await client.get(url)
    except httpx.HTTPError:
        return Finding(
            "images", ok=False, found=f"{url} does not answer", advice="check the address, start the endpoint"
        )
    if answer.status_code == 200 and answer.content == _PIXEL.data:
        return Finding("images", ok=True, found=f"stored, and served under {prefix}")
    advice = (
        "what is stored here is not what is served there: workers and endpoints (or the CDN) must share one folder, or "
        "one bucket (CONNECTOR_ASSETS_STORE)"
    )
    return Finding("images", ok=False, found=f"{url} answers {answer.status_code}", advice=advice)


async def _connector(settings: Settings, store: Store, row: ConnectorRow) -> list[Finding]:
    point = f"connector {row.workspace_id}"
    state = Finding(
        point,
        ok=row.state in {ConnectorState.ACTIVE, ConnectorState.AWAITING_WEBHOOK},
        found=row.state.value,
        advice=_ADVICE_OF_STATE.get(row.state, ""),
    )
    if row.api_key is None:
        return [state, Finding(f"{point} key", ok=False, found="none in force", advice="connector install")]
    key = await _key(settings, row.settings.data_center, row.api_key)
    async with store.read() as tx:
        waiting, set_aside = await tx.inbox.counts(row.workspace_id)
        unmatched = await tx.events.count_unmatched(row.workspace_id)
    events = Finding(
        f"{point} events",
        ok=set_aside == 0,
        found=f"{waiting} waiting, {unmatched} unmatched, {set_aside} set aside",
        advice=f"connector events list-problems {row.workspace_id}" if set_aside else "",
    )
    return [state, Finding(f"{point} key", ok=key is None, found=key or "accepted", advice=_KEY if key else ""), events]


async def _key(settings: Settings, data_center: DataCenter, key: SecretStr) -> str | None:
    """What is wrong with a key; None where Iterable takes it."""
    base_urls = BaseUrls(us=settings.iterable_us_url, eu=settings.iterable_eu_url)
    client = IterableClient(data_center=data_center, api_key=key, base_urls=base_urls)
    try:
        await client.webhooks.all()
    except IterableError as error:
        return str(error)
    finally:
        await client.aclose()
    return None


_KEY = "make a server-side key in Iterable and run connector install again"
_ADVICE_OF_STATE = {
    ConnectorState.VALIDATING: "the last installation did not pass its checks: connector install",
    ConnectorState.AWAITING_WEBHOOK: "no event came yet: is the webhook enabled in Iterable, with its header?",
    ConnectorState.UNINSTALLED: "connector install",
}

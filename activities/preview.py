"""Dry runs: a message is rendered by Iterable, and nothing is sent."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from temporalio import activity

from activities.connectors import InForce, InstalledConnectors
from activities.failures import failure, failures, provider_failure
from activities.rendering import differences, render
from activities.shadow import email_template
from activities.turns import take_turn
from contracts.errors import ConnectorError, ErrorCode
from contracts.preview import Preview, PreviewRequest
from contracts.send import PreviewSummary
from contracts.shadow import ShadowRequest
from contracts.template import Template
from iterable.errors import IterableError, NotFound, Refused
from iterable.templates import Templates
from store.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_POLL_SECONDS = 1.0
_POLLS = 20
"""What was just written may not be found for some 15 s (what Iterable's own client allows for)."""
_PREVIEWS_PER_SECOND = 9.0
"""Of the 10/s that Iterable allows a project."""
_LONGEST_TURN = timedelta(seconds=20)


class PreviewActivities:
    """What a dry run does in place of sending."""

    def __init__(self, store: Store, connectors: InstalledConnectors) -> None:
        self._store = store
        self._connectors = connectors

    @activity.defn
    async def preview_send(self, request: PreviewRequest) -> PreviewSummary:
        """Has the message rendered by Iterable and by ourselves, and keeps both, with their differences.

        Iterable renders only templates that it has. Where it does not have the content yet, a template is made for the
        render and deleted again, if the connector allows it; no campaign is, so nothing can be sent from it. Safe to
        repeat: the template is found by its id and deleted by whoever comes to the end.
        """
        send = request.send
        with structlog.contextvars.bound_contextvars(workspace=send.workspace_id, send=send.send_id):
            with failures():
                connector = await self._connectors.get(send.workspace_id)
            async with self._store.read() as tx:
                content = await tx.templates.get(send.workspace_id, request.prepared.template_ref)
            if content is None:
                lost = ConnectorError(
                    ErrorCode.TEMPLATE_UNKNOWN, "The connector no longer holds this template's content"
                )
                raise failure(lost)
            fields = {**send.recipient.profile, **send.data}
            wanted = fields.get("locale")
            locale = wanted if isinstance(wanted, str) and wanted in content.locales else None
            html, problems = await self._by_iterable(request, connector, content, fields, locale)
            local, reasons = await asyncio.to_thread(render, content.for_locale(locale), fields)
            found = None
            if html is not None and local is not None:
                found = await asyncio.to_thread(differences, local.html, html)
            preview = Preview(
                workspace_id=send.workspace_id,
                send_id=send.send_id,
                fingerprint=request.prepared.fingerprint,
                html=html,
                local=local,
                differences=found,
                problems=[*problems, *reasons],
                temporary_template=request.prepared.shadow is None and connector.settings.preview_templates,
                made_at=datetime.now(UTC),
            )
            async with self._store.begin() as tx:
                await tx.previews.put(preview, request.prepared.recipient_hash)
            return PreviewSummary(
                rendered_by_iterable=html is not None,
                differences=None if found is None else len(found),
                problems=preview.problems,
            )

    async def _by_iterable(
        self, request: PreviewRequest, connector: InForce, content: Template, fields: dict[str, Any], locale: str | None
    ) -> tuple[str | None, list[str]]:
        """Iterable's render, or why there is none."""
        shadow = request.prepared.shadow
        if shadow is None and not connector.settings.preview_templates:
            return None, [
                "Iterable does not have this content yet, and preview_templates forbids to make it a template"
            ]
        await take_turn(
            self._store, request.send.workspace_id, "templates/email/preview", _PREVIEWS_PER_SECOND, _LONGEST_TURN
        )
        templates = connector.iterable.templates
        try:
            if shadow is not None:
                return await _rendered(templates, shadow.template_id, fields, locale), []
            async with _temporary(templates, request, content) as template_id:
                return await _rendered(templates, template_id, fields, locale), []
        except Refused as error:
            return None, [f"Iterable refused to render this template with this data ({error})"]
        except IterableError as error:
            raise provider_failure(error, connector.settings) from None


async def _rendered(templates: Templates, template_id: int, fields: dict[str, Any], locale: str | None) -> str:
    for poll in range(_POLLS):
        try:
            return await templates.preview(template_id, fields, locale=locale)
        except (NotFound, Refused) as error:
            missing = isinstance(error, NotFound) or "templateId" in error.invalid_params
            if not missing or poll == _POLLS - 1:
                raise
        await asyncio.sleep(_POLL_SECONDS)
    raise AssertionError  # the last poll returns or raises


@asynccontextmanager
async def _temporary(templates: Templates, request: PreviewRequest, content: Template) -> AsyncGenerator[int]:
    """A template that is there for as long as the block."""
    send, prepared = request.send, request.prepared
    name = hashlib.sha256(f"{send.workspace_id}/{send.send_id}".encode()).hexdigest()
    wanted = ShadowRequest(
        workspace_id=send.workspace_id,
        fingerprint=name,
        template_ref=prepared.template_ref,
        message_type_id=prepared.message_type_id,
    )
    mark = f"genieos-preview-{name}"
    content = content.model_copy(update={"name": f"Preview of {content.name}"})
    template_id = await templates.upsert(email_template(content, wanted, client_template_id=mark))
    try:
        for locale, variant in content.variants().items():
            await templates.upsert(email_template(variant, wanted, locale, client_template_id=mark))
        yield template_id
    finally:
        try:
            await templates.delete([template_id])
        except IterableError as error:
            log.warning("preview.template_left", template_id=template_id, error=type(error).__name__)

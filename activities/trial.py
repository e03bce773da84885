"""A connector test: a template, a preview of it, a real send, and the webhook that has to come back."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError

from activities.connectors import InForce, InstalledConnectors
from activities.failures import failures, provider_failure
from activities.fingerprints import fingerprint, template_ref
from activities.health import BECAUSE
from activities.hooks import WHAT_THE_API_CANNOT_SEE
from contracts.attributes import STATUS, STREAM, WORKSPACE, at_start
from contracts.connector import ConnectorSettings
from contracts.errors import ConnectorError, ErrorCode
from contracts.event import EventKind
from contracts.finding import Finding, attention, fine
from contracts.names import SEND_WORKFLOW, WEBHOOK_TOKEN_HEADER, send_workflow_id
from contracts.send import Recipient, SendRequest, SendResult, SendStatus
from contracts.shadow import ShadowRequest
from contracts.skip import SKIP_ADVICE, skip_class
from contracts.template import Stream, Template
from contracts.trial import PreviewRequest, ReportAwaited, Trial, TrialRequest
from iterable.errors import IterableError, NotFound, Refused
from store.store import Store

WEBHOOK_LEG = "webhook came back"
_POLL_SECONDS = 0.5
_STREAMS: tuple[Stream, ...] = ("transactional", "marketing")
_UNSUBSCRIBE = '<p><a href="{{unsubscribeUrl}}">Unsubscribe</a></p>'


class TrialActivities:
    """What a connector test does to the world, beside what every send does."""

    def __init__(self, store: Store, connectors: InstalledConnectors, temporal: Client, task_queue: str) -> None:
        self._store = store
        self._connectors = connectors
        self._temporal = temporal
        self._task_queue = task_queue

    @activity.defn
    async def prepare_trial(self, request: TrialRequest) -> Trial:
        """Keeps the test template; the same for every test of a stream, so that all of them share one campaign. Safe to
        repeat. Fails with `message_type_missing`, `template_invalid`."""
        with failures():
            connector = await self._connectors.get(request.workspace_id)
            stream, message_type_id = _stream(connector, request.test.stream)
            content = _template(connector.settings, stream)
        ref, mark = template_ref(content), request.send_id[-8:]
        async with self._store.begin() as tx:
            await tx.templates.put(request.workspace_id, ref, content)
        shadow = ShadowRequest(
            workspace_id=request.workspace_id,
            fingerprint=fingerprint(content, message_type_id),
            template_ref=ref,
            message_type_id=message_type_id,
        )
        test = request.test
        if test.send_to is None and test.user_id is None:
            return Trial(shadow=shadow, send=None, mark=mark)
        send = SendRequest(
            workspace_id=request.workspace_id,
            send_id=request.send_id,
            stream=stream,
            template_ref=ref,
            recipient=Recipient(email=test.send_to, user_id=test.user_id),
            data={"check": mark},
        )
        return Trial(shadow=shadow, send=send, mark=mark)

    @activity.defn
    async def preview_trial(self, request: PreviewRequest) -> None:
        """Has Iterable render the template. Sends nothing; safe to repeat. A template that was just written may not be
        found for some 15 s. Fails with `template_invalid` where the data does not show in what was rendered."""
        with failures():
            connector = await self._connectors.get(request.workspace_id)
            try:
                html = await connector.iterable.templates.preview(request.template_id, {"check": request.mark})
            except (NotFound, Refused) as error:
                raise ApplicationError(f"Iterable, {error}", type=ErrorCode.PROVIDER_REJECTED) from None
            except IterableError as error:
                raise provider_failure(error, connector.settings) from None
            if request.mark not in html:
                raise ConnectorError(
                    ErrorCode.TEMPLATE_INVALID, "Iterable's preview does not show the data it was given"
                )

    @activity.defn
    async def send_trial(self, send: SendRequest) -> SendResult:
        """Starts the send, or finds it, and returns once Iterable has the message. Safe to repeat: the send has an id.
        Fails as the send does, and with `recipient_suppressed`."""
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            SEND_WORKFLOW,
            send,
            id=send_workflow_id(send.workspace_id, send.send_id),
            task_queue=self._task_queue,
            static_summary=send.summary,
            search_attributes=at_start({WORKSPACE: send.workspace_id, STREAM: send.stream, STATUS: SendStatus.SENDING}),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
        try:
            return await self._temporal.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
                "accepted", start_workflow_operation=start, result_type=SendResult
            )
        except WorkflowUpdateFailedError as error:
            if isinstance(error.cause, ApplicationError):
                raise ApplicationError(error.cause.message, type=error.cause.type, non_retryable=True) from None
            raise

    @activity.defn
    async def await_report(self, awaited: ReportAwaited) -> Finding:
        """Waits for the send's first event to come by webhook. Safe to repeat: the time runs from the first start."""
        until = activity.info().scheduled_time + timedelta(seconds=awaited.within_seconds)
        while True:
            finding = await self._report(awaited)
            if finding is not None:
                return finding
            if datetime.now(UTC) >= until:
                return await self._nothing_came(awaited)
            await asyncio.sleep(_POLL_SECONDS)

    async def _report(self, awaited: ReportAwaited) -> Finding | None:
        async with self._store.read() as tx:
            row = await tx.connectors.get(awaited.workspace_id)
            events = (await tx.events.of_sends(awaited.workspace_id, [awaited.send_id])).get(awaited.send_id, [])
        if row is None or row.last_webhook_at is None or row.last_webhook_at < awaited.since or not events:
            return None
        bad = next((one for one in events if one.kind in {EventKind.SKIPPED, EventKind.BOUNCED}), None)
        if bad is None:
            return fine(WEBHOOK_LEG, f"{events[0].kind} was reported")
        advice = SKIP_ADVICE[skip_class(bad.reason)] if bad.kind is EventKind.SKIPPED else "Test with another address."
        return attention(WEBHOOK_LEG, f"the webhook works, and reports {bad.kind}: {bad.reason or 'no reason'}", advice)

    async def _nothing_came(self, awaited: ReportAwaited) -> Finding:
        async with self._store.read() as tx:
            refused = await tx.webhooks.refused(awaited.workspace_id)
        for one in refused:
            if one.last_at >= awaited.since:
                why, advice = BECAUSE[one.reason]
                return attention(WEBHOOK_LEG, f"a request came {why} and was refused", advice)
        return attention(
            WEBHOOK_LEG,
            f"nothing came within {awaited.within_seconds} s",
            f"Is the webhook in Iterable enabled for triggered sends, with header {WEBHOOK_TOKEN_HEADER}? Can Iterable "
            f"reach the endpoint? {WHAT_THE_API_CANNOT_SEE}",
        )


def _stream(connector: InForce, wanted: Stream | None) -> tuple[Stream, int]:
    for stream in _STREAMS if wanted is None else (wanted,):
        message_type_id = connector.settings.message_type_id(stream)
        if message_type_id is not None:
            return stream, message_type_id
    raise ConnectorError(ErrorCode.MESSAGE_TYPE_MISSING, f"No message type is set for {wanted or 'any stream'}")


def _template(settings: ConnectorSettings, stream: Stream) -> Template:
    if settings.default_from_email is None:
        raise ConnectorError(
            ErrorCode.TEMPLATE_INVALID,
            "The test message needs a sender",
            "Set default_from_email to a sender that is authorised in Iterable.",
        )
    return Template(
        template_id="genieos_connector_test",
        name="GenieOS connector test",
        subject="GenieOS connector test {{check}}",
        html="<html><body><p>This message tests the GenieOS connector for Iterable ({{check}}). There is nothing to "
        f"do.</p>{_UNSUBSCRIBE if stream == 'marketing' else ''}</body></html>",
        text="This message tests the GenieOS connector for Iterable ({{check}}). There is nothing to do.",
        from_email=settings.default_from_email,
        from_name=settings.default_from_name,
        reply_to=settings.default_reply_to,
    )

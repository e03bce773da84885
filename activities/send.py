"""Activities around a send: preparing it, writing a thin profile, recording its end."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog
from temporalio import activity

from activities.checks import check_data, check_template
from activities.connectors import InForce, InstalledConnectors
from activities.failures import failures, provider_failure
from activities.fingerprints import fingerprint, template_ref
from activities.forgetting import forget
from activities.literals import as_meant
from activities.suppressing import Path, is_suppressed
from contracts.connector import ConnectorSettings
from contracts.errors import ConnectorError, ErrorCode
from contracts.send import Recipient, SendRequest, SendResult, SendStatus
from contracts.target import FingerprintRequest, Pace, PreparedSend, ProfileRequest, SendEnding, TemplateBody
from contracts.template import Template
from images.assets import AssetsUnavailable
from images.hosting import Hosted, ImageHost
from iterable.errors import IterableError, RecipientForgotten
from store.person import Person
from store.sends import Claim, SendRow
from store.store import Store, Transaction


class SendActivities:
    """What a send needs before and after its recipient is targeted."""

    def __init__(self, store: Store, connectors: InstalledConnectors, images: ImageHost) -> None:
        self._store = store
        self._connectors = connectors
        self._images = images

    @activity.defn
    async def fingerprint_template(self, request: FingerprintRequest, body: TemplateBody | None = None) -> PreparedSend:
        """Checks a send, claims its id, and looks up the shadow of its content.

        Safe to repeat: the claim knows the run that made it; everything else is kept once, under its own hash.
        Fails with `connector_not_installed`, `connector_disabled`, `message_type_missing`, `recipient_invalid`,
        `template_unknown`, `template_invalid`, `template_too_large`, `sender_not_authorised`, `assets_unavailable`.
        """
        request = request.with_content(body)
        send = request.send
        with failures(), structlog.contextvars.bound_contextvars(workspace=send.workspace_id, send=send.send_id):
            connector = await self._connectors.get_to_begin(send.workspace_id)
            message_type_id = connector.settings.message_type_id(send.stream)
            if message_type_id is None:
                raise ConnectorError(
                    ErrorCode.MESSAGE_TYPE_MISSING, f"No message type is set for the stream {send.stream}"
                )
            if not request.content_only:
                check_identity(send.recipient, connector.settings)
            given = as_meant(_with_sender(await self._content(send), connector.settings))
            hosted = await self._host(given, connector.settings)
            async with self._store.begin() as tx:
                return await self._prepare(tx, request, connector, message_type_id, hosted)

    async def _host(self, content: Template, settings: ConnectorSettings) -> Hosted:
        """Not inside of the transaction: it may go over the network. A store of images that does not answer is waited
        for as long as a send may wait."""
        try:
            return await self._images.host(content)
        except AssetsUnavailable as error:
            waited = datetime.now(UTC) - activity.info().scheduled_time
            if waited < timedelta(seconds=settings.give_up_after_seconds):
                raise
            raise ConnectorError(ErrorCode.ASSETS_UNAVAILABLE, f"{error}; given up") from None

    async def _content(self, send: SendRequest) -> Template:
        if send.template is not None:
            return send.template
        async with self._store.read() as tx:
            content = await tx.templates.get(send.workspace_id, send.template_ref or "")
        if content is None:
            raise ConnectorError(ErrorCode.TEMPLATE_UNKNOWN, "The connector holds no template under this template_ref")
        return content

    async def _prepare(
        self,
        tx: Transaction,
        request: FingerprintRequest,
        connector: InForce,
        message_type_id: int,
        hosted: Hosted,
    ) -> PreparedSend:
        send, content = request.send, hosted.template
        ref = template_ref(content)
        content_hash = fingerprint(content, message_type_id)
        known_as = self._store.hasher.all_of(send.recipient.email, send.recipient.user_id)
        prepared = PreparedSend(
            fingerprint=content_hash,
            template_ref=ref,
            message_type_id=message_type_id,
            recipient_hash=stands_for(known_as, connector.settings),
            pace=Pace.of(connector.settings, send.stream),
        )
        if request.content_only:
            warnings = [*hosted.warnings, *check_template(content, send.stream, connector.settings)]
            prepared = prepared.model_copy(update={"warnings": warnings})
            return await self._with_shadow(tx, send, content, prepared)
        if not send.dry_run:
            row = await tx.sends.claim(
                Claim(
                    workspace_id=send.workspace_id,
                    send_id=send.send_id,
                    run_id=request.run_id,
                    stream=send.stream,
                    fingerprint=content_hash,
                    template_ref=ref,
                    recipient_hash=prepared.recipient_hash,
                )
            )
            if row.run_id != request.run_id:  # Idempotency guard: the id was used by another run.
                earlier = await self._earlier(tx, send, row)
                if earlier is not None:
                    return prepared.model_copy(update={"ending": earlier})
                await tx.sends.take_over(send.workspace_id, send.send_id, request.run_id)
            if row.campaign_id is not None:  # an attempt was begun, by an earlier run
                attempts = await tx.sends.attempts(send.workspace_id, send.send_id)
                in_doubt = any(one.may_have_reached for one in attempts)
                prepared = prepared.model_copy(update={"in_doubt": in_doubt})
        warnings = [
            *hosted.warnings,
            *check_template(content, send.stream, connector.settings),
            *check_data(content, send.data, send.recipient.profile),
        ]
        prepared = prepared.model_copy(update={"warnings": warnings})
        if warnings and not send.dry_run:
            await tx.sends.warn(send.workspace_id, send.send_id, warnings)
        path = Path.of(connector.settings, connector.catalog, send.stream)
        # One in doubt is looked into first, whoever is suppressed by now; the next attempt would be checked.
        if not prepared.in_doubt and await is_suppressed(tx, send.workspace_id, known_as, path):
            if not send.dry_run:
                await tx.sends.close(
                    send.workspace_id, send.send_id, SendStatus.SUPPRESSED, ErrorCode.RECIPIENT_SUPPRESSED
                )
            suppressed = SendResult(
                status=SendStatus.SUPPRESSED,
                reason=ErrorCode.RECIPIENT_SUPPRESSED,
                fingerprint=content_hash,
                template_ref=ref,
            )
            return prepared.model_copy(update={"ending": suppressed})
        return await self._with_shadow(tx, send, content, prepared)

    async def _with_shadow(
        self, tx: Transaction, send: SendRequest, content: Template, prepared: PreparedSend
    ) -> PreparedSend:
        if prepared.template_ref != send.template_ref:
            await tx.templates.put(send.workspace_id, prepared.template_ref, content)
        find = tx.shadows.ready if send.dry_run else tx.shadows.use
        shadow = await find(send.workspace_id, prepared.fingerprint)
        return prepared.model_copy(update={"shadow": shadow})

    async def _earlier(self, tx: Transaction, send: SendRequest, row: SendRow) -> SendResult | None:
        """How an earlier run of this send ended; None where it was stopped before its end. What it may have begun is in
        the ledger: whoever targets next finds it there, and looks for evidence first."""
        if row.status is SendStatus.FAILED:
            raise ConnectorError(ErrorCode(row.reason or ErrorCode.OUTCOME_UNKNOWN), "This send has failed before")
        if row.status is not None:
            events = await tx.events.of_sends(send.workspace_id, [send.send_id])
            return row.result(events.get(send.send_id, []))
        return None

    @activity.defn
    async def upsert_profile(self, request: ProfileRequest) -> None:
        """Writes a thin profile: the identity and the fields that the admin allowed, nothing else.

        Safe to repeat: the same fields are written again. Iterable asks for a wait of 60 s before a send relies on it;
        the workflow waits.
        """
        with failures():
            connector = await self._connectors.get(request.workspace_id)
        allowed = connector.settings.profile_fields
        fields = {name: value for name, value in request.recipient.profile.items() if name in allowed}
        try:
            await connector.iterable.users.update(
                email=request.recipient.email, user_id=request.recipient.user_id, data_fields=fields
            )
        except IterableError as error:
            if isinstance(error, RecipientForgotten):
                people = Person.all_of(self._store.hasher, request.recipient.email, request.recipient.user_id)
                await forget(self._store, request.workspace_id, people, source="iterable")
            raise provider_failure(error, connector.settings) from None

    @activity.defn
    async def close_send(self, ending: SendEnding) -> None:
        """Records an end that no other activity recorded. Safe to repeat; what an event has told stands."""
        async with self._store.begin() as tx:
            await tx.sends.close(ending.workspace_id, ending.send_id, ending.status, ending.reason)


def check_identity(recipient: Recipient, settings: ConnectorSettings) -> None:
    """A wrong identifier for the project's type is the commonest complaint about integrations with Iterable."""
    if settings.project_type == "email" and recipient.email is None:
        raise ConnectorError(
            ErrorCode.RECIPIENT_INVALID, "This Iterable project knows people by email, and the recipient has none"
        )
    if settings.project_type == "userid" and recipient.user_id is None:
        raise ConnectorError(
            ErrorCode.RECIPIENT_INVALID, "This Iterable project knows people by user id, and the recipient has none"
        )


def stands_for(known_as: Sequence[str], settings: ConnectorSettings) -> str:
    """Of a person's hashes (the address's first) that of the name which Iterable is asked with: in a project of user
    ids several people may share an address, and events may leave it out."""
    return known_as[-1] if settings.project_type == "userid" else known_as[0]


def _with_sender(content: Template, settings: ConnectorSettings) -> Template:
    """The template itself where it names a sender; else one with the default sender, under a name of its own."""
    sender = content.from_email or settings.default_from_email
    if sender is None:
        raise ConnectorError(
            ErrorCode.TEMPLATE_INVALID, "The template has no from_email, and the connector no default_from_email"
        )
    if content.from_email is None:
        default = {"from_email": sender, "from_name": settings.default_from_name, "reply_to": settings.default_reply_to}
        content = content.model_copy(update=default)
    return content

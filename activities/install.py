"""Activities of an installation: checks that tell the truth, putting settings into force, and looking after them."""

import asyncio

import structlog
from pydantic import SecretStr
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.connectors import FRESH_SECONDS, ClientFactory
from activities.examination import examine
from activities.failures import failures, provider_failure
from activities.health import REFUSED_WITHIN, REPORTS, UNREACHABLE, in_force, signs, standing
from activities.hooks import WEBHOOK, set_up
from contracts.connector import ConnectorSettings, ConnectorState, ConnectorStatus
from contracts.errors import ConnectorError, ErrorCode
from contracts.finding import Finding, attention, fine, refusal
from contracts.install import CheckReport, CheckRequest, RotatedToken, TokenRotation
from contracts.names import webhook_url
from iterable.errors import IterableError
from store.connectors import ConnectorRow
from store.store import Store
from store.store import utc_now as now
from store.webhooks import token_hash

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_TRIES = 3
"""Attempts before a look reports that Iterable could not be asked. The next look asks again."""
PAUSED = "Paused by an admin: new sends are refused with connector_disabled. `connector resume` takes them up again."


class InstallActivities:
    """What `InstallWorkflow` does to the world while a connector is in force."""

    def __init__(
        self, store: Store, make_client: ClientFactory, public_url: str | None, least_evidence_after: float
    ) -> None:
        """`public_url` is where Iterable reaches the endpoint; `least_evidence_after` (seconds) what
        `evidence_after_seconds` may not be less than."""
        self._least_evidence_after = least_evidence_after
        self._store = store
        self._make_client = make_client
        self._public_url = public_url

    @activity.defn
    async def check_connector(self, request: CheckRequest) -> CheckReport:
        """Whether settings fit together, and the project and the key on offer fit them. The channels and message types
        that were found are kept.

        Safe to repeat. Fails with `api_key_invalid`, `api_key_insufficient`, `message_type_missing`,
        `message_type_mismatch`, `request_invalid`; then the key on offer is dropped and all that was in force stays.
        """
        with failures():
            async with self._store.read() as tx:
                row = await tx.connectors.get(request.workspace_id)
                offered = await tx.connectors.offered_key(request.workspace_id)
            settings = request.settings or (row.status().settings if row else None)
            if offered is None or settings is None:
                raise ConnectorError(ErrorCode.API_KEY_INVALID, "No API key lies ready for this workspace", _HOW)
            try:
                _check_together(settings, self._least_evidence_after)
                findings = await self._examine(request.workspace_id, settings, offered.api_key)
                refused = refusal(findings)
                if refused is not None:
                    raise refused
            except ConnectorError as error:
                async with self._store.begin() as tx:
                    await tx.connectors.withdraw_offer(request.workspace_id, offered.offer, f"{error.code}: {error}")
                raise
            except IterableError as error:
                raise provider_failure(error) from None
        return CheckReport(workspace_id=request.workspace_id, settings=settings, findings=findings, offer=offered.offer)

    @activity.defn
    async def withdraw_offer(self, workspace_id: str) -> None:
        """A key that could not be checked, because Iterable was away, is not kept for later. Safe to repeat."""
        async with self._store.begin() as tx:
            await tx.connectors.withdraw_offer(workspace_id, None, "Iterable could not be asked: install again")

    @activity.defn
    async def adopt_connector(self, report: CheckReport) -> ConnectorStatus:
        """Puts checked settings, and the key that was checked with them, into force. A paused connector stays paused.
        Safe to repeat."""
        with failures():
            async with self._store.begin() as tx:
                row = await tx.connectors.get(report.workspace_id)
                if row is None:
                    raise ConnectorError(ErrorCode.CONNECTOR_NOT_INSTALLED, "This workspace has no connector")
                paused = row.state is ConnectorState.PAUSED
                state, reason = (row.state, row.reason) if paused else in_force(row, report.findings)
                done = await tx.connectors.adopt(
                    report.workspace_id,
                    report.settings,
                    state,
                    offer=report.offer,
                    reason=reason,
                    findings=report.findings,
                )
                if not done:
                    raise ConnectorError(
                        ErrorCode.REQUEST_INVALID, "Another API key was offered meanwhile", "Install again."
                    )
        if row.state is ConnectorState.UNINSTALLED:  # workers have it in mind as uninstalled for a moment
            await asyncio.sleep(FRESH_SECONDS)
        return await self._status(report.workspace_id)

    @activity.defn
    async def set_up_webhook(self, workspace_id: str) -> Finding:
        """Sets what Iterable's API allows of the webhook, and says what it does not. Safe to repeat."""
        row = await self._row(workspace_id)
        finding = await self._set_up(row, correct=True)
        return finding or attention(WEBHOOK, "There is no API key", _HOW)

    @activity.defn
    async def look_after_connector(self, workspace_id: str) -> ConnectorStatus:
        """Looks at every point, and at what should have been reported and was not; records what state that makes.

        A webhook that has appeared in Iterable gets its token's header, if it still waits for one; otherwise it is left
        alone, however it is set: somebody may have switched it off on purpose. Safe to repeat.
        """
        row = await self._row(workspace_id)
        if row.api_key is None or row.state in {ConnectorState.UNINSTALLED, ConnectorState.VALIDATING}:
            return row.status()
        try:
            refusal_of_token = await self._hand_token_over(row)
            findings = await self._examine(workspace_id, row.settings, row.api_key)
            if refusal_of_token is not None:  # but where the webhook has another problem, or the key is refused
                findings = [
                    refusal_of_token if one.point == WEBHOOK and not one.is_problem else one for one in findings
                ]
        except (IterableError, ApplicationError) as error:
            failed = provider_failure(error) if isinstance(error, IterableError) else error
            if _is_tried_again(failed):
                raise failed from None
            known = [one for one in row.findings if not one.point.startswith((REPORTS, UNREACHABLE.point))]
            findings = [*known, UNREACHABLE]
        async with self._store.begin() as tx:
            await tx.webhooks.forget_refused(workspace_id, now() - REFUSED_WITHIN)
            current = await tx.connectors.get(workspace_id) or row
            findings += await signs(tx, current)
            state, reason = standing(current, findings)
            await tx.connectors.note_look(workspace_id, state, reason, findings)
        if state is not row.state:
            log.info("connector.state", workspace=workspace_id, before=row.state, now=state)
        return await self._status(workspace_id)

    @activity.defn
    async def rotate_webhook_token(self, rotation: TokenRotation) -> RotatedToken:
        """Tells Iterable's webhook of the new token and lets the others end after the time that is set for it.

        Safe to repeat. Where Iterable cannot be told, or refuses, the admin has until then to set the header by hand;
        the connector tries again at every look.
        """
        with failures():
            row = await self._row(rotation.workspace_id)
            async with self._store.begin() as tx:
                if rotation.token_hash not in await tx.webhooks.token_hashes(rotation.workspace_id):
                    raise ConnectorError(ErrorCode.REQUEST_INVALID, "This webhook token is none of the workspace's")
                until = await tx.webhooks.end_others(
                    rotation.workspace_id, rotation.token_hash, row.settings.webhook_token_overlap_seconds
                )
            try:
                finding = await self._set_up(row, correct=False)
            except ApplicationError as error:
                if _is_tried_again(error):
                    raise
                finding = _UNTOLD
        return RotatedToken(old_valid_until=until, webhook=finding or attention(WEBHOOK, "There is no API key", _HOW))

    @activity.defn
    async def pause_connector(self, workspace_id: str) -> ConnectorStatus:
        """Refuses new sends. When it returns, every worker knows. Safe to repeat."""
        row = await self._row(workspace_id)
        with failures():
            if row.state in {ConnectorState.UNINSTALLED, ConnectorState.VALIDATING}:
                raise ConnectorError(ErrorCode.CONNECTOR_NOT_INSTALLED, "There is no connector in force to pause")
        async with self._store.begin() as tx:
            await tx.connectors.set_state(workspace_id, ConnectorState.PAUSED, PAUSED)
        await asyncio.sleep(FRESH_SECONDS)
        return await self._status(workspace_id)

    @activity.defn
    async def resume_connector(self, workspace_id: str) -> ConnectorStatus:
        """Takes new sends again. When it returns, every worker knows. Safe to repeat; a connector that is not paused
        stays as it is."""
        row = await self._row(workspace_id)
        if row.state is ConnectorState.PAUSED:
            async with self._store.begin() as tx:
                state, reason = in_force(row, row.findings)
                await tx.connectors.set_state(workspace_id, state, reason)
        await asyncio.sleep(FRESH_SECONDS)
        return await self._status(workspace_id)

    @activity.defn
    async def recall_connector(self, workspace_id: str) -> ConnectorStatus | None:
        """What the store knows, for a run whose predecessor was lost."""
        async with self._store.read() as tx:
            row = await tx.connectors.get(workspace_id)
        return None if row is None else row.status()

    async def _examine(self, workspace_id: str, settings: ConnectorSettings, key: SecretStr) -> list[Finding]:
        url = webhook_url(self._public_url, workspace_id)
        found = await examine(self._make_client, settings, key, url, workspace_id)
        if found.catalog is not None:
            async with self._store.begin() as tx:
                await tx.connectors.keep_catalog(workspace_id, found.catalog)
        return found.findings

    async def _hand_token_over(self, row: ConnectorRow) -> Finding | None:
        """Tells Iterable of a token that waits; what is wrong where Iterable refuses. That ends no look: what stands
        behind it, a refused key perhaps, is for the look to tell."""
        try:
            await self._set_up(row, correct=False)
        except ApplicationError as error:
            if not error.non_retryable:
                raise
            log.warning("connector.token_refused", workspace=row.workspace_id, error=error.type)
            return _UNTOLD
        return None

    async def _set_up(self, row: ConnectorRow, *, correct: bool) -> Finding | None:
        """None without a key. Without `correct` nothing is asked of Iterable unless a token waits to be set."""
        async with self._store.read() as tx:
            token = await tx.webhooks.handed_over(row.workspace_id)
            by_hand = token is not None and await tx.webhooks.comes_with(
                row.workspace_id, token_hash(token.get_secret_value())
            )
        if not correct and (token is None or by_hand):
            if token is not None:
                await self._taken_over(row.workspace_id, token)
            return fine(WEBHOOK, "The webhook sends the connector's token")
        if row.api_key is None:
            return None
        client = self._make_client(row.settings.data_center, row.api_key)
        try:
            url = webhook_url(self._public_url, row.workspace_id)
            sent = None if by_hand else token
            finding = await set_up(client, url, row.workspace_id, sent, correct=correct)
        except IterableError as error:
            raise provider_failure(error) from None
        finally:
            await client.aclose()
        if token is not None and (by_hand or not finding.is_problem):
            await self._taken_over(row.workspace_id, token, is_sent=not by_hand)
        return finding

    async def _taken_over(self, workspace_id: str, token: SecretStr, *, is_sent: bool = False) -> None:
        """A token that was taken back while Iterable was told of it is valid again: Iterable sends it from now on."""
        async with self._store.begin() as tx:
            await tx.webhooks.taken_over(workspace_id, token)
            row = await tx.connectors.get(workspace_id)
            if is_sent and row is not None and row.state is not ConnectorState.UNINSTALLED:
                await tx.webhooks.add_token(workspace_id, token_hash(token.get_secret_value()))

    async def _row(self, workspace_id: str) -> ConnectorRow:
        async with self._store.read() as tx:
            row = await tx.connectors.get(workspace_id)
        with failures():
            if row is None:
                raise ConnectorError(ErrorCode.CONNECTOR_NOT_INSTALLED, "This workspace has no connector")
        return row

    async def _status(self, workspace_id: str) -> ConnectorStatus:
        return (await self._row(workspace_id)).status()


_HOW = "Install with a server-side key of the project: `connector install`."
_UNTOLD = attention(
    WEBHOOK,
    "Iterable could not be told of the new token",
    "Set the header by hand, or wait: the connector tries again at its next look.",
)


def _is_tried_again(error: ApplicationError) -> bool:
    """Whether another attempt may end otherwise, and one is left."""
    return not error.non_retryable and activity.info().attempt < _TRIES


def _check_together(settings: ConnectorSettings, least_evidence_after: float) -> None:
    wrong = settings.contradictions()
    if settings.evidence_after_seconds < least_evidence_after:
        wrong.append(
            f"evidence_after_seconds is less than {least_evidence_after:g}: records that are late pass for none"
        )
    if wrong:
        what = f"The settings do not fit together: {'; '.join(wrong)}"
        raise ConnectorError(ErrorCode.REQUEST_INVALID, what, "Correct them and try again: all stays as it was.")

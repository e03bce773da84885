"""Activities that make a shadow: one template and one running campaign for one content."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

from activities.connectors import InForce, InstalledConnectors
from activities.failures import failure, failures, provider_failure
from contracts.attributes import FINGERPRINT, WORKSPACE, at_start
from contracts.errors import ConnectorError, ErrorCode
from contracts.names import SHADOW_WORKFLOW, shadow_workflow_id
from contracts.shadow import ActivationRequest, CampaignRequest, Shadow, ShadowRequest, ShadowWanted
from contracts.template import Template
from iterable.errors import ForbiddenByProject, IterableError, NotFound, NotTaken, Refused
from iterable.templates import EmailTemplate, Templates
from store.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_POLL_SECONDS = 1.0
_POLLS_AFTER_REFUSAL = 5
_LOCALE_POLLS = 25
"""What was just written may not be found for some 15 s (what Iterable's own client allows for)."""
_LONGEST_ACTIVATION_PAUSE_SECONDS = 15
_LISTING_LAG = timedelta(seconds=30)
"""How long a campaign may exist before Iterable's lists show it. Unknown for lists; 30 s is what Iterable's own client
allows for a campaign to become usable after its creation."""
_LONGEST_CALL = timedelta(seconds=50)
"""How long a request may be under way: all timeouts of the client together."""
_STARTABLE = frozenset({"Ready", "Draft", "Scheduled"})


class ShadowActivities:
    """`ensure_shadow` waits for `ShadowCampaignWorkflow`; the others are its steps."""

    def __init__(self, store: Store, connectors: InstalledConnectors, temporal: Client, task_queue: str) -> None:
        self._store = store
        self._connectors = connectors
        self._temporal = temporal
        self._task_queue = task_queue

    @activity.defn
    async def ensure_shadow(self, wanted: ShadowWanted) -> Shadow:
        """Waits for the shadow of a content, having it made where nobody does yet.

        Safe to repeat: the run that makes it is named by the fingerprint, so a thousand sends wait for the same one.
        Fails as that run failed.
        """
        request = wanted.shadow
        async with self._store.begin() as tx:
            found = await tx.shadows.use(request.workspace_id, request.fingerprint)
            retired = await tx.shadows.retired_of(request.fingerprint)
        if found is not None and found != wanted.gone:
            return found
        # A run that ended well is not asked again where what it made is gone.
        return await self._made(request, anew=wanted.gone is not None or bool(retired))

    async def _made(self, request: ShadowRequest, *, anew: bool) -> Shadow:
        id_ = shadow_workflow_id(request.workspace_id, request.fingerprint)
        reuse = WorkflowIDReusePolicy.ALLOW_DUPLICATE if anew else WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
        try:
            handle = await self._temporal.start_workflow(
                SHADOW_WORKFLOW,
                request,
                id=id_,
                task_queue=self._task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=reuse,
                result_type=Shadow,
                static_summary=f"template and campaign of content {request.fingerprint[:12]}",
                search_attributes=at_start({WORKSPACE: request.workspace_id, FINGERPRINT: request.fingerprint}),
            )
        except WorkflowAlreadyStartedError:  # made already; its result tells
            handle = self._temporal.get_workflow_handle(id_, result_type=Shadow)
        try:
            return await handle.result()
        except WorkflowFailureError as error:
            cause = error.cause
            if isinstance(cause, ApplicationError):
                raise ApplicationError(cause.message, type=cause.type, non_retryable=True) from None
            stopped = ConnectorError(ErrorCode.PROVIDER_UNAVAILABLE, "The run that makes the shadow was stopped")
            raise failure(stopped) from None

    @activity.defn
    async def upsert_template(self, request: ShadowRequest) -> int:
        """Writes the template; its id. Safe to repeat: Iterable finds it again by its client template id."""
        connector = await self._connector(request.workspace_id)
        async with self._store.read() as tx:
            content = await tx.templates.get(request.workspace_id, request.template_ref)
        if content is None:
            lost = ConnectorError(ErrorCode.TEMPLATE_UNKNOWN, "The connector no longer holds this template's content")
            raise failure(lost)
        templates = connector.iterable.templates
        try:
            template_id = await templates.upsert(email_template(content, request))
            for locale, variant in content.variants().items():
                await templates.upsert(email_template(variant, request, locale))
            if content.locales:
                await _see_locales(templates, template_id, request.fingerprint, list(content.locales))
        except IterableError as error:
            raise provider_failure(error, connector.settings) from None
        return template_id

    @activity.defn
    async def create_campaign(self, request: CampaignRequest) -> int:
        """Creates the triggered campaign; its id. Not idempotent at Iterable, so every attempt first looks for what an
        earlier one made: by the template copy that carries our id, then by the fingerprint that ends a campaign's name.

        After a request whose answer was lost, no second one leaves until the lists would show the campaign.
        """
        connector = await self._connector(request.workspace_id)
        async with self._store.read() as tx:
            retired = await tx.shadows.retired_of(request.fingerprint)
        try:
            found = await _find_campaign(connector, request.fingerprint, retired)
        except IterableError as error:  # says nothing of a creation, whatever it is
            raise provider_failure(error, connector.settings) from None
        if found is None:
            return await self._create(request, connector)
        async with self._store.begin() as tx:
            await tx.shadows.clear_create(request.workspace_id, request.fingerprint)
        return found

    async def _create(self, request: CampaignRequest, connector: InForce) -> int:
        name = await self._campaign_name(request)
        async with self._store.begin() as tx:
            over = await tx.shadows.create_over_by(request.workspace_id, request.fingerprint)
            if over is not None and (wait := over + _LISTING_LAG - self._store.now()) > timedelta(0):
                raise ApplicationError(
                    "The answer to a campaign's creation was lost; looking for the campaign again shortly",
                    type=ErrorCode.PROVIDER_UNAVAILABLE,
                    next_retry_delay=min(wait, timedelta(seconds=5)),
                )
            await tx.shadows.note_create(
                request.workspace_id, request.fingerprint, request.template_id, self._store.now() + _LONGEST_CALL
            )
        try:
            campaign_id = await connector.iterable.campaigns.create_triggered(
                name=name, template_id=request.template_id
            )
        except IterableError as error:
            async with self._store.begin() as tx:
                if isinstance(error, NotTaken):
                    await tx.shadows.clear_create(request.workspace_id, request.fingerprint)
                else:
                    await tx.shadows.note_create(
                        request.workspace_id, request.fingerprint, request.template_id, self._store.now()
                    )
            raise provider_failure(error, connector.settings) from None
        log.info("shadow.campaign_created", workspace=request.workspace_id, campaign_id=campaign_id)
        return campaign_id

    async def _campaign_name(self, request: CampaignRequest) -> str:
        async with self._store.read() as tx:
            content = await tx.templates.get(request.workspace_id, request.template_ref)
        return _name(content.name if content else "template", request.fingerprint)

    @activity.defn
    async def activate_campaign(self, request: ActivationRequest) -> Shadow:
        """Has the campaign Running and records the shadow. Safe to repeat: a running campaign is left alone.

        Where Iterable does not allow activation through the API it is tried again, as `activation_required`, for as
        long as the connector's settings say: somebody presses Activate, and the campaign is found running. Then it
        fails with that code; a later send of this content finds the campaign all the same.
        """
        connector = await self._connector(request.workspace_id)
        await _run_campaign(connector, request.shadow.campaign_id)
        async with self._store.begin() as tx:
            await tx.shadows.save_ready(request.workspace_id, request.fingerprint, request.shadow)
        return request.shadow

    async def _connector(self, workspace_id: str) -> InForce:
        with failures():
            return await self._connectors.get(workspace_id)


async def _find_campaign(connector: InForce, fingerprint: str, retired: set[int]) -> int | None:
    """A campaign of this content that is still of use: Iterable may not have archived a retired one yet. Its name may
    begin with another template's name, where two templates have one content; it ends in the fingerprint."""
    mark = _client_template_id(fingerprint)
    copies = await connector.iterable.templates.find(mark)
    for campaign_id in (copy.campaign_id for copy in copies):
        if campaign_id is not None and campaign_id not in retired and await _usable(connector, campaign_id):
            return campaign_id
    async for campaign in connector.iterable.campaigns.newest():
        usable = campaign.id not in retired and campaign.state in _STARTABLE | {"Running", "Starting"}
        if usable and campaign.name.endswith(mark):
            return campaign.id
    return None


async def _usable(connector: InForce, campaign_id: int) -> bool:
    try:
        campaign = await connector.iterable.campaigns.get(campaign_id)
    except (NotFound, Refused):
        return False
    return campaign.state in _STARTABLE | {"Running", "Starting"}


async def _run_campaign(connector: InForce, campaign_id: int) -> None:
    """Activates and polls until Running: state changes are asynchronous, and a fresh campaign may not be found yet."""
    asked = False
    polls_left = _POLLS_AFTER_REFUSAL
    while True:
        try:
            campaign = await connector.iterable.campaigns.get(campaign_id)
            if campaign.state == "Running":
                return
            if campaign.state not in _STARTABLE | {"Starting"}:
                ended = ConnectorError(
                    ErrorCode.PROVIDER_REJECTED, f"Campaign {campaign_id} is {campaign.state} and cannot be activated"
                )
                raise failure(ended)
            if not asked and campaign.state in _STARTABLE:
                await connector.iterable.campaigns.activate(campaign_id)
                asked = True
        except ForbiddenByProject:
            polls_left -= 1
            if polls_left > 0:  # somebody may just have pressed Activate
                await asyncio.sleep(_POLL_SECONDS)
                continue
            raise _wait_for_activation(connector, campaign_id) from None
        except NotFound:
            pass  # not visible yet; the activity's timeout bounds the wait
        except Refused as error:
            if "campaignId" not in error.invalid_params:
                raise provider_failure(error, connector.settings) from None
        except IterableError as error:
            raise provider_failure(error, connector.settings) from None
        await asyncio.sleep(_POLL_SECONDS)


def email_template(
    content: Template, request: ShadowRequest, locale: str | None = None, *, client_template_id: str | None = None
) -> EmailTemplate:
    """Every field, since Iterable leaves alone what is not given, and does not say what a new locale begins with."""
    return EmailTemplate(
        client_template_id=client_template_id or _client_template_id(request.fingerprint),
        name=_name(content.name, request.fingerprint),
        subject=content.subject,
        preheader_text=content.preheader or "",
        html=content.html,
        plain_text=content.text or "",
        from_email=content.from_email,
        from_name=content.from_name or "",
        reply_to_email=content.reply_to or "",
        message_type_id=request.message_type_id,
        locale=locale,
    )


async def _see_locales(templates: Templates, template_id: int, fingerprint: str, locales: list[str]) -> None:
    """Waits until Iterable shows every locale: a campaign gets a copy of the template as it is then."""
    for _ in range(_LOCALE_POLLS):
        found = [
            one for one in await templates.find(_client_template_id(fingerprint)) if one.template_id == template_id
        ]
        if found and (found[0].locales is None or all(found[0].has(locale) for locale in locales)):
            return
        await asyncio.sleep(_POLL_SECONDS)
    refused = ConnectorError(
        ErrorCode.PROVIDER_REJECTED,
        f"Iterable shows no content for some of the template's locales ({', '.join(locales)[:200]})",
        "Add them to the Iterable project's locales, or leave them out of the template.",
    )
    raise failure(refused)


def _wait_for_activation(connector: InForce, campaign_id: int) -> ApplicationError:
    """Somebody has to press Activate: looked at again shortly, until the time that is set for it is over."""
    info = activity.info()
    refused = failure(
        ConnectorError(
            ErrorCode.ACTIVATION_REQUIRED,
            f"Iterable does not allow this project to activate campaign {campaign_id} through the API",
        )
    )
    until = info.scheduled_time + timedelta(seconds=connector.settings.activation_wait_seconds)
    if datetime.now(UTC) >= until:
        return refused
    delay = timedelta(seconds=min(2**info.attempt, _LONGEST_ACTIVATION_PAUSE_SECONDS))
    return ApplicationError(refused.message, type=refused.type, next_retry_delay=delay)


def _client_template_id(fingerprint: str) -> str:
    return f"genieos-{fingerprint}"


def _name(template_name: str, fingerprint: str) -> str:
    """Readable in Iterable's lists, on one line, unique by its end. Iterable's UI allows 150 characters."""
    readable = " ".join("".join(c if c.isprintable() else " " for c in template_name).split())
    return f"{readable[:60].strip() or 'template'} · genieos-{fingerprint}"

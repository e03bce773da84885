"""Care of the shadows: archives what nobody uses, and finds again what a lost database knew."""

import re
from datetime import UTC, datetime, timedelta

import structlog
from temporalio import activity
from temporalio.client import Client

from activities.connectors import InstalledConnectors
from activities.failures import failures, provider_failure
from activities.schedules import end_schedule, keep_schedule, shadow_care_routine
from activities.turns import take_turn
from contracts.names import shadow_care_id
from contracts.shadow import AdoptedShadows, CareRequest, CareResult, Shadow
from iterable.errors import IterableError
from store.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_JUST_USED = timedelta(hours=1)
"""An archived campaign is aborted: what Iterable took less than this ago may not have gone out yet."""
_ARCHIVE_PER_SECOND = 4.5
"""Of the 5/s that Iterable allows a key."""
_LONGEST_TURN = timedelta(seconds=20)
_BATCH = 100
_OURS = re.compile(r"(?:^|\s)genieos-([0-9a-f]{64})$")
"""How the name of a campaign of ours ends."""


class ShadowCareActivities:
    """What `ShadowCareWorkflow` does to the world, and `connector shadows adopt`."""

    def __init__(self, store: Store, connectors: InstalledConnectors, temporal: Client, task_queue: str) -> None:
        self._store = store
        self._connectors = connectors
        self._temporal = temporal
        self._task_queue = task_queue

    @activity.defn
    async def schedule_shadow_care(self, workspace_id: str) -> None:
        """Has idle shadows archived once a day. Safe to repeat: a schedule that is there is written anew."""
        await keep_schedule(self._temporal, shadow_care_routine(workspace_id, self._task_queue))

    @activity.defn
    async def unschedule_shadow_care(self, workspace_id: str) -> None:
        """Ends the schedule. Safe to repeat."""
        await end_schedule(self._temporal, shadow_care_id(workspace_id))

    @activity.defn
    async def mark_idle_shadows(self, request: CareRequest) -> int:
        """Marks shadows that no send used for long enough; how many. Safe to repeat: a mark stays as it is.

        A send that looks a marked shadow up takes the mark off, so nothing is lost until `retire_shadows`.
        """
        with failures():
            connector = await self._connectors.get(request.workspace_id)
        days = connector.settings.archive_idle_after_days
        now = datetime.now(UTC)
        if request.fingerprints:
            unused_since = now - _JUST_USED
        elif days == 0:
            return 0
        else:
            unused_since = now - timedelta(days=days)
        async with self._store.begin() as tx:
            return await tx.shadows.mark_idle(request.workspace_id, unused_since, request.fingerprints or None)

    @activity.defn
    async def retire_shadows(self, request: CareRequest) -> CareResult:
        """Retires what is still marked, and archives the campaigns in Iterable, a hundred a call.

        Safe to repeat: what is retired stays so, and archiving an archived campaign changes nothing. A campaign that
        Iterable does not archive is tried again by the next run.
        """
        with structlog.contextvars.bound_contextvars(workspace=request.workspace_id):
            with failures():
                connector = await self._connectors.get(request.workspace_id)
            async with self._store.begin() as tx:
                retired, in_use = await tx.shadows.retire(request.workspace_id, request.marked_before)
            archived = 0
            failed: set[int] = set()
            while True:
                async with self._store.read() as tx:
                    waiting = await tx.shadows.to_archive(request.workspace_id, _BATCH + len(failed))
                batch = [one.campaign_id for one in waiting if one.campaign_id not in failed][:_BATCH]
                if not batch:
                    break
                await take_turn(
                    self._store, request.workspace_id, "campaigns/archive", _ARCHIVE_PER_SECOND, _LONGEST_TURN
                )
                try:
                    answer = await connector.iterable.campaigns.archive(batch)
                except IterableError as error:
                    raise provider_failure(error, connector.settings) from None
                done = [one for one in answer.success if one in batch]
                async with self._store.begin() as tx:
                    await tx.shadows.archived(request.workspace_id, done)
                archived += len(done)
                failed |= set(batch) - set(done)
            log.info("shadows.archived", retired=retired, in_use=in_use, archived=archived, failed=len(failed))
            return CareResult(retired=retired, in_use=in_use, archived=archived, failed=sorted(failed)[:_BATCH])

    async def adopt_shadows(self, workspace_id: str) -> AdoptedShadows:
        """Takes campaigns of ours that Iterable has Running and the store does not know, by the `genieos-` ids that end
        their names. Safe to repeat. Raises `ConnectorError`, `IterableError`.

        The newest of a content is taken; others of the same content are counted as spare and left alone.
        """
        connector = await self._connectors.get(workspace_id)
        seen: set[str] = set()
        adopted = known = spare = idle = 0
        async for campaign in connector.iterable.campaigns.newest():
            mark = _OURS.search(campaign.name)
            if mark is None or campaign.state == "Archived":
                continue
            fingerprint = mark[1]
            if campaign.state != "Running":
                idle += 1
                continue
            if fingerprint in seen:
                spare += 1
                continue
            async with self._store.read() as tx:
                there = await tx.shadows.get(workspace_id, fingerprint)
                retired = await tx.shadows.retired_of(fingerprint)
            if campaign.id in retired:
                idle += 1
                continue
            seen.add(fingerprint)
            if there is not None and there.state != "making":
                known += 1
                continue
            copies = await connector.iterable.templates.find(f"genieos-{fingerprint}")
            base = min((one.template_id for one in copies if one.campaign_id is None), default=campaign.template_id)
            if base is None:
                spare += 1
                continue
            async with self._store.begin() as tx:
                await tx.shadows.save_ready(
                    workspace_id, fingerprint, Shadow(template_id=base, campaign_id=campaign.id)
                )
            adopted += 1
        return AdoptedShadows(adopted=adopted, known=known, spare=spare, not_running=idle)

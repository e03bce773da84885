"""ShadowCampaignWorkflow: the Iterable template and campaign for one content. Short-lived, one run per fingerprint."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.shadow import ShadowActivities
    from contracts.received import Received
    from contracts.shadow import ActivationRequest, CampaignRequest, Shadow, ShadowRequest
    from workflows.failures import failing, given
    from workflows.window import failed_with, next_step, show_shadow

PATIENCE = timedelta(hours=24)
"""How long Iterable may be away before the sends that wait for this shadow fail."""
RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))
"""A template is written again as it is; a campaign is looked for before it is asked for again; one that runs is left
alone. Sends wait for it, so it is tried often."""
WRITING_TIMEOUT = timedelta(minutes=5)
"""`upsert_template` makes a call for each locale, and waits for up to half a minute until Iterable shows them all."""
LISTING_TIMEOUT = timedelta(minutes=5)
"""`create_campaign` may read through all of a project's campaigns first."""
RUNNING_WITHIN = timedelta(minutes=2)
"""Iterable's own client allows 30 s for a new campaign to become Running."""
HEARTBEAT = timedelta(seconds=15)
"""How soon a worker that died is noticed."""


@workflow.defn(name="ShadowCampaignWorkflow")
class ShadowCampaignWorkflow:
    """upsert → create → activate."""

    @workflow.run
    async def run(self, received: Received[ShadowRequest] | None = None) -> Shadow:
        """The shadow, once its campaign runs."""
        request = given(received)
        try:
            with failing():
                return await self._make(request)
        except ApplicationError as failed:
            show_shadow(request, "failed", failed_with(failed))
            raise

    async def _make(self, request: ShadowRequest) -> Shadow:
        show_shadow(request, "creating", next_step("writes the template"))
        template_id = await workflow.execute_activity_method(
            ShadowActivities.upsert_template,
            request,
            summary=f"content {request.fingerprint[:12]}",
            start_to_close_timeout=WRITING_TIMEOUT,
            schedule_to_close_timeout=PATIENCE,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY,
        )
        show_shadow(request, "creating", next_step(f"creates a campaign of template {template_id}"))
        campaign_id = await workflow.execute_activity_method(
            ShadowActivities.create_campaign,
            CampaignRequest(**request.model_dump(), template_id=template_id),
            summary=f"template {template_id}",
            start_to_close_timeout=LISTING_TIMEOUT,
            schedule_to_close_timeout=PATIENCE,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY,
        )
        shadow = Shadow(template_id=template_id, campaign_id=campaign_id)
        show_shadow(
            request, "activating", next_step("has the campaign activated, and waits until it is Running"), shadow
        )
        running = await workflow.execute_activity_method(
            ShadowActivities.activate_campaign,
            ActivationRequest(workspace_id=request.workspace_id, fingerprint=request.fingerprint, shadow=shadow),
            summary=f"campaign {campaign_id}",
            start_to_close_timeout=RUNNING_WITHIN,
            schedule_to_close_timeout=PATIENCE,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY,
        )
        show_shadow(request, "running", next_step("nothing, the campaign takes sends"), shadow)
        return running

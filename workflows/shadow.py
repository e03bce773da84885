"""ShadowCampaignWorkflow: the Iterable template and campaign for one content. Short-lived, one run per fingerprint."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.shadow import ShadowActivities
    from contracts.shadow import ActivationRequest, CampaignRequest, Shadow, ShadowRequest
    from workflows.failures import failure_of
    from workflows.window import show_shadow

PATIENCE = timedelta(hours=24)
"""How long Iterable may be away before the sends that wait for this shadow fail."""
RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))
CALL_TIMEOUT = timedelta(seconds=60)
LISTING_TIMEOUT = timedelta(minutes=5)
"""`create_campaign` may read through all of a project's campaigns first."""
RUNNING_WITHIN = timedelta(minutes=2)
"""Iterable's own client allows 30 s for a new campaign to become Running."""
HEARTBEAT = timedelta(seconds=15)


@workflow.defn(name="ShadowCampaignWorkflow")
class ShadowCampaignWorkflow:
    """upsert → create → activate."""

    @workflow.run
    async def run(self, request: ShadowRequest) -> Shadow:
        """The shadow, once its campaign runs."""
        try:
            return await self._make(request)
        except ActivityError as error:
            raise failure_of(error) from None

    async def _make(self, request: ShadowRequest) -> Shadow:
        show_shadow(request, None)
        template_id = await workflow.execute_activity_method(
            ShadowActivities.upsert_template,
            request,
            start_to_close_timeout=CALL_TIMEOUT,
            schedule_to_close_timeout=PATIENCE,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY,
        )
        campaign_id = await workflow.execute_activity_method(
            ShadowActivities.create_campaign,
            CampaignRequest(**request.model_dump(), template_id=template_id),
            start_to_close_timeout=LISTING_TIMEOUT,
            schedule_to_close_timeout=PATIENCE,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY,
        )
        shadow = Shadow(template_id=template_id, campaign_id=campaign_id)
        show_shadow(request, shadow)
        return await workflow.execute_activity_method(
            ShadowActivities.activate_campaign,
            ActivationRequest(workspace_id=request.workspace_id, fingerprint=request.fingerprint, shadow=shadow),
            start_to_close_timeout=RUNNING_WITHIN,
            schedule_to_close_timeout=PATIENCE,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY,
        )

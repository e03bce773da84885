"""The worker process: wires dependencies and serves the task queues."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.common import MetricMeter, VersioningBehavior, WorkerDeploymentVersion
from temporalio.runtime import Runtime
from temporalio.worker import Interceptor, UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig, WorkflowRunner

from activities.backfill import BackfillActivities
from activities.beating import HeartbeatInterceptor
from activities.broadcast import BroadcastActivities, BroadcastLimits
from activities.catalogs import Catalogs
from activities.connectors import InstalledConnectors
from activities.inbox import InboxActivities
from activities.install import InstallActivities
from activities.key_alarm import KeyAlarm
from activities.opening import Reading
from activities.outcome import OutcomeActivities
from activities.preview import PreviewActivities
from activities.push import PushActivities
from activities.retiring import RetiringActivities
from activities.send import SendActivities
from activities.shadow import ShadowActivities
from activities.shadow_care import ShadowCareActivities
from activities.suppression_sync import SuppressionSyncActivities
from activities.target import TargetActivities
from activities.trial import TrialActivities
from iterable.calls import OnCall
from runtime.assets import image_host
from runtime.clients import client_factory
from runtime.extras import tracing
from runtime.health import Health, answering, database, temporal
from runtime.logging import configure_logging
from runtime.metrics import WorkerMetrics
from runtime.observing import Observing
from runtime.process import run_service, spare_the_collector, stop_signal
from runtime.settings import Settings
from runtime.temporal import add_search_attributes, connect, make_runtime, missing_search_attributes, why
from store.store import Store
from workflows.arguments import FittingArguments
from workflows.backfill import BackfillWorkflow
from workflows.broadcast import BroadcastWorkflow
from workflows.inbox import EventInboxWorkflow
from workflows.install import InstallWorkflow
from workflows.push import EventPushWorkflow
from workflows.send import SendWorkflow
from workflows.shadow import ShadowCampaignWorkflow
from workflows.shadow_care import ShadowCareWorkflow
from workflows.suppression import SuppressionSyncWorkflow

log: structlog.stdlib.BoundLogger = structlog.get_logger()

SHUTDOWN_GRACE = timedelta(seconds=55)
"""Longer than one call to Iterable may take (50 s, `iterable/timeouts.py`), so that targets under way get their answer
and write it down. Whoever runs this process must give it more before the kill."""
CONNECT_EVERY = timedelta(seconds=2)
MOST_ACTIVITIES = 100
MOST_WAITING = 1000
"""Sends that wait for a shadow cost next to nothing, and must never take the place of the work they wait for."""

WORKFLOWS: Sequence[type] = (
    SendWorkflow,
    ShadowCampaignWorkflow,
    EventInboxWorkflow,
    InstallWorkflow,
    SuppressionSyncWorkflow,
    BackfillWorkflow,
    EventPushWorkflow,
    ShadowCareWorkflow,
    BroadcastWorkflow,
)


def make_workers(
    client: Client,
    store: Store,
    connectors: InstalledConnectors,
    settings: Settings,
    metrics: WorkerMetrics | None = None,
    workflow_runner: WorkflowRunner | None = None,
) -> list[Worker]:
    """One worker a queue; all end with the process. Workflows run without the SDK's sandbox unless `workflow_runner`
    says otherwise: tests have them all run inside it, where what is not deterministic fails."""
    interceptors = [*make_interceptors(metrics or WorkerMetrics(MetricMeter.noop)), KeyAlarm(client)]
    deployment = deployment_of(settings)
    shadows = ShadowActivities(store, connectors, client, settings.task_queue)
    care = ShadowCareActivities(store, connectors, client, settings.task_queue)
    sends = SendActivities(store, connectors, image_host(settings))
    previews = PreviewActivities(store, connectors)
    targets = TargetActivities(store, connectors)
    outcomes = OutcomeActivities(store, connectors)
    inbox = InboxActivities(store, client, Catalogs(store, connectors), settings.task_queue)
    backfill = BackfillActivities(store, connectors, client, settings.task_queue, settings.inbox_shards)
    push = PushActivities(store, allow_private=settings.push_allow_private)
    install = InstallActivities(
        store, connectors.make_client, settings.public_url, settings.least_evidence_after_seconds
    )
    retiring = RetiringActivities(store)
    trials = TrialActivities(store, connectors, client, settings.task_queue)
    syncs = SuppressionSyncActivities(store, connectors)
    broadcasts = BroadcastActivities(
        store,
        connectors,
        BroadcastLimits(
            reading=Reading(tuple(settings.audience_roots), settings.audience_allow_private),
            concurrency=settings.broadcast_concurrency,
            page_seconds=settings.broadcast_page_seconds,
        ),
    )
    pages = [] if settings.worker_queues == "sends" else [_page_worker(client, broadcasts, settings, interceptors)]
    if settings.worker_queues == "broadcasts":
        return pages
    return [
        Worker(
            client,
            task_queue=settings.task_queue,
            workflows=WORKFLOWS,
            activities=[
                sends.fingerprint_template,
                sends.upsert_profile,
                sends.close_send,
                previews.preview_send,
                targets.target_recipient,
                outcomes.find_outcome,
                shadows.upsert_template,
                shadows.create_campaign,
                shadows.activate_campaign,
                care.schedule_shadow_care,
                care.unschedule_shadow_care,
                care.mark_idle_shadows,
                care.retire_shadows,
                inbox.drain_inbox,
                backfill.schedule_backfill,
                backfill.unschedule_backfill,
                backfill.plan_backfill,
                backfill.read_export,
                backfill.finish_backfill,
                backfill.look_for_events,
                push.push_batch,
                push.give_up_batch,
                install.check_connector,
                install.withdraw_offer,
                install.adopt_connector,
                broadcasts.open_broadcast,
                broadcasts.steer_broadcast,
                broadcasts.show_broadcast,
                broadcasts.retry_failed,
                broadcasts.close_broadcast,
                install.recall_connector,
                install.look_after_connector,
                install.set_up_webhook,
                install.rotate_webhook_token,
                install.pause_connector,
                install.resume_connector,
                retiring.retire_connector,
                retiring.await_sends,
                retiring.mark_shadows,
                retiring.forget_connector,
                trials.prepare_trial,
                trials.preview_trial,
                trials.send_trial,
                trials.await_report,
                syncs.push_suppressions,
                syncs.withdraw_suppressions,
            ],
            interceptors=interceptors,
            deployment_config=deployment,
            workflow_runner=workflow_runner or UnsandboxedWorkflowRunner(),
            max_concurrent_activities=MOST_ACTIVITIES,
            graceful_shutdown_timeout=SHUTDOWN_GRACE,
        ),
        Worker(
            client,
            task_queue=settings.shadow_task_queue,
            activities=[shadows.ensure_shadow],
            interceptors=interceptors,
            deployment_config=deployment,
            max_concurrent_activities=MOST_WAITING,
            graceful_shutdown_timeout=timedelta(seconds=1),  # a wait is taken up elsewhere without loss
        ),
        *pages,
    ]


@asynccontextmanager
async def at_work(workers: Sequence[Worker]) -> AsyncGenerator[None]:
    """Has workers serve, and in the end shuts all of them down at once: one after another their graces would add up."""
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        try:
            yield
        finally:
            await asyncio.gather(*(worker.shutdown() for worker in workers))


def make_interceptors(metrics: WorkerMetrics) -> list[Interceptor]:
    """What stands around every activity and run, outermost first."""
    return [FittingArguments(), Observing(metrics), HeartbeatInterceptor()]


def _page_worker(
    client: Client, broadcasts: BroadcastActivities, settings: Settings, interceptors: list[Interceptor]
) -> Worker:
    """Pages work for half a minute each: with slots of their own they never take one from a single send."""
    return Worker(
        client,
        task_queue=settings.broadcast_task_queue,
        activities=[broadcasts.target_audience, broadcasts.look_after_held, broadcasts.survey_audience],
        interceptors=interceptors,
        deployment_config=deployment_of(settings),
        max_concurrent_activities=2 * settings.broadcast_slots,  # two lanes each
        graceful_shutdown_timeout=SHUTDOWN_GRACE,
    )


def deployment_of(settings: Settings) -> WorkerDeploymentConfig | None:
    """This build, as Worker Versioning knows it; None without a build id.

    Runs move to the current version by themselves: a send may wait for a year (`send_at`), and nobody keeps old workers
    for as long. So an edit of a workflow must not change the commands of runs that are open.
    """
    if settings.build_id is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_name=settings.deployment_name, build_id=settings.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until told to stop; then lets activities finish."""
    workers: list[Worker] = []

    async def working() -> bool:
        return bool(workers) and not stop.is_set() and all(worker.is_running for worker in workers)

    async with AsyncExitStack() as stack:
        health = Health(worker=working)
        if settings.health_address is not None:
            await stack.enter_async_context(answering(health, settings.health_address))
        runtime = make_runtime(settings.metrics_address)
        metrics = WorkerMetrics(runtime.metric_meter)
        store = await Store.open(settings.database_url, settings.keyring())
        stack.push_async_callback(store.close)
        interceptors: list[ClientInterceptor] = []
        listeners: list[OnCall] = [metrics.call]
        if (traced := tracing(settings, "connector-worker")) is not None:
            stack.callback(traced.close)
            interceptors.append(traced.interceptor)
            listeners.append(traced.call)
        client = await _connected(settings, runtime, store, interceptors, stop)
        if client is None:
            return
        await add_search_attributes(client, await missing_search_attributes(client))
        connectors = InstalledConnectors(store, client_factory(settings, *listeners))
        stack.push_async_callback(connectors.close)
        workers.extend(make_workers(client, store, connectors, settings, metrics))
        await stack.enter_async_context(at_work(workers))
        health.needs(database=database(store), temporal=temporal(client))
        log.info("worker.ready", task_queue=settings.task_queue)
        await stop.wait()
        log.info("worker.stopping")


async def _connected(
    settings: Settings, runtime: Runtime, store: Store, interceptors: Sequence[ClientInterceptor], stop: asyncio.Event
) -> Client | None:
    """Waits for Temporal, as it would later on too; None where the process is told to stop meanwhile."""
    while not stop.is_set():
        try:
            return await connect(settings, runtime=runtime, store=store, interceptors=interceptors)
        except RuntimeError as error:
            log.warning("worker.temporal_away", reason=why(error), retry_seconds=CONNECT_EVERY.total_seconds())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), CONNECT_EVERY.total_seconds())
    return None


async def main() -> None:
    """The process."""
    configure_logging()
    spare_the_collector()
    await serve(Settings(), stop_signal())


if __name__ == "__main__":
    run_service(main(), fast=True)

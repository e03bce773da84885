"""One send, end to end."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, CancelledError, WorkflowAlreadyStartedError

from cli.sending import send_accepted, start_send
from contracts.errors import ErrorCode
from contracts.event import Event, EventKind
from contracts.names import send_workflow_id, shadow_workflow_id
from contracts.send import CancelAnswer, SendRequest, SendResult, SendStatus
from contracts.shadow import Shadow
from tests.stage import PATIENT, TEMPLATE, Project, Stage

pytestmark = pytest.mark.scenario


async def start(project: Project, request: SendRequest) -> WorkflowHandle[Any, SendResult]:
    stage = project.stage
    return await start_send(stage.client, stage.settings.task_queue, request)


async def outcome(project: Project, request: SendRequest) -> SendResult:
    return await (await start(project, request)).result()


async def failure(project: Project, request: SendRequest) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as failed:
        await outcome(project, request)
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.non_retryable
    return cause


async def targeted(project: Project, requests: int) -> None:
    while (await project.counts())["requests"].get("POST /api/email/target", 0) < requests:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def test_a_message_goes_out_and_its_events_come_back(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings={"settle_for_seconds": 5})
    result = await outcome(project, project.request("open-click@example.com"))
    assert result.status is SendStatus.SENT
    assert {event.kind for event in result.events} == {EventKind.SENT, EventKind.OPENED, EventKind.CLICKED}
    (message,) = await project.outbox()
    assert message["subject"] == "Hi Ann"
    assert "order 7" in message["html"]
    assert message["messageId"] == result.message_id
    assert message["campaignId"] == result.campaign_id


@pytest.mark.parametrize(
    ("address", "status", "reason"),
    [
        ("hard-bounce@example.com", SendStatus.BOUNCED, "HardBounce"),
        ("skip-frequencycapping@example.com", SendStatus.SKIPPED, "FrequencyCapping"),
        ("complaint@example.com", SendStatus.COMPLAINED, "Complaint"),
        ("plain@example.com", SendStatus.SENT, None),
    ],
)
async def test_every_fate_is_told(the_stage: Stage, address: str, status: SendStatus, reason: str | None) -> None:
    project = await the_stage.new_project(settings=PATIENT if status is not SendStatus.SENT else None)
    result = await outcome(project, project.request(address))
    assert (result.status, result.reason) == (status, reason)


async def test_a_known_content_costs_two_activities_and_makes_nothing_new(project: Project) -> None:
    first = await outcome(project, project.request())
    request = project.request("second@example.com")
    second = await outcome(project, request)
    assert (second.template_id, second.campaign_id) == (first.template_id, first.campaign_id)
    counts = await project.counts()
    assert (counts["templates_written"], counts["campaigns"], counts["messages"]) == (1, 1, 2)
    names = await activities_of(project.stage.client, send_workflow_id(project.workspace_id, request.send_id))
    assert names == ["fingerprint_template", "target_recipient"]


async def activities_of(client: Client, workflow_id: str) -> list[str]:
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    return [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]


async def test_many_sends_of_a_new_content_at_once_make_one_template_and_one_campaign(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings={"confirm_within_seconds": 120})
    requests = [project.request(f"person{number}@example.com") for number in range(30)]
    handles = await asyncio.gather(*(start(project, request) for request in requests))
    results = await asyncio.gather(*(handle.result() for handle in handles))
    assert {result.status for result in results} == {SendStatus.SENT}
    assert len({result.campaign_id for result in results}) == 1
    counts = await project.counts()
    assert (counts["templates_written"], counts["campaigns"], counts["messages"]) == (1, 1, 30)


async def test_a_campaign_whose_creation_was_not_answered_is_found_again(project: Project) -> None:
    await project.fault("/api/campaigns/create", "error_after", count=1)
    result = await outcome(project, project.request())
    assert result.status is SendStatus.SENT
    assert (await project.counts())["campaigns"] == 1


async def test_such_a_campaign_is_found_by_its_name_where_copies_do_not_carry_our_id(the_stage: Stage) -> None:
    project = await the_stage.new_project(copy_keeps_client_template_id=False)
    await project.fault("/api/campaigns/create", "reset_after", count=1)
    result = await outcome(project, project.request())
    assert result.status is SendStatus.SENT
    assert (await project.counts())["campaigns"] == 1


async def test_accepted_answers_before_the_message_is_settled(project: Project) -> None:
    stage = project.stage
    request = project.request()
    accepted = await send_accepted(stage.client, stage.settings.task_queue, request)
    assert accepted.accepted_at is not None
    assert accepted.status in {SendStatus.ACCEPTED, SendStatus.SENT}
    again = await send_accepted(stage.client, stage.settings.task_queue, request)
    assert again.accepted_at == accepted.accepted_at
    assert (await project.counts())["messages"] == 1


async def test_a_second_start_is_the_same_run_and_after_its_end_is_refused(project: Project) -> None:
    request = project.request()
    first, second = await start(project, request), await start(project, request)
    assert first.result_run_id == second.result_run_id
    await first.result()
    with pytest.raises(WorkflowAlreadyStartedError):
        await start(project, request)


async def test_a_send_that_temporal_has_forgotten_is_answered_from_the_ledger(project: Project) -> None:
    stage = project.stage
    request = project.request("hard-bounce@example.com")
    first = await outcome(project, request)
    again = await stage.client.execute_workflow(
        "SendWorkflow",
        request,
        id=f"forgotten-{request.send_id}",
        task_queue=stage.settings.task_queue,
        result_type=SendResult,
    )  # another id stands for a run that retention has removed
    assert (again.status, again.reason, again.message_id) == (first.status, first.reason, first.message_id)
    assert (await project.counts())["messages"] == 1


async def test_a_hard_bounce_suppresses_the_next_send(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings=PATIENT)
    await outcome(project, project.request("hard-bounce@example.com"))
    request = project.request("Hard-Bounce@example.com")
    result = await outcome(project, request)
    assert (result.status, result.reason) == (SendStatus.SUPPRESSED, ErrorCode.RECIPIENT_SUPPRESSED)
    assert (await project.counts())["messages"] == 1
    stage = project.stage
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await send_accepted(
            stage.client, stage.settings.task_queue, project.request("hard-bounce@example.com", send_at=None)
        )
    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.type == ErrorCode.RECIPIENT_SUPPRESSED


async def test_the_timeline_is_a_query_of_the_open_run(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings={"settle_for_seconds": 60})
    handle = await start(project, project.request("open@example.com"))
    events: list[Event] = []
    while EventKind.OPENED not in {event.kind for event in events}:
        events = await handle.query("timeline", result_type=list[Event])
        await asyncio.sleep(0.1)
    assert [event.kind for event in events] == [EventKind.SENT, EventKind.OPENED]
    await handle.cancel()  # a run that only follows a message ends at once, with what is known
    assert (await handle.result()).status is SendStatus.SENT


async def test_a_message_without_events_ends_as_unconfirmed(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings={"confirm_within_seconds": 2})
    await project.deliver(drop=1.0)
    await project.change(lags={"events": 3600})  # nor do Iterable's records show any yet
    result = await outcome(project, project.request())
    assert (result.status, result.reason) == (SendStatus.UNCONFIRMED, "no_event_came")


# ── waiting and cancelling ────────────────────────────────────────────────────────────────────────────────────────────


async def test_send_at_waits_and_cancel_ends_it_before_anything_is_sent(project: Project) -> None:
    request = project.request(send_at=datetime.now(UTC) + timedelta(hours=1))
    handle = await start(project, request)
    answer = await handle.execute_update("cancel", result_type=CancelAnswer)
    assert answer.cancelled
    assert (await handle.result()).status is SendStatus.CANCELLED
    assert (await project.counts())["messages"] == 0


async def test_send_at_sends_when_the_time_has_come(project: Project) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=3)
    result = await outcome(project, project.request(send_at=moment))
    assert result.status is SendStatus.SENT
    assert result.accepted_at is not None
    assert result.accepted_at >= moment


async def test_a_cancellation_in_the_temporal_ui_ends_a_waiting_send_as_cancelled(project: Project) -> None:
    handle = await start(project, project.request(send_at=datetime.now(UTC) + timedelta(hours=1)))
    await handle.query("timeline", result_type=list[Event])
    await handle.cancel()
    assert (await handle.result()).status is SendStatus.CANCELLED


async def test_cancel_comes_too_late_for_an_accepted_message(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings={"settle_for_seconds": 60})
    request = project.request()
    await send_accepted(the_stage.client, the_stage.settings.task_queue, request)
    handle = the_stage.client.get_workflow_handle(send_workflow_id(project.workspace_id, request.send_id))
    answer = await handle.execute_update("cancel", result_type=CancelAnswer)
    assert not answer.cancelled
    assert (await project.counts())["messages"] == 1
    await handle.cancel()


async def test_a_send_that_waits_for_iterable_can_be_cancelled(project: Project) -> None:
    await outcome(project, project.request("first@example.com"))
    await project.fault("/api/email/target", "rate_limited", retry_after=30)
    handle = await start(project, project.request())
    await targeted(project, 2)
    answer = await handle.execute_update("cancel", result_type=CancelAnswer)
    assert answer.cancelled
    assert (await handle.result()).status is SendStatus.CANCELLED
    assert (await project.counts())["messages"] == 1


@pytest.mark.parametrize("webhooks_lost", [True, False])
async def test_a_cancellation_does_not_deny_a_message_that_may_be_out(the_stage: Stage, webhooks_lost: bool) -> None:
    project = await the_stage.new_project(settings={"evidence_after_seconds": 60, "reconcile_within_seconds": 60})
    await outcome(project, project.request("first@example.com"))
    await project.deliver(drop=1.0 if webhooks_lost else 0.0, delay_seconds=1.0)
    await project.fault("/api/email/target", "reset_after", count=1)
    await project.fault("/api/events/{email}", "error_before")
    handle = await start(project, project.request())
    await targeted(project, 2)
    await asyncio.sleep(3)
    await handle.cancel()
    if webhooks_lost:
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause, ApplicationError)
        assert failed.value.cause.type == ErrorCode.OUTCOME_UNKNOWN
    else:
        assert (await handle.result()).status is SendStatus.SENT
    assert (await project.counts())["messages"] == 2


async def test_cancel_does_not_wait_for_a_shadow(project: Project) -> None:
    await project.fault("/api/templates/email/upsert", "error_before")
    handle = await start(project, project.request())
    while (await project.counts())["requests"].get("POST /api/templates/email/upsert", 0) < 1:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    answer = await asyncio.wait_for(handle.execute_update("cancel", result_type=CancelAnswer), 60)
    assert answer.cancelled

    stage = project.stage  # others may wait for the shadow; an admin ends its run, and that is no failure of Iterable's
    wanted = (await handle.result()).fingerprint or ""
    shadow = stage.client.get_workflow_handle(shadow_workflow_id(project.workspace_id, wanted))
    await shadow.cancel()
    with pytest.raises(WorkflowFailureError) as ended:
        await asyncio.wait_for(shadow.result(), 60)
    assert isinstance(ended.value.cause, CancelledError)


async def test_a_send_that_failed_fails_again_after_temporal_has_forgotten_it(project: Project) -> None:
    stage = project.stage
    request = project.request("unknown@example.com")
    assert (await failure(project, request)).type == ErrorCode.RECIPIENT_UNKNOWN
    with pytest.raises(WorkflowFailureError) as failed:
        await stage.client.execute_workflow(
            "SendWorkflow", request, id=f"forgotten-{request.send_id}", task_queue=stage.settings.task_queue
        )
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == ErrorCode.RECIPIENT_UNKNOWN


# ── what Iterable does not know, and what it does not answer ──────────────────────────────────────────────────────────


async def test_an_unknown_recipient_fails_where_the_policy_forbids_profiles(project: Project) -> None:
    error = await failure(project, project.request("unknown@example.com"))
    assert error.type == ErrorCode.RECIPIENT_UNKNOWN
    assert "profile_policy" in error.message


async def test_an_unknown_recipient_is_cured_by_a_thin_profile(the_stage: Stage) -> None:
    project = await the_stage.new_project(
        settings={"profile_policy": "on_unknown", "profile_fields": ["first_name"], "profile_wait_seconds": 3}
    )
    recipient = {"email": "unknown@example.com", "profile": {"first_name": "Ann", "salary": 1}}
    request = project.request(recipient=recipient)
    result = await outcome(project, request)
    assert result.status is SendStatus.SENT
    names = await activities_of(the_stage.client, send_workflow_id(project.workspace_id, request.send_id))
    assert [name for name in names if name != "ensure_shadow"] == [
        "fingerprint_template",
        "target_recipient",
        "upsert_profile",
        "target_recipient",
    ]
    profile = await the_stage.sandbox_http.get(
        "/us/api/users/getByEmail", params={"email": "unknown@example.com"}, headers={"Api-Key": project.keys["server"]}
    )
    fields = profile.json()["user"]["dataFields"]
    assert fields["first_name"] == "Ann"
    assert "salary" not in fields


@pytest.mark.parametrize("kind", ["error_after", "reset_after"])
async def test_a_target_whose_answer_was_lost_is_not_repeated(project: Project, kind: str) -> None:
    await outcome(project, project.request("first@example.com"))
    await project.fault("/api/email/target", kind, count=1)
    result = await outcome(project, project.request())
    assert result.status is SendStatus.SENT
    assert (await project.counts())["messages"] == 2


@pytest.mark.parametrize("kind", ["error_before", "reset_before"])
async def test_a_target_that_provably_did_not_happen_is_sent_again(project: Project, kind: str) -> None:
    await outcome(project, project.request("first@example.com"))
    await project.fault("/api/email/target", kind, count=1)
    result = await outcome(project, project.request())
    assert result.status is SendStatus.SENT
    assert (await project.counts())["messages"] == 2


async def test_a_lost_answer_is_found_in_iterables_records_where_webhooks_are_lost_too(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings={"confirm_within_seconds": 2})
    await project.deliver(drop=1.0)
    await outcome(project, project.request("first@example.com"))
    await project.fault("/api/email/target", "error_after", count=1)
    result = await outcome(project, project.request())
    assert result.status is SendStatus.SENT  # no webhook told what became of it: Iterable was asked
    assert (await project.counts())["messages"] == 2


@pytest.mark.parametrize(
    ("stream", "messages"), [("marketing", 1), ("transactional", 2)]
)  # the defaults: rather never than twice, rather twice than never
async def test_what_stays_unknown_ends_by_the_policy_of_its_stream(
    the_stage: Stage, stream: str, messages: int
) -> None:
    project = await the_stage.new_project(
        settings={"reconcile_within_seconds": 3, "evidence_after_seconds": 60, "confirm_within_seconds": 2}
    )
    await project.deliver(drop=1.0)
    await outcome(project, project.request("first@example.com", stream=stream))
    await project.fault("/api/email/target", "error_before", count=1)
    request = project.request("second@example.com", stream=stream)
    if stream == "marketing":
        error = await failure(project, request)
        assert error.type == ErrorCode.OUTCOME_UNKNOWN
    else:
        assert (await outcome(project, request)).status is SendStatus.SENT
    assert (await project.counts())["messages"] == messages


async def test_what_certainly_did_not_reach_iterable_is_tried_again(project: Project) -> None:
    await outcome(project, project.request("first@example.com"))
    await project.fault("/api/email/target", "rate_limited", count=2, retry_after=1)
    result = await outcome(project, project.request())
    assert result.status is SendStatus.SENT
    assert (await project.counts())["messages"] == 2


async def test_sends_to_a_campaign_that_is_gone_go_to_a_new_one(the_stage: Stage, project: Project) -> None:
    first = await outcome(project, project.request("first@example.com"))
    assert first.fingerprint is not None
    async with the_stage.store.begin() as tx:  # as after a restore of an old backup
        await tx.shadows.save_ready(
            project.workspace_id, first.fingerprint, Shadow(template_id=first.template_id or 0, campaign_id=999_999_999)
        )
    result = await outcome(project, project.request("second@example.com"))
    assert result.status is SendStatus.SENT
    assert result.campaign_id == first.campaign_id


async def terminated_in_doubt(project: Project) -> SendRequest:
    """A send whose message is out, and whose run was stopped before it knew. No webhook tells of it."""
    stage = project.stage
    await outcome(project, project.request("first@example.com"))
    await project.deliver(drop=1.0)
    await project.fault("/api/events/{email}", "error_before")
    await project.fault("/api/email/target", "reset_after", count=1)
    request = project.request()
    handle = await start(project, request)
    while "find_outcome" not in await activities_of(stage.client, handle.id):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    await handle.terminate()
    (await stage.sandbox_http.delete("/_sandbox/faults")).raise_for_status()
    return request


async def test_a_send_whose_run_was_terminated_in_mid_flight_is_looked_into_when_it_is_started_again(
    project: Project,
) -> None:
    stage, request = project.stage, await terminated_in_doubt(project)
    await project.deliver(drop=0.0)
    again = await stage.client.start_workflow(
        "SendWorkflow", request, id=f"again-{request.send_id}", task_queue=stage.settings.task_queue
    )
    accepted = await again.execute_update("accepted", result_type=SendResult)
    await again.terminate()
    assert accepted.accepted_at is not None
    assert (await project.counts())["messages"] == 2


async def test_who_takes_over_a_send_in_doubt_does_not_end_it_as_cancelled(project: Project) -> None:
    """Its message is out, which `cancelled` would deny. One look may or may not find that."""
    stage, request = project.stage, await terminated_in_doubt(project)
    again = await stage.client.start_workflow(
        "SendWorkflow",
        request.model_copy(update={"send_at": datetime.now(UTC) + timedelta(hours=1)}),
        id=f"again-{request.send_id}",
        task_queue=stage.settings.task_queue,
        result_type=SendResult,
    )
    answer = await again.execute_update("cancel", result_type=CancelAnswer)
    assert not answer.cancelled
    (ended,) = await asyncio.gather(again.result(), return_exceptions=True)
    if isinstance(ended, WorkflowFailureError):
        assert isinstance(ended.cause, ApplicationError)
        assert ended.cause.type == ErrorCode.OUTCOME_UNKNOWN
    else:
        assert isinstance(ended, SendResult)
        assert ended.accepted_at is not None


# ── failures an admin reads ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_workspace_without_a_connector(the_stage: Stage, project: Project) -> None:
    error = await failure(project, project.request(workspace_id="nobody"))
    assert error.type == ErrorCode.CONNECTOR_NOT_INSTALLED
    assert "connector install" in error.message


async def test_a_stream_without_a_message_type(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings={"marketing_message_type_id": None})
    assert (await failure(project, project.request(stream="marketing"))).type == ErrorCode.MESSAGE_TYPE_MISSING


async def test_activation_that_the_project_does_not_allow(the_stage: Stage) -> None:
    project = await the_stage.new_project(activation_enabled=False)
    error = await failure(project, project.request())
    assert error.type == ErrorCode.ACTIVATION_REQUIRED
    assert "press Activate" in error.message
    campaigns = await the_stage.sandbox_http.get(
        "/us/api/campaigns", params={"pageSize": 10}, headers={"Api-Key": project.keys["server"]}
    )
    (campaign,) = campaigns.json()["campaigns"]
    await the_stage.sandbox_http.post(f"/_sandbox/projects/{project.project_id}/campaigns/{campaign['id']}/activate")
    result = await outcome(project, project.request())
    assert (result.status, result.campaign_id) == (SendStatus.SENT, campaign["id"])


async def test_an_unknown_template_ref(project: Project) -> None:
    error = await failure(project, project.request(template=None, template_ref="0" * 64))
    assert error.type == ErrorCode.TEMPLATE_UNKNOWN


async def test_a_template_ref_stands_for_the_template(project: Project) -> None:
    first = await outcome(project, project.request("first@example.com"))
    result = await outcome(project, project.request(template=None, template_ref=first.template_ref))
    assert (result.status, result.campaign_id) == (SendStatus.SENT, first.campaign_id)


async def test_a_request_that_does_not_fit_fails_the_run_with_a_code_and_no_values(project: Project) -> None:
    stage = project.stage
    raw = json.loads(project.request().model_dump_json()) | {"attachments": [{"name": "secret-invoice.pdf"}]}
    handle = await stage.client.start_workflow(
        "SendWorkflow",
        raw,
        id=send_workflow_id(project.workspace_id, raw["send_id"]),
        task_queue=stage.settings.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == ErrorCode.ATTACHMENTS_NOT_SUPPORTED
    assert "secret" not in failed.value.cause.message
    assert (await project.counts())["templates"] == 0


async def test_a_template_that_does_not_parse_is_refused_before_anything_is_made(project: Project) -> None:
    error = await failure(project, project.request(template={**TEMPLATE.model_dump(), "html": "<p>\n{{#if vip}}</p>"}))
    assert error.type == ErrorCode.TEMPLATE_INVALID
    assert "line 2, column 1" in error.message
    counts = await project.counts()
    assert (counts["templates"], counts["campaigns"]) == (0, 0)


async def test_warnings_reach_genieos_and_the_message_goes_out(project: Project) -> None:
    request = project.request(data={"first_name": "Ann"})
    result = await outcome(project, request)
    assert result.status is SendStatus.SENT
    assert [(one.code, "order.number" in one.message) for one in result.warnings] == [("data_missing", True)]
    kept = await project.stage.endpoint_http.get(
        f"/v1/workspaces/{project.workspace_id}/sends/{request.send_id}",
        headers={"Authorization": "Bearer admin-token"},
    )
    assert SendResult.model_validate(kept.raise_for_status().json()).warnings == result.warnings


async def test_a_person_gets_the_content_of_their_locale(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings={"profile_policy": "always", "profile_fields": ["locale"]})
    french = {"fr": {"subject": "Bonjour {{first_name}}", "html": "<p>Bonjour</p>"}}
    template = {**TEMPLATE.model_dump(), "locales": french}
    ann = {"email": "ann@example.com", "profile": {"locale": "fr"}}
    first = await outcome(project, project.request(template=template, recipient=ann))
    second = await outcome(project, project.request("bob@example.com", template=template))
    assert (first.status, second.status, first.campaign_id) == (SendStatus.SENT, SendStatus.SENT, second.campaign_id)
    subjects = {message["email"]: message["subject"] for message in await project.outbox()}
    assert subjects == {"ann@example.com": "Bonjour Ann", "bob@example.com": "Hi Ann"}


async def test_an_image_that_is_none_is_refused_before_anything_is_made(project: Project) -> None:
    image = {"content_id": "logo", "media_type": "image/png", "data": "AAAA"}
    template = {**TEMPLATE.model_dump(), "html": '<img src="cid:logo">', "inline_images": [image]}
    error = await failure(project, project.request(template=template))
    assert error.type == ErrorCode.TEMPLATE_INVALID
    assert (await project.counts())["templates"] == 0


async def test_eu_and_user_id_projects(the_stage: Stage) -> None:
    project = await the_stage.new_project(
        data_center="eu", type_="userid", settings={"profile_policy": "on_unknown", "profile_wait_seconds": 3}
    )
    result = await outcome(project, project.request(recipient={"user_id": "u-1", "email": "ann@example.com"}))
    assert result.status is SendStatus.SENT
    error = await failure(project, project.request("only-an-address@example.com"))
    assert error.type == ErrorCode.RECIPIENT_INVALID

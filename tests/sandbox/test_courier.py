"""Delivery of webhooks: retried, and as bad as it is told to be."""

from typing import Any

from tests.sandbox.conftest import Project, Sandbox


async def sent(sandbox: Sandbox, project: Project, *, number: int = 1, email: str = "ann@example.com") -> None:
    campaign_id = await project.campaign()
    for index in range(number):
        await project.target(campaign_id, email, dataFields={"index": index})


async def deliver(sandbox: Sandbox, project: Project, **spec: Any) -> None:
    answer = await sandbox.http.put(f"/_sandbox/projects/{project.id}/delivery", json=spec)
    assert answer.status_code == 200, answer.text


def indexes(sandbox: Sandbox) -> list[int]:
    return [hook.fields["transactionalData"]["index"] for hook in sandbox.receiver.hooks]


async def test_a_failure_is_retried_with_growing_waits(sandbox: Sandbox, project: Project) -> None:
    await project.hook()
    sandbox.receiver.statuses = [500, 404, 302]
    await sent(sandbox, project)
    seen: list[int] = []
    for seconds in (0.2, 0.5, 1.0, 2.0):
        await sandbox.clock.advance(seconds)
        seen.append(len(sandbox.receiver.hooks))
    assert seen == [1, 2, 3, 4]
    webhooks = (await project.counts())["webhooks"]
    assert webhooks == {"sent": 1, "failed": 0, "dropped": 0, "retried": 3, "pending": 0}


async def test_it_gives_up_after_so_many_attempts(sandbox: Sandbox) -> None:
    project = await sandbox.project(webhook_retries={"attempts": 3})
    await project.hook()
    sandbox.receiver.statuses = [503] * 10
    await sent(sandbox, project)
    await sandbox.clock.advance(3600)
    assert len(sandbox.receiver.hooks) == 3
    assert (await project.counts())["webhooks"]["failed"] == 1


async def test_events_leave_after_their_delay_in_order(sandbox: Sandbox, project: Project) -> None:
    await project.hook()
    await deliver(sandbox, project, event_delay_seconds=1, delay_seconds=2)
    await sent(sandbox, project, number=5)
    await sandbox.clock.advance(2.9)
    assert sandbox.receiver.hooks == []
    await sandbox.clock.advance(0.2)
    assert indexes(sandbox) == [0, 1, 2, 3, 4]


async def test_some_can_be_dropped_and_some_doubled(sandbox: Sandbox, project: Project) -> None:
    await project.hook()
    await deliver(sandbox, project, drop=0.5, seed=3)
    await sent(sandbox, project, number=100)
    await sandbox.clock.advance(60)
    dropped = (await project.counts())["webhooks"]["dropped"]
    assert 30 < dropped < 70
    assert len(sandbox.receiver.hooks) == 100 - dropped
    sandbox.receiver.hooks.clear()
    await deliver(sandbox, project, duplicate=1.0)
    await sent(sandbox, project, number=3)
    await sandbox.clock.advance(60)
    assert sorted(indexes(sandbox)) == [0, 0, 1, 1, 2, 2]


async def test_the_same_seed_gives_the_same_losses(sandbox: Sandbox) -> None:
    lost: list[list[int]] = []
    for _ in range(2):
        project = await sandbox.project(delivery={"drop": 0.5, "seed": 11})
        await project.hook()
        await sent(sandbox, project, number=20)
        await sandbox.clock.advance(60)
        lost.append(indexes(sandbox))
        sandbox.receiver.hooks.clear()
    assert lost[0] == lost[1]
    assert 0 < len(lost[0]) < 20


async def test_the_order_can_be_lost(sandbox: Sandbox, project: Project) -> None:
    await project.hook()
    await deliver(sandbox, project, reorder=True)
    await sent(sandbox, project, number=20)
    await sandbox.clock.advance(60)
    assert indexes(sandbox) != sorted(indexes(sandbox))
    assert sorted(indexes(sandbox)) == list(range(20))


async def test_an_endpoint_that_cannot_be_reached_is_a_failure(sandbox: Sandbox) -> None:
    project = await sandbox.project(webhook_retries={"attempts": 1})
    await project.hook()
    sandbox.receiver.statuses = [0]
    await sent(sandbox, project)
    await sandbox.clock.advance(5)
    assert (await project.counts())["webhooks"]["failed"] == 1


async def test_any_event_can_be_made_up(sandbox: Sandbox, project: Project) -> None:
    await project.hook()
    await sent(sandbox, project)
    message = (await project.outbox())[0]
    events = f"/_sandbox/projects/{project.id}/events"
    for body in (
        {"kind": "emailOpen", "message_id": message["messageId"], "fields": {"device": "Phone"}},
        {"kind": "emailUnSubscribe", "email": "bob@example.com", "fields": {"channelIds": [1]}, "at": 1_767_225_600},
        {"kind": "emailBounce", "message_id": message["messageId"], "with_effects": True},
    ):
        assert (await sandbox.http.post(events, json=body)).status_code == 201
    await sandbox.clock.advance(5)
    _, opened, unsubscribed, bounced, after = sandbox.receiver.hooks
    assert (opened.fields["messageId"], opened.fields["device"]) == (message["messageId"], "Phone")
    assert (unsubscribed.body["email"], unsubscribed.fields["createdAt"]) == (
        "bob@example.com",
        "2026-01-01 00:00:00 +00:00",
    )
    assert bounced.fields["recipientState"] == "HardBounce"
    assert after.fields["unsubSource"] == "HardBounce"
    for body in ({"kind": "emailDelivered", "email": "a@b.test"}, {"kind": "emailOpen"}):
        assert (await sandbox.http.post(events, json=body)).status_code == 400
    assert (await sandbox.http.post(events, json={"kind": "emailOpen", "message_id": "x"})).status_code == 404

"""A recipient's address decides what becomes of a message."""

import pytest

from sandbox.fates import SENT, SKIP_REASONS, fate_of
from tests.sandbox.conftest import Project, Sandbox


async def story(sandbox: Sandbox, project: Project, email: str, seconds: float = 5) -> list[str]:
    """The events after a send, in the order in which the webhook got them."""
    await project.hook()
    campaign_id = await project.campaign()
    await project.target(campaign_id, email)
    await sandbox.clock.advance(seconds)
    return sandbox.receiver.names


@pytest.mark.parametrize(
    ("email", "names"),
    [
        ("ann@example.com", ["emailSend"]),
        ("soft-bounce@x.test", ["emailSend", "emailBounce"]),
        ("hard-bounce@x.test", ["emailSend", "emailBounce", "emailUnSubscribe"]),
        ("complaint@x.test", ["emailSend", "emailComplaint", "emailUnSubscribe"]),
        ("unsubscribe@x.test", ["emailSend", "hostedUnsubscribeClick", "emailUnSubscribe"]),
        ("open@x.test", ["emailSend", "emailOpen"]),
        ("click@x.test", ["emailSend", "emailClick"]),
        ("open-click@x.test", ["emailSend", "emailOpen", "emailClick"]),
        ("skip-frequencycapping@x.test", ["emailSendSkip"]),
    ],
)
async def test_each_fate_is_told_event_by_event(
    sandbox: Sandbox, project: Project, email: str, names: list[str]
) -> None:
    assert await story(sandbox, project, email) == names


async def test_a_tag_and_case_do_not_matter(sandbox: Sandbox, project: Project) -> None:
    assert await story(sandbox, project, "Hard-Bounce+7@x.test") == ["emailSend", "emailBounce", "emailUnSubscribe"]


async def test_a_hard_bounce_unsubscribes_from_its_channel_and_all_marketing_email(
    sandbox: Sandbox, project: Project
) -> None:
    await story(sandbox, project, "hard-bounce@x.test")
    _, bounce, unsubscribe = sandbox.receiver.hooks
    assert bounce.fields["recipientState"] == "HardBounce"
    assert bounce.fields["messageId"] == (await project.outbox())[0]["messageId"]
    channels = [project.channel_id("Transactional"), project.channel_id("Marketing")]
    assert unsubscribe.fields["unsubSource"] == "HardBounce"
    assert unsubscribe.fields["channelIds"] == channels
    user = (await project.get("/api/users/getByEmail", email="hard-bounce@x.test"))["user"]
    assert user["dataFields"]["unsubscribedChannelIds"] == channels
    marketing = await project.campaign("m", messageTypeId=project.type_id("Marketing"))
    await project.target(marketing, "hard-bounce@x.test")
    assert (await project.outbox())[0]["skip_reason"] == "SuppressedByMessageService"


async def test_transactional_mail_after_a_hard_bounce_is_a_setting(sandbox: Sandbox, project: Project) -> None:
    await story(sandbox, project, "hard-bounce@x.test")
    campaign_id = (await project.outbox())[0]["campaignId"]
    await project.target(campaign_id, "hard-bounce@x.test")
    assert (await project.outbox())[0]["status"] == "sent"
    await project.change(hard_bounce_skips_transactional=True)
    await project.target(campaign_id, "hard-bounce@x.test")
    assert (await project.outbox())[0]["skip_reason"] == "SuppressedByMessageService"


async def test_a_soft_bounce_unsubscribes_from_nothing(sandbox: Sandbox, project: Project) -> None:
    await story(sandbox, project, "bounce-softbouncemailboxfull@x.test")
    assert sandbox.receiver.hooks[1].fields["recipientState"] == "SoftBounceMailboxFull"
    user = (await project.get("/api/users/bounce-softbouncemailboxfull@x.test"))["user"]
    assert user["dataFields"]["unsubscribedChannelIds"] == []


async def test_a_click_tells_the_first_link_of_the_message(sandbox: Sandbox, project: Project) -> None:
    await story(sandbox, project, "click@x.test")
    assert sandbox.receiver.hooks[1].fields["url"] == "https://shop.test/offer"


async def test_an_unknown_person_becomes_known_once_the_profile_can_be_read(sandbox: Sandbox) -> None:
    project = await sandbox.project(type="email", lags={"profiles": 60})
    campaign_id = await project.campaign()
    body = {"campaignId": campaign_id, "recipientEmail": "unknown+1@x.test"}
    assert (await project.refused("/api/email/target", **body))[:2] == (400, "UnknownEmailError")
    await project.post("/api/users/update", email="unknown+1@x.test")
    assert (await project.refused("/api/email/target", **body))[:2] == (400, "UnknownEmailError")
    await sandbox.clock.advance(60)
    await project.post("/api/email/target", **body)
    assert (await project.outbox())[0]["status"] == "sent"


@pytest.mark.parametrize("reason", SKIP_REASONS)
def test_skip_reasons_get_their_documented_spelling(reason: str) -> None:
    assert fate_of(f"skip-{reason.lower()}+tag@x.test").skip_reason == reason


def test_other_skip_reasons_are_kept_as_they_are_written() -> None:
    assert fate_of("skip-SomethingNew@x.test").skip_reason == "SomethingNew"


@pytest.mark.parametrize(
    "email", ["ann@example.com", "skip-@x.test", "opening@x.test", "bounce-@x.test", "x+open@x.test"]
)
def test_other_addresses_are_plainly_sent(email: str) -> None:
    assert fate_of(email) == SENT

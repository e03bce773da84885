"""What becomes of a message between being taken and its last event.

Source: Iterable help centre (send skips, bounces, unsubscribes). A message is taken before it is known whether it will
be skipped: the answer to email/target is the same for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.campaigns import Campaign
from sandbox.channels import MessageType
from sandbox.events import (
    click_fields,
    cut,
    hosted_unsubscribe_fields,
    message_block,
    open_fields,
    send_fields,
    skip_fields,
    unsubscribe_fields,
)
from sandbox.fates import SENT, Fate, fate_of
from sandbox.outbox import Message
from sandbox.project import Project
from sandbox.rendering import Rendered, RenderError, context, render
from sandbox.templates import Content, Template
from sandbox.users import PLACEHOLDER_DOMAIN, Profile, User, as_fields
from sandbox.wire import EMAIL_FORM
from sandbox.world import World

# The window in which `allowRepeatMarketingSends: false` sees a repeat, by an older text of the help centre.
REPEAT_SECONDS: Final = 18 * 3_600.0
_DAY: Final = 86_400.0
_LINKS: Final = "https://links.sandbox.test"


@dataclass(frozen=True)
class Order:
    """What a send asks for."""

    campaign: Campaign
    user: User
    data_fields: Mapping[str, Any]
    metadata: Mapping[str, Any] | None = None
    send_at: float | None = None
    allow_repeat: bool = True
    is_blast: bool = False


def accept(world: World, project: Project, order: Order) -> Message:
    """Takes a message: sends it at once, or when it is due."""
    message = _message(world, project, order)
    world.outbox.add(message)
    if message.scheduled_id is None:
        _send(world, project, order.campaign, message)
    else:
        world.spawn(_send_when_due(world, project, order.campaign, message))
    return message


def cancel(message: Message) -> bool:
    """Whether it was still waiting."""
    if message.status != "scheduled":
        return False
    message.status = "cancelled"
    return True


def tags(message_id: str) -> dict[str, str]:
    """The merge tags that Iterable fills for each message."""
    return {
        "unsubscribeUrl": f"{_LINKS}/u/{message_id}",
        "unsubscribeMessageTypeUrl": f"{_LINKS}/t/{message_id}",
        "hostedUnsubscribeUrl": f"{_LINKS}/h/{message_id}",
        "viewInBrowserUrl": f"{_LINKS}/v/{message_id}",
    }


def _message(world: World, project: Project, order: Order) -> Message:
    now = world.clock.now()
    profile, campaign = order.user.latest, order.campaign
    template = _template(project, campaign)
    state = template.state.latest
    message_type = project.message_type(state.message_type_id)
    due = order.send_at if order.send_at is not None and order.send_at > now else None
    return Message(
        id=world.hex_id(),
        project_id=project.id,
        campaign_id=campaign.id,
        campaign_name=campaign.name,
        template_id=template.id,
        template_name=state.name,
        content_id=world.next_id("content"),
        message_type_id=state.message_type_id,
        channel_id=message_type.channel.id if message_type is not None else 0,
        email=profile.email,
        user_id=profile.user_id,
        data_fields=order.data_fields,
        metadata=order.metadata,
        created_at=now,
        is_blast=order.is_blast,
        allow_repeat=order.allow_repeat,
        send_at=due,
        scheduled_id=None if due is None else world.next_id("scheduled"),
    )


def _template(project: Project, campaign: Campaign) -> Template:
    template = project.templates.get(campaign.template_id)
    # A campaign's own copy cannot be deleted.
    assert template is not None  # noqa: S101
    return template


async def _send_when_due(world: World, project: Project, campaign: Campaign, message: Message) -> None:
    assert message.send_at is not None  # noqa: S101
    await world.clock.sleep(message.send_at - world.clock.now())
    if message.status == "scheduled":
        _send(world, project, campaign, message)


def _send(world: World, project: Project, campaign: Campaign, message: Message) -> None:
    fate = fate_of(message.email) if message.email is not None else SENT
    rendered = _Decision(world, project, campaign, message, fate).made()
    now = world.clock.now()
    if rendered is None:
        message.status = "skipped"
        _tell_of_skip(world, project, message, now)
        return
    message.status, message.sent_at, message.subject = "sent", now, rendered.subject
    campaign.sends += 1
    world.outbox.keep_body(message, rendered)
    _tell(world, project, message, "emailSend", send_fields(message))
    if fate != SENT:
        world.spawn(_live_out(world, project, message, fate, rendered.first_link()))


class _Decision:
    """Whether a message is sent, and if so, how it reads."""

    def __init__(self, world: World, project: Project, campaign: Campaign, message: Message, fate: Fate) -> None:
        self._world = world
        self._project = project
        self._campaign = campaign
        self._message = message
        self._fate = fate
        self._now = world.clock.now()
        self._user = project.users.find(message.email, message.user_id)
        self._type = project.message_type(message.message_type_id)

    def made(self) -> Rendered | None:
        """The message; or None, with the reason in `skip_reason`."""
        reason = self._fate.skip_reason or self._standing() or self._repetition()
        if reason is not None:
            self._message.skip_reason = reason
            return None
        content = self._content()
        if content is None:
            self._message.skip_reason = "LocaleMismatch"
            return None
        try:
            rendered = render(content, self._fields(), {})
        except RenderError:
            self._message.skip_reason = "HandlebarsExecutionError"
            return None
        self._message.skip_reason = self._defect(rendered)
        return None if self._message.skip_reason is not None else rendered

    def _standing(self) -> str | None:
        """Reasons that lie in the campaign or in the recipient."""
        if not self._message.is_blast and self._campaign.state(self._now) != "Running":
            return "CampaignDeactivated"
        email = self._message.email
        if email is None or email.lower().endswith(PLACEHOLDER_DOMAIN):
            return "InvalidRecipientEmail"
        if self._user is None or self._type is None:
            return None
        if not self._type.is_marketing:
            suppressed = self._user.hard_bounced and self._project.settings.hard_bounce_skips_transactional
            return "SuppressedByMessageService" if suppressed else None
        return self._project.settings.unsubscribed_skip_reason if _opted_out(self._user.latest, self._type) else None

    def _repetition(self) -> str | None:
        """Reasons that lie in what the recipient was sent before; marketing only."""
        if self._type is None or not self._type.is_marketing:
            return None
        cap = self._type.frequency_cap
        if cap is not None:
            sent = [m for m in self._sent_within(cap.days * _DAY) if m.message_type_id == self._type.id]
            if len(sent) >= cap.messages:
                return "FrequencyCapping"
        if self._message.allow_repeat:
            return None
        repeated = any(m.campaign_id == self._campaign.id for m in self._sent_within(REPEAT_SECONDS))
        return "DuplicateMarketingMessage" if repeated else None

    def _sent_within(self, seconds: float) -> list[Message]:
        found: list[Message] = []
        message = self._message
        earlier = self._world.outbox.of_person(self._project.id, email=message.email, user_id=message.user_id)
        for one in earlier:
            if one.created_at < self._now - seconds:
                break
            if one.status == "sent":
                found.append(one)
        return found

    def _content(self) -> Content | None:
        profile = self._profile()
        locale = profile.fields.get("locale") if profile is not None else None
        return _template(self._project, self._campaign).state.latest.content(
            locale if isinstance(locale, str) else None
        )

    def _profile(self) -> Profile | None:
        """As it can be read now: a profile that was just written may not count yet."""
        return self._user.profile.seen(self._now) if self._user is not None else None

    def _fields(self) -> dict[str, Any]:
        profile = self._profile()
        known: dict[str, Any] = {"email": self._message.email, "userId": self._message.user_id}
        if self._user is not None and profile is not None:
            known |= as_fields(self._user, profile, self._project.users.project_type)
        return context(
            campaign_fields={
                **(_template(self._project, self._campaign).state.latest.campaign_data_fields or {}),
                **self._campaign.data_fields,
            },
            profile={name: value for name, value in known.items() if value is not None},
            request_fields=self._message.data_fields,
            tags=tags(self._message.id),
        )

    def _defect(self, rendered: Rendered) -> str | None:
        """Reasons that show only once the message is rendered."""
        if rendered.is_empty:
            return "EmptyContent"
        if EMAIL_FORM.fullmatch(rendered.from_email) is None:
            return "InvalidSender"
        if self._project.settings.unauthorised_sender == "skip" and not authorised(self._project, rendered.from_email):
            return "InvalidSender"
        if rendered.reply_to and EMAIL_FORM.fullmatch(rendered.reply_to) is None:
            return "InvalidReplyToEmail"
        return None


def authorised(project: Project, sender: str) -> bool:
    """Whether a sender is on the project's list, by address or by "@domain"."""
    known = {entry.lower() for entry in project.settings.authorised_senders}
    address = sender.strip().lower()
    return address in known or f"@{address.rpartition('@')[2]}" in known


def _opted_out(profile: Profile, message_type: MessageType) -> bool:
    if message_type.channel.id in profile.unsubscribed_channels or message_type.id in profile.unsubscribed_types:
        return True
    return message_type.opt_in and message_type.id not in profile.subscribed_types


# Telling


def _tell(
    world: World,
    project: Project,
    message: Message,
    name: str,
    fields: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
) -> None:
    block = message_block(message, world.clock.now())
    world.emit(
        project,
        name,
        {**block, **fields},
        email=message.email,
        user_id=message.user_id,
        message=message,
        more=more,
    )


def _tell_of_skip(world: World, project: Project, message: Message, now: float) -> None:
    whole = {**message_block(message, now), "transactionalData": cut(message.data_fields)}
    short = skip_fields(message, now)
    carries = project.settings.skip_webhook_carries_message
    fields = {**whole, **short} if carries else short
    world.emit(
        project,
        "emailSendSkip",
        fields,
        email=message.email,
        user_id=message.user_id,
        message=message,
        more=None if carries else {name: value for name, value in whole.items() if name not in short},
    )


async def _live_out(world: World, project: Project, message: Message, fate: Fate, link: str) -> None:
    """What follows a send, each a little after the one before."""

    async def later() -> None:
        await world.clock.sleep(project.settings.delivery.event_delay_seconds)

    if fate.bounce is not None:
        await later()
        bounce(world, project, message, fate.bounce)
    if fate.opens:
        await later()
        _tell(world, project, message, "emailOpen", open_fields())
    if fate.clicks:
        await later()
        _tell(world, project, message, "emailClick", click_fields(link))
    if fate.complains:
        await later()
        complain(world, project, message)
    if fate.unsubscribes:
        await later()
        _tell(
            world,
            project,
            message,
            "hostedUnsubscribeClick",
            hosted_unsubscribe_fields(tags(message.id)["hostedUnsubscribeUrl"]),
        )
        await later()
        opt_out(world, project, message, "EmailLink", frozenset({message.channel_id}))


def bounce(world: World, project: Project, message: Message, state: str) -> None:
    """A hard bounce unsubscribes from the sending channel and from all other marketing email channels."""
    hard = state == "HardBounce"
    more = {"bounceMessage": f"smtp; {'550 5.1.1 no such user' if hard else '450 4.2.0 try later'}",
            "status": "5.1.1" if hard else "4.2.0"}  # fmt: skip
    _tell(world, project, message, "emailBounce", {"recipientState": state}, more)
    if not hard:
        return
    user = project.users.find(message.email, message.user_id)
    if user is not None:
        user.hard_bounced = True
    opt_out(world, project, message, "HardBounce", project.marketing_email_channels() | {message.channel_id})


def complain(world: World, project: Project, message: Message) -> None:
    _tell(world, project, message, "emailComplaint", {"recipientState": "Complaint"})
    opt_out(world, project, message, "Complaint", frozenset({message.channel_id}))


def opt_out(world: World, project: Project, message: Message, source: str, channels: frozenset[int]) -> None:
    """Takes the recipient off channels, and says so."""
    user = project.users.find(message.email, message.user_id)
    if user is not None:
        remaining = user.latest.unsubscribed_channels | channels
        project.users.change(user, world.clock.now(), project.settings.lags.profiles, unsubscribed_channels=remaining)
    _tell(world, project, message, "emailUnSubscribe", unsubscribe_fields(source, channels=channels))

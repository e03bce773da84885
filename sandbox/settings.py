"""What can be set: of the sandbox, and of each of its projects.

A setting that stands for something unknown about Iterable says so; its default is what the rest of the evidence points
to, or else what is harder on a client.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sandbox.clock import Clock, SystemClock

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Probability = Annotated[float, Field(ge=0, le=1)]


class _Settings(BaseModel):
    # A misspelt setting must not be lost: it would look like a sandbox that ignores what it is told.
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Lags(_Settings):
    """Seconds until a write can be read. Iterable's are 15, 30, 30, 60 and 5; a developer would not wait for them."""

    templates: Seconds = 0.1
    campaigns: Seconds = 0.1
    activation: Seconds = 0.2
    profiles: Seconds = 0.1
    events: Seconds = 0.2


class Delivery(_Settings):
    """How badly webhooks behave. Iterable: "delivery is not guaranteed"; order and duplicates are promised nowhere."""

    drop: Probability = 0.0
    duplicate: Probability = 0.0
    reorder: bool = False
    delay_seconds: Seconds = 0.0
    event_delay_seconds: Seconds = 0.2
    seed: int = 1


class Retries(_Settings):
    """Iterable says that it retries; how often, how spaced and for which answers is unknown."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 5
    backoff_seconds: Seconds = 0.5
    backoff_max_seconds: Seconds = 30.0
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0


class RateRule(_Settings):
    """At most `limit` requests in any `seconds`, counted for each project or for each key."""

    model_config = ConfigDict(frozen=True)

    limit: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(gt=0)] = 1.0
    per: Literal["project", "key"] = "project"


def _rules(value: Any) -> list[Any]:
    if value is None:
        return []
    return cast("list[Any]", value) if isinstance(value, list) else [value]


RateRules = Annotated[list[RateRule], BeforeValidator(_rules)]


class ProjectSettings(_Settings):
    """Everything about a project that a test may want otherwise."""

    lags: Lags = Lags()
    """Seconds until a write can be read."""
    delivery: Delivery = Delivery()
    """How badly webhooks behave."""
    webhook_retries: Retries = Retries()
    """Unknown: how often and how spaced Iterable retries a webhook."""

    rate_limits: dict[str, RateRules] = {}
    """By "POST /api/email/target"; replaces the documented limit, null lifts it."""
    retry_after_header: bool = True
    """Unknown: whether Iterable always sends it."""

    key_kind_in_refusals: bool = True
    """Unknown: whether a 401 always tells the key's kind."""

    activation_enabled: bool = True
    """Off until Iterable switches it on for a project: the two activation endpoints answer 403."""
    activation_looks_at_campaign_first: bool = False
    """Unknown: whether activating a campaign that does not exist is a 400 where activation is off."""
    reactivation_enabled: bool = True
    """Unknown: whether a Finished campaign can be activated again."""
    subscriptions_api_enabled: bool = True
    """Off until Iterable switches it on: /api/subscriptions answers 404."""
    copy_keeps_client_template_id: bool = True
    """Unknown: whether a campaign's copy keeps the clientTemplateId (and is then rewritten by upserts)."""
    hybrid_target_creates_users: bool = True
    """Unknown: whether email/target creates an email-only recipient in a hybrid project."""
    inactive_campaign: Literal["skip", "refuse"] = "skip"
    """Unknown: what email/target says of a campaign that is not Running."""
    unauthorised_sender: Literal["off", "upsert", "skip"] = "off"
    """Unknown: where an unauthorised fromEmail shows."""
    authorised_senders: list[str] = []
    """Addresses, or "@domain" for all of a domain."""
    unsubscribed_skip_reason: str = "SuppressedByMessageService"
    """Unknown: the reason under which a send to an unsubscribed user is skipped."""
    hard_bounce_skips_transactional: bool = False
    """Unknown: whether transactional mail to a hard-bounced address is skipped. Documented: marketing channels."""
    target_answers_scheduled_message_id: bool = True
    """Unknown: email is expected to answer as other media do."""
    metadata_place: Literal["none", "dataFields", "top"] = "none"
    """Unknown: where email/target's metadata comes back."""
    skip_webhook_carries_message: bool = False
    """Unknown: the older documented example of emailSendSkip has five fields only."""
    events_carry_transactional_data: bool = False
    """Unknown: whether events/{email} carries transactionalData; exports do, as a JSON string."""
    basic_auth_sends_scheme: bool = True
    """Unknown: the article's format line and its example differ."""
    bad_json_echoes_request: bool = False
    """Recordings up to 2022 echo the body and all headers, Api-Key among them, in the msg of a BadJsonBody."""
    create_new_fields: bool = True
    """Drops unknown profile fields where false and the request does not say otherwise."""
    unique_profile_fields: Annotated[int, Field(ge=1)] = 1_000
    """Beyond it: UniqueFieldsLimitExceeded."""

    def patched(self, changes: dict[str, Any]) -> "ProjectSettings":
        """A copy with the given fields changed; objects are merged."""
        return ProjectSettings.model_validate(_merged(self.model_dump(), changes))


def _merged(old: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for key, value in changes.items():
        before = result.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            result[key] = _merged(cast("dict[str, Any]", before), cast("dict[str, Any]", value))
        else:
            result[key] = value
    return result


@dataclass(frozen=True)
class SandboxSettings:
    """Of the whole sandbox. The `kept` numbers bound its memory; the oldest goes first."""

    clock: Clock = field(default_factory=SystemClock)
    # Message ids and keys come from it: two runs with the same seed give the same ones. None: no two are alike.
    seed: int | None = None
    messages_kept: int = 200_000
    # Rendered HTML and text; a message without them still shows everything else.
    bodies_kept: int = 5_000
    events_kept: int = 1_000_000
    # How webhooks leave: a test may mount its receiver here.
    webhook_transport: httpx.AsyncBaseTransport | None = None
    # At most this many webhook requests at once.
    webhook_concurrency: int = 20

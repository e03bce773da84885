"""System webhooks as they are set up in Iterable's web app, and the payloads they carry."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sandbox.events import EVENT_NAMES, Event

AuthType = Literal["NoAuth", "Basic", "OAuth2"]


class Header(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
    value: Annotated[str, Field(pattern=r"^[^\r\n]*$")]


class WebhookSpec(BaseModel):
    """What the web app lets an admin choose. Only there can events be ticked."""

    model_config = ConfigDict(extra="forbid")

    endpoint: str
    headers: list[Header] = []
    events: list[str] = list(EVENT_NAMES)
    enabled: bool = True
    triggeredSendEnabled: bool = True  # noqa: N815 - Iterable's spelling
    blastSendEnabled: bool = True  # noqa: N815
    authType: AuthType = "NoAuth"  # noqa: N815
    authToken: str | None = None  # noqa: N815

    @field_validator("events")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        unknown = sorted(set(names) - set(EVENT_NAMES))
        if unknown:
            raise ValueError(f"unknown events: {', '.join(unknown)}")
        return names

    @field_validator("endpoint")
    @classmethod
    def _http(cls, endpoint: str) -> str:
        # Iterable takes https only; on a developer's machine there is no certificate.
        if not endpoint.startswith(("http://", "https://")):
            raise ValueError("endpoint must be an http or https URL")
        return endpoint


@dataclass
class Webhook:
    id: int
    endpoint: str
    headers: list[tuple[str, str]]
    events: frozenset[str]
    enabled: bool
    triggered_sends: bool
    blast_sends: bool
    auth_type: AuthType
    auth_token: str | None = field(repr=False)

    @classmethod
    def from_spec(cls, webhook_id: int, spec: WebhookSpec) -> "Webhook":
        return cls(
            id=webhook_id,
            endpoint=spec.endpoint,
            headers=[(header.key, header.value) for header in spec.headers],
            events=frozenset(spec.events),
            enabled=spec.enabled,
            triggered_sends=spec.triggeredSendEnabled,
            blast_sends=spec.blastSendEnabled,
            auth_type=spec.authType,
            auth_token=spec.authToken,
        )

    def wants(self, event: Event) -> bool:
        if not self.enabled or event.name not in self.events:
            return False
        if event.name != "emailSend":
            return True
        return self.blast_sends if event.is_blast else self.triggered_sends

    def url(self, event: Event) -> str:
        """The endpoint with its placeholders filled."""
        url = self.endpoint
        for name in ("campaignId", "campaignName", "templateId", "templateName", "channelId", "messageTypeId",
                     "workflowId", "workflowName", "experimentId"):  # fmt: skip
            url = url.replace("{{" + name + "}}", _text(event.fields.get(name)))
        return url

    def request_headers(self, *, basic_sends_scheme: bool) -> list[tuple[str, str]]:
        headers = [("Content-Type", "application/json"), *self.headers]
        if self.auth_type != "NoAuth" and self.auth_token is not None:
            bare = self.auth_type == "Basic" and not basic_sends_scheme
            value = self.auth_token if bare else f"{self.auth_type} {self.auth_token}"
            headers.append(("Authorization", value))
        return headers

    def shown(self) -> dict[str, Any]:
        """As the API shows it: neither headers, nor tokens, nor which events are ticked."""
        return {
            "id": self.id,
            "endpoint": self.endpoint,
            "enabled": self.enabled,
            "authType": self.auth_type,
            "blastSendEnabled": self.blast_sends,
            "triggeredSendEnabled": self.triggered_sends,
            "channelIds": [],
            "messageTypeIds": [],
        }


def payload(
    event: Event, metadata: dict[str, Any] | None, place: Literal["none", "dataFields", "top"]
) -> dict[str, Any]:
    """The body of one request: one event. What a person lacks is left out."""
    fields = dict(event.fields)
    body: dict[str, Any] = {}
    if event.email is not None:
        body["email"] = event.email
    if event.user_id is not None:
        body["userId"] = event.user_id
    if metadata is not None and place == "dataFields":
        fields["metadata"] = metadata
    body |= {"eventName": event.name, "dataFields": fields}
    if metadata is not None and place == "top":
        body["metadata"] = metadata
    return body


def _text(value: object) -> str:
    return "" if value is None else str(value)

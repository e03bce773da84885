"""Email templates: `/api/templates`.

What was just written may not be found for some 15 s (what Iterable's own client allows for).
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, JsonValue

from iterable.answer import Answer, AnswerModel
from iterable.calls import Calls, odd_answer
from iterable.dates import Moment
from iterable.errors import IterableError
from iterable.request import Body, Request

_IDS_IN_PROSE = re.compile(r"\bIDs?: ([0-9]{1,18})(?P<more>\s*,\s*[0-9])?")


class LinkParam(Body):
    """A query parameter that is added to every link."""

    key: str
    value: str


class EmailTemplate(Body):
    """The content of an email template. What is None is left as it is in Iterable.

    `{{…}}` is Handlebars in every text field. Iterable publishes no limit of sizes or of the name's length (its UI: 150
    characters).
    """

    client_template_id: Annotated[str, Field(min_length=1)]
    """Our own id. Every template with this id is rewritten."""
    message_type_id: int
    """Optional in the Swagger; without it a default of the project would decide between marketing and transactional."""
    name: str | None = None
    subject: str | None = None
    preheader_text: str | None = None
    from_email: str | None = None
    """An authorised sender. Whether another is refused here or skipped at the send (`InvalidSender`) is unknown."""
    from_name: str | None = None
    reply_to_email: str | None = None
    cc_emails: list[str] | None = None
    bcc_emails: list[str] | None = None
    html: Annotated[str | None, Field(repr=False)] = None
    plain_text: Annotated[str | None, Field(repr=False)] = None
    locale: str | None = None
    link_params: list[LinkParam] | None = None
    google_analytics_campaign_name: str | None = None
    merge_data_feed_context: bool | None = None
    creator_user_id: str | None = None
    """A project member's address, who is shown as the author."""


class _Language(AnswerModel):
    language_tag: str


class TemplateRef(AnswerModel):
    """A template by its ids. With a `campaign_id` it is that campaign's own copy."""

    template_id: int
    campaign_id: int | None = None
    locales: list[str | _Language] | None = None

    def has(self, locale: str) -> bool:
        """Whether it has content for a locale. Which of `fr_FR` and `fr-fr` Iterable answers with is unknown."""
        tags = [one if isinstance(one, str) else one.language_tag for one in self.locales or []]
        return _plain(locale) in {_plain(tag) for tag in tags}


class TemplateMetadata(AnswerModel):
    """What Iterable knows of a template besides its content."""

    template_id: int
    name: str | None = None
    created_at: Moment | None = None
    updated_at: Moment | None = None
    message_type_id: int | None = None
    campaign_id: int | None = None
    client_template_id: str | None = None


class EmailTemplateDetail(AnswerModel):
    """A template as Iterable holds it."""

    template_id: int
    name: str | None = None
    subject: str | None = None
    preheader_text: str | None = None
    from_email: str | None = None
    from_name: str | None = None
    reply_to_email: str | None = None
    html: Annotated[str | None, Field(repr=False)] = None
    plain_text: Annotated[str | None, Field(repr=False)] = None
    locale: str | None = None
    message_type_id: int | None = None
    client_template_id: str | None = None
    metadata: TemplateMetadata | None = None


class _Preview(Body):
    data_fields: dict[str, JsonValue]


class _Ids(Body):
    ids: Annotated[list[int], Field(min_length=1)]


class _Refs(AnswerModel):
    templates: list[TemplateRef]


class Templates:
    """Limits: 100 reads/s and 10 previews/s for the project (Swagger 1.8); upsert: unknown."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def upsert(self, template: EmailTemplate) -> int:
        """Creates the template or rewrites it; its id. The same content may be written again.

        The answer has the id in prose only. Where it names none or several, the template that belongs to no campaign is
        looked up; an `OddAnswer` where that does not find it, which it may not just after the first write.
        """
        request = Request("POST", "/api/templates/email/upsert", body=template.to_json())
        answer = await self._calls.take(request)
        in_prose = _id_in_prose(answer)
        if in_prose is not None:
            return in_prose
        found = await self._look_up(template.client_template_id)
        if found is None:
            raise odd_answer(request, answer)
        return found

    async def find(self, client_template_id: str) -> list[TemplateRef]:
        """The templates with our id; empty where there is none."""
        query = (("clientTemplateId", client_template_id),)
        request = Request("GET", "/api/templates/getByClientTemplateId", query=query)
        return (await self._calls.get(request, _Refs)).templates

    async def get(self, template_id: int) -> EmailTemplateDetail:
        """The template. Raises `NotFound`, or `Refused` naming `templateId`."""
        request = Request("GET", "/api/templates/email/get", query=(("templateId", template_id),))
        return await self._calls.get(request, EmailTemplateDetail)

    async def preview(self, template_id: int, data_fields: dict[str, JsonValue], *, locale: str | None = None) -> str:
        """The HTML that Iterable renders of it with this data; what is missing renders as nothing. Sends nothing."""
        query: tuple[tuple[str, str | int], ...] = (("templateId", template_id),)
        request = Request(
            "POST",
            "/api/templates/email/preview",
            query=query if locale is None else (*query, ("locale", locale)),
            body=_Preview(data_fields=data_fields).to_json(),
        )
        return await self._calls.read(request, _html)

    async def delete(self, template_ids: Sequence[int]) -> None:
        """Deletes templates that no campaign has; others stay. Deleting again changes nothing."""
        request = Request("POST", "/api/templates/bulkDelete", body=_Ids(ids=list(template_ids)).to_json())
        await self._calls.take(request)

    async def _look_up(self, client_template_id: str) -> int | None:
        # Whatever keeps us from looking, the upsert was taken: its outcome must not read as `NotTaken`.
        try:
            refs = await self.find(client_template_id)
        except IterableError:
            return None
        return min((ref.template_id for ref in refs if ref.campaign_id is None), default=None)


def _plain(locale: str) -> str:
    return locale.replace("_", "-").lower()


def _id_in_prose(answer: Answer) -> int | None:
    """Of `Upserted 1 templates with IDs: 255882` (seen in recorded traffic)."""
    message: Any = answer.fields().get("msg")
    match = _IDS_IN_PROSE.search(message) if isinstance(message, str) else None
    return int(match[1]) if match and not match["more"] else None


def _html(answer: Answer) -> str | None:
    """The body itself, or a JSON string: the Swagger leaves both open."""
    if answer.body is None:
        return None
    if answer.content_type.startswith("application/json"):
        value: Any = answer.json()
        if isinstance(value, str):
            return value
    return answer.text()

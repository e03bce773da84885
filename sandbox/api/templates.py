"""/api/templates"""

from dataclasses import replace
from typing import Any, Final

from starlette.responses import HTMLResponse, Response

from sandbox.api.call import Body, Call, Operation, parse, with_body
from sandbox.api.paging import page
from sandbox.lagged import Lagged
from sandbox.outbox import Message
from sandbox.project import CREATOR
from sandbox.rendering import Rendered, RenderError, as_page, context, render
from sandbox.sending import authorised, tags
from sandbox.templates import DEFAULT_LOCALE, Content, Template, TemplateState, shown
from sandbox.users import as_fields
from sandbox.wire import ApiError, answer, bad_params, check_email, envelope, parse_moment

_CONTENT_FIELDS: Final = (
    "subject",
    "preheaderText",
    "fromEmail",
    "fromName",
    "replyToEmail",
    "ccEmails",
    "bccEmails",
    "html",
    "plainText",
    "googleAnalyticsCampaignName",
    "linkParams",
    "dataFeedIds",
    "dataFeedId",
    "cacheDataFeed",
    "mergeDataFeedContext",
)


class LinkParam(Body):
    key: str
    value: str


class _Content(Body):
    name: str | None = None
    subject: str | None = None
    preheader_text: str | None = None
    from_email: str | None = None
    from_name: str | None = None
    reply_to_email: str | None = None
    cc_emails: list[str] | None = None
    bcc_emails: list[str] | None = None
    html: str | None = None
    plain_text: str | None = None
    google_analytics_campaign_name: str | None = None
    link_params: list[LinkParam] | None = None
    data_feed_ids: list[int] | None = None
    data_feed_id: int | None = None
    cache_data_feed: bool | None = None
    merge_data_feed_context: bool | None = None
    message_type_id: int | None = None
    locale: str | None = None
    is_default_locale: bool | None = None
    creator_user_id: str | None = None

    def content(self) -> dict[str, Any]:
        given = self.given()
        return {name: given[name] for name in _CONTENT_FIELDS if name in given}


class Upsert(_Content):
    client_template_id: str


class Update(_Content):
    template_id: int
    client_template_id: str | None = None
    campaign_data_fields: dict[str, Any] | None = None


class Preview(Body):
    data_fields: dict[str, Any] | None = None
    data_feed: dict[str, Any] | None = None
    fetch_data_feeds: bool | None = None


class Proof(Body):
    template_id: int
    recipient_email: str | None = None
    recipient_user_id: str | None = None
    data_fields: dict[str, Any] | None = None
    locale: str | None = None


class Ids(Body):
    ids: list[int]


# Writing


def upsert(call: Call, body: Upsert) -> Response:
    """Rewrites every template that shares the clientTemplateId, or creates one; the ids are told in prose only."""
    _check(call, body)
    templates = call.project.templates.sharing(body.client_template_id)
    for template in templates:
        _rewrite(call, template, body)
    if not templates:
        templates = [_create(call, body)]
    ids = ", ".join(str(template.id) for template in templates)
    return envelope(f"Upserted {len(templates)} templates with IDs: {ids}")


def update(call: Call, body: Update) -> Response:
    """One template, by its id."""
    _check(call, body)
    template = _require(call, body.template_id)
    _rewrite(call, template, body)
    if body.campaign_data_fields is not None:
        state = replace(template.state.latest, campaign_data_fields=body.campaign_data_fields)
        template.state.write(state, call.now, call.project.settings.lags.templates)
    return envelope(f"Updated template with ID: {template.id}")


def _check(call: Call, body: _Content) -> None:
    if isinstance(body, Upsert) and not body.client_template_id:
        raise bad_params("clientTemplateId must not be empty")
    if body.message_type_id is not None:
        message_type = call.project.message_type(body.message_type_id)
        if message_type is None or message_type.channel.message_medium != "Email":
            raise bad_params("Invalid messageTypeId", {"messageTypeId": str(body.message_type_id)})
    strict = call.project.settings.unauthorised_sender == "upsert"
    if strict and body.from_email is not None and not authorised(call.project, body.from_email):
        raise bad_params("fromEmail is not an authorized sender", {"fromEmail": body.from_email})


def _create(call: Call, body: Upsert) -> Template:
    template_id = call.world.next_id("template")
    state = TemplateState(
        name=body.name or body.client_template_id,
        message_type_id=body.message_type_id or call.project.default_email_type().id,
        creator=body.creator_user_id or CREATOR,
        updated_at=call.now,
        contents={},
    ).with_content(body.locale, body.content())
    visible_at = call.now + call.project.settings.lags.templates
    template = Template(template_id, "Base", body.client_template_id, None, call.now, Lagged(state, visible_at))
    call.project.templates.add(template)
    call.project.templates_written += 1
    return template


def _rewrite(call: Call, template: Template, body: _Content) -> None:
    before = template.state.latest
    after = replace(
        before.with_content(body.locale, body.content()),
        name=body.name or before.name,
        message_type_id=body.message_type_id or before.message_type_id,
        creator=body.creator_user_id or before.creator,
        updated_at=call.now,
    )
    template.state.write(after, call.now, call.project.settings.lags.templates)


def bulk_delete(call: Call, body: Ids) -> Response:
    """Base templates only; one that a campaign owns stays."""
    success: list[int] = []
    failed: list[int] = []
    for template_id in body.ids:
        template = call.project.templates.get(template_id)
        if template is None or template.campaign_id is not None:
            failed.append(template_id)
        else:
            call.project.templates.remove(template)
            success.append(template_id)
    return answer({"success": success, "failed": failed})


# Reading


def get(call: Call) -> Response:
    template = _require(call, call.required_number("templateId"))
    state = template.state.seen(call.now)
    locale = call.text("locale")
    if state is None:
        raise ApiError(404, "NotFound", f"Template ID: {template.id} does not exist for this project")
    content = state.contents.get(locale or DEFAULT_LOCALE)
    if content is None:
        raise ApiError(404, "NotFound", f"Template ID: {template.id} has no content for this locale")
    metadata = shown(template, state)
    body: dict[str, Any] = {
        **content,
        "templateId": template.id,
        "name": state.name,
        "messageTypeId": state.message_type_id,
        "creatorUserId": state.creator,
        "metadata": metadata,
    }
    if template.client_template_id is not None:
        body["clientTemplateId"] = template.client_template_id
    if locale:
        body["locale"] = locale
    if state.campaign_data_fields is not None:
        body["campaignDataFields"] = state.campaign_data_fields
    return answer(body)


def by_client_template_id(call: Call) -> Response:
    """An unknown one is an empty answer, not an error (seen in recorded traffic)."""
    found: list[dict[str, Any]] = []
    for template in call.project.templates.sharing(call.required_text("clientTemplateId")):
        state = template.state.seen(call.now)
        if state is None:
            continue
        locales = [{"languageTag": tag, "displayLanguage": tag} for tag in state.contents if tag]
        entry: dict[str, Any] = {"templateId": template.id, "locales": locales}
        if template.campaign_id is not None:
            entry["campaignId"] = template.campaign_id
        found.append(entry)
    return answer({"templates": found})


def list_all(call: Call) -> Response:
    kind, medium = call.text("templateType"), call.text("messageMedium")
    start, end = call.text("startDateTime"), call.text("endDateTime")
    after = parse_moment(start, "startDateTime") if start else None
    before = parse_moment(end, "endDateTime") if end else None
    visible = [(template, template.state.seen(call.now)) for template in call.project.templates.all()]
    wanted = [
        (template, state)
        for template, state in visible
        if state is not None
        and kind in {None, template.kind}
        and medium in {None, "Email"}
        and (after is None or template.created_at >= after)
        and (before is None or template.created_at < before)
    ]
    chosen, beside = page(
        call,
        wanted,
        {
            "id": lambda pair: pair[0].id,
            "name": lambda pair: pair[1].name,
            "createdAt": lambda pair: pair[0].created_at,
            "updatedAt": lambda pair: pair[1].updated_at,
        },
    )
    templates = [shown(template, state) for template, state in chosen]
    return answer({"templates": templates, "totalTemplatesCount": len(wanted), **beside})


def _require(call: Call, template_id: int) -> Template:
    template = call.project.templates.get(template_id)
    if template is None:
        raise bad_params(f"Template ID: {template_id} does not exist for this project")
    return template


# Rendering


def preview(call: Call) -> Response:
    """The HTML with the given fields in it: a true dry run. A body is optional."""
    body = parse(Preview, call) if call.raw.strip() else Preview()
    template = _require(call, call.required_number("templateId"))
    fields = context(campaign_fields={}, profile={}, request_fields=body.data_fields or {}, tags=tags("preview"))
    return HTMLResponse(as_page(_rendered(call, template, call.text("locale"), fields, body.data_feed or {})))


def _rendered(
    call: Call, template: Template, locale: str | None, fields: dict[str, Any], feed: dict[str, Any]
) -> Rendered:
    state = template.state.seen(call.now)
    content: Content | None = state.content(locale) if state is not None else None
    if content is None:
        raise ApiError(404, "NotFound", f"Template ID: {template.id} does not exist for this project")
    try:
        return render(content, fields, feed)
    except RenderError as error:
        raise bad_params(f"Template could not be rendered: {error}") from None


def proof(call: Call, body: Proof) -> Response:
    """A message without a campaign; no webhook tells of it."""
    template = _require(call, body.template_id)
    if (body.recipient_email is None) == (body.recipient_user_id is None):
        raise bad_params("Exactly one of recipientEmail and recipientUserId is required")
    if body.recipient_email is not None:
        check_email(body.recipient_email)
    user = call.project.users.visible(body.recipient_email, body.recipient_user_id, call.now)
    if user is None and body.recipient_user_id is not None:
        raise ApiError(400, "UnknownUserIdError", f"No user exists with userId {body.recipient_user_id}")
    email = body.recipient_email or (user.latest.email if user is not None else None)
    state = template.state.latest
    message_id = call.world.hex_id()
    profile = as_fields(user, user.latest, call.project.users.project_type) if user is not None else {}
    fields = context(
        campaign_fields=state.campaign_data_fields or {},
        profile=profile,
        request_fields=body.data_fields or {},
        tags=tags(message_id),
    )
    rendered = _rendered(call, template, body.locale, fields, {})
    message_type = call.project.message_type(state.message_type_id)
    message = Message(
        id=message_id,
        project_id=call.project.id,
        campaign_id=None,
        template_id=template.id,
        template_name=state.name,
        message_type_id=state.message_type_id,
        channel_id=message_type.channel.id if message_type is not None else 0,
        email=email,
        user_id=body.recipient_user_id,
        data_fields=body.data_fields or {},
        metadata=None,
        created_at=call.now,
        sent_at=call.now,
        status="sent",
        subject=rendered.subject,
    )
    call.world.outbox.add(message)
    call.world.outbox.keep_body(message, rendered)
    return envelope(f"Sent proof to {email}")


OPERATIONS: Final = (
    Operation("GET", "/api/templates", list_all, read_only=True),
    Operation("GET", "/api/templates/email/get", get, read_only=True),
    Operation("GET", "/api/templates/getByClientTemplateId", by_client_template_id, read_only=True),
    Operation("POST", "/api/templates/email/upsert", with_body(Upsert, upsert)),
    Operation("POST", "/api/templates/email/update", with_body(Update, update)),
    Operation("POST", "/api/templates/email/preview", preview),
    Operation("POST", "/api/templates/email/proof", with_body(Proof, proof)),
    Operation("POST", "/api/templates/bulkDelete", with_body(Ids, bulk_delete)),
)

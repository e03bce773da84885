"""/_sandbox: what Iterable's web app is for, and what no Iterable has: faults, misbehaviour, a look into the outbox.

It asks for no key: the sandbox is a local tool.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any, TypeVar, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox import pages
from sandbox.api.campaigns import start
from sandbox.api.serving import OPERATIONS
from sandbox.channels import Channel, ChannelType, FrequencyCap, MessageMedium
from sandbox.events import EVENT_NAMES, message_block, skip_fields
from sandbox.faults import Fault, FaultSpec
from sandbox.keys import KEY_KINDS, KeyKind, KeyTaken
from sandbox.outbox import Message
from sandbox.project import DataCenter, Project
from sandbox.sending import bounce, complain
from sandbox.settings import Delivery, ProjectSettings
from sandbox.users import ProjectType
from sandbox.webhooks import Webhook, WebhookSpec
from sandbox.wire import ApiError, answer, bad_params, moment
from sandbox.world import World

M = TypeVar("M", bound=BaseModel)
_MESSAGES_SHOWN = 200


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProjectSpec(BaseModel):
    """A new project; every other field is one of its settings."""

    model_config = ConfigDict(extra="allow")

    name: str = "Sandbox"
    data_center: DataCenter = "us"
    type: ProjectType = "hybrid"
    keys: dict[KeyKind, Annotated[str, Field(min_length=8)]] = {}


class ChannelSpec(_Spec):
    name: str
    channel_type: ChannelType = "Marketing"
    message_medium: MessageMedium = "Email"


class CapSpec(_Spec):
    days: Annotated[int, Field(ge=1)]
    messages: Annotated[int, Field(ge=1)]


class MessageTypeSpec(_Spec):
    name: str
    channel_id: int
    opt_in: bool = False
    frequency_cap: CapSpec | None = None
    rate_limit_per_minute: int | None = None


class EventSpec(_Spec):
    """An event to make up: about a message, or about an address. `fields` add to, or replace, what it says."""

    kind: str
    message_id: str | None = None
    email: str | None = None
    user_id: str | None = None
    fields: dict[str, Any] = {}
    # Seconds since the epoch; now where not given.
    at: float | None = None
    # With a message: does what such an event does (a hard bounce unsubscribes), instead of only telling of it.
    with_effects: bool = False


Handler = Callable[[World, Request], Awaitable[Response]]


def routes(world: World) -> list[BaseRoute]:
    handlers: list[tuple[str, str, Handler]] = [
        ("GET", "/_sandbox/projects", _list_projects),
        ("POST", "/_sandbox/projects", _add_project),
        ("GET", "/_sandbox/projects/{project_id:int}", _show_project),
        ("PATCH", "/_sandbox/projects/{project_id:int}", _change_project),
        ("DELETE", "/_sandbox/projects/{project_id:int}", _remove_project),
        ("POST", "/_sandbox/projects/{project_id:int}/webhooks", _add_webhook),
        ("DELETE", "/_sandbox/projects/{project_id:int}/webhooks/{webhook_id:int}", _remove_webhook),
        ("POST", "/_sandbox/projects/{project_id:int}/keys/{kind}", _replace_key),
        ("PUT", "/_sandbox/projects/{project_id:int}/delivery", _set_delivery),
        ("POST", "/_sandbox/projects/{project_id:int}/channels", _add_channel),
        ("POST", "/_sandbox/projects/{project_id:int}/message_types", _add_message_type),
        ("POST", "/_sandbox/projects/{project_id:int}/campaigns/{campaign_id:int}/activate", _press_activate),
        ("POST", "/_sandbox/projects/{project_id:int}/events", _add_event),
        ("GET", "/_sandbox/faults", _list_faults),
        ("POST", "/_sandbox/faults", _add_fault),
        ("DELETE", "/_sandbox/faults", _clear_faults),
        ("DELETE", "/_sandbox/faults/{fault_id:int}", _remove_fault),
        ("GET", "/_sandbox/outbox", _list_outbox),
        ("DELETE", "/_sandbox/outbox", _clear_outbox),
        ("GET", "/_sandbox/outbox/{message_id}", _show_message),
        ("GET", "/_sandbox/outbox/{message_id}/html", _show_html),
        ("GET", "/_sandbox/counts", _counts),
    ]
    return [Route(path, _endpoint(world, handler), methods=[method]) for method, path, handler in handlers]


def _endpoint(world: World, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        try:
            return await handler(world, request)
        except ApiError as error:
            return error.response()

    return serve


# Projects


async def _list_projects(world: World, request: Request) -> Response:
    del request
    return answer({"projects": [project.shown() for project in world.projects.values()]})


async def _add_project(world: World, request: Request) -> Response:
    spec = await _body(ProjectSpec, request)
    if spec.data_center == "eu" and spec.type == "email":
        raise bad_params("Email-based projects do not exist in the EU data centre")
    try:
        project = world.add_project(
            name=spec.name,
            data_center=spec.data_center,
            project_type=spec.type,
            keys=spec.keys,
            settings=_settings(ProjectSettings(), spec.model_extra or {}),
        )
    except KeyTaken:
        raise ApiError(409, "Conflict", "One of these keys exists already") from None
    return answer(project.shown(), 201)


async def _show_project(world: World, request: Request) -> Response:
    return answer(_project(world, request).shown())


async def _change_project(world: World, request: Request) -> Response:
    project = _project(world, request)
    changes = dict(await _object(request))
    name = changes.pop("name", project.name)
    if not isinstance(name, str):
        raise bad_params("name must be a string")
    project.apply(_settings(project.settings, changes))
    project.name = name
    return answer(project.shown())


async def _remove_project(world: World, request: Request) -> Response:
    world.remove_project(_project(world, request))
    return Response(status_code=204)


def _settings(settings: ProjectSettings, changes: dict[str, Any]) -> ProjectSettings:
    limits = changes.get("rate_limits")
    if isinstance(limits, dict):
        unknown = sorted(set(cast("dict[str, Any]", limits)) - {operation.name for operation in OPERATIONS})
        if unknown:
            raise bad_params(f"rate_limits names no endpoint: {', '.join(unknown)}")
    try:
        return settings.patched(changes)
    except ValidationError as error:
        raise _refusal(error) from None


async def _add_webhook(world: World, request: Request) -> Response:
    project = _project(world, request)
    webhook = Webhook.from_spec(world.next_id("webhook"), await _body(WebhookSpec, request))
    project.webhooks[webhook.id] = webhook
    return answer({**webhook.shown(), "events": sorted(webhook.events)}, 201)


async def _remove_webhook(world: World, request: Request) -> Response:
    project = _project(world, request)
    if project.webhooks.pop(request.path_params["webhook_id"], None) is None:
        raise _nothing("webhook")
    return Response(status_code=204)


async def _replace_key(world: World, request: Request) -> Response:
    project = _project(world, request)
    kind = request.path_params["kind"]
    if kind not in KEY_KINDS:
        raise _nothing("kind of key")
    project.keys[kind] = world.keys.replace(project.id, kind)
    return answer(project.shown(), 201)


async def _set_delivery(world: World, request: Request) -> Response:
    project = _project(world, request)
    project.settings = project.settings.model_copy(update={"delivery": await _body(Delivery, request)})
    project.reseed_delivery()
    return answer(project.settings.delivery.model_dump())


async def _add_channel(world: World, request: Request) -> Response:
    project, spec = _project(world, request), await _body(ChannelSpec, request)
    channel = Channel(world.next_id("channel"), spec.name, spec.channel_type, spec.message_medium)
    project.channels.append(channel)
    return answer(channel.shown(), 201)


async def _add_message_type(world: World, request: Request) -> Response:
    project, spec = _project(world, request), await _body(MessageTypeSpec, request)
    channel = project.channel(spec.channel_id)
    if channel is None:
        raise _nothing("channel")
    cap = spec.frequency_cap
    message_type = world.add_message_type(
        project,
        spec.name,
        channel,
        opt_in=spec.opt_in,
        frequency_cap=FrequencyCap(cap.days, cap.messages) if cap is not None else None,
        rate_limit_per_minute=spec.rate_limit_per_minute,
    )
    return answer(message_type.shown(), 201)


async def _press_activate(world: World, request: Request) -> Response:
    """The button of the web app. It works where the API's activation is off, too."""
    project = _project(world, request)
    campaign = project.campaigns.get(request.path_params["campaign_id"])
    if campaign is None:
        raise _nothing("campaign")
    start(world, project, campaign)
    return answer({"campaignId": campaign.id, "campaignState": campaign.version.latest.state})


async def _add_event(world: World, request: Request) -> Response:
    project, spec = _project(world, request), await _body(EventSpec, request)
    if spec.kind not in EVENT_NAMES:
        raise bad_params(f"kind must be one of {', '.join(EVENT_NAMES)}")
    message = _message_of(world, project, spec)
    if spec.with_effects and message is not None and spec.kind in {"emailBounce", "emailComplaint"}:
        if spec.kind == "emailBounce":
            bounce(world, project, message, str(spec.fields.get("recipientState", "HardBounce")))
        else:
            complain(world, project, message)
        return answer({"eventName": spec.kind, "messageId": message.id}, 201)
    at = world.clock.now() if spec.at is None else spec.at
    email = spec.email or (message.email if message is not None else None)
    user_id = spec.user_id or (message.user_id if message is not None else None)
    fields: dict[str, Any] = {"email": email, "createdAt": moment(at)}
    if message is not None:
        fields = skip_fields(message, at) if spec.kind == "emailSendSkip" else message_block(message, at)
    event = world.emit(
        project, spec.kind, {**fields, **spec.fields}, email=email, user_id=user_id, message=message, at=at
    )
    return answer({"eventName": event.name, "dataFields": event.fields}, 201)


def _message_of(world: World, project: Project, spec: EventSpec) -> Message | None:
    if spec.message_id is None:
        if spec.email is None and spec.user_id is None:
            raise bad_params("message_id, email or user_id is required")
        return None
    message = world.outbox.get(spec.message_id)
    if message is None or message.project_id != project.id:
        raise _nothing("message")
    return message


# Faults


async def _list_faults(world: World, request: Request) -> Response:
    del request
    return answer({"faults": [_shown(fault) for fault in world.faults.all()]})


async def _add_fault(world: World, request: Request) -> Response:
    return answer(_shown(world.faults.add(await _body(FaultSpec, request))), 201)


async def _clear_faults(world: World, request: Request) -> Response:
    del request
    world.faults.clear()
    return Response(status_code=204)


async def _remove_fault(world: World, request: Request) -> Response:
    if not world.faults.remove(request.path_params["fault_id"]):
        raise _nothing("fault")
    return Response(status_code=204)


def _shown(fault: Fault) -> dict[str, Any]:
    return {"id": fault.id, **fault.spec.model_dump(), "fired": fault.fired}


# Outbox


async def _list_outbox(world: World, request: Request) -> Response:
    """Newest first. `after` is a messageId: only what was taken since then."""
    messages = _selected(world, request)
    limit = _number(request, "limit") or (_MESSAGES_SHOWN if _wants_page(request) else None)
    shown = messages[:limit]
    if _wants_page(request):
        return HTMLResponse(pages.outbox(shown, len(messages)))
    return answer({"messages": [message.shown() for message in shown], "total": len(messages)})


def _selected(world: World, request: Request) -> list[Message]:
    project_id, campaign_id = _number(request, "project_id"), _number(request, "campaign_id")
    to, after = request.query_params.get("to"), request.query_params.get("after")
    candidates: Iterable[Message]
    if to and project_id is not None:
        candidates = world.outbox.of_person(project_id, email=to, user_id=None)
    elif campaign_id is not None and project_id is not None:
        candidates = world.outbox.of_campaign(project_id, campaign_id)
    else:
        candidates = world.outbox.newest()
    selected: list[Message] = []
    for message in candidates:
        if message.id == after:
            break
        if project_id not in {None, message.project_id} or campaign_id not in {None, message.campaign_id}:
            continue
        if to and (message.email or "").lower() != to.lower():
            continue
        selected.append(message)
    return selected


async def _show_message(world: World, request: Request) -> Response:
    message = _message(world, request)
    if _wants_page(request):
        return HTMLResponse(pages.message(message))
    return answer(message.shown())


async def _show_html(world: World, request: Request) -> Response:
    """The HTML itself, for the frame of the page. It may come from anybody, so nothing in it may run."""
    message = _message(world, request)
    html = message.rendered.html if message.rendered is not None else ""
    policy = "sandbox; default-src 'none'; img-src * data:; style-src 'unsafe-inline' *; font-src *"
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


async def _clear_outbox(world: World, request: Request) -> Response:
    return answer({"deleted": world.outbox.clear(_number(request, "project_id"))})


def _message(world: World, request: Request) -> Message:
    message = world.outbox.get(request.path_params["message_id"])
    if message is None:
        raise _nothing("message")
    return message


# Counts


async def _counts(world: World, request: Request) -> Response:
    project_id = _number(request, "project_id")
    projects = [project for project in world.projects.values() if project_id in {None, project.id}]
    requests: dict[str, int] = {}
    for project in projects:
        for name, count in project.requests.items():
            requests[name] = requests.get(name, 0) + count
    return answer(
        {
            "templates_written": sum(project.templates_written for project in projects),
            "templates": sum(len(project.templates) for project in projects),
            "campaigns": sum(len(project.campaigns) for project in projects),
            "messages": sum(1 for message in world.outbox if project_id in {None, message.project_id}),
            "events": sum(len(project.events) for project in projects),
            "requests": requests,
            "webhooks": {
                name: sum(project.deliveries[name] for project in projects)
                for name in ("sent", "failed", "dropped", "retried", "pending")
            },
        }
    )


# Reading requests


def _project(world: World, request: Request) -> Project:
    project = world.projects.get(request.path_params["project_id"])
    if project is None:
        raise _nothing("project")
    return project


def _nothing(what: str) -> ApiError:
    return ApiError(404, "NotFound", f"There is no such {what}")


def _number(request: Request, name: str) -> int | None:
    value = request.query_params.get(name)
    try:
        return int(value) if value else None
    except ValueError:
        raise bad_params(f"{name} must be a number") from None


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("Accept", "")


async def _body(model: type[M], request: Request) -> M:
    try:
        return model.model_validate(await _object(request))
    except ValidationError as error:
        raise _refusal(error) from None


async def _object(request: Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.body() or b"{}")
    except orjson.JSONDecodeError:
        raise bad_params("The body is not JSON") from None
    if not isinstance(body, dict):
        raise bad_params("The body is not an object")
    return cast("dict[str, Any]", body)


def _refusal(error: ValidationError) -> ApiError:
    problems = {".".join(str(part) for part in one["loc"]): one["msg"] for one in error.errors()}
    return bad_params("; ".join(f"{where}: {what}" for where, what in problems.items()), problems)

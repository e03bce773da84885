"""/api/campaigns"""

from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from sandbox.api.call import Body, Call, Operation, with_body
from sandbox.api.paging import page
from sandbox.campaigns import Campaign, CampaignState, CampaignVersion, shown
from sandbox.lagged import Lagged
from sandbox.project import CREATOR, Project
from sandbox.rendering import RenderError, bake
from sandbox.sending import Order, accept
from sandbox.templates import Content, Template, TemplateKind
from sandbox.wire import ApiError, answer, bad_params, envelope, parse_moment
from sandbox.world import World

_FARTHEST_BLAST_SECONDS: Final = 21 * 86_400


class Create(Body):
    name: str
    template_id: int
    list_ids: list[int] | None = None
    campaign_data_fields: dict[str, Any] | None = None
    data_fields: dict[str, Any] | None = None
    suppression_list_ids: list[int] | None = None
    send_at: str | None = None
    send_mode: str | None = None
    start_time_zone: str | None = None
    default_time_zone: str | None = None
    schedule_send: bool | None = None


class CampaignId(Body):
    campaign_id: int


class CampaignIds(Body):
    campaign_ids: list[int]


# Creating


def create(call: Call, body: Create) -> Response:
    """The campaign gets a copy of the template. A repeat makes another campaign: nothing is matched by name."""
    if body.list_ids == []:
        # Omitting the key makes a triggered campaign; an empty list is refused (seen in recorded traffic).
        raise bad_params("The listIds field must be specified")
    template = call.project.templates.get(body.template_id)
    if template is None:
        raise bad_params("Invalid templateId", {"templateId": str(body.template_id)})
    for list_id in (*(body.list_ids or ()), *(body.suppression_list_ids or ())):
        call.project.lists.require(list_id)
    starts_at = _starts_at(call, body)
    campaign = _add(call, body, template)
    if campaign.is_blast and body.schedule_send is not False:
        call.world.spawn(_blast(call.world, call.project, campaign, starts_at))
    return answer({"campaignId": campaign.id})


def _starts_at(call: Call, body: Create) -> float:
    if body.send_at is None:
        return call.now
    at = parse_moment(body.send_at, "sendAt")
    if at > call.now + _FARTHEST_BLAST_SECONDS:
        raise bad_params("sendAt is too far in the future")
    return at


def _add(call: Call, body: Create, template: Template) -> Campaign:
    now = call.now
    campaign_id = call.world.next_id("campaign")
    copy = _copy(call, body, template, campaign_id)
    state: CampaignState = "Ready" if _is_complete(copy) else "Draft"
    campaign = Campaign(
        id=campaign_id,
        name=body.name,
        template_id=copy.id,
        created_at=now,
        creator=CREATOR,
        data_fields=body.campaign_data_fields or {},
        version=Lagged(CampaignVersion(state, now), now + call.project.settings.lags.campaigns),
        list_ids=tuple(body.list_ids or ()),
        suppression_list_ids=tuple(body.suppression_list_ids or ()),
    )
    call.project.templates.add(copy)
    call.project.campaigns.add(campaign)
    return campaign


def _copy(call: Call, body: Create, template: Template, campaign_id: int) -> Template:
    kind: TemplateKind = "Blast" if body.list_ids else "Triggered"
    keeps = call.project.settings.copy_keeps_client_template_id
    state = replace(template.state.latest, updated_at=call.now)
    if body.data_fields is not None:
        try:
            baked = {locale: bake(content, body.data_fields) for locale, content in state.contents.items()}
        except RenderError as error:
            raise bad_params(f"Template could not be rendered: {error}") from None
        state = replace(state, contents=baked)
    return Template(
        id=call.world.next_id("template"),
        kind=kind,
        client_template_id=template.client_template_id if keeps else None,
        campaign_id=campaign_id,
        created_at=call.now,
        state=Lagged(state, call.now + call.project.settings.lags.templates),
    )


def _is_complete(template: Template) -> bool:
    def whole(content: Content) -> bool:
        has_body = bool(content.get("html") or content.get("plainText"))
        return bool(content.get("subject")) and bool(content.get("fromEmail")) and has_body

    contents = template.state.latest.contents
    return bool(contents) and all(whole(content) for content in contents.values())


async def _blast(world: World, project: Project, campaign: Campaign, starts_at: float) -> None:
    """Sends to everybody on the lists, who is on no suppression list."""
    if starts_at > world.clock.now():
        _move(world, project, campaign, "Scheduled")
        await world.clock.sleep(starts_at - world.clock.now())
    if campaign.version.latest.state in {"Aborted", "Archived"}:
        return
    _move(world, project, campaign, "Running")
    suppressed = {user for one in campaign.suppression_list_ids for user in project.lists.require(one).members}
    members = [user for one in campaign.list_ids for user in project.lists.require(one).members]
    for user in dict.fromkeys(members):
        if user not in suppressed:
            accept(world, project, Order(campaign, user, {}, is_blast=True))
    _move(world, project, campaign, "Finished")


# Living


def activate(call: Call, body: CampaignId) -> Response:
    if call.project.settings.activation_looks_at_campaign_first:
        _require(call, body.campaign_id)
    _require_activation(call)
    start(call.world, call.project, _require(call, body.campaign_id))
    return envelope(f"Campaign {body.campaign_id} activated")


def deactivate(call: Call, body: CampaignId) -> Response:
    _require_activation(call)
    campaign = _require(call, body.campaign_id)
    if campaign.version.latest.state != "Running":
        raise bad_params("Campaign is not running", {"campaignId": str(campaign.id)})
    _move(call.world, call.project, campaign, "Finished")
    return envelope(f"Campaign {campaign.id} deactivated")


def start(world: World, project: Project, campaign: Campaign) -> None:
    """Makes a triggered campaign run, as the API's activation or the web app's button does. It shows after a lag."""
    state = campaign.version.latest.state
    again = state == "Finished" and project.settings.reactivation_enabled
    if campaign.is_blast or not (state in {"Ready", "Running"} or again):
        raise bad_params("Campaign cannot be activated", {"campaignId": str(campaign.id), "campaignState": state})
    if state != "Running":
        _move(world, project, campaign, "Running")


def _require_activation(call: Call) -> None:
    if not call.project.settings.activation_enabled:
        raise ApiError(403, "Forbidden", "This feature is not enabled for the project. Ask your CSM.")


def archive(call: Call, body: CampaignIds) -> Response:
    """Running campaigns are aborted, scheduled ones cancelled. Only the web app brings one back."""
    success: list[int] = []
    failed: list[int] = []
    for campaign_id in body.campaign_ids:
        campaign = call.project.campaigns.visible(campaign_id, call.now)
        if campaign is None:
            failed.append(campaign_id)
            continue
        _move(call.world, call.project, campaign, "Archived")
        success.append(campaign_id)
    return answer({"success": success, "failed": failed})


def abort(call: Call, body: CampaignId) -> Response:
    campaign = _require(call, body.campaign_id)
    if campaign.version.latest.state not in {"Running", "Scheduled"}:
        raise bad_params("Campaign is not running", {"campaignId": str(campaign.id)})
    _move(call.world, call.project, campaign, "Aborted")
    return envelope(f"Campaign {campaign.id} aborted")


def _move(world: World, project: Project, campaign: Campaign, state: CampaignState) -> None:
    now, before = world.clock.now(), campaign.version.latest
    starts = state == "Running"
    ended_at = None if starts else now if state in {"Finished", "Aborted", "Archived"} else before.ended_at
    version = CampaignVersion(state, now, now if starts else before.started_at, ended_at)
    campaign.version.write(version, now, project.settings.lags.activation)


def _require(call: Call, campaign_id: int) -> Campaign:
    """One that was created a moment ago does not exist yet, even for a write."""
    campaign = call.project.campaigns.visible(campaign_id, call.now)
    if campaign is None:
        raise bad_params("Invalid campaign id", {"campaignId": str(campaign_id)})
    return campaign


# Reading


def get(call: Call) -> Response:
    campaign_id = call.path_number("id")
    campaign = call.project.campaigns.get(campaign_id)
    version = campaign.version.seen(call.now) if campaign is not None else None
    if campaign is None or version is None:
        raise ApiError(404, "NotFound", f"Campaign {campaign_id} does not exist")
    return answer(shown(campaign, version))


def list_all(call: Call) -> Response:
    states = set(call.texts("campaignState"))
    visible = [(campaign, campaign.version.seen(call.now)) for campaign in call.project.campaigns.all()]
    wanted = [
        (campaign, version)
        for campaign, version in visible
        if version is not None and (not states or version.state in states)
    ]
    chosen, beside = page(
        call,
        wanted,
        {
            "id": lambda pair: pair[0].id,
            "name": lambda pair: pair[0].name,
            "createdAt": lambda pair: pair[0].created_at,
            "updatedAt": lambda pair: pair[1].updated_at,
            "startAt": lambda pair: pair[1].started_at or 0.0,
        },
    )
    campaigns = [shown(campaign, version) for campaign, version in chosen]
    return answer({"campaigns": campaigns, "totalCampaignsCount": len(wanted), **beside})


OPERATIONS: Final = (
    Operation("GET", "/api/campaigns", list_all, read_only=True),
    Operation("POST", "/api/campaigns/create", with_body(Create, create)),
    Operation("POST", "/api/campaigns/activateTriggered", with_body(CampaignId, activate)),
    Operation("POST", "/api/campaigns/deactivateTriggered", with_body(CampaignId, deactivate)),
    Operation("POST", "/api/campaigns/archive", with_body(CampaignIds, archive)),
    Operation("POST", "/api/campaigns/abort", with_body(CampaignId, abort)),
    Operation("GET", "/api/campaigns/{id}", get, read_only=True),
)

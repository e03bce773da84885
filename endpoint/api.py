"""The API that GenieOS reads: sends, timelines, suppressions, the connector; and templates put in ahead of sends."""

import hmac
from collections.abc import Awaitable, Callable

from pydantic import BaseModel, SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from activities.checks import check_tags
from activities.fingerprints import template_ref
from activities.literals import as_meant
from activities.suppressing import Path, entry_of
from contracts.broadcast import RecipientPage
from contracts.connector import ConnectorStatus
from contracts.errors import ConnectorError, ErrorCode
from contracts.event import TimelinePage
from contracts.received import refusal_of
from contracts.shadow import ShadowPage
from contracts.suppression import SuppressionPage
from contracts.template import Template
from endpoint.body import read_body
from images.assets import AssetsUnavailable
from images.hosting import ImageHost
from store.recipients import STATUSES
from store.store import Store

_LARGEST_PAGE = 1_000
_LARGEST_CURSOR = 2**63
_MAX_TEMPLATE_BYTES = 16_000_000  # the images a template may have, as base64, and its HTML
_STATUS = {ErrorCode.TEMPLATE_TOO_LARGE: 413, ErrorCode.ASSETS_UNAVAILABLE: 503}
Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """Read by bearer token; answers are contracts."""

    def __init__(self, store: Store, admin_token: SecretStr | None, images: ImageHost) -> None:
        self._store = store
        self._images = images
        self._admin_token = admin_token

    def guarded(self, handler: Handler) -> Handler:
        """The handler behind the bearer token."""

        async def guard(request: Request) -> Response:
            if self._admin_token is None:
                return _problem(503, "api_disabled", "Set CONNECTOR_ADMIN_TOKEN to open this API.")
            scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
            fits = hmac.compare_digest(offered.encode(), self._admin_token.get_secret_value().encode())
            if scheme.lower() != "bearer" or not fits:
                return _problem(401, "unauthorised", "Send the admin token as a bearer token.")
            return await handler(request)

        return guard

    async def send(self, request: Request) -> Response:
        """`GET /v1/workspaces/{ws}/sends/{send_id}`: a `SendResult` with all events so far."""
        workspace_id, send_id = request.path_params["workspace_id"], request.path_params["send_id"]
        async with self._store.read() as tx:
            row = await tx.sends.get(workspace_id, send_id)
            events = await tx.events.of_sends(workspace_id, [send_id])
        if row is None:
            return _problem(404, "not_found", "No send with this id has reached the ledger.")
        return _model(row.result(events.get(send_id, [])))

    async def timeline(self, request: Request) -> Response:
        """`GET /v1/workspaces/{ws}/timeline?after=CURSOR&limit=N&send_id=…`: a `TimelinePage`."""
        window = _window(request)
        if isinstance(window, Response):
            return window
        after, limit = window
        async with self._store.read() as tx:
            entries = await tx.events.page(
                request.path_params["workspace_id"], after, limit, request.query_params.get("send_id")
            )
        return _model(TimelinePage(entries=entries, next_cursor=entries[-1].cursor if entries else after))

    async def broadcast(self, request: Request) -> Response:
        """`GET /v1/workspaces/{ws}/broadcasts/{broadcast_id}`: a `BroadcastProgress`, exact to the last transaction;
        rate and time left are the run's to tell (its query `progress`)."""
        workspace_id, broadcast_id = request.path_params["workspace_id"], request.path_params["broadcast_id"]
        async with self._store.read() as tx:
            row = await tx.broadcasts.get(workspace_id, broadcast_id)
            lanes = await tx.broadcasts.lanes(workspace_id, broadcast_id)
        if row is None:
            return _problem(404, "not_found", "There is no broadcast with this id.")
        return _model(row.progress(lanes.values()))

    async def recipients(self, request: Request) -> Response:
        """`GET /v1/workspaces/{ws}/broadcasts/{broadcast_id}/recipients?status=…&after=CURSOR&limit=N`: a
        `RecipientPage`. A page is read anew at any time: a recipient's status moves on with its events."""
        window = _window(request)
        if isinstance(window, Response):
            return window
        after, limit = window
        status = request.query_params.get("status")
        if status is not None and status not in STATUSES:
            return _problem(400, "request_invalid", f"status is one of {', '.join(STATUSES)}.")
        workspace_id, broadcast_id = request.path_params["workspace_id"], request.path_params["broadcast_id"]
        async with self._store.read() as tx:
            known = await tx.broadcasts.get(workspace_id, broadcast_id)
            entries = await tx.recipients.page(workspace_id, broadcast_id, after, limit, status)
        if known is None:
            return _problem(404, "not_found", "There is no broadcast with this id.")
        return _model(RecipientPage(entries=entries, next_cursor=entries[-1].row if len(entries) == limit else None))

    async def suppressions(self, request: Request) -> Response:
        """`GET /v1/workspaces/{ws}/suppressions?after=CURSOR&limit=N`: a `SuppressionPage`, lifted ones included, so
        that a reader hears of a lift too."""
        window = _window(request)
        if isinstance(window, Response):
            return window
        after, limit = window
        workspace_id = request.path_params["workspace_id"]
        async with self._store.read() as tx:
            row = await tx.connectors.get(workspace_id)
            found = await tx.suppressions.page(workspace_id, after, limit)
        if row is None:
            return _problem(404, "connector_not_installed", "This workspace has no connector.")
        paths = Path.all_of(row.settings, row.catalog)
        entries = [entry_of(workspace_id, one, paths) for one in found]
        return _model(SuppressionPage(entries=entries, next_cursor=entries[-1].cursor if entries else after))

    async def connector(self, request: Request) -> Response:
        """`GET /v1/workspaces/{ws}/connector`: a `ConnectorStatus`."""
        async with self._store.read() as tx:
            row = await tx.connectors.get(request.path_params["workspace_id"])
        if row is None:
            return _problem(404, "connector_not_installed", "This workspace has no connector.")
        return _model(
            ConnectorStatus(
                workspace_id=row.workspace_id,
                state=row.state,
                reason=row.reason,
                settings=row.settings,
                changed_at=row.changed_at,
            )
        )

    async def preview(self, request: Request) -> Response:
        """`GET /v1/workspaces/{ws}/previews/{send_id}`: the `Preview` that a dry run made."""
        async with self._store.read() as tx:
            found = await tx.previews.get(request.path_params["workspace_id"], request.path_params["send_id"])
        if found is None:
            return _problem(404, "not_found", "No dry run of this id made a preview within the last week.")
        return _model(found)

    async def shadows(self, request: Request) -> Response:
        """`GET /v1/workspaces/{ws}/shadows?after=FINGERPRINT&limit=N`: a `ShadowPage`."""
        query = request.query_params
        limit = query.get("limit", "100")
        if not limit.isdecimal() or not 1 <= int(limit) <= _LARGEST_PAGE:
            return _problem(400, "request_invalid", f"limit is a whole number from 1 to {_LARGEST_PAGE}.")
        async with self._store.read() as tx:
            found = await tx.shadows.page(request.path_params["workspace_id"], query.get("after", ""), int(limit))
        return _model(ShadowPage(shadows=found, next_after=found[-1].fingerprint if len(found) == int(limit) else None))

    async def shadow(self, request: Request) -> Response:
        """`GET /v1/workspaces/{ws}/shadows/{fingerprint}`: a `KnownShadow`."""
        async with self._store.read() as tx:
            found = await tx.shadows.get(request.path_params["workspace_id"], request.path_params["fingerprint"])
        if found is None:
            return _problem(404, "not_found", "This content has no shadow: it was not sent yet, or is archived.")
        return _model(found)

    async def put_template(self, request: Request) -> Response:
        """`PUT /v1/workspaces/{ws}/templates` with a `Template`: its `template_ref`, for small sends, and `warnings`.

        Its merge tags are parsed and its images hosted here and now, so that what is wrong with them shows before
        anything is sent.
        """
        workspace_id = request.path_params["workspace_id"]
        async with self._store.read() as tx:
            if await tx.connectors.get(workspace_id) is None:
                return _problem(404, "connector_not_installed", "This workspace has no connector.")
        body = await read_body(request, _MAX_TEMPLATE_BYTES)
        if body is None:
            return _problem(413, "template_too_large", f"A template may have {_MAX_TEMPLATE_BYTES} bytes.")
        try:
            content = Template.model_validate_json(body)
        except ValidationError as error:
            refusal = refusal_of(error)
            return _problem(400, "template_invalid", str(refusal))
        try:
            meant = as_meant(content)
            warnings = check_tags(meant)
            hosted = await self._images.host(meant)
        except ConnectorError as error:
            return _problem(_STATUS.get(error.code, 400), error.code, str(error))
        except AssetsUnavailable as error:
            return _problem(503, ErrorCode.ASSETS_UNAVAILABLE, f"{error}. Try again.")
        ref = template_ref(hosted.template)
        async with self._store.begin() as tx:
            await tx.templates.put(workspace_id, ref, hosted.template)
        told = [warning.model_dump(mode="json") for warning in [*warnings, *hosted.warnings]]
        return JSONResponse({"template_ref": ref, "warnings": told})


def _window(request: Request) -> tuple[int, int] | Response:
    """The cursor and the size of the page that is asked for, or the refusal."""
    try:
        after = int(request.query_params.get("after", "0"))
        limit = min(int(request.query_params.get("limit", "100")), _LARGEST_PAGE)
    except ValueError:
        return _problem(400, "request_invalid", "after and limit are whole numbers.")
    if not 0 <= after < _LARGEST_CURSOR or limit < 1:
        return _problem(400, "request_invalid", "after is a cursor of an earlier answer or 0, limit 1 or more.")
    return after, limit


def _model(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json")


def _problem(status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "message": message}, status_code=status)

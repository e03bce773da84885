"""What GenieOS reads: sends, timelines, suppressions; and templates that it puts in ahead of sends."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from activities.checks import check_tags
from activities.fingerprints import template_ref
from activities.literals import as_meant
from activities.suppressing import Path, entry_of
from contracts.broadcast import BroadcastId, BroadcastProgress, RecipientPage
from contracts.errors import ApiCode, ConnectorError, ErrorCode
from contracts.event import TimelinePage
from contracts.model import SendId, Sha256, WorkspaceId
from contracts.preview import Preview
from contracts.send import SendResult, SendWarning
from contracts.shadow import KnownShadow, ShadowPage
from contracts.suppression import SuppressionPage
from contracts.template import Template
from endpoint.problems import BODY_RESPONSES, NOT_INSTALLED, RESPONSES, Problem
from images.assets import AssetsUnavailable
from images.hosting import ImageHost
from store.connectors import ConnectorRow
from store.recipients import STATUSES
from store.store import Store, Transaction

After = Annotated[int, Query(ge=0, lt=2**63, description="A cursor of an earlier answer, or 0.")]
Limit = Annotated[int, Query(ge=1, le=1_000)]


_STATUS = {ErrorCode.TEMPLATE_TOO_LARGE: 413, ErrorCode.ASSETS_UNAVAILABLE: 503}


_NO_BROADCAST = Problem(404, ApiCode.NOT_FOUND, "There is no broadcast with this id.")


class TemplateRef(BaseModel):
    """Names a template that the connector holds."""

    template_ref: str
    warnings: list[SendWarning]


def routes(store: Store, images: ImageHost) -> APIRouter:
    """Everything that only reads, and templates."""
    router = APIRouter(prefix="/v1/workspaces/{workspace_id}", tags=["reading"], responses=RESPONSES)

    @router.get("/sends/{send_id}")
    async def send(workspace_id: WorkspaceId, send_id: SendId) -> SendResult:  # pyright: ignore[reportUnusedFunction]
        """One send with all events so far."""
        async with store.read() as tx:
            row = await tx.sends.get(workspace_id, send_id)
            events = await tx.events.of_sends(workspace_id, [send_id])
        if row is None:
            raise Problem(404, ApiCode.NOT_FOUND, "No send with this id has reached the ledger.")
        return row.result(events.get(send_id, []))

    @router.get("/timeline")
    async def timeline(  # pyright: ignore[reportUnusedFunction]
        workspace_id: WorkspaceId, after: After = 0, limit: Limit = 100, send_id: SendId | None = None
    ) -> TimelinePage:
        """The workspace's feed of events, by cursor; or one send's."""
        async with store.read() as tx:
            await _installed(tx, workspace_id)
            entries = await tx.events.page(workspace_id, after, limit, send_id)
        return TimelinePage(entries=entries, next_cursor=entries[-1].cursor if entries else after)

    @router.get("/broadcasts/{broadcast_id}")
    async def broadcast(workspace_id: WorkspaceId, broadcast_id: BroadcastId) -> BroadcastProgress:  # pyright: ignore[reportUnusedFunction]
        """How far a broadcast has come, exact to the last transaction; rate and time left are the run's to tell (its
        query `progress`)."""
        async with store.read() as tx:
            row = await tx.broadcasts.get(workspace_id, broadcast_id)
            lanes = await tx.broadcasts.lanes(workspace_id, broadcast_id)
        if row is None:
            raise _NO_BROADCAST
        return row.progress(lanes.values())

    @router.get("/broadcasts/{broadcast_id}/recipients")
    async def recipients(  # pyright: ignore[reportUnusedFunction]
        workspace_id: WorkspaceId,
        broadcast_id: BroadcastId,
        after: After = 0,
        limit: Limit = 100,
        status: str | None = None,
    ) -> RecipientPage:
        """A broadcast's recipients. A page is read anew at any time: a recipient's status moves on with its events."""
        if status is not None and status not in STATUSES:
            raise Problem(400, ErrorCode.REQUEST_INVALID, f"status is one of {', '.join(STATUSES)}.")
        async with store.read() as tx:
            known = await tx.broadcasts.get(workspace_id, broadcast_id)
            entries = await tx.recipients.page(workspace_id, broadcast_id, after, limit, status)
        if known is None:
            raise _NO_BROADCAST
        return RecipientPage(entries=entries, next_cursor=entries[-1].row if len(entries) == limit else None)

    @router.get("/suppressions")
    async def suppressions(  # pyright: ignore[reportUnusedFunction]
        workspace_id: WorkspaceId, after: After = 0, limit: Limit = 100
    ) -> SuppressionPage:
        """Who must not be sent to, by cursor; lifted ones included, so that a reader hears of a lift too."""
        async with store.read() as tx:
            row = await _installed(tx, workspace_id)
            found = await tx.suppressions.page(workspace_id, after, limit)
        paths = Path.all_of(row.settings, row.catalog)
        entries = [entry_of(workspace_id, one, paths) for one in found]
        return SuppressionPage(entries=entries, next_cursor=entries[-1].cursor if entries else after)

    @router.get("/previews/{send_id}")
    async def preview(workspace_id: WorkspaceId, send_id: SendId) -> Preview:  # pyright: ignore[reportUnusedFunction]
        """What a dry run made."""
        async with store.read() as tx:
            found = await tx.previews.get(workspace_id, send_id)
        if found is None:
            raise Problem(404, ApiCode.NOT_FOUND, "No dry run of this id made a preview within the last week.")
        return found

    @router.get("/shadows")
    async def shadows(  # pyright: ignore[reportUnusedFunction]
        workspace_id: WorkspaceId, after: Sha256 | Literal[""] = "", limit: Limit = 100
    ) -> ShadowPage:
        """Which campaign in Iterable stands for which content, in the order of their fingerprints."""
        async with store.read() as tx:
            await _installed(tx, workspace_id)
            found = await tx.shadows.page(workspace_id, after, limit)
        return ShadowPage(shadows=found, next_after=found[-1].fingerprint if len(found) == limit else None)

    @router.get("/shadows/{fingerprint}")
    async def shadow(workspace_id: WorkspaceId, fingerprint: Sha256) -> KnownShadow:  # pyright: ignore[reportUnusedFunction]
        """The campaign that stands for one content."""
        async with store.read() as tx:
            found = await tx.shadows.get(workspace_id, fingerprint)
        if found is None:
            raise Problem(404, ApiCode.NOT_FOUND, "This content has no shadow: it was not sent yet, or is archived.")
        return found

    @router.put("/templates", responses=BODY_RESPONSES)
    async def put_template(workspace_id: WorkspaceId, content: Template) -> TemplateRef:  # pyright: ignore[reportUnusedFunction]
        """Keeps a template; its `template_ref`, for small sends, and `warnings`.

        Its merge tags are parsed and its images hosted here and now, so that what is wrong with them shows before
        anything is sent.
        """
        async with store.read() as tx:
            await _installed(tx, workspace_id)
        try:
            meant = as_meant(content)
            told = check_tags(meant)
            hosted = await images.host(meant)
        except ConnectorError as error:
            raise Problem(_STATUS.get(error.code, 400), error.code, str(error)) from None
        except AssetsUnavailable as error:
            raise Problem(503, ErrorCode.ASSETS_UNAVAILABLE, f"{error}. Try again.") from None
        ref = template_ref(hosted.template)
        async with store.begin() as tx:
            await tx.templates.put(workspace_id, ref, hosted.template)
        return TemplateRef(template_ref=ref, warnings=[*told, *hosted.warnings])

    return router


async def _installed(tx: Transaction, workspace_id: str) -> ConnectorRow:
    """A mistyped workspace must not look like one of which there is nothing to tell."""
    row = await tx.connectors.get(workspace_id)
    if row is None:
        raise NOT_INSTALLED
    return row

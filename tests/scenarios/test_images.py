"""A template with images of its own, from GenieOS to the recipient's mail program."""

import asyncio
import hashlib

import httpx
import pytest

from cli.sending import send_accepted, start_send
from contracts.send import CancelAnswer
from tests.images.samples import GIF, b64, png
from tests.stage import TEMPLATE, Project

pytestmark = pytest.mark.scenario

HTML = '<p>Hi {{first_name}}</p><img src="cid:logo"><td background="data:image/gif;base64,' + b64(GIF) + '">'
IMAGES = [{"content_id": "logo", "media_type": "image/png", "data": b64(png(7))}]


async def test_the_recipient_gets_hosted_images_and_the_content_one_shadow(project: Project) -> None:
    stage = project.stage
    prefix = f"{stage.endpoint_url}/assets"
    logo, background = (f"{prefix}/{hashlib.sha256(data).hexdigest()}" for data in (png(7), GIF))
    carried = {**TEMPLATE.model_dump(), "html": HTML, "inline_images": IMAGES}
    first = project.request(template=carried)
    handle = await start_send(stage.client, stage.settings.task_queue, first)
    result = await handle.result()
    assert (result.status, [warning.code for warning in result.warnings]) == ("sent", [])
    (message,) = await project.outbox()
    assert message["html"] == (f'<p>Hi Ann</p><img src="{logo}.png"><td background="{background}.gif">')
    async with httpx.AsyncClient() as recipient:
        loaded = await recipient.get(f"{logo}.png")
    assert (loaded.content, loaded.headers["content-type"]) == (png(7), "image/png")

    # The ref stands for the hosted content; content that was hosted already is the same content.
    hosted = HTML.replace("cid:logo", f"{logo}.png").replace(f"data:image/gif;base64,{b64(GIF)}", f"{background}.gif")
    for template in (
        {"template_ref": result.template_ref, "template": None},
        {"template": {**carried, "html": hosted}},
    ):
        again = await send_accepted(
            stage.client, stage.settings.task_queue, project.request("bob@example.com", **template)
        )
        assert again.fingerprint == result.fingerprint
    assert (await project.counts())["templates_written"] == 1


async def test_a_send_can_be_cancelled_while_the_store_of_images_is_away(project: Project) -> None:
    stage = project.stage
    folder, aside = stage.folder / "assets", stage.folder / "assets-aside"
    folder.mkdir(exist_ok=True)
    folder.rename(aside)
    folder.touch()  # no folder to write into
    try:
        unseen = [{**IMAGES[0], "data": b64(png(8))}]
        request = project.request(template={**TEMPLATE.model_dump(), "html": HTML, "inline_images": unseen})
        handle = await start_send(stage.client, stage.settings.task_queue, request)
        async with asyncio.timeout(60):
            while [one.attempt for one in (await handle.describe()).raw_description.pending_activities] < [2]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        answer = await asyncio.wait_for(handle.execute_update("cancel", result_type=CancelAnswer), 60)
        assert answer.cancelled
        assert (await handle.result()).status == "cancelled"
    finally:
        folder.unlink()
        aside.rename(folder)

"""Templates: above all, an id that Iterable gives in prose."""

import httpx
import pytest

from iterable.client import IterableClient
from iterable.errors import NotFound, OddAnswer
from iterable.templates import EmailTemplate
from tests.iterable.conftest import Wire

TEMPLATE = EmailTemplate(client_template_id="genieos-1", message_type_id=7, html="<p>")
FOUND = {"templates": [{"templateId": 8, "campaignId": 3}, {"templateId": 7}, {"templateId": 6, "campaignId": 2}]}


def prose(text: object) -> dict[str, object]:
    return {"msg": text, "code": "Success", "params": None}


async def test_the_id_is_read_from_prose(client: IterableClient, wire: Wire) -> None:
    wire.answers(json=prose("Upserted 1 templates with IDs: 255882"))
    assert await client.templates.upsert(TEMPLATE) == 255882
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    "text", ["Upserted 3 templates with IDs: 6, 7, 8", "Upserted 3 templates with IDs: 6,7", "Done.", "", None, 7]
)
async def test_without_one_id_in_prose_the_template_of_no_campaign_is_looked_up(
    text: object, client: IterableClient, wire: Wire
) -> None:
    wire.answers(json=prose(text))
    wire.answers(json=FOUND)
    assert await client.templates.upsert(TEMPLATE) == 7
    assert wire.last.url.params["clientTemplateId"] == "genieos-1"


async def test_not_found_by_either_way_is_an_unknown_outcome(client: IterableClient, wire: Wire) -> None:
    wire.answers(text="<html>")
    wire.answers(json={"templates": []})
    with pytest.raises(OddAnswer) as caught:
        await client.templates.upsert(TEMPLATE)
    assert caught.value.operation == "POST /api/templates/email/upsert"


async def test_a_look_up_that_fails_does_not_make_the_upsert_look_not_taken(client: IterableClient, wire: Wire) -> None:
    wire.answers(json=prose("?"))
    wire.fails(httpx.ConnectError("down"))
    with pytest.raises(OddAnswer) as caught:
        await client.templates.upsert(TEMPLATE)
    assert caught.value.__context__ is None


async def test_copies_name_their_campaign(client: IterableClient, wire: Wire) -> None:
    wire.answers(json=FOUND)
    refs = await client.templates.find("genieos-1")
    assert [(ref.template_id, ref.campaign_id) for ref in refs] == [(8, 3), (7, None), (6, 2)]


async def test_the_content_is_read_leniently(client: IterableClient, wire: Wire) -> None:
    wire.answers(
        json={
            "templateId": 7,
            "html": "<p>",
            "messageTypeId": 4.0,
            "mergeDataFeedContext": {"odd": 1},
            "new": [1],
            "metadata": {"templateId": 7, "createdAt": 1507154823000, "updatedAt": "2017-10-04 22:07:03 +00:00"},
        }
    )
    detail = await client.templates.get(7)
    assert (detail.html, detail.message_type_id) == ("<p>", 4)
    assert detail.metadata is not None
    assert detail.metadata.created_at == detail.metadata.updated_at


async def test_a_template_without_content_in_the_locale_is_not_found(client: IterableClient, wire: Wire) -> None:
    wire.answers(404, json={"msg": "", "code": "NotFound", "params": None})
    with pytest.raises(NotFound):
        await client.templates.get(7)


@pytest.mark.parametrize(
    ("body", "content_type", "html"),
    [
        ("<p>Zoë</p>", "text/html", "<p>Zoë</p>"),
        ("<p>Zoë</p>", "application/json", "<p>Zoë</p>"),
        ('"<p>Zo\\u00eb</p>"', "application/json; charset=utf-8", "<p>Zoë</p>"),
        ('"quoted"', "text/html", '"quoted"'),
        ("", "text/html", ""),
    ],
)
async def test_a_preview_is_html_or_html_in_json(
    body: str, content_type: str, html: str, client: IterableClient, wire: Wire
) -> None:
    wire.answers(content=body.encode(), headers={"Content-Type": content_type})
    assert await client.templates.preview(7, {}) == html

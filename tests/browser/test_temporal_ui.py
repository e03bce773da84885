"""What an admin sees of our runs in the Temporal UI, in a real browser: `make screenshots`.

The stack is the development stack with encryption on, so all that is read here came through the codec. The pictures are
for people to look at, in `artefacts/temporal-ui`.
"""

import asyncio
import importlib.util
import re
import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle

from cli.development import Development, development_stack, install_against_sandbox
from cli.sending import send_accepted, start_send
from contracts.names import connector_workflow_id, send_workflow_id
from contracts.send import Recipient, SendRequest
from contracts.skip import SKIP_ADVICE, skip_class
from tests.stage import TEMPLATE

if TYPE_CHECKING:
    from playwright.async_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = Path(__file__).parents[2] / "artefacts" / "temporal-ui"
ADDRESS, MASKED = "open-click@example.com", "o•••@example.com"
_PATIENCE_MS = 15_000

pytestmark = [
    pytest.mark.scenario,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="no playwright: make screenshots"),
]


@dataclass
class Window:
    """A browser on the Temporal UI of a running stack."""

    page: "Page"
    ui: str
    development: Development

    async def open(self, path: str, *texts: str | re.Pattern[str]) -> str:
        """Opens a page and waits for what it must show; all of its text."""
        await self.page.goto(f"{self.ui}/namespaces/default/{path}")
        for text in texts:
            await self.page.get_by_text(text).first.wait_for(timeout=_PATIENCE_MS)
        return await self.page.inner_text("body")

    async def details(self, send_id: str, text: str) -> tuple[str, str]:
        """What the tab *User Metadata* says of a send: all of it, and the current details alone."""
        page = await self.open(await self.run_path(send_id, "user-metadata"), "Current Details")
        details = await self.current_details(text)
        summary = await self.page.frame_locator("#user-metadata-summary").locator("body").inner_text()
        return page + summary, details

    async def current_details(self, text: str) -> str:
        """The current details of the run whose *User Metadata* are open, once they show a text."""
        details = self.page.frame_locator("#user-metadata-current-details").locator("body")
        await details.get_by_text(text).first.wait_for(timeout=_PATIENCE_MS)
        return (await details.inner_text()).strip()

    async def picture(self, name: str) -> None:
        """Kept for people."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    async def run_path(self, send_id: str, tab: str) -> str:
        """Where a send's run is shown."""
        id_ = send_workflow_id("demo", send_id)
        described = await self.development.connection.temporal.get_workflow_handle(id_).describe()
        return f"workflows/{quote(id_, safe='')}/{described.run_id}/{tab}"


@pytest.fixture(scope="module")
async def window(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Window]:
    """The stack, two sends that went out and one that failed, and a browser that reaches this machine only."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - an extra of its own

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CONNECTOR_DATABASE_URL", "")  # what the stack sets is taken back at the end
        async with (
            development_stack(tmp_path_factory.mktemp("stack") / "dev", lambda _: None, encrypt=True) as development,
            async_playwright() as playwright,
        ):
            await install_against_sandbox(development, "demo", settings={"settle_for_seconds": 900})
            await _send(development)
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page(viewport={"width": 1440, "height": 1000}, timezone_id="UTC")
            await page.route(lambda url: not url.startswith("http://127.0.0.1"), lambda route: route.abort())
            yield Window(page, development.addresses.temporal_ui, development)
            await browser.close()


async def _send(development: Development) -> None:
    temporal, queue = development.connection.temporal, development.connection.settings.task_queue
    await send_accepted(temporal, queue, _request("snd_good", ADDRESS))
    skipped = await start_send(temporal, queue, _request("snd_skipped", "skip-frequencycapping@example.com"))
    await skipped.result()
    bad = _request("snd_bad", "ann@example.com").model_copy(update={"template": None, "template_ref": "0" * 64})
    failing = await start_send(temporal, queue, bad)
    with pytest.raises(WorkflowFailureError):
        await failing.result()
    await _events_came(temporal.get_workflow_handle(send_workflow_id("demo", "snd_good")))


async def _events_came(handle: WorkflowHandle[None, None]) -> None:
    async with asyncio.timeout(60):
        while len(await handle.query("timeline")) < 3:  # noqa: ASYNC110 - the server has no event to wait for
            await asyncio.sleep(0.2)


def _request(send_id: str, email: str) -> SendRequest:
    return SendRequest(
        workspace_id="demo",
        send_id=send_id,
        template=TEMPLATE,
        recipient=Recipient(email=email),
        data={"first_name": "Ann", "order": {"number": 7}},
    )


async def test_the_run_list_is_filtered_by_a_search_attribute(window: Window) -> None:
    query = quote('ConnectorWorkspace="demo" AND ConnectorStatus="failed"')
    shown = await window.open(f"workflows?query={query}", "send/snd_bad")
    await window.picture("runs-that-failed")
    assert "send/snd_good" not in shown
    assert ADDRESS not in shown


async def test_a_send_says_what_it_is_how_it_stands_and_what_it_waits_for(window: Window) -> None:
    page, details = await window.details("snd_good", "clicked")
    await window.picture("send-details")
    assert f"Welcome → {MASKED}, transactional" in page
    assert re.search(r"Next: waits for a bounce or a complaint \(until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)", details)
    assert details.startswith(f"sent · Welcome → {MASKED}")
    assert "Iterable campaign" in details
    assert ADDRESS not in page + details


async def test_a_skipped_send_says_why_and_what_to_do(window: Window) -> None:
    _, details = await window.details("snd_skipped", "FrequencyCapping")
    await window.picture("send-skipped")
    assert details.startswith("skipped")
    assert SKIP_ADVICE[skip_class("FrequencyCapping")] in details


async def test_a_failed_send_shows_its_code_and_its_advice(window: Window) -> None:
    shown = await window.open(await window.run_path("snd_bad", "history"), re.compile("Store the template first"))
    await window.picture("send-failed")
    assert "template_unknown: the rest is encrypted" in shown  # in the list of events; the result has it in full
    _, details = await window.details("snd_bad", "Store the template first")
    await window.picture("send-failed-details")
    assert details.startswith("failed")
    assert "What to do: template_unknown" in details


async def test_a_connector_says_what_is_wrong_with_it_and_what_to_do(window: Window) -> None:
    handle = window.development.connection.temporal.get_workflow_handle(connector_workflow_id("demo"))
    described = await handle.describe()
    path = f"workflows/{quote(handle.id, safe='')}/{described.run_id}/user-metadata"
    await handle.signal("look")
    page = await window.open(path, "Current Details")
    details = await window.current_details("Last look")
    await window.picture("connector-details")
    assert details.startswith("active · connector of demo")
    assert "webhook: Webhook" in details

    async with httpx.AsyncClient(base_url=window.development.addresses.sandbox) as sandbox:
        projects = (await sandbox.get("/_sandbox/projects")).raise_for_status().json()["projects"]
        project = next(one for one in projects if one["name"] == "demo")["project_id"]
        change = await sandbox.patch(f"/_sandbox/projects/{project}", json={"activation_enabled": False})
        change.raise_for_status()
    await handle.signal("look")
    await asyncio.sleep(1)  # the page asks once
    await window.open(path, "Current Details")
    details = await window.current_details("press Activate")
    await window.picture("connector-degraded")
    assert details.startswith("degraded · connector of demo")
    assert ADDRESS not in page + details


async def test_an_encrypted_run_is_read_through_the_codec_and_only_through_it(window: Window) -> None:
    path = await window.run_path("snd_good", "history")
    await window.open(path, re.compile(re.escape(ADDRESS)))
    await window.picture("encrypted-decoded")
    await window.page.route("**/codec/**", lambda route: route.abort())
    try:
        shown = await window.open(path, "Workflow Execution Started")
        await window.picture("encrypted-without-codec")
        assert ADDRESS not in shown
        assert "first_name" not in shown
    finally:
        await window.page.unroute("**/codec/**")

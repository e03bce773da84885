"""The index page says what the sandbox is and how it is steered."""

from sandbox.api.serving import OPERATIONS
from sandbox.settings import ProjectSettings
from tests.sandbox.conftest import Sandbox


async def test_it_documents_fates_settings_and_endpoints(sandbox: Sandbox) -> None:
    page = await sandbox.http.get("/")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    for word in ("hard-bounce@", "skip-REASON@", "unknown@", "/_sandbox/faults", "hang_after", "FrequencyCapping"):
        assert word in page.text
    for name, field in ProjectSettings.model_fields.items():
        assert name in page.text
        assert field.description
    for operation in OPERATIONS:
        assert operation.name in page.text


async def test_it_is_healthy(sandbox: Sandbox) -> None:
    assert (await sandbox.http.get("/healthz")).text == "ok"

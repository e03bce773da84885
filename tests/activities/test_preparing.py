"""What a send waits for before it is in the ledger, and for how long."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.connectors import InForce, InstalledConnectors
from activities.send import SendActivities
from contracts.connector import ConnectorSettings
from contracts.send import SendRequest
from contracts.target import FingerprintRequest, TemplateBody
from contracts.template import Template
from images.assets import AssetsUnavailable
from images.hosting import Hosted, ImageHost
from store.store import Store
from tests.stage import TEMPLATE

PATIENCE = timedelta(hours=1)


class Installed(InstalledConnectors):
    """A connector that nobody asks for more than its settings."""

    async def get_to_begin(self, workspace_id: str) -> InForce:
        settings = ConnectorSettings(
            data_center="us",
            transactional_message_type_id=1,
            give_up_after_seconds=int(PATIENCE.total_seconds()),
        )
        return InForce(settings, None)  # pyright: ignore[reportArgumentType]


class Away(ImageHost):
    """A store of images that does not answer."""

    async def host(self, template: Template) -> Hosted:
        raise AssetsUnavailable("the store of images does not answer")


@pytest.mark.parametrize(
    ("waited", "is_final"), [(timedelta(minutes=1), False), (PATIENCE + timedelta(minutes=1), True)]
)
async def test_a_store_of_images_is_waited_for_as_long_as_a_send_may_wait(
    store: Store, waited: timedelta, is_final: bool
) -> None:
    connectors = Installed(store, lambda *_: None)  # pyright: ignore[reportArgumentType]
    activities = SendActivities(store, connectors, Away.__new__(Away))
    request = SendRequest.model_validate(
        {"workspace_id": "acme", "send_id": "s", "template": TEMPLATE, "recipient": {"email": "ann@example.com"}}
    )
    body = TemplateBody(workspace_id="acme", template=TEMPLATE)
    environment = ActivityEnvironment()
    environment.info = replace(ActivityEnvironment.default_info(), scheduled_time=datetime.now(UTC) - waited)
    with pytest.raises(ApplicationError) as failed:
        await environment.run(activities.fingerprint_template, FingerprintRequest.of(request, "run"), body)
    assert (failed.value.type, failed.value.non_retryable) == ("assets_unavailable", is_final)

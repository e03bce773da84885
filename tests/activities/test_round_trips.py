"""What a send costs the database: on PostgreSQL every statement is a journey there and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Engine, event
from temporalio.testing import ActivityEnvironment

from activities.connectors import InForce, InstalledConnectors
from activities.send import SendActivities
from activities.target import TargetActivities
from contracts.connector import ConnectorSettings
from contracts.send import SendRequest
from contracts.shadow import Shadow
from contracts.target import FingerprintRequest, PreparedSend, TargetEnd, TargetOutcome, TargetRequest, TemplateBody
from contracts.template import Template
from images.hosting import Hosted, ImageHost
from iterable.email import TargetEmail
from store.store import Store
from tests.stage import TEMPLATE


class Installed(InstalledConnectors):
    """One whose Iterable takes whatever it is given."""

    async def get(self, workspace_id: str) -> InForce:
        async def take(email: TargetEmail) -> None:
            del email

        settings = ConnectorSettings(data_center="us", transactional_message_type_id=1)
        iterable: Any = SimpleNamespace(email=SimpleNamespace(target=take))
        return InForce(settings, iterable)


class NoImages(ImageHost):
    """For templates without any."""

    async def host(self, template: Template) -> Hosted:
        return Hosted(template, [])


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements of all engines meanwhile, without those that begin a transaction."""
    found: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        del connection, cursor
        if not statement.startswith("BEGIN"):
            found.append(" ".join(statement.split()[:3]))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def _send(store: Store, name: str) -> None:
    connectors = Installed(store, lambda *_: None)  # pyright: ignore[reportArgumentType]
    request = SendRequest.model_validate(
        {"workspace_id": "acme", "send_id": name, "template": TEMPLATE, "recipient": {"email": "ann@example.com"}}
    )
    prepared: PreparedSend = await ActivityEnvironment().run(
        SendActivities(store, connectors, NoImages.__new__(NoImages)).fingerprint_template,
        FingerprintRequest.of(request, "run"),
        TemplateBody(workspace_id="acme", template=TEMPLATE),
    )
    shadow = prepared.shadow
    if shadow is None:
        shadow = Shadow(template_id=1, campaign_id=2)
        async with store.begin() as tx:
            await tx.shadows.save_ready("acme", prepared.fingerprint, shadow)
    outcome: TargetOutcome = await ActivityEnvironment().run(
        TargetActivities(store, connectors).target_recipient,
        TargetRequest(
            workspace_id="acme",
            send_id=name,
            stream="transactional",
            recipient=request.recipient,
            data={},
            metadata={},
            shadow=shadow,
        ),
    )
    assert outcome.end is TargetEnd.TAKEN


async def test_a_send_of_known_content_asks_the_database_a_dozen_times(store: Store) -> None:
    await _send(store, "first")
    with counted() as statements:
        await _send(store, "second")
    assert len(statements) == 12, statements

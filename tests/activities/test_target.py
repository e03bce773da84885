"""What may be out is told first, whatever has become of the connector."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.connectors import InForce, InstalledConnectors
from activities.joining import keep
from activities.outcome import OutcomeActivities
from activities.target import TargetActivities
from contracts.connector import ConnectorSettings
from contracts.errors import ErrorCode
from contracts.event import Event, EventKind
from contracts.send import Recipient
from contracts.shadow import Shadow
from contracts.suppression import WORKSPACE, Cause
from contracts.target import FindOutcomeRequest, FoundOutcome, TargetEnd, TargetOutcome, TargetRequest
from store.events import Recorded
from store.person import Person
from store.sends import NOT_TAKEN, TAKEN, UNKNOWN, Claim
from store.store import Store
from store.suppressions import Report

SHADOW = Shadow(template_id=1, campaign_id=2)
ANN = Recipient(email="ann@example.com")
TARGET = TargetRequest(
    workspace_id="acme", send_id="s", stream="marketing", recipient=ANN, data={}, metadata={}, shadow=SHADOW
)
LOOK = FindOutcomeRequest(workspace_id="acme", send_id="s", recipient=ANN)


@pytest.fixture
def gone(store: Store) -> InstalledConnectors:
    def no_client(*_: object) -> None:
        raise AssertionError("nobody is to be asked")

    return InstalledConnectors(store, no_client)  # pyright: ignore[reportArgumentType]


async def attempt(store: Store, end: str | None) -> None:
    async with store.begin() as tx:
        await tx.sends.claim(Claim("acme", "s", "run", "marketing", "f" * 64, "a" * 64, "hash"))
        await tx.sends.begin_attempt("acme", "s", 1, SHADOW)
        if end is not None:
            ended = await tx.sends.end_attempt("acme", "s", 1, end)
            if end == TAKEN:
                await tx.sends.accept("acme", "s", ended)


class InForceNow(InstalledConnectors):
    """A connector that must not be used."""

    async def get(self, workspace_id: str) -> InForce:
        del workspace_id
        settings = ConnectorSettings(data_center="us", marketing_message_type_id=1)
        return InForce(settings, None)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("end", "excused"), [(None, 1), (UNKNOWN, 1), (NOT_TAKEN, 0)])
async def test_nobody_is_targeted_again_once_an_event_proves_that_it_was_taken(
    store: Store, end: str | None, excused: int
) -> None:
    await attempt(store, end)
    sent = Event(event_id="e" * 64, kind=EventKind.SENT, occurred_at=datetime.now(UTC), message_id="m1")
    async with store.begin() as tx:
        await tx.feed.lock("acme")
        recorded = Recorded(sent, "s", SHADOW.campaign_id, "hash", None, store.now(), b"{}")
        await keep(tx, "acme", [recorded], store.now() - timedelta(days=1))
    connectors = InForceNow(store, lambda *_: None)  # pyright: ignore[reportArgumentType]
    request = TARGET.model_copy(update={"excused": excused})
    answer: TargetOutcome = await ActivityEnvironment().run(
        TargetActivities(store, connectors).target_recipient, request
    )
    assert (answer.end, answer.accepted_at) == (TargetEnd.TAKEN, sent.occurred_at)
    async with store.read() as tx:
        row = await tx.sends.get("acme", "s")
        assert row is not None
        assert (row.accepted_at, len(await tx.sends.attempts("acme", "s"))) == (sent.occurred_at, 1)


async def test_who_is_suppressed_between_two_attempts_gets_none_however_soon_it_comes(store: Store) -> None:
    await attempt(store, NOT_TAKEN)
    ann = Person.by_email(store.hasher, "ann@example.com")
    async with store.begin() as tx:
        await tx.suppressions.record("acme", [Report(ann, Cause.MANUAL, WORKSPACE, datetime.now(UTC))])
    connectors = InForceNow(store, lambda *_: None)  # pyright: ignore[reportArgumentType]
    answer: TargetOutcome = await ActivityEnvironment().run(
        TargetActivities(store, connectors).target_recipient, TARGET
    )
    assert answer.end == TargetEnd.SUPPRESSED


@pytest.mark.parametrize(("end", "told"), [(None, TargetEnd.UNKNOWN), (TAKEN, TargetEnd.TAKEN)])
async def test_an_attempt_is_told_where_the_connector_is_gone(
    store: Store, gone: InstalledConnectors, end: str | None, told: TargetEnd
) -> None:
    await attempt(store, end)
    answer: TargetOutcome = await ActivityEnvironment().run(TargetActivities(store, gone).target_recipient, TARGET)
    assert answer.end is told


async def test_without_one_the_connector_being_gone_is_the_answer(store: Store, gone: InstalledConnectors) -> None:
    await attempt(store, NOT_TAKEN)
    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(TargetActivities(store, gone).target_recipient, TARGET)
    assert (failed.value.type, failed.value.non_retryable) == (ErrorCode.CONNECTOR_NOT_INSTALLED, True)


async def test_what_the_ledger_proves_is_found_where_the_connector_is_gone(
    store: Store, gone: InstalledConnectors
) -> None:
    await attempt(store, TAKEN)
    found: FoundOutcome = await ActivityEnvironment().run(OutcomeActivities(store, gone).find_outcome, LOOK)
    assert found.verdict == "taken"


async def test_what_only_iterable_could_tell_is_not_guessed(store: Store, gone: InstalledConnectors) -> None:
    await attempt(store, None)
    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(OutcomeActivities(store, gone).find_outcome, LOOK)
    assert failed.value.type == ErrorCode.CONNECTOR_NOT_INSTALLED

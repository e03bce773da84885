"""What may be out is told first, whatever has become of the connector."""

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.connectors import InstalledConnectors
from activities.outcome import OutcomeActivities
from activities.target import TargetActivities
from contracts.errors import ErrorCode
from contracts.send import Recipient
from contracts.shadow import Shadow
from contracts.target import FindOutcomeRequest, FoundOutcome, TargetEnd, TargetOutcome, TargetRequest
from store.sends import NOT_TAKEN, TAKEN, Claim
from store.store import Store

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

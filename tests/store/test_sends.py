"""The ledger."""

import pytest
from sqlalchemy.exc import IntegrityError

from contracts.send import SendStatus
from contracts.shadow import Shadow
from contracts.warning import SendWarning, WarningCode
from store.sends import NOT_TAKEN, Claim, SendIsOver, Standing
from store.store import Store

SHADOW = Shadow(template_id=1, campaign_id=2)


def claim(run_id: str = "run-1", send_id: str = "s1") -> Claim:
    return Claim("acme", send_id, run_id, "transactional", "f" * 64, "r" * 64, "h" * 64)


async def test_a_send_id_belongs_to_the_run_that_claimed_it_first(store: Store) -> None:
    for run_id in ("run-1", "run-2", "run-1"):
        async with store.begin() as tx:
            assert (await tx.sends.claim(claim(run_id))).run_id == "run-1"


async def test_what_was_told_of_a_send_is_kept_with_it(store: Store) -> None:
    told = [SendWarning(code=WarningCode.DATA_MISSING, message="Neither data nor recipient.profile has name")]
    async with store.begin() as tx:
        await tx.sends.claim(claim())
        await tx.sends.claim(claim(send_id="s2"))
        await tx.sends.warn("acme", "s1", told)
    async with store.read() as tx:
        rows = [await tx.sends.get("acme", send_id) for send_id in ("s1", "s2")]
    assert [row.warnings for row in rows if row] == [told, []]
    async with store.begin() as tx:
        await tx.sends.take_over("acme", "s1", "run-2")
        row = await tx.sends.get("acme", "s1")
    assert row is not None
    assert row.warnings == []


async def test_an_attempt_number_can_begin_only_once(store: Store) -> None:
    async with store.begin() as tx:
        await tx.sends.claim(claim())
        await tx.sends.begin_attempt("acme", "s1", 1, SHADOW)
    with pytest.raises(IntegrityError):
        async with store.begin() as tx:
            await tx.sends.begin_attempt("acme", "s1", 1, SHADOW)


async def test_a_send_and_its_attempts_are_read_together(store: Store) -> None:
    async with store.begin() as tx:
        for send_id in ("s1", "s2"):
            await tx.sends.claim(claim(send_id=send_id))
        for number in (2, 1):
            await tx.sends.begin_attempt("acme", "s1", number, SHADOW)
        await tx.sends.end_attempt("acme", "s1", 1, NOT_TAKEN)
    async with store.read() as tx:
        row, attempts = await tx.sends.with_attempts("acme", "s1")
        assert row == await tx.sends.get("acme", "s1")
        assert attempts == await tx.sends.attempts("acme", "s1")
        assert [(one.number, one.campaign_id, one.end) for one in attempts] == [
            (1, SHADOW.campaign_id, NOT_TAKEN),
            (2, SHADOW.campaign_id, None),
        ]
        assert await tx.sends.with_attempts("acme", "s2") == (await tx.sends.get("acme", "s2"), [])
        assert await tx.sends.with_attempts("acme", "s3") == (None, [])


@pytest.mark.parametrize("status", [SendStatus.FAILED, SendStatus.CANCELLED, SendStatus.SUPPRESSED])
async def test_no_attempt_begins_of_a_send_that_was_closed(store: Store, status: SendStatus) -> None:
    """A worker may have been held up between its look at the ledger and its attempt, for longer than its run waited."""
    async with store.begin() as tx:
        await tx.sends.claim(claim())
        await tx.sends.close("acme", "s1", status, "reason")
    with pytest.raises(SendIsOver):
        async with store.begin() as tx:
            await tx.sends.begin_attempt("acme", "s1", 1, SHADOW)
    async with store.read() as tx:
        assert await tx.sends.attempts("acme", "s1") == []


async def test_a_close_does_not_overrule_what_an_event_has_told(store: Store) -> None:
    async with store.begin() as tx:
        await tx.sends.claim(claim())
        await tx.sends.set_standings("acme", [Standing("s1", SendStatus.SENT, None, "m1")])
        await tx.sends.close("acme", "s1", SendStatus.UNCONFIRMED, "no_event_came")
        row = await tx.sends.get("acme", "s1")
    assert row is not None
    assert row.status is SendStatus.SENT


async def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.begin() as tx:
            await tx.sends.claim(claim())
            _ = 1 / 0
    async with store.read() as tx:
        assert await tx.sends.get("acme", "s1") is None

"""The ledger of a broadcast's recipients."""

from contracts.shadow import Shadow
from store.members import Batch, Member
from store.store import Store

OLD, NEW = Shadow(template_id=1, campaign_id=2), Shadow(template_id=3, campaign_id=4)


async def test_a_send_stands_under_the_campaign_that_its_attempt_goes_to(store: Store) -> None:
    """Also where the campaign it was claimed for was gone before its first attempt."""
    batch = Batch("acme", "b1", "run", "marketing", "f" * 64, "r" * 64, OLD)
    async with store.begin() as tx:
        await tx.members.claim(batch, [Member(f"s{n}", f"{n}" * 64, n, None, None) for n in (1, 2)])
        await tx.members.begin_attempts("acme", [("s1", 1)], OLD)
        await tx.members.begin_attempts("acme", [("s2", 1)], NEW)
    async with store.read() as tx:
        rows = await tx.sends.by_ids("acme", ["s1", "s2"])
    assert [(row.template_id, row.campaign_id) for row in (rows["s1"], rows["s2"])] == [(1, 2), (3, 4)]

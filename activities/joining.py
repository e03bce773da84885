"""Which send an event belongs to.

In this order: the correlation data that we gave Iterable and that comes back on `emailSend`; Iterable's message id,
once such an event has bound it to a send; campaign and recipient, where exactly one send of ours can be meant. What
cannot be joined stays unmatched, and is joined as soon as its message id is bound.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from iterable.webhook_event import WebhookEvent
from store.sends import SendRow
from store.store import KeyedHasher, Transaction


@dataclass
class Joined:
    """`sends` has one entry per event, None where it is unmatched; `bound` are the message ids that became known."""

    sends: list[str | None]
    bound: dict[str, str] = field(default_factory=dict[str, str])
    """send id → message id"""


async def join(tx: Transaction, workspace_id: str, events: list[WebhookEvent], hasher: KeyedHasher) -> Joined:
    """Joins a batch of events with two queries, and a third where events without any link are among them."""
    claimed = [_correlated(event, workspace_id) for event in events]
    by_id = await tx.sends.by_ids(workspace_id, sorted({send_id for send_id in claimed if send_id}))
    messages = sorted({event.message_id for event in events if event.message_id})
    known = await tx.sends.by_message_ids(workspace_id, messages)
    send_of_message = {message: row.send_id for message, row in known.items()}
    joined = Joined(sends=[None] * len(events))

    for index, (event, send_id) in enumerate(zip(events, claimed, strict=True)):
        if send_id is None or send_id not in by_id:
            continue
        joined.sends[index] = send_id
        if event.message_id and by_id[send_id].message_id is None and send_id not in joined.bound:
            joined.bound[send_id] = event.message_id
            send_of_message.setdefault(event.message_id, send_id)

    for index, event in enumerate(events):
        if joined.sends[index] is None and event.message_id:
            joined.sends[index] = send_of_message.get(event.message_id)

    await _join_by_recipient(tx, workspace_id, events, hasher, joined, send_of_message)
    return joined


async def _join_by_recipient(
    tx: Transaction,
    workspace_id: str,
    events: list[WebhookEvent],
    hasher: KeyedHasher,
    joined: Joined,
    send_of_message: dict[str, str],
) -> None:
    """The last resort: one campaign stands for one content, so a campaign and a recipient often name one send."""
    lost = [i for i, e in enumerate(events) if joined.sends[i] is None and e.campaign_id is not None]
    pairs = {
        i: [(events[i].campaign_id or 0, h) for h in hasher.all_of(events[i].email, events[i].user_id)] for i in lost
    }
    wanted = sorted({pair for some in pairs.values() for pair in some})
    if not wanted:
        return
    candidates: dict[tuple[int, str], list[SendRow]] = defaultdict(list)
    for row in await tx.sends.by_recipients(workspace_id, wanted):
        if row.campaign_id is not None:
            candidates[row.campaign_id, row.recipient_hash].append(row)
    for index in lost:
        message_id = events[index].message_id
        if message_id and message_id in send_of_message:  # bound by an event of this loop just before
            joined.sends[index] = send_of_message[message_id]
            continue
        found = {
            row.send_id: row for pair in pairs[index] for row in candidates[pair] if row.send_id not in joined.bound
        }
        if len(found) != 1:
            continue
        (send_id,) = found
        joined.sends[index] = send_id
        if message_id:
            joined.bound[send_id] = message_id
            send_of_message[message_id] = send_id


def _correlated(event: WebhookEvent, workspace_id: str) -> str | None:
    """The send that the event itself names, where it names this workspace too."""
    if event.correlation.get("workspace") != workspace_id:
        return None
    return event.correlation.get("send")

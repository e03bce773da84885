"""Whether a send whose answer was lost reached Iterable: the rules, apart from where their facts come from.

Iterable's records name a campaign and a person, not a send. So all that was sent by one campaign to one person is
judged together: messages that nothing explains are held against attempts that nothing explains.
"""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["taken", "not_taken", "unknown"]


@dataclass(frozen=True)
class Facts:
    """What is known of one campaign and one person, within the time that matters.

    `messages`: messages (sent or skipped) in Iterable's records that are not proven to be another send's.
    `others`: attempts of other sends that may have caused one of them: taken or lost, and their message not known.
    `records_complete`: the records were read after a message of this send's must have shown up in them.
    """

    messages: int
    others: int
    records_complete: bool


def judge(facts: Facts) -> Verdict:
    """Proof or nothing.

    An attempt causes one message or none. Taken: there are more messages than the others can have caused. Not taken:
    there is none that this send could have caused. Anything in between could be another send's message, and stays
    unknown until an event names its send.
    """
    if facts.messages > facts.others:
        return "taken"
    if facts.messages == 0 and facts.records_complete:
        return "not_taken"
    return "unknown"

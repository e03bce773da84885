"""Whether an attempt whose answer was lost reached Iterable: the rules, apart from where their facts come from.

Iterable's records name a campaign and a person, not a send. So the attempts of one campaign at one person are judged
together: messages that nothing explains are held against attempts that nothing explains.
"""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["taken", "not_taken", "unknown"]


@dataclass(frozen=True)
class Facts:
    """What is known of one campaign and one person, within the time that matters.

    `messages`: messages (sent or skipped) in Iterable's records that no event has joined to a send of ours.
    `attempts`: attempts that may have caused a message and whose message is not known: those that Iterable took, and
    those whose answer was lost, the one that is asked about among them.
    `records_complete`: the records were read after that one must have shown up in them.
    """

    messages: int
    attempts: int
    records_complete: bool


def judge(facts: Facts) -> Verdict:
    """Proof or nothing.

    An attempt causes one message or none. Taken: there is a message for every attempt, so each caused one. Not taken:
    there is no message that it could have caused. Anything in between could be another attempt's message, and stays
    unknown until an event names its send.
    """
    if facts.messages >= facts.attempts:
        return "taken"
    if facts.messages == 0 and facts.records_complete:
        return "not_taken"
    return "unknown"

"""Fates: the recipient's address says what becomes of a message, so that a test or a person can choose.

Read from the local part, in any case, without a `+tag`: `hard-bounce+7@shop.test` bounces hard.
"""

from dataclasses import dataclass
from typing import Final

# Iterable help centre. An open set: others are passed through as they are written.
SKIP_REASONS: Final = (
    "CampaignDeactivated",
    "CatalogCollectionEmptyResults",
    "CatalogCollectionError",
    "CatalogCollectionLookupError",
    "CatalogCollectionTimeout",
    "CatalogLookupError",
    "DataFeedError",
    "DuplicateMarketingMessage",
    "EmptyContent",
    "ExperimentHoldOut",
    "FrequencyCapping",
    "FrequencyOptimization",
    "HandlebarsExecutionError",
    "InvalidHostedUnsubscribeUrl",
    "InvalidRecipientEmail",
    "InvalidReplyToEmail",
    "InvalidSender",
    "LocaleMismatch",
    "MessageServiceError",
    "MisconfiguredMessageService",
    "QuietHoursSendSkip",
    "RetriesExhaustedError",
    "SnippetLookupError",
    "SuppressedByMessageService",
)
BOUNCE_STATES: Final = (
    "HardBounce",
    "SoftBounceGeneral",
    "SoftBounceUndetermined",
    "SoftBounceTimeOut",
    "SoftBounceMailboxFull",
    "SoftBounceContentRejected",
    "SoftBounceSpamDetected",
    "DNSFailure",
    "MailBlockGeneral",
    "MailBlockKnownSpammer",
    "MailBlockSpamDetected",
    "MailBlockAttachmentDetected",
    "MailBlockRelayDenied",
)
_SKIP: Final = "skip-"
_BOUNCE: Final = "bounce-"
_REASONS: Final = {reason.lower(): reason for reason in SKIP_REASONS}
_STATES: Final = {state.lower(): state for state in BOUNCE_STATES}


@dataclass(frozen=True)
class Fate:
    """What becomes of a message to somebody."""

    skip_reason: str | None = None
    bounce: str | None = None
    opens: bool = False
    clicks: bool = False
    complains: bool = False
    unsubscribes: bool = False
    # email/target does not know the recipient until a profile was written and can be read.
    unknown: bool = False


SENT: Final = Fate()
_NAMED: Final = {
    "hard-bounce": Fate(bounce="HardBounce"),
    "soft-bounce": Fate(bounce="SoftBounceGeneral"),
    "complaint": Fate(complains=True),
    "unsubscribe": Fate(unsubscribes=True),
    "open": Fate(opens=True),
    "click": Fate(clicks=True),
    "open-click": Fate(opens=True, clicks=True),
    "unknown": Fate(unknown=True),
}


def fate_of(email: str) -> Fate:
    """The fate that an address asks for; without one it is plainly sent."""
    local = email.partition("@")[0].partition("+")[0].strip()
    name = local.lower()
    if name in _NAMED:
        return _NAMED[name]
    if name.startswith(_SKIP) and len(name) > len(_SKIP):
        reason = name.removeprefix(_SKIP)
        return Fate(skip_reason=_REASONS.get(reason, local[len(_SKIP) :]))
    if name.startswith(_BOUNCE) and name.removeprefix(_BOUNCE) in _STATES:
        return Fate(bounce=_STATES[name.removeprefix(_BOUNCE)])
    return SENT

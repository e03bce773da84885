"""Why Iterable skipped a message, and what that asks of somebody.

The reasons are an open set (Iterable help centre, SendSkip reasons); which class each belongs to is our reading of
their descriptions. A skip is final in every class: the same message is not tried again by itself.
"""

from enum import StrEnum


class SkipClass(StrEnum):
    """What a skip asks for."""

    FIX_CONTENT = "fix_content"
    POLICY = "policy"
    SUPPRESSED = "suppressed"
    PROVIDER_FAULT = "provider_fault"
    UNKNOWN = "unknown"


_REASONS: dict[SkipClass, tuple[str, ...]] = {
    SkipClass.FIX_CONTENT: (
        "CampaignDeactivated",
        "CatalogCollectionEmptyResults",
        "CatalogCollectionError",
        "CatalogCollectionLookupError",
        "CatalogLookupError",
        "EmptyContent",
        "HandlebarsExecutionError",
        "InvalidHostedUnsubscribeUrl",
        "InvalidReplyToEmail",
        "InvalidSender",
        "LocaleMismatch",
        "MisconfiguredMessageService",
        "SnippetLookupError",
    ),
    SkipClass.POLICY: (
        "DuplicateMarketingMessage",
        "ExperimentHoldOut",
        "FrequencyCapping",
        "FrequencyOptimization",
        "QuietHoursSendSkip",
    ),
    SkipClass.SUPPRESSED: ("InvalidRecipientEmail", "SuppressedByMessageService"),
    SkipClass.PROVIDER_FAULT: (
        "CatalogCollectionTimeout",
        "DataFeedError",
        "MessageServiceError",
        "RetriesExhaustedError",
    ),
}
_CLASS_OF_REASON = {reason: kind for kind, reasons in _REASONS.items() for reason in reasons}

SKIP_ADVICE: dict[SkipClass, str] = {
    SkipClass.FIX_CONTENT: "Correct the template, its data, or the set-up in Iterable that the reason names; then send "
    "under a new send id.",
    SkipClass.POLICY: "A rule of your Iterable project held the message back. Nothing is broken; change the rule, or "
    "send later under a new send id.",
    SkipClass.SUPPRESSED: "The address cannot receive mail or is suppressed. Correct it or let it be.",
    SkipClass.PROVIDER_FAULT: "Something failed at Iterable or behind it. Send again later under a new send id.",
    SkipClass.UNKNOWN: "The connector does not know this reason: look it up in Iterable's help centre under send skip "
    "reasons.",
}


def skip_class(reason: str | None) -> SkipClass:
    """The class of a skip's reason, in Iterable's own word."""
    return _CLASS_OF_REASON.get(reason or "", SkipClass.UNKNOWN)

"""Search attributes of our runs, all keywords. None holds an address: a recipient is a keyed hash.

A starter may set those it knows: that costs nothing, where a run that sets them itself spends an event and an action.
"""

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

SEARCH_ATTRIBUTES = (
    "ConnectorWorkspace",
    "ConnectorStatus",
    "ConnectorStream",
    "ConnectorFingerprint",
    "ConnectorCampaignId",
    "ConnectorRecipientHash",
)

WORKSPACE, STATUS, STREAM, FINGERPRINT, CAMPAIGN_ID, RECIPIENT_HASH = (
    SearchAttributeKey.for_keyword(name) for name in SEARCH_ATTRIBUTES
)


def at_start(values: dict[SearchAttributeKey[str], str]) -> TypedSearchAttributes:
    """What a run is started with."""
    return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in values.items()])

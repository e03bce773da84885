"""Search attributes of our runs, all keywords. None holds an address: a recipient is a keyed hash."""

SEARCH_ATTRIBUTES = (
    "ConnectorWorkspace",
    "ConnectorStatus",
    "ConnectorStream",
    "ConnectorFingerprint",
    "ConnectorCampaignId",
    "ConnectorRecipientHash",
)

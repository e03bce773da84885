"""Names that Iterable provides. Source: Iterable's help centre (Handlebars reference, merge parameters). The lists may
be incomplete, so a name that is missing here gives a doubt and never an error."""

CONDITIONS = frozenset({"if", "unless", "and", "or", "not", "eq", "neq", "ifEq", "ifNotEq"})
"""Helpers that take a missing name well. Comparisons of size do not: they fail the whole message."""

BLOCKS_ONLY = frozenset({"if", "unless", "each", "with", "catalog", "metadata"})
"""Helpers that make no sense without a block."""

HELPERS = CONDITIONS | {
    *("each", "with", "lookup", "log", "assign", "catalog", "metadata", "snippet", "sendSkip"),
    *("gt", "gte", "lt", "lte", "ifGt", "ifGte", "ifLt", "ifLte", "ifModEq"),
    *("ifContains", "ifContainsStr", "ifMatchesRegexStr"),
    *("defaultIfEmpty", "now", "timestamp", "dateFormat", "dateMath", "math", "numberFormat", "modulo"),
    *("md5", "sha1", "sha256", "hmacSHA1", "hmacSHA256", "base64", "urlEncode", "hexEncode"),
    *("toJson", "toUrlEncodedJson", "json"),
    *("capitalize", "capitalizeFirst", "upper", "lower", "cut", "replace", "abbreviate", "center", "slugify"),
    *("breaklines", "substring", "join", "split", "concat", "length", "size"),
    *("ljust", "rjust", "stripTags", "stringFormat", "wordWrap", "yesno"),
    *("maxInList", "minInList", "inLeftNotInRight", "smartOptInUrl"),
}

UNSUBSCRIBE = frozenset({"unsubscribeUrl", "unsubscribeMessageTypeUrl", "hostedUnsubscribeUrl"})

PROVIDED = UNSUBSCRIBE | {
    *("viewInBrowserUrl", "email", "userId", "profile", "locale", "now", "timestamp", "sendSkip"),
    *("campaignId", "campaignName", "recurringCampaignId", "templateId", "templateName", "clientTemplateId"),
    *("channelId", "messageTypeId", "workflowId", "workflowName", "sendListIds", "messageId"),
    *("companyName", "physicalAddress", "brandName", "smartOptInUrl", "unsubscribeByPhoneUrl"),
}
"""Merge parameters that every message has."""

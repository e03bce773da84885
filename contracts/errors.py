"""The error codes that GenieOS and admins see, each with what to do next.

A code is the `type` of the Temporal failure, of an API error's `code` and of a CLI message. Codes never change meaning.
The HTTP endpoint has some more, `ApiCode`, for what is wrong before anything of ours is asked.
A run *fails* only where somebody must do something; suppressed, skipped, bounced and cancelled are results.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Stable codes."""

    REQUEST_INVALID = "request_invalid"
    ATTACHMENTS_NOT_SUPPORTED = "attachments_not_supported"
    TEMPLATE_INVALID = "template_invalid"
    TEMPLATE_UNKNOWN = "template_unknown"
    TEMPLATE_TOO_LARGE = "template_too_large"
    ASSETS_UNAVAILABLE = "assets_unavailable"
    SENDER_NOT_AUTHORISED = "sender_not_authorised"
    RECIPIENT_INVALID = "recipient_invalid"
    RECIPIENT_UNKNOWN = "recipient_unknown"
    RECIPIENT_SUPPRESSED = "recipient_suppressed"
    RECIPIENT_FORGOTTEN = "recipient_forgotten"
    CONNECTOR_NOT_INSTALLED = "connector_not_installed"
    CONNECTOR_DISABLED = "connector_disabled"
    API_KEY_INVALID = "api_key_invalid"
    API_KEY_INSUFFICIENT = "api_key_insufficient"
    ACTIVATION_REQUIRED = "activation_required"
    MESSAGE_TYPE_MISSING = "message_type_missing"
    MESSAGE_TYPE_MISMATCH = "message_type_mismatch"
    RATE_LIMITED = "rate_limited"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_REJECTED = "provider_rejected"
    OUTCOME_UNKNOWN = "outcome_unknown"


ADVICE: dict[ErrorCode, str] = {
    ErrorCode.REQUEST_INVALID: "Correct what is named and try again.",
    ErrorCode.ATTACHMENTS_NOT_SUPPORTED: "Iterable cannot attach files to triggered campaigns: host the file and put "
    "a link to it into the template.",
    ErrorCode.TEMPLATE_INVALID: "Correct the template in GenieOS.",
    ErrorCode.TEMPLATE_UNKNOWN: "Store the template first (PUT /v1/workspaces/{workspace}/templates), or send it in "
    "full.",
    ErrorCode.TEMPLATE_TOO_LARGE: "Shorten the template: host images instead of embedding them, drop unused styles.",
    ErrorCode.ASSETS_UNAVAILABLE: "The template's images could not be hosted. `connector doctor` tells what is wrong "
    "with the store of images or its address.",
    ErrorCode.SENDER_NOT_AUTHORISED: "Authorise the sender's domain in Iterable (Settings, Email domains) or use a "
    "sender that is.",
    ErrorCode.RECIPIENT_INVALID: "Correct the recipient in GenieOS: an email address, or a user id where the project "
    "has user ids.",
    ErrorCode.RECIPIENT_UNKNOWN: "Iterable has no profile for this recipient. Create it there, or let the connector do "
    "it: set profile_policy to on_unknown.",
    ErrorCode.RECIPIENT_SUPPRESSED: "The recipient is suppressed: `connector suppressions check` tells by which rule.",
    ErrorCode.RECIPIENT_FORGOTTEN: "The recipient asked Iterable to be forgotten (GDPR) and cannot be sent to.",
    ErrorCode.CONNECTOR_NOT_INSTALLED: "Install the connector for this workspace: `connector install`.",
    ErrorCode.CONNECTOR_DISABLED: "Resume or reinstall the connector of this workspace: `connector status` tells why "
    "it is off.",
    ErrorCode.API_KEY_INVALID: "Iterable refused the API key: it is disabled, mistyped, or of the other data center. "
    "Give a server-side key of this project to `connector rotate key`, or to `connector install` where none is in "
    "force yet.",
    ErrorCode.API_KEY_INSUFFICIENT: "The API key is of a kind that may not do this: create a server-side key in "
    "Iterable and give it to `connector rotate key`, or to `connector install` where none is in force yet.",
    ErrorCode.ACTIVATION_REQUIRED: "Open the named campaign in Iterable and press Activate, or ask your Iterable "
    "customer success manager to allow activation through the API.",
    ErrorCode.MESSAGE_TYPE_MISSING: "Choose an Iterable message type for this stream: "
    "`connector configure WORKSPACE --set transactional_message_type_id=ID`, or marketing_message_type_id.",
    ErrorCode.MESSAGE_TYPE_MISMATCH: "Choose an email message type whose channel fits the stream (transactional or "
    "marketing).",
    ErrorCode.RATE_LIMITED: "Iterable's rate limit held for longer than the connector may wait. Try again later, or "
    "ask Iterable for a higher limit.",
    ErrorCode.PROVIDER_UNAVAILABLE: "Iterable could not be reached for longer than the connector may wait. Look at "
    "Iterable's status page and try again.",
    ErrorCode.PROVIDER_REJECTED: "Iterable refused the request as it stands. Look up the request id in the connector's "
    "log, and the named fields in the template or data.",
    ErrorCode.OUTCOME_UNKNOWN: "Iterable may or may not have sent this message: its answer was lost and no event came. "
    "Look at the recipient's history in Iterable before you send again under a new send id.",
}


class ApiCode(StrEnum):
    """Codes of the HTTP endpoint alone; beside them it answers with `ErrorCode`."""

    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    TOO_LARGE = "too_large"
    UNAUTHORISED = "unauthorised"
    NOT_ALLOWLISTED = "not_allowlisted"
    UNREADABLE = "unreadable"
    API_DISABLED = "api_disabled"
    CODEC_DISABLED = "codec_disabled"
    DATABASE_AWAY = "database_away"
    TEMPORAL_AWAY = "temporal_away"
    NOT_KEPT = "not_kept"


API_MEANING: dict[ApiCode, str] = {
    ApiCode.NOT_FOUND: "404: nothing is at this address, or there is no such send, broadcast, test, preview or shadow.",
    ApiCode.METHOD_NOT_ALLOWED: "405: the address takes other methods.",
    ApiCode.UNSUPPORTED_MEDIA_TYPE: "415: the body is to come as `application/json`.",
    ApiCode.TOO_LARGE: "413: the body has more bytes than are read.",
    ApiCode.UNAUTHORISED: "401: no token, or a wrong one; of a webhook, perhaps an unknown workspace.",
    ApiCode.NOT_ALLOWLISTED: "403: a webhook from an address that the connector's `ip_allowlist` leaves out.",
    ApiCode.UNREADABLE: "400: a webhook whose body is neither an event nor an array of events.",
    ApiCode.API_DISABLED: "503: the endpoint has no admin token.",
    ApiCode.CODEC_DISABLED: "503: the endpoint has no codec token, or no master key.",
    ApiCode.DATABASE_AWAY: "503: the database does not answer; try again.",
    ApiCode.TEMPORAL_AWAY: "503: Temporal does not answer, or no worker does; try again.",
    ApiCode.NOT_KEPT: "503: a webhook whose events could not be written; Iterable tries again.",
}


class ConnectorError(Exception):
    """An error with a stable code and a message that says what to do. Holds no address, secret or provider's text."""

    def __init__(self, code: ErrorCode, what: str, advice: str | None = None) -> None:
        """`what` is one sentence without a value that could be personal; the advice for the code, or a better one where
        more is known, is added to it."""
        self.code = code
        self.what = what
        self.advice = advice or ADVICE[code]
        super().__init__(f"{what.rstrip('.')}. {self.advice}")

"""All errors of the Iterable client.

* IterableError
  x NotTaken                  the request certainly had no effect
    + NotConnected            it never left: DNS, connect, TLS, no free connection in time
    + RateLimited             429
    + KeyRefused              401: disabled, mistyped, of the other data center, or of a kind that may not do this
    + ForbiddenByProject      403: the project does not have the feature
    + NotFound                404
    + RecipientUnknown        Iterable has no such user
    + RecipientInvalid        no address or user id that Iterable takes
    + RecipientForgotten      forgotten on request (GDPR); 400 or 409
    + Conflict                409: another user or object has the identifier
    + Refused                 any other 4xx, or a value that no request can carry
  x OutcomeUnknown            it may have had its effect
    + NoAnswer                it left, and no status came back: timeout, reset, broken protocol
    + ServerFault             5xx
    + OddAnswer               3xx, 408, or a 2xx without what was asked for

The first split decides what may be done next, because Iterable has no idempotency key. What was *not taken* may be
sent again as soon as its cause is gone. Of what is *unknown* only a call that changes nothing when it is repeated may
be sent again: a read, a write of the same values; never a send.

No error holds text that Iterable wrote: its messages may echo addresses, bodies and, once, the API key itself. What is
kept comes from closed sets (`code`, parameter names, kinds of keys) or has a checked form (the request id). For the
same reason no error has a cause or a context: the errors of the HTTP library quote URLs and headers.

Mistakes of the calling code (two identities where one is asked for, a moment without an offset) are no part of this
tree: they raise `ValueError` (pydantic's `ValidationError` is one) before anything leaves.
"""


class IterableError(Exception):
    """Base of all errors of this client. Its text is safe to log, store and show."""

    _unanswered = "no answer"

    def __init__(
        self, operation: str, *, status: int | None = None, code: str | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(operation)
        self.operation = operation
        """Method and path template, `GET /api/campaigns/{id}`: never an id or an address."""
        self.status = status
        """The HTTP status; None where none came back."""
        self.code = code
        """Iterable's `code` if it is one of the documented ones, `other` if it is not, None if there was none. It may
        say `Success` on an error (seen in recorded traffic), so it refines the status and never overrules it."""
        self.request_id = request_id
        """Iterable's name for the call. Undocumented, seen in recorded traffic since 2022."""

    def __str__(self) -> str:
        parts = [f"{self.operation}: {self._unanswered if self.status is None else f'answered {self.status}'}"]
        if self.code is not None:
            parts.append(f"code {self.code}")
        parts.extend(self._details())
        if self.request_id is not None:
            parts.append(f"request {self.request_id}")
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def _details(self) -> list[str]:
        """What a subclass has to add to the text."""
        return []


class NotTaken(IterableError):
    """The request certainly had no effect."""

    _unanswered = "not sent"


class NotConnected(NotTaken):
    """The request never left this machine. Repeat it later."""

    def __init__(self, operation: str, *, cause: str = "") -> None:
        super().__init__(operation)
        self.cause = cause
        """The HTTP library's word for it, `ConnectTimeout` say: a class name, never a message."""

    def _details(self) -> list[str]:
        return [self.cause]


class RateLimited(NotTaken):
    """Too many requests. Repeat after `retry_after`, and slow down."""

    def __init__(
        self,
        operation: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(operation, status=status, code=code, request_id=request_id)
        self.retry_after = retry_after
        """Seconds that Iterable asks to wait; None where it does not say, which happens."""

    def _details(self) -> list[str]:
        return [] if self.retry_after is None else [f"retry after {self.retry_after:g} s"]


class KeyRefused(NotTaken):
    """The API key does not open this. Somebody has to install another one."""

    def __init__(
        self,
        operation: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        key_type: str | None = None,
    ) -> None:
        super().__init__(operation, status=status, code=code, request_id=request_id)
        self.key_type = key_type
        """`server`, `read_only`, `mobile`, `javascript` or `web` where Iterable says which kind of key it saw. A live
        key of the wrong kind is answered like a dead key; only this tells them apart."""

    def _details(self) -> list[str]:
        return [] if self.key_type is None else [f"key type {self.key_type}"]


class ForbiddenByProject(NotTaken):
    """The project does not have the feature. Iterable's customer success manager can switch it on."""


class NotFound(NotTaken):
    """There is no such object, or not yet: what was just created may take some 30 s to be found."""


class RecipientUnknown(NotTaken):
    """Iterable has no such user. Create the profile, wait at least 60 s (Iterable help centre), then repeat."""


class RecipientInvalid(NotTaken):
    """Not an address or user id that Iterable takes. Repeating does not help."""


class RecipientForgotten(NotTaken):
    """The user asked to be forgotten. Never repeat; treat as suppressed."""


class Conflict(NotTaken):
    """Another user or object already has the identifier."""


class Refused(NotTaken):
    """The request itself is at fault. Repeating it unchanged does not help.

    Without a `status` it was refused here: no HTTP request can carry the value (a lone surrogate, NaN, a path segment
    of dots).
    """

    def __init__(
        self,
        operation: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        invalid_params: tuple[str, ...] = (),
    ) -> None:
        super().__init__(operation, status=status, code=code, request_id=request_id)
        self.invalid_params = invalid_params
        """Names of parameters that are at fault, as far as Iterable named them; never their values."""

    def _details(self) -> list[str]:
        return [f"naming {' '.join(self.invalid_params)}"] if self.invalid_params else []


class OutcomeUnknown(IterableError):
    """The request may have had its effect. Find out before it is repeated."""


class NoAnswer(OutcomeUnknown):
    """The request left, wholly or in part, and no status came back; or an export broke off, then with its status."""

    def __init__(
        self, operation: str, *, cause: str = "", status: int | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(operation, status=status, request_id=request_id)
        self.cause = cause
        """The HTTP library's word for it, `ReadTimeout` say: a class name, never a message."""

    def _details(self) -> list[str]:
        return [self.cause]


class ServerFault(OutcomeUnknown):
    """5xx. Some inputs get a 500 every time, so bound the repeats even of a read."""


class OddAnswer(OutcomeUnknown):
    """An answer that does not say what became of the request: 3xx, 408, or a 2xx without what was asked for."""

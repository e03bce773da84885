"""What became of the items of a bulk call. A 200 says only that the call was read: some items may have failed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from iterable.answer import AnswerModel

Identifiers = Annotated[list[str], Field(repr=False)]


@dataclass(frozen=True, slots=True)
class BulkFailure:
    """One item that failed."""

    reason: Literal["conflict", "forgotten", "invalid", "invalid_data", "not_found", "other"]
    kind: Literal["email", "user_id"]
    identifier: str = field(repr=False)
    """The address or user id: personal data."""


class FailedUpdates(AnswerModel):
    """Items by what went wrong."""

    conflict_emails: Identifiers = []
    conflict_user_ids: Identifiers = []
    forgotten_emails: Identifiers = []
    forgotten_user_ids: Identifiers = []
    invalid_emails: Identifiers = []
    invalid_user_ids: Identifiers = []
    invalid_data_emails: Identifiers = []
    invalid_data_user_ids: Identifiers = []
    not_found_emails: Identifiers = []
    not_found_user_ids: Identifiers = []


class BulkResult(AnswerModel):
    """Counts, and every failure that Iterable named."""

    success_count: int
    fail_count: int
    failed_updates: FailedUpdates = FailedUpdates()
    invalid_emails: Identifiers = []
    """Deprecated (Swagger 1.8) and still answered; `failures` counts each item once."""
    invalid_user_ids: Identifiers = []
    created_fields: list[str] = []
    filtered_out_fields: list[str] = []

    @property
    def failures(self) -> list[BulkFailure]:
        """Every failed item that was named, once for each reason."""
        return list(dict.fromkeys(self._named()))

    @property
    def unnamed_failures(self) -> int:
        """How many failed without being named."""
        return max(0, self.fail_count - len({(failure.kind, failure.identifier) for failure in self.failures}))

    def _named(self) -> Iterator[BulkFailure]:
        failed = self.failed_updates
        yield from _each("conflict", failed.conflict_emails, failed.conflict_user_ids)
        yield from _each("forgotten", failed.forgotten_emails, failed.forgotten_user_ids)
        yield from _each("invalid", failed.invalid_emails + self.invalid_emails, failed.invalid_user_ids)
        yield from _each("invalid", [], self.invalid_user_ids)
        yield from _each("invalid_data", failed.invalid_data_emails, failed.invalid_data_user_ids)
        yield from _each("not_found", failed.not_found_emails, failed.not_found_user_ids)


class SubscriptionsBulkResult(AnswerModel):
    """As `BulkResult`, in the shape of `users/bulkUpdateSubscriptions`."""

    success_count: int
    fail_count: int
    invalid_emails: Identifiers = []
    invalid_user_ids: Identifiers = []
    valid_email_failures: Identifiers = []
    """Well-formed, and failed for a reason that is not given."""
    valid_user_id_failures: Identifiers = []

    @property
    def failures(self) -> list[BulkFailure]:
        """Every failed item that was named."""
        invalid = _each("invalid", self.invalid_emails, self.invalid_user_ids)
        other = _each("other", self.valid_email_failures, self.valid_user_id_failures)
        return list(dict.fromkeys([*invalid, *other]))

    @property
    def unnamed_failures(self) -> int:
        """How many failed without being named."""
        return max(0, self.fail_count - len(self.failures))


def _each(
    reason: Literal["conflict", "forgotten", "invalid", "invalid_data", "not_found", "other"],
    emails: list[str],
    user_ids: list[str],
) -> Iterator[BulkFailure]:
    yield from (BulkFailure(reason, "email", email) for email in emails)
    yield from (BulkFailure(reason, "user_id", user_id) for user_id in user_ids)

"""The answer of bulk writes: 200 with partial failures, sorted by their cause."""

from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.wire import ApiError

_CAUSES: Final = {
    "ExternalKeyConflict": "conflict",
    "EmailAlreadyExists": "conflict",
    "UserIdAlreadyExists": "conflict",
    "ForgottenUserError": "forgotten",
    "InvalidEmailAddressError": "invalid",
    "InvalidUserIdError": "invalid",
    "UnknownEmailError": "notFound",
    "UnknownUserIdError": "notFound",
}
_BUCKETS: Final = ("conflict", "forgotten", "invalidData", "invalid", "notFound")


@dataclass
class BulkResult:
    success_count: int = 0
    fail_count: int = 0
    created_fields: dict[str, None] = field(default_factory=dict[str, None])
    filtered_fields: dict[str, None] = field(default_factory=dict[str, None])
    failed: dict[str, list[str]] = field(
        default_factory=lambda: {f"{bucket}{kind}": [] for bucket in _BUCKETS for kind in ("Emails", "UserIds")}
    )

    def succeed(self, created: list[str], filtered: list[str]) -> None:
        self.success_count += 1
        self.created_fields.update(dict.fromkeys(created))
        self.filtered_fields.update(dict.fromkeys(filtered))

    def fail(self, error: ApiError, email: str | None, user_id: str | None) -> None:
        self.fail_count += 1
        bucket = _CAUSES.get(error.code, "invalidData")
        if email is not None:
            self.failed[f"{bucket}Emails"].append(email)
        elif user_id is not None:
            self.failed[f"{bucket}UserIds"].append(user_id)

    def shown(self) -> dict[str, Any]:
        return {
            "successCount": self.success_count,
            "failCount": self.fail_count,
            # Deprecated, and still there.
            "invalidEmails": self.failed["invalidEmails"],
            "invalidUserIds": self.failed["invalidUserIds"],
            "filteredOutFields": list(self.filtered_fields),
            "createdFields": list(self.created_fields),
            "failedUpdates": self.failed,
        }

"""Bulk calls: a 200 with failures in it."""

from iterable.bulk import BulkFailure
from iterable.client import IterableClient
from iterable.lists import Subscriber, Unsubscriber
from iterable.subscriptions import SubscriptionUpdate
from tests.iterable.conftest import Wire

REASONS = ("conflict", "forgotten", "invalid", "invalidData", "notFound")


async def test_every_failure_list_is_read(client: IterableClient, wire: Wire) -> None:
    failed = {f"{reason}{kind}": [f"{reason}-{kind}"] for reason in REASONS for kind in ("Emails", "UserIds")}
    wire.answers(
        json={
            "successCount": 3,
            "failCount": 14,
            "failedUpdates": failed,
            "invalidEmails": ["invalid-Emails", "old"],
            "invalidUserIds": ["invalid-UserIds", "old"],
            "createdFields": ["a"],
            "filteredOutFields": ["b"],
        }
    )
    result = await client.lists.subscribe(1, [Subscriber(email="ann@example.com")])

    assert (result.success_count, result.fail_count) == (3, 14)
    assert (result.created_fields, result.filtered_out_fields) == (["a"], ["b"])
    named = {(failure.reason, failure.kind, failure.identifier) for failure in result.failures}
    assert len(result.failures) == len(named) == 12
    assert ("not_found", "user_id", "notFound-UserIds") in named
    assert ("invalid_data", "email", "invalidData-Emails") in named
    assert ("invalid", "email", "old") in named
    assert result.unnamed_failures == 2
    assert "Emails'" not in repr(result)
    assert "notFound-" not in repr(result.failures)


async def test_a_bare_result(client: IterableClient, wire: Wire) -> None:
    wire.answers(json={"successCount": 1, "failCount": 0})
    result = await client.lists.unsubscribe(1, [Unsubscriber(email="ann@example.com")])
    assert (result.failures, result.unnamed_failures) == ([], 0)


async def test_subscriptions_have_lists_of_their_own(client: IterableClient, wire: Wire) -> None:
    wire.answers(
        json={
            "successCount": 0,
            "failCount": 5,
            "invalidEmails": ["a"],
            "invalidUserIds": ["b"],
            "validEmailFailures": ["c"],
            "validUserIdFailures": ["d"],
        }
    )
    result = await client.subscriptions.bulk_update([SubscriptionUpdate(email="ann@example.com")])
    assert result.failures == [
        BulkFailure("invalid", "email", "a"),
        BulkFailure("invalid", "user_id", "b"),
        BulkFailure("other", "email", "c"),
        BulkFailure("other", "user_id", "d"),
    ]
    assert result.unnamed_failures == 1


async def test_lists(client: IterableClient, wire: Wire) -> None:
    wire.answers(json={"lists": [{"id": 1, "name": "All", "listType": "Standard", "createdAt": 0}]})
    (found,) = await client.lists.all()
    assert (found.id, found.name, found.list_type) == (1, "All", "Standard")

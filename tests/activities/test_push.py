"""Pushing: signatures, where to, and what each answer leads to."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import orjson
import pytest
from pydantic import SecretStr
from temporalio.testing import ActivityEnvironment

from activities.push import PushActivities
from activities.receivers import ReceiverRefused, check_receiver
from activities.signing import new_secret, sign
from contracts.event import Event, EventKind
from contracts.push import PushAnswer, PushRequest
from store.events import Move, Recorded
from store.store import Store

SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
REQUEST = PushRequest(workspace_id="acme")


def test_a_signature_is_what_the_specification_says() -> None:
    """The example of the Standard Webhooks libraries."""
    signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_new_secret_has_the_form_that_receivers_know() -> None:
    assert len(base64.b64decode(new_secret().get_secret_value().removeprefix("whsec_"))) == 32
    assert new_secret() != new_secret()


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://10.0.0.7/x",
        "https://192.168.1.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[fd00::1]/x",
        "https://0.0.0.0/",
        "http://93.184.216.34/",
        "https://user:pw@93.184.216.34/",
        "ftp://93.184.216.34/",
        "https:///x",
        "https://93.184.216.34:port/",
    ],
)
async def test_what_is_not_public_and_encrypted_is_refused(url: str) -> None:
    with pytest.raises(ReceiverRefused):
        await check_receiver(url, allow_private=False)


async def test_a_setting_lets_private_receivers_pass_but_no_nonsense() -> None:
    await check_receiver("http://127.0.0.1:9/x", allow_private=True)
    await check_receiver("https://93.184.216.34/x", allow_private=False)
    with pytest.raises(ReceiverRefused):
        await check_receiver("file:///etc/passwd", allow_private=True)


async def feed(store: Store, count: int, start: int = 0) -> datetime:
    """Joined events; when they came."""
    ids = [f"{n:064x}" for n in range(start, start + count)]
    now = datetime.now(UTC)
    async with store.begin() as tx:
        await tx.feed.lock("acme")
        events = [Event(event_id=id_, kind=EventKind.SENT, occurred_at=now) for id_ in ids]
        await tx.events.add("acme", [Recorded(event, "s1", 2, None, None, now, b"{}") for event in events])
        links = await tx.events.links("acme", ids)
        await tx.events.place(
            "acme", [Move(link.id, "s1", firm=True) for link in links], await tx.feed.take("acme", count), now
        )
    return now


async def push(
    store: Store,
    answer: Callable[[httpx.Request], httpx.Response],
    request: PushRequest = REQUEST,
    *,
    private: bool = True,
) -> PushAnswer:
    activities = PushActivities(store, allow_private=private, transport=httpx.MockTransport(answer))
    return await ActivityEnvironment().run(activities.push_batch, request)


async def set_receiver(store: Store) -> None:
    async with store.begin() as tx:
        await tx.pushes.set_receiver("acme", "http://receiver.test/hook", SECRET, 0)


async def test_batches_go_out_in_order_signed_and_once(store: Store) -> None:
    await feed(store, 120)
    await set_receiver(store)
    got: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        got.append(request)
        return httpx.Response(204)

    answers = [await push(store, take) for _ in range(4)]
    assert [(answer.end, answer.more) for answer in answers] == [
        ("delivered", True),
        ("delivered", True),
        ("delivered", False),
        ("empty", False),
    ]
    cursors = [entry["cursor"] for request in got for entry in orjson.loads(request.content)["data"]]
    assert cursors == list(range(1, 121))
    assert len({request.headers["webhook-id"] for request in got}) == 3
    first = got[0]
    signed = f"{first.headers['webhook-id']}.{first.headers['webhook-timestamp']}.".encode() + first.content
    key = base64.b64decode(SECRET.get_secret_value().removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert first.headers["webhook-signature"] == f"v1,{expected}"


async def test_a_batch_that_failed_is_repeated_as_it_was_although_the_feed_has_grown(store: Store) -> None:
    await feed(store, 3)
    await set_receiver(store)
    ids: list[str] = []

    def fail(request: httpx.Request) -> httpx.Response:
        ids.append(request.headers["webhook-id"])
        return httpx.Response(503, headers={"Retry-After": "77"})

    failed = await push(store, fail)
    assert (failed.end, failed.retry_after, failed.up_to) == ("failed", 77, 3)
    await feed(store, 2, start=3)
    again = await push(store, fail, REQUEST.model_copy(update={"up_to": failed.up_to}))
    assert (again.more, len(set(ids))) == (True, 1)


async def test_a_receiver_that_is_gone_switches_the_push_off_and_a_replay_on_again(store: Store) -> None:
    await feed(store, 2)
    await set_receiver(store)
    assert (await push(store, lambda _: httpx.Response(410))).end == "off"
    assert (await push(store, lambda _: httpx.Response(200))).end == "off"
    async with store.begin() as tx:
        assert await tx.pushes.rewind("acme", 0)
    assert (await push(store, lambda _: httpx.Response(200))).end == "delivered"


async def test_a_receiver_that_lacks_events_shows_since_when_until_it_has_them_or_is_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def behind_since() -> datetime | None:
        async with store.read() as tx:
            assert await tx.pushes.behind_since("other") is None
            assert await tx.pushes.behind_since("acme") == await tx.pushes.behind_since()
            return await tx.pushes.behind_since()

    await set_receiver(store)
    assert await behind_since() is None
    first = await feed(store, 2)
    await feed(store, 1, start=2)
    assert await behind_since() == first
    assert (await push(store, lambda _: httpx.Response(500))).end == "failed"
    assert await behind_since() == first
    assert (await push(store, lambda _: httpx.Response(200))).end == "delivered"
    assert await behind_since() is None
    later = first + timedelta(hours=1)
    monkeypatch.setattr(store, "_clock", lambda: later)
    async with store.begin() as tx:
        assert await tx.pushes.rewind("acme", 0)
    assert await behind_since() == later, "it was sent again since then, and not since they came"
    assert (await push(store, lambda _: httpx.Response(410))).end == "off"
    assert await behind_since() == later
    async with store.begin() as tx:
        assert await tx.pushes.remove("acme")
        assert not await tx.pushes.remove("acme")
    assert await behind_since() is None


async def test_a_redirect_is_no_way_around_and_a_private_address_is_never_called(store: Store) -> None:
    await feed(store, 1)
    await set_receiver(store)
    moved = await push(store, lambda _: httpx.Response(302, headers={"Location": "http://127.0.0.1/"}))
    assert (moved.end, moved.problem) == ("failed", "answered 302")
    async with store.begin() as tx:
        await tx.pushes.set_receiver("acme", "https://127.0.0.1/", SECRET, 0)
    refused = await push(store, lambda _: pytest.fail("it was called"), private=False)
    assert refused.end == "failed"


async def test_what_is_given_up_is_noted_and_passed_by(store: Store) -> None:
    await feed(store, 3)
    await set_receiver(store)
    activities = PushActivities(store, allow_private=True)
    given_up = REQUEST.model_copy(update={"failures": 20, "up_to": 2})
    for _ in range(2):  # the first answer may get lost
        await ActivityEnvironment().run(activities.give_up_batch, given_up)
    async with store.read() as tx:
        (letter,) = await tx.pushes.dead_letters("acme")
        receiver = await tx.pushes.get("acme")
    assert (letter.first, letter.last, letter.problem) == (1, 2, "20 tries failed")
    assert receiver is not None
    assert receiver.cursor == 2

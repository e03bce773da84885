"""The payload codec: round trips, rotation, what does not open, and the documented vectors."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from contracts.received import Received
from contracts.send import SendRequest
from runtime.codec import CannotOpen, EncryptingCodec, KeyMissing
from runtime.converter import encrypting_converter
from runtime.payload_keys import payload_keys
from store.keyring import parse_keys

VECTORS = json.loads((Path(__file__).parents[2] / "docs/payload-encryption-vectors.json").read_text())
OLD, NEW = {"old": b"o" * 32}, {"new": b"n" * 32}
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"email": "ann@example.com"}')


def codec(keys: dict[str, bytes], *, encrypts: bool = True) -> EncryptingCodec:
    return EncryptingCodec(keys, encrypts=encrypts)


@given(st.dictionaries(st.text(max_size=10), st.binary(max_size=10), max_size=3), st.binary(max_size=2_000))
def test_what_is_sealed_opens_to_the_same_payload(metadata: dict[str, bytes], data: bytes) -> None:
    payload = Payload(metadata=metadata, data=data)
    one = codec(NEW)
    if metadata.get("encoding") != b"binary/encrypted":
        assert one.seal(payload) != payload
    assert one.open(one.seal(payload)) == payload


def test_nothing_of_a_payload_is_left_in_sight() -> None:
    sealed = codec(NEW).seal(PLAIN).SerializeToString()
    assert b"ann" not in sealed
    assert b"json" not in sealed


def test_equal_payloads_look_different() -> None:
    assert codec(NEW).seal(PLAIN) != codec(NEW).seal(PLAIN)


def test_large_payloads_are_compressed() -> None:
    large = Payload(metadata={"encoding": b"json/plain"}, data=b"<table><tr><td>" * 10_000)
    assert codec(NEW).seal(large).ByteSize() < large.ByteSize() / 20


async def test_an_old_key_still_opens_after_a_rotation() -> None:
    [sealed] = await codec(OLD).encode([PLAIN])
    rotated = codec(NEW | OLD)
    assert await rotated.decode([sealed]) == [PLAIN]
    [again] = await rotated.encode([PLAIN])
    assert again.metadata["encryption-key-id"] == b"new"


async def test_switched_off_it_writes_plain_and_still_reads_both() -> None:
    off = codec(NEW, encrypts=False)
    assert await off.encode([PLAIN]) == [PLAIN]
    assert await off.decode([codec(NEW).seal(PLAIN), PLAIN]) == [PLAIN, PLAIN]


async def test_a_missing_key_is_an_error_that_putting_it_back_mends() -> None:
    sealed = codec(OLD).seal(PLAIN)
    with pytest.raises(KeyMissing, match="'old'"):
        await codec(NEW).decode([sealed])


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "claimed_compressed"])
async def test_what_was_altered_does_not_open_and_passes_as_it_is(damage: str) -> None:
    sealed = codec(NEW).seal(PLAIN)
    match damage:
        case "flip":
            sealed.data = sealed.data[:-1] + bytes([sealed.data[-1] ^ 1])
        case "cut":
            sealed.data = sealed.data[:20]
        case "empty":
            sealed.data = b""
        case _:
            sealed.metadata["compression"] = b"zstd"
    with pytest.raises(CannotOpen) as told:
        codec(NEW).open(sealed)
    assert "ann" not in str(told.value)
    assert await codec(NEW).decode([sealed]) == [sealed]


async def test_a_request_that_does_not_open_is_refused_and_our_own_history_is_not_guessed_at() -> None:
    converter = encrypting_converter(codec(NEW))
    sealed = codec({"new": b"x" * 32}).seal(PLAIN)
    with pytest.raises(ApplicationError) as refused:
        await converter.decode([sealed], [Received[SendRequest] | None])  # type: ignore[list-item]
    assert refused.value.type == "request_invalid"
    with pytest.raises(CannotOpen):
        await converter.decode([sealed], [SendRequest])


class Name(BaseModel):
    """Any model."""

    name: str


async def test_values_travel_encrypted_through_the_converter() -> None:
    converter = encrypting_converter(codec(NEW))
    [payload] = await converter.encode([Name(name="ann@example.com")])
    assert b"ann" not in payload.SerializeToString()
    assert await converter.decode([payload], [Name]) == [Name(name="ann@example.com")]


async def test_a_failures_message_is_encrypted_and_its_code_is_not() -> None:
    converter = encrypting_converter(codec(NEW))
    failure = Failure()
    await converter.encode_failure(ApplicationError("about ann@example.com", type="recipient_invalid"), failure)
    raw = failure.SerializeToString()
    assert b"ann" not in raw
    assert failure.application_failure_info.type == "recipient_invalid"
    assert failure.message == "recipient_invalid: the rest is encrypted"
    back = await converter.decode_failure(failure)
    assert isinstance(back, ApplicationError)
    assert back.message == "about ann@example.com"


def _raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as raised:
        raise error
    return raised.value


@pytest.mark.parametrize("encrypts", [True, False])
async def test_where_a_failure_was_raised_is_told_of_a_bug_and_not_of_an_error_with_a_code(encrypts: bool) -> None:
    converter = encrypting_converter(codec(NEW, encrypts=encrypts))
    traces: list[str] = []
    for error in (_raised(ApplicationError("x", type="template_unknown")), _raised(KeyError("bug"))):
        failure = Failure()
        await converter.encode_failure(error, failure)
        back = await converter.decode_failure(failure)
        assert isinstance(back, ApplicationError)
        assert back.failure is not None
        traces.append(back.failure.stack_trace)
    assert traces[0] == ""
    assert "_raised" in traces[1]


@pytest.mark.parametrize("vector", VECTORS["payloads"], ids=lambda vector: vector["what"])
def test_the_documented_vectors_open(vector: dict[str, dict[str, str]]) -> None:
    keys = payload_keys(parse_keys(f"{VECTORS['key_id']}:{VECTORS['master_key']}"))
    assert keys == {VECTORS["key_id"]: base64.b64decode(VECTORS["payload_key"])}
    assert codec(keys).open(_payload(vector["encrypted"])) == _payload(vector["plain"])


def _payload(shown: dict[str, str]) -> Payload:
    metadata = {name: base64.b64decode(value) for name, value in shown["metadata"].items()}  # type: ignore[union-attr]
    return Payload(metadata=metadata, data=base64.b64decode(shown["data"]))

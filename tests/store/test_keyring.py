"""Secrets at rest."""

import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.keyring import KeyedHasher, Keyring, KeyringError, create_key_file, new_key_text, parse_keys


@given(st.binary(max_size=1000), st.text(max_size=50))
def test_what_is_sealed_opens_in_its_place(value: bytes, place: str) -> None:
    ring = Keyring(parse_keys(new_key_text()))
    sealed = ring.seal(value, place)
    assert ring.open(sealed, place) == value
    if len(value) > 3:
        assert value not in sealed


def test_a_value_moved_to_another_place_does_not_open(keyring: Keyring) -> None:
    sealed = keyring.seal(b"key", "connector.api_key.acme")
    with pytest.raises(KeyringError):
        keyring.open(sealed, "connector.api_key.other")


def test_an_altered_value_does_not_open(keyring: Keyring) -> None:
    sealed = bytearray(keyring.seal(b"key", "here"))
    sealed[-1] ^= 1
    with pytest.raises(KeyringError):
        keyring.open(bytes(sealed), "here")


@pytest.mark.parametrize("nonsense", [b"", b"\x01", b"\x02abc", b"\x01\x04abcd", b"plain text"])
def test_nonsense_does_not_open(keyring: Keyring, nonsense: bytes) -> None:
    with pytest.raises(KeyringError):
        keyring.open(nonsense, "here")


def test_old_values_open_after_a_rotation() -> None:
    old, new = new_key_text(), new_key_text()
    sealed = Keyring(parse_keys(old)).seal(b"key", "here")
    rotated = Keyring(parse_keys(new + old))
    assert rotated.open(sealed, "here") == b"key"
    with pytest.raises(KeyringError, match="has no key"):
        Keyring(parse_keys(new)).open(rotated.seal(b"x", "here")[:2] + b"zzzzzzzz" + sealed[10:], "here")


@pytest.mark.parametrize("text", ["", "a:not base64!", "a:YWJj", "\n"])
def test_malformed_keys_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(KeyringError) as refused:
        parse_keys(text)
    assert "YWJj" not in str(refused.value)


def test_a_repr_shows_no_key(keyring: Keyring) -> None:
    assert "AESGCM" not in repr(keyring)


def test_a_key_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "master.key"
    create_key_file(path)
    first = path.read_text()
    create_key_file(path)
    assert path.read_text() == first
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_person_has_one_hash_whatever_the_case_of_the_address() -> None:
    hasher = KeyedHasher(b"pepper")
    assert hasher.of_email("Ann@Example.com ") == hasher.of_email("ann@example.com")
    assert hasher.of_user_id("A1") != hasher.of_user_id("a1")
    assert KeyedHasher(b"other").of_email("ann@example.com") != hasher.of_email("ann@example.com")


@given(st.binary(max_size=64), st.text(max_size=200))
def test_a_hash_is_the_hmac_of_the_standard_library(pepper: bytes, key: str) -> None:
    expected = hmac.new(pepper, f"occurrence:{key}".encode(), hashlib.sha256).hexdigest()
    assert KeyedHasher(pepper).of_occurrence(key) == expected

"""Secrets and personal data at rest: AES-256-GCM under a ring of master keys.

A sealed value says which key sealed it, so keys can be rotated while old values are still read. The associated data is
the place the value belongs to (table, column, row): a sealed value copied to another row does not open there.
"""

import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = 1
_NONCE_BYTES = 12  # the size AES-GCM is specified for; random, so a key is good for 2^32 values
_KEY_BYTES = 32
_BLOCK_BYTES = 64  # of SHA-256


class KeyringError(Exception):
    """A key is missing, malformed, or does not open the value. Holds no key material."""


class KeyMissing(KeyringError):
    """The ring has no such key: another process may, or this one after its next start."""


def parse_keys(text: str) -> dict[str, bytes]:
    """`id:base64` pairs, separated by commas or line ends, newest first; a lone base64 value has the id `1`."""
    found: dict[str, bytes] = {}
    for entry in text.replace(",", "\n").split():
        key_id, _, encoded = entry.rpartition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise KeyringError("a master key is not valid base64") from None
        if len(key) != _KEY_BYTES:
            raise KeyringError("a master key must be 32 bytes, base64-encoded")
        found[key_id or "1"] = key
    if not found:
        raise KeyringError("no master key given")
    return found


def new_key_text() -> str:
    """A fresh key as `parse_keys` reads it."""
    return f"{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}\n"


def create_key_file(path: Path) -> None:
    """Creates a key file readable by its owner only; leaves an existing one alone. For development: in production the
    file comes from your secret store."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(new_key_text())


class Keyring:
    """Seals and opens. Its repr shows key ids only."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = next(iter(keys))
        key_id = self._current.encode()
        self._head = bytes([_VERSION, len(key_id)]) + key_id

    def __repr__(self) -> str:
        return f"Keyring(current={self._current!r}, known={sorted(self._ciphers)})"

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        return self._current

    def is_current(self, sealed: bytes) -> bool:
        """Whether a value was sealed with the newest key."""
        return sealed.startswith(self._head)

    def seal(self, value: bytes, place: str) -> bytes:
        """`place` names where the value is kept and must be given again to open it."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._head + nonce + self._ciphers[self._current].encrypt(nonce, value, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """Raises `KeyMissing` where the key is unknown, and `KeyringError` where the value was altered, or belongs to
        another place."""
        if len(sealed) < 2 or sealed[0] != _VERSION:
            raise KeyringError("this is not a sealed value")
        end = 2 + sealed[1]
        key_id = sealed[2:end].decode(errors="replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise KeyMissing(f"the key ring has no key {key_id!r}")
        try:
            return cipher.decrypt(sealed[end : end + _NONCE_BYTES], sealed[end + _NONCE_BYTES :], place.encode())
        except InvalidTag:
            raise KeyringError("a sealed value does not open: altered, or from another place") from None


class KeyedHasher:
    """Names people, and what happened to them, without naming them: HMAC-SHA256 under a secret of this installation.

    The same person has the same hash in every table and search attribute; without the secret a list of addresses
    cannot be tested against it.
    """

    def __init__(self, pepper: bytes) -> None:
        if len(pepper) > _BLOCK_BYTES:
            raise ValueError("a pepper may not be longer than a block of SHA-256")
        padded = pepper.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def of_email(self, email: str) -> str:
        """Addresses are compared without case: mailboxes that differ only in case are not seen in practice."""
        return self._hash(f"email:{email.strip().lower()}")

    def of_user_id(self, user_id: str) -> str:
        """User ids are case-sensitive at Iterable."""
        return self._hash(f"user:{user_id}")

    def of_occurrence(self, key: str) -> str:
        """Names one occurrence that Iterable reports (`iterable.webhook_event.occurrence_key`)."""
        return self._hash(f"occurrence:{key}")

    def all_of(self, email: str | None, user_id: str | None) -> list[str]:
        """Every hash a person is known by; the address's first."""
        found = [self.of_email(email)] if email else []
        return [*found, self.of_user_id(user_id)] if user_id else found

    def _hash(self, text: str) -> str:
        """HMAC (RFC 2104) from the two states that depend on the key alone: a fifth of the time of `hmac.new`, and the
        same value. It is taken for every event, before its webhook is answered."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode())
        outer.update(inner.digest())
        return outer.hexdigest()

"""The payload codec: AES-256-GCM around every payload, zstd before it. docs/payload-encryption.md has the format.

Reading does not depend on the setting: what is encrypted opens as long as its key is in the ring, what is plain passes.
So encryption can be switched on and off, and keys rotated, under runs that are open.
"""

import os
import sys
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from runtime.payload_keys import payload_keys
from runtime.settings import Settings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ENCRYPTED = b"binary/encrypted"
BODY = "genieos-template-body"
"""Metadata of a payload that may be kept outside of the history; stays in sight where the payload is encrypted."""
_ENCODING = "encoding"
_KEY_ID = "encryption-key-id"
_COMPRESSION = "compression"
_ZSTD = b"zstd"
_NONCE_BYTES = 12
_WORTH_COMPRESSING = 128
"""Bytes; below it zstd's own header eats the gain."""
_LARGEST = 64 * 1024 * 1024
"""Bytes that a payload may unfold to. Temporal takes 2 MiB, external storage more."""
_SHOWN_OF_AN_ID = 40


class CannotOpen(Exception):
    """An encrypted payload that does not open. Holds nothing of it but the name of its key."""


class KeyMissing(CannotOpen):
    """Its key is not in the ring: put it back, and the payload opens."""


def codec_of(settings: Settings) -> "EncryptingCodec | None":
    """What encrypts payloads, with keys of its own; None where there is no master key and nothing to encrypt. Raises
    `KeyringError`."""
    if settings.master_key is None and settings.master_key_file is None and not settings.encrypt_payloads:
        return None
    return EncryptingCodec(payload_keys(settings.master_keys()), encrypts=settings.encrypt_payloads)


class EncryptingCodec(PayloadCodec):
    """Opens what the ring has a key for; encrypts with its first key where `encrypts` is set."""

    def __init__(self, keys: dict[str, bytes], *, encrypts: bool) -> None:
        """`keys` as `payload_keys` gives them, newest first."""
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = next(iter(keys))
        self.encrypts = encrypts

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypts, each payload under a nonce of its own. What is encrypted already stays as it is."""
        return [self.seal(payload) if self.encrypts else payload for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Opens; plain payloads pass.

        Raises `KeyMissing`: a workflow task that meets it is tried again until an operator has put the key back. What a
        known key does not open passes as it is, and `runtime/converter.py` says what becomes of it.
        """
        found: list[Payload] = []
        for payload in payloads:
            try:
                found.append(self.open(payload))
            except KeyMissing:
                raise
            except CannotOpen:
                found.append(payload)
        return found

    def seal(self, payload: Payload) -> Payload:
        """One payload, encrypted whatever the setting is."""
        if _is_encrypted(payload):
            return payload
        plain = payload.SerializeToString()
        metadata = {_ENCODING: ENCRYPTED, _KEY_ID: self._current.encode()}
        if BODY in payload.metadata:
            metadata[BODY] = payload.metadata[BODY]
        if len(plain) >= _WORTH_COMPRESSING:
            packed = zstd.compress(plain)
            if len(packed) < len(plain):
                plain = packed
                metadata[_COMPRESSION] = _ZSTD
        nonce = os.urandom(_NONCE_BYTES)
        return Payload(metadata=metadata, data=nonce + self._ciphers[self._current].encrypt(nonce, plain, None))

    def open(self, payload: Payload) -> Payload:
        """One payload as it was before `seal`; a plain one as it is. Raises `CannotOpen`."""
        if not _is_encrypted(payload):
            return payload
        key_id = payload.metadata.get(_KEY_ID, b"").decode(errors="replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise KeyMissing(f"the key ring has no payload key {key_id[:_SHOWN_OF_AN_ID]!r}: add its master key again")
        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            plain = cipher.decrypt(nonce, sealed, None)
            if payload.metadata.get(_COMPRESSION) == _ZSTD:
                plain = _unpacked(plain)
            return Payload.FromString(plain)
        except (InvalidTag, ValueError, zstd.ZstdError, DecodeError):
            raise CannotOpen(
                f"a payload does not open with the key {key_id[:_SHOWN_OF_AN_ID]!r}: see docs/payload-encryption.md"
            ) from None


def _is_encrypted(payload: Payload) -> bool:
    return payload.metadata.get(_ENCODING) == ENCRYPTED


def _unpacked(packed: bytes) -> bytes:
    unpacker = zstd.ZstdDecompressor()
    plain = unpacker.decompress(packed, _LARGEST)
    if not unpacker.eof:
        raise CannotOpen(f"a payload is cut off, or longer than {_LARGEST} bytes")
    return plain

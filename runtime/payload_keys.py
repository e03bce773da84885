"""The keys that encrypt what passes through Temporal.

They are derived from the master keys and have their ids: a program that must read or write payloads (a client in
another language) is given these, and can open nothing in the database with them.
"""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PURPOSE = b"genieos-iterable-connector/payload/v1"
_KEY_BYTES = 32


def payload_keys(master_keys: dict[str, bytes]) -> dict[str, bytes]:
    """One key for each master key, in their order: HKDF-SHA256 (RFC 5869) without salt."""
    return {
        key_id: HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE).derive(key)
        for key_id, key in master_keys.items()
    }

"""Signatures of Standard Webhooks (spec v1): HMAC-SHA256 over `{id}.{timestamp}.{body}`."""

import base64
import hashlib
import hmac
import secrets

from pydantic import SecretStr

_PREFIX = "whsec_"
_SECRET_BYTES = 32  # the specification asks for 24 to 64


def new_secret() -> SecretStr:
    """A secret of one receiver, as the receiving libraries take it."""
    return SecretStr(_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode())


def sign(secret: SecretStr, webhook_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`. `timestamp` is in seconds since 1970.

    Raises `ValueError` (`binascii.Error` is one) for a secret that is no base64.
    """
    key = base64.b64decode(secret.get_secret_value().removeprefix(_PREFIX), validate=True)
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()

"""Secrets of the installation itself."""

import secrets

from sqlalchemy import select

from store.repository import SealingRepository
from store.tables import secret

_PEPPER = "recipient-pepper"
_PLACE = f"secret.sealed.{_PEPPER}"


class Secrets(SealingRepository):
    """Made once, then the same for ever, whatever becomes of the master keys that seal them."""

    async def recipient_pepper(self) -> bytes:
        """The key of `KeyedHasher`."""
        sealed = await self._find()
        if sealed is None:
            fresh = self._keyring.seal(secrets.token_bytes(32), _PLACE)
            await self._add(secret, name=_PEPPER, sealed=fresh)
            sealed = await self._find()  # another process may have been first
        if sealed is None:
            raise RuntimeError("the secret that was just written is not there")
        return self._keyring.open(sealed, _PLACE)

    async def _find(self) -> bytes | None:
        return await self._connection.scalar(select(secret.c.sealed).where(secret.c.name == _PEPPER))

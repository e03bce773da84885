"""Who may post webhooks: Iterable signs nothing, so a secret header is all there is."""

import asyncio
import hashlib
import hmac
import secrets
import time

from store.store import Store

HEADER = "X-GenieOS-Webhook-Token"
_TOKEN_BYTES = 32
_FRESH_SECONDS = 2.0
_MOST_CACHED = 10_000
_NOBODY = hashlib.sha256(secrets.token_bytes(_TOKEN_BYTES)).hexdigest()
"""What an unknown workspace's token is compared with, so that it takes as long to refuse as a wrong token."""


def new_token() -> str:
    """256 random bits; shown once, kept only as a hash."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_hash(token: str | bytes) -> str:
    """What is kept. No salt: a random token of this length cannot be guessed."""
    return hashlib.sha256(token if isinstance(token, bytes) else token.encode()).hexdigest()


class WebhookTokens:
    """Checks tokens against the store, with a short memory of those that fitted and of each workspace's tokens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[float, list[str]]] = {}
        self._fitted: dict[tuple[str, bytes], float] = {}
        self._asking = asyncio.Lock()

    def fitted(self, workspace_id: str, token: bytes) -> bool:
        """Whether the token was found to fit a moment ago. It is looked up by its digest, whose bytes nobody who
        guesses can choose."""
        return self._fitted.get((workspace_id, hashlib.sha256(token).digest()), 0.0) > time.monotonic()

    async def fit(self, workspace_id: str, token: bytes) -> bool:
        """Whether the token is one of the workspace's. Every valid token is compared, in constant time."""
        now = time.monotonic()
        digest = hashlib.sha256(token).digest()
        since, hashes = await self._hashes(workspace_id, now)
        matches = [hmac.compare_digest(digest.hex(), known) for known in hashes or [_NOBODY]]
        if not any(matches):
            return False
        if len(self._fitted) >= _MOST_CACHED:
            self._fitted.clear()
        self._fitted[workspace_id, digest] = since + _FRESH_SECONDS
        return True

    async def _hashes(self, workspace_id: str, now: float) -> tuple[float, list[str]]:
        known = self._known.get(workspace_id)
        if known is not None and now - known[0] < _FRESH_SECONDS:
            return known
        async with self._asking:  # requests that come together ask once
            known = self._known.get(workspace_id)
            if known is not None and now - known[0] < _FRESH_SECONDS:
                return known
            async with self._store.read() as tx:
                hashes = await tx.connectors.webhook_token_hashes(workspace_id)
            if len(self._known) >= _MOST_CACHED:
                self._known.clear()
            self._known[workspace_id] = found = now, hashes
            return found

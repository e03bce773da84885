"""Who may post webhooks: Iterable signs nothing, so a secret header is what there is, and where it comes from."""

import asyncio
import hashlib
import hmac
import secrets
import time

from starlette.types import Scope

from contracts.names import WEBHOOK_TOKEN_HEADER
from endpoint.origin import Networks, Origin
from endpoint.refusals import Refusals
from store.store import Store
from store.webhooks import token_hash

__all__ = ["HEADER", "WebhookTokens", "new_token", "token_hash"]

HEADER = WEBHOOK_TOKEN_HEADER
_TOKEN_BYTES = 32
_FRESH_SECONDS = 2.0
_MOST_CACHED = 10_000
_LONGEST_ID = 64
"""Characters of a workspace's id. Whatever is longer is nobody's, and not worth remembering."""
_NOBODY = hashlib.sha256(secrets.token_bytes(_TOKEN_BYTES)).hexdigest()
"""What an unknown workspace's token is compared with, so that it takes as long to refuse as a wrong token."""


def new_token() -> str:
    """256 random bits; shown once, kept only as a hash."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


class WebhookTokens:
    """Checks tokens against the store, with a short memory of those that fitted and of each workspace's tokens."""

    def __init__(self, store: Store, refusals: Refusals, origin: Origin) -> None:
        self._store = store
        self._refusals = refusals
        self._origin = origin
        self.limited: dict[str, Networks] = {}
        """Workspaces whose webhooks may come from some networks only; known once a token of theirs has fitted."""
        self._known: dict[str, tuple[float, list[str]]] = {}
        self._fitted: dict[tuple[str, bytes], float] = {}
        self._asking = asyncio.Lock()

    def fitted(self, workspace_id: str, token: bytes) -> bool:
        """Whether the token was found to fit a moment ago. It is looked up by its digest, whose bytes nobody who
        guesses can choose."""
        return self._fitted.get((workspace_id, hashlib.sha256(token).digest()), 0.0) > time.monotonic()

    async def fit(self, workspace_id: str, token: bytes) -> bool:
        """Whether the token is one of the workspace's. Every valid token is compared, in constant time."""
        if len(workspace_id) > _LONGEST_ID:
            return False
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

    def admits(self, workspace_id: str, scope: Scope) -> bool:
        """Whether a webhook of a limited workspace comes from where it may; counts it where it does not."""
        peer: tuple[str, int] | None = scope.get("client")
        address = None if peer is None else self._origin.of(peer[0], scope["headers"])
        if address is not None and self.limited[workspace_id].holds(address):
            return True
        self._refusals.add(workspace_id, "not_allowlisted")
        return False

    def count_wrong(self, workspace_id: str) -> None:
        """Counts a token that did not fit, for workspaces that have one: others may be anybody's invention."""
        known = self._known.get(workspace_id)
        if known is not None and known[1]:
            self._refusals.add(workspace_id, "wrong_token")

    async def _hashes(self, workspace_id: str, now: float) -> tuple[float, list[str]]:
        known = self._known.get(workspace_id)
        if known is not None and now - known[0] < _FRESH_SECONDS:
            return known
        async with self._asking:  # requests that come together ask once
            known = self._known.get(workspace_id)
            if known is not None and now - known[0] < _FRESH_SECONDS:
                return known
            async with self._store.read() as tx:
                access = await tx.webhooks.access(workspace_id)
            hashes = access.token_hashes
            if access.ip_allowlist:
                self.limited[workspace_id] = Networks(access.ip_allowlist)
            else:
                self.limited.pop(workspace_id, None)
            if len(self._known) >= _MOST_CACHED:
                self._known.clear()
            self._known[workspace_id] = found = now, hashes
            return found

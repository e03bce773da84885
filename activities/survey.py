"""A dry run: the audience is read and counted as it would be, and nothing is claimed, written or sent."""

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing

from activities.audience import Audience, ReadRow
from activities.checks import missing_data
from activities.connectors import InForce
from activities.send import check_identity, stands_for
from activities.sources import Empty
from activities.suppressing import Path, check
from activities.targeting import below
from contracts.broadcast import AudienceRow, BadRow, BroadcastRequest, Survey, Tally
from contracts.errors import ConnectorError
from contracts.template import Template
from store.store import Store

_CHUNK = 500
_MOST_NUMBERS = 100
_MOST_COMPARED = 2_000_000
"""People that duplicates are looked for among: some 150 MB. Of a larger audience the first so many."""
_PAGE_SECONDS = 30.0
_ACTIONS_A_PAGE = 4
"""One for the activity, and three heartbeats that reach the server."""
_ACTIONS_A_RUN = 12


class Surveyor:
    """Counts an audience. `tally.taken` are those who would be targeted."""

    def __init__(self, store: Store, connector: InForce, request: BroadcastRequest, content: Template) -> None:
        self._store = store
        self._connector = connector
        self._request = request
        self._content = content
        self._path = Path.of(connector.settings, connector.catalog, request.stream)
        self._seen: set[int] = set()
        self._counts: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()
        self._bad: list[BadRow] = []

    async def survey(self, audience: Audience) -> tuple[Tally, Survey]:
        """Reads it to its end. Raises `ConnectorError` where it cannot be read."""
        chunk: list[ReadRow] = []
        async with aclosing(audience.rows(await audience.begin())) as rows:
            async for one in rows:
                chunk.append(one)
                if len(chunk) == _CHUNK:
                    await self._look_at(chunk)
                    chunk = []
        await self._look_at(chunk)
        if not self._counts:
            raise Empty
        return Tally.of(self._counts), self._result()

    async def _look_at(self, chunk: Sequence[ReadRow]) -> None:
        rows: list[AudienceRow] = []
        people: list[list[str]] = []
        for one in chunk:
            row = self._fitting(one.row)
            if isinstance(row, str):
                self._counts["bad"] += 1
                if len(self._bad) < _MOST_NUMBERS:
                    self._bad.append(BadRow(row=one.number, reason=row))
                continue
            known_as = self._store.hasher.all_of(row.recipient.email, row.recipient.user_id)
            if self._is_known(stands_for(known_as, self._connector.settings)):
                self._counts["duplicates"] += 1
                continue
            rows.append(row)
            people.append(known_as)
        async with self._store.read() as tx:
            rules = await check(tx, self._request.workspace_id, people, self._path)
        for row, rule in zip(rows, rules, strict=True):
            self._counts["taken" if rule is None else "suppressed"] += 1
            if rule is None:
                self._missing.update(missing_data(self._content, row.data, row.recipient.profile))

    def _fitting(self, row: AudienceRow | str) -> AudienceRow | str:
        """The row, or what is wrong with it."""
        if isinstance(row, str):
            return row
        try:
            check_identity(row.recipient, self._connector.settings)
        except ConnectorError as error:
            return error.what
        return row

    def _is_known(self, recipient_hash: str) -> bool:
        person = int(recipient_hash[:16], 16)
        known = person in self._seen
        if len(self._seen) < _MOST_COMPARED:
            self._seen.add(person)
        return known

    def _result(self) -> Survey:
        sendable = self._counts["taken"]
        rate = min(self._request.rate or math.inf, self._connector.settings.sends_per_second)
        seconds = sendable / below(rate)
        settings = self._connector.settings
        profiles = sendable if settings.profile_policy == "always" else 0
        return Survey(
            sendable=sendable,
            missing=dict(self._missing.most_common(_MOST_NUMBERS)),
            bad_rows=self._bad,
            seconds=round(seconds, 1),
            calls=sendable + profiles,
            actions=_ACTIONS_A_RUN + math.ceil(seconds / _PAGE_SECONDS) * _ACTIONS_A_PAGE,
        )

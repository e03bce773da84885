"""Takes arrived events into the inbox: on a thread of its own, over a connection of its own.

The asynchronous drivers hop between threads at every statement; while the loop is busy with the next requests each hop
waits for it. Here a commit is one hop there and one back, and the loop goes on accepting meanwhile.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine, insert

from store.keyring import Keyring
from store.packing import Arrival, pack
from store.tables import inbox


class InboxWriter:
    """One commit at a time."""

    def __init__(self, engine: Engine, keyring: Keyring) -> None:
        self._engine = engine
        self._keyring = keyring
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inbox-writer")

    async def write(self, arrivals: Sequence[Arrival]) -> None:
        """Returns once the events are committed; raises where they are not, or where that is not known."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, arrivals)

    def close(self) -> None:
        """Waits for a commit that is under way."""
        self._thread.shutdown()
        self._engine.dispose()

    def _commit(self, arrivals: Sequence[Arrival]) -> None:
        rows = pack(arrivals, self._keyring)
        with self._engine.begin() as connection:
            connection.execute(insert(inbox), rows)

"""Drains what waits, alone, in this process; prints how many events a second: `python -m bench.drain`."""

import asyncio
import sys
import time

import orjson
from temporalio.testing import ActivityEnvironment

from activities.catalogs import Catalogs
from activities.connectors import InstalledConnectors
from activities.inbox import InboxActivities
from contracts.inbox import InboxShard
from runtime.clients import client_factory
from runtime.process import spare_the_collector
from runtime.settings import Settings
from runtime.temporal import connect
from store.store import Store


async def _main() -> None:
    spare_the_collector()
    settings = Settings()
    store = await Store.open(settings.database_url, settings.keyring())
    catalogs = Catalogs(store, InstalledConnectors(store, client_factory(settings)))
    activities = InboxActivities(store, await connect(), catalogs, settings.task_queue)
    drained, began = 0, time.perf_counter()
    while True:
        result = await ActivityEnvironment().run(activities.drain_inbox, InboxShard(workspace_id="bench"))
        drained += result.drained
        if not result.more:
            break
    took = time.perf_counter() - began
    await store.close()
    sys.stdout.write(orjson.dumps({"drained": drained, "seconds": took}).decode())


if __name__ == "__main__":
    asyncio.run(_main())

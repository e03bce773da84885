"""Health and readiness: what an orchestrator asks."""

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from runtime.health import Health, answering, database
from store.store import Store


async def _ask(health: Health) -> dict[str, tuple[int, dict[str, str]]]:
    async with answering(health, "127.0.0.1:0") as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        answers = {path: await http.get(path) for path in ("/healthz", "/readyz")}
    return {path: (answer.status_code, answer.json()) for path, answer in answers.items()}


async def test_a_process_that_lives_is_ready_only_once_all_parts_answer() -> None:
    answers = {"worker": False, "temporal": True}

    async def worker() -> bool:
        return answers["worker"]

    async def temporal() -> bool:
        return answers["temporal"]

    health = Health(worker=worker)
    health.needs(temporal=temporal)
    assert await _ask(health) == {
        "/healthz": (200, {"status": "ok"}),
        "/readyz": (503, {"worker": "does not answer", "temporal": "ok"}),
    }
    answers["worker"] = True
    assert (await _ask(health))["/readyz"] == (200, {"worker": "ok", "temporal": "ok"})


async def test_a_database_that_does_not_answer_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: Store) -> None:
        raise OperationalError("SELECT 1", {}, OSError("refused"))

    assert await database(store)()
    monkeypatch.setattr(Store, "ping", refuse)
    assert not await database(store)()

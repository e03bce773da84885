"""Rate limits: the documented ones, each counted for its project or its key."""

import httpx

from sandbox.limits import Limiter
from sandbox.settings import RateRule
from tests.sandbox.conftest import Project, Sandbox

SENT = "/api/users/getSentMessages"


async def statuses(project: Project, number: int, path: str = SENT) -> list[int]:
    query = {"email": "ann@example.com"} if path == SENT else None
    return [(await project.call("GET", path, query=query)).status_code for _ in range(number)]


async def test_the_fourth_request_in_a_second_is_refused(sandbox: Sandbox, project: Project) -> None:
    other = await sandbox.project()
    assert await statuses(project, 4) == [200, 200, 200, 429]
    assert await statuses(other, 1) == [200]
    answer = await project.call("GET", SENT, query={"email": "ann@example.com"})
    assert answer.json()["code"] == "RateLimitExceeded"
    assert answer.headers["Retry-After"] == "1"
    await sandbox.clock.advance(1)
    assert await statuses(project, 1) == [200]


async def test_a_daily_cap_holds_beside_the_rate(sandbox: Sandbox) -> None:
    rules = [{"limit": 3}, {"limit": 4, "seconds": 86_400}]
    project = await sandbox.project(rate_limits={"POST /api/users/forget": rules})
    answers: list[httpx.Response] = []
    for number in range(6):
        answers.append(await project.call("POST", "/api/users/forget", body={"email": f"p{number}@example.com"}))
        await sandbox.clock.advance(1)
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) > 80_000


async def test_a_project_can_have_limits_of_its_own(sandbox: Sandbox, project: Project) -> None:
    await project.change(rate_limits={"GET /api/channels": {"limit": 1, "seconds": 60}, f"GET {SENT}": None})
    assert await statuses(project, 2, "/api/channels") == [200, 429]
    assert await statuses(project, 10) == [200] * 10
    await project.change(retry_after_header=False)
    answer = await project.call("GET", "/api/channels")
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, False)


async def test_the_endpoint_without_a_documented_limit_has_none(project: Project) -> None:
    campaign_id = await project.campaign()
    for number in range(300):
        await project.target(campaign_id, f"p{number}@example.com")


def test_no_window_ever_holds_more_than_the_limit() -> None:
    limiter, rule = Limiter(), RateRule(limit=3)
    taken = [at / 10 for at in range(100) if limiter.take("x", "", (rule,), at / 10) is None]
    assert all(len([one for one in taken if start <= one < start + 1]) <= 3 for start in taken)
    assert len(taken) >= 28


def test_limits_for_each_key_are_counted_apart() -> None:
    limiter, rule = Limiter(), RateRule(limit=1, per="key")
    assert [limiter.take("x", key, (rule,), 0) for key in ("a", "b", "a")] == [None, None, 1]

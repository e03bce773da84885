"""What an operator sees of sends in Prometheus, and that the dashboard and the alerts ask for what there is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from promql_parser import parse
from ruamel.yaml import YAML

from contracts.names import send_workflow_id
from contracts.send import SendRequest, SendResult
from runtime.metrics import WorkerMetrics
from tests.stage import Project, Stage
from workflows.send import SendWorkflow

pytestmark = pytest.mark.scenario

ROOT = Path(__file__).parents[2]
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def _text(project: Project) -> str:
    """What the worker and the endpoint answer."""
    async with httpx.AsyncClient() as http:
        worker = (await http.get(project.stage.worker_metrics_url)).raise_for_status().text
    return worker + (await project.stage.endpoint_http.get("/metrics")).raise_for_status().text


async def _scrape(project: Project) -> Samples:
    """Every sample, by name and labels."""
    return {
        (name, frozenset(re.findall(r'(\w+)="([^"]*)"', labels))): float(value)
        for name, labels, value in _SAMPLE.findall(await _text(project))
    }


def _sum(samples: Samples, name: str, **labels: str) -> float:
    return sum(value for (n, has), value in samples.items() if n == name and labels.items() <= dict(has).items())


async def _run(project: Project, request: SendRequest) -> SendResult:
    return await project.stage.client.execute_workflow(
        SendWorkflow.run,
        request,
        id=send_workflow_id(request.workspace_id, request.send_id),
        task_queue=project.stage.settings.task_queue,
        result_type=SendResult,
    )


async def test_sends_calls_and_events_are_counted_and_nobody_is_named(a_stage: Stage) -> None:
    project = await a_stage.new_project()
    before = await _scrape(project)
    born = {(name, dict(labels).get("end")) for name, labels in before}
    assert {("connector_key_refusals_total", None), ("connector_target_attempts_total", "unknown")} <= born

    def grown(name: str, **labels: str) -> float:
        return _sum(after, name, **labels) - _sum(before, name, **labels)

    await project.fault("/api/email/target", "rate_limited", retry_after=0, count=1)
    request = project.request()
    result = await _run(project, request)
    assert result.status == "sent"
    after = await _scrape(project)

    sent = {"stream": "transactional", "status": "sent", "code": ""}
    assert grown("connector_sends_total", **sent) == 1
    assert grown("connector_time_to_accepted_seconds_count", stream="transactional") == 1
    assert grown("connector_time_to_sent_seconds_count", stream="transactional") == 1
    target = "POST /api/email/target"
    assert grown("connector_iterable_call_seconds_count", operation=target, outcome="taken") == 1
    assert grown("connector_iterable_call_seconds_count", operation=target, outcome="RateLimited") == 1
    assert grown("connector_target_attempts_total", end="taken") == 1
    assert grown("connector_target_attempts_total", end="rate_limited") == 1
    assert grown("connector_activity_failures_total", activity="target_recipient", code="rate_limited") == 1
    assert grown("connector_events_drained_total", result="joined") >= 1
    assert grown("connector_intake_lag_seconds_count") >= 1
    assert _sum(after, "connector_backlog_asked") == 2
    assert 0 <= _sum(after, "connector_inbox_waiting_age_seconds") < 60
    assert _sum(after, "connector_task_queue_pollers", queue="main", kind="workflow") >= 1
    values = {value for _, labels in after for _, value in labels}
    personal = {project.workspace_id, request.send_id, "ann@example.com", str(result.campaign_id)}
    assert not [value for value in values for secret in personal if secret in value]


async def test_the_dashboard_and_the_alerts_ask_for_what_there_is(project: Project) -> None:
    await _run(project, project.request())
    text = await _text(project)
    have = {name for name, _, _ in _SAMPLE.findall(text)} | set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    have |= set(_declared())
    asked = [(where, name) for where, expression in _expressions() for name in _names(expression)]
    assert len(asked) > 30
    assert [(where, name) for where, name in asked if name not in have] == []


def test_what_an_alert_asks_for_has_a_panel() -> None:
    """Whoever is called sees on the dashboard how it came to that."""
    shown = {name for _, expression in _panels() for name in _names(expression)}
    asked = {(alert, name) for alert, expression in _alerts() for name in _names(expression)}
    assert len(asked) > 10
    assert {(alert, name) for alert, name in asked if name not in shown} == set()


def test_every_alert_has_a_runbook_and_says_how_bad_it_is() -> None:
    operations = (ROOT / "docs/operations.md").read_text()
    alerts = [rule for group in _rules()["groups"] for rule in group["rules"]]
    assert alerts
    for rule in alerts:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        heading = f"### {rule['alert']}"
        assert operations.count(heading + "\n") == 1, heading
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"]
    told = re.findall(r"^### (Connector\w+)$", operations, re.MULTILINE)
    assert sorted(told) == sorted(rule["alert"] for rule in alerts), "a runbook for each, and none without an alert"


def _rules() -> dict[str, Any]:
    return YAML(typ="safe").load(ROOT / "deploy/prometheus/alerts.yml")


def _expressions() -> Iterator[tuple[str, str]]:
    yield from _alerts()
    yield from _panels()


def _alerts() -> Iterator[tuple[str, str]]:
    for group in _rules()["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def _panels() -> Iterator[tuple[str, str]]:
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/connector.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def _names(expression: str) -> set[str]:
    """Metrics that an expression asks for; `up` and `ALERTS` are Prometheus' own. Raises `ValueError` for one that is
    none."""
    return set(re.findall(r"\b(?:connector|temporal)_\w+", parse(expression).prettify()))


class _Recorder:
    """Takes the place of a meter, and of what it makes, and keeps the names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def create_counter(self, name: str, what: str | None = None) -> "_Recorder":
        self.names.append(f"{name}_total")
        return self

    def add(self, value: int, labels: dict[str, str] | None = None) -> None:
        """Counts nothing."""

    def create_histogram_float(self, name: str, what: str | None = None) -> None:
        self.names += [f"{name}_bucket", f"{name}_count", f"{name}_sum"]


def _declared() -> list[str]:
    """What a worker has once it happened; not all of it happens in a test."""
    recorder = _Recorder()
    WorkerMetrics(recorder)  # pyright: ignore[reportArgumentType]
    return recorder.names

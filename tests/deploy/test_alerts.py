"""The alerts: is everything watched that can go wrong, and is what they count there before it grows?"""

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from ruamel.yaml import YAML

from contracts.errors import ApiCode
from endpoint.metrics import Metrics
from runtime.metrics import WorkerMetrics

ROOT = Path(__file__).parents[2]
_INCREASE = re.compile(r"increase\((\w+)(?:\{\w+=~?\"([\w|]+)\"\})?\[")


@pytest.fixture(scope="module")
def alerts() -> dict[str, str]:
    """Expressions by name."""
    groups = YAML(typ="safe").load(ROOT / "deploy/prometheus/alerts.yml")["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


class Meter:
    """Takes the place of the SDK's, and of every counter that it makes."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.born: set[tuple[str, str]] = set()

    def create_counter(self, name: str, what: str) -> "Meter":
        """One that reports to this."""
        made = Meter(f"{name}_total")
        made.born = self.born
        return made

    def create_histogram_float(self, name: str, what: str) -> None:
        """Nothing is recorded before it happens."""

    def add(self, value: int, labels: dict[str, str] | None = None) -> None:
        """A series is there from here on."""
        assert value == 0
        self.born |= {(self.name, label) for label in (labels or {"": ""}).values()}


def test_what_an_increase_is_taken_of_is_there_before_it_grows(alerts: dict[str, str]) -> None:
    meter: Any = Meter()
    WorkerMetrics(meter)
    endpoint = generate_latest(Metrics()._registry).decode()
    born = meter.born | set(re.findall(r'^(\w+)\{\w+="(\w+)"\} 0\.0$', endpoint, re.MULTILINE))
    found = [one for expression in alerts.values() for one in _INCREASE.findall(expression)]
    assert len(found) == sum(expression.count("increase(") for expression in alerts.values()) > 0
    counted = {(name, value) for name, values in found for value in values.split("|")}
    assert counted - born == set()


def test_every_way_to_refuse_a_webhook_is_watched(alerts: dict[str, str]) -> None:
    code = (ROOT / "endpoint/webhooks.py").read_text()
    named = re.findall(r"self\._refuse\(\s*send, \d+, ApiCode\.(\w+)", code)
    ways = {ApiCode[name].value for name in named} - {ApiCode.METHOD_NOT_ALLOWED}  # a GET is nobody's event
    watched = set(re.findall(r"\w+", " ".join(one for one in alerts.values() if "connector_webhooks_total" in one)))
    assert len(ways) == 5
    assert ways <= watched


def test_broadcasts_that_take_turns_wake_nobody(alerts: dict[str, str]) -> None:
    assert 'queue!="broadcast"' in alerts["ConnectorTaskBacklog"]
    _, _, of_broadcasts = alerts["ConnectorNoWorkers"].partition(" or ")
    assert "and max by (queue, kind) (connector_task_queue_backlog" in of_broadcasts


def test_one_workspace_that_is_stuck_shows_while_others_drain(alerts: dict[str, str]) -> None:
    assert "max(connector_inbox_waiting_age_seconds) > 300" in alerts["ConnectorIntakeLag"]

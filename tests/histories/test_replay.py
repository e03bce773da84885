"""Every recorded run replays with today's workflows: an edit that would break open runs does not land unnoticed."""

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.common import MetricMeter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from runtime.converter import data_converter
from runtime.metrics import WorkerMetrics
from tests.histories.recording import FOLDER, without_machine
from worker import WORKFLOWS, make_interceptors

HISTORIES = sorted(FOLDER.glob("*/*/*.json"))
_WORKFLOWS = {workflow.__name__: workflow for workflow in WORKFLOWS}


def _history(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())


async def _replay(workflow: str, history: dict[str, Any]) -> None:
    """Raises `NondeterminismError` where today's workflow would have done something else."""
    workflow_id = history.pop("workflow_id")
    replayer = Replayer(
        workflows=[_WORKFLOWS[workflow]],
        interceptors=make_interceptors(WorkerMetrics(MetricMeter.noop)),
        data_converter=data_converter,
    )
    result = await replayer.replay_workflow(WorkflowHistory.from_json(workflow_id, history))
    assert result.replay_failure is None


@pytest.mark.parametrize("file", HISTORIES, ids=[str(file.relative_to(FOLDER)) for file in HISTORIES])
async def test_a_recorded_run_replays(file: Path) -> None:
    await _replay(file.parent.name, _history(file))


def test_every_workflow_has_recorded_runs() -> None:
    recorded = {file.parent.name for file in HISTORIES}
    assert recorded == set(_WORKFLOWS)


def test_histories_name_no_machine() -> None:
    for file in HISTORIES:
        history = _history(file)
        assert without_machine(history) == history, file


async def test_another_command_is_noticed() -> None:
    """What the replays are for: a workflow that schedules another activity than it did."""
    key = "activityTaskScheduledEventAttributes"
    sends = (_history(file) for file in HISTORIES if file.parent.name == "SendWorkflow")
    history = next(send for send in sends if any(key in event for event in send["events"]))
    next(event for event in history["events"] if key in event)[key]["activityType"]["name"] = "another_activity"
    with pytest.raises(NondeterminismError):
        await _replay("SendWorkflow", history)

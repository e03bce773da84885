"""Recorded histories: what runs of each workflow looked like, so that an edit of a workflow cannot break open runs
unnoticed.

The stories in `tests/scenarios` are the source. `make histories` runs them, and keeps as few of their runs as show
every step that any of them took: two commands, signals or ends that follow each other. A folder per version; those of
released versions are never made anew, because runs of that version may still be open.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from temporalio.client import Client

from contracts.names import parts_of

FOLDER = Path(__file__).parent
_INTO = "RECORD_HISTORIES_INTO"
"""Where stages leave the histories of their runs, if anywhere."""
_STORED_ELSEWHERE = "connector-templates"
_MACHINE = {"identity", "stackTrace"}
"""What says something of the machine and nothing of the workflow. `sdkMetadata` stays: it says which of the SDK's
checks a replay makes."""
_STICKY_QUEUE = re.compile(r"\d+@[\w.-]+-[0-9a-f]{32}")
_FOLDERS = re.compile(re.escape(tempfile.gettempdir()).encode() + rb"/(?:[\w.-]+/)*")
_MEANINGFUL = {
    "WorkflowExecutionSignaled": "signalName",
    "ActivityTaskScheduled": "activityType",
    "StartChildWorkflowExecutionInitiated": "workflowType",
    "SignalExternalWorkflowExecutionInitiated": "signalName",
    "WorkflowExecutionUpdateAccepted": "acceptedRequest",
    "MarkerRecorded": "markerName",
}
_SILENT = {"WorkflowTaskScheduled", "WorkflowTaskStarted", "WorkflowTaskCompleted", "ActivityTaskStarted"}


def wanted() -> bool:
    """Whether stages are to leave their runs."""
    return _INTO in os.environ


async def record(client: Client, stories: Mapping[str, str]) -> None:
    """Leaves every run of the server, named by the story whose workspace it belongs to."""
    folder = Path(os.environ[_INTO])
    async for run in client.list_workflows():
        story = stories.get(parts_of(run.id).get("workspace", ""))
        if story is None:
            continue
        history = await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        into = folder / run.workflow_type
        into.mkdir(parents=True, exist_ok=True)
        about = {"workflow_id": run.id, **history.to_json_dict()}
        (into / f"{story}.{run.run_id[-8:]}.json").write_text(json.dumps(about))


def current_story() -> str:
    """The test that runs, as part of a file's name."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "no_test").rpartition(" ")[0]
    file, _, name = test.partition("::")
    return re.sub(r"[^a-z0-9_]+", "-", f"{Path(file).stem}.{name}".lower().replace("test_", "")).strip("-")


def choose(folder: Path, into: Path) -> dict[str, int]:
    """Keeps few and small histories that together show every step; how many of each workflow."""
    kept: dict[str, int] = {}
    for workflow in sorted(folder.iterdir()):
        left = {file: _steps(history) for file in sorted(workflow.iterdir()) if (history := _read(file))}
        unseen = set[tuple[str, str]]().union(*left.values())
        names: dict[str, int] = defaultdict(int)
        while unseen:
            best = max(left, key=lambda file: (len(left[file] & unseen) / file.stat().st_size ** 0.5, file.name))
            unseen -= left.pop(best)
            story = best.name.split(".json")[0].rpartition(".")[0]
            names[story] += 1
            (into / workflow.name).mkdir(parents=True, exist_ok=True)
            text = json.dumps(without_machine(_read(best)), separators=(",", ":"), sort_keys=True)
            (into / workflow.name / f"{story}.{names[story]}.json").write_text(text + "\n")
        kept[workflow.name] = sum(names.values())
    return kept


def _read(file: Path) -> Any:
    """None for a history that needs the store of its time."""
    text = file.read_text()
    return None if _STORED_ELSEWHERE in text else json.loads(text)


def _steps(history: Any) -> set[tuple[str, str]]:
    return set(pairwise(["", *_events(history)]))


def _events(history: Any) -> Iterator[str]:
    """The events that a workflow causes or sees, by kind and name."""
    for event in history["events"]:
        kind = "".join(part.title() for part in event["eventType"].removeprefix("EVENT_TYPE_").split("_"))
        if kind in _SILENT:
            continue
        attributes = next((value for key, value in event.items() if key.endswith("Attributes")), {})
        about = attributes.get(_MEANINGFUL.get(kind, ""), "")
        yield f"{kind}:{_name(about)}"


def _name(about: Any) -> str:
    match about:
        case {"input": {"name": str(name)}} | {"name": str(name)}:
            return name
        case str():
            return about
        case _:
            return ""


def without_machine(part: Any) -> Any:
    """A history, or a part of one, without what it says of the machine that recorded it."""
    match part:
        case {"metadata": _, "data": str(data)}:
            return {**part, "data": b64encode(_FOLDERS.sub(b"/", b64decode(data))).decode()}
        case dict():
            return {key: without_machine(value) for key, value in part.items() if key not in _MACHINE}
        case list():
            return [without_machine(one) for one in part]
        case str():
            return _STICKY_QUEUE.sub("sticky", part)
        case _:
            return part


def main() -> None:
    """`make histories`."""
    parser = argparse.ArgumentParser(description="Record the runs of all stories for this version.")
    parser.add_argument("--version", default=version("genieos-iterable-connector"))
    into = FOLDER / str(parser.parse_args().version)
    with tempfile.TemporaryDirectory() as folder:
        stories = [sys.executable, "-m", "pytest", "-n", "3", "--dist", "worksteal", "-q", "tests/scenarios"]
        subprocess.run(stories, env={**os.environ, _INTO: folder}, check=True)
        shutil.rmtree(into, ignore_errors=True)
        for workflow, count in choose(Path(folder), into).items():
            print(f"{workflow}: {count}")  # noqa: T201 - what the command says


if __name__ == "__main__":
    main()

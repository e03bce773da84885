"""The sandbox is an independent witness: it shares no code with what it judges."""

import ast
import sys
from pathlib import Path

ALLOWED = {"sandbox", "starlette", "uvicorn", "httpx", "pydantic", "pydantic_handlebars", "orjson", "structlog"}
ROOM = Path(__file__).parents[2] / "sandbox"


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def test_it_imports_nothing_of_the_other_rooms() -> None:
    for file in ROOM.rglob("*.py"):
        assert imported(file) <= ALLOWED | set(sys.stdlib_module_names), file

"""Checks requests and answers against Iterable's own API description, where a copy of it is at hand.

It is reference data that does not ship with the repository; `available()` says whether it is there, and the checks skip
the test where it is not.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import jsonschema
import orjson
import pytest

PATH = Path(__file__).parents[1].parent / "shared" / "data" / "iterable-swagger.json"
_Schema = dict[str, Any]

# Where the description contradicts itself, or what was recorded of Iterable: the definition, the property, what it is
# made into, and why.
_EXCEPTIONS: tuple[tuple[str, str, _Schema | None, str], ...] = (
    ("CreateCampaignRequest", "required:listIds", None, "its text: omit it to create a triggered campaign"),
    ("ApiResponseUser", "required:email", None, "a user known by userId may have no email"),
    ("CampaignsResponse", "totalCampaignsCount", {"type": "integer"}, "it writes optional numbers as objects"),
    ("GetTemplatesResponse", "totalTemplatesCount", {"type": "integer"}, "the same"),
    ("ApiEmailTemplateModel", "cacheDataFeed", {"type": "boolean"}, "the same, of a boolean"),
    ("ApiEmailTemplateModel", "mergeDataFeedContext", {"type": "boolean"}, "the same, of a boolean"),
    ("ApiWebhookResponse", "channelIds", {"type": "array", "items": {"type": "integer"}}, "the same, of items"),
    ("ApiWebhookResponse", "messageTypeIds", {"type": "array", "items": {"type": "integer"}}, "the same, of items"),
    ("ApiTemplateResponse", "createdAt", {"type": "integer"}, "milliseconds in every recorded answer"),
    ("ApiTemplateResponse", "updatedAt", {"type": "integer"}, "milliseconds in every recorded answer"),
)  # fmt: skip
# Statuses that Iterable's help centre lists for every endpoint, or that were seen, and the description leaves out.
_UNDECLARED = {400, 401, 403, 404, 409, 413, 429, 500, 502, 503, 504}


def available() -> bool:
    return PATH.exists()


def check_request(method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> None:
    """Fails where the API description would not have this request. `path` is concrete or as documented."""
    operation = _operation(method, path)
    parameters = operation.get("parameters", [])
    known = {one["name"]: one for one in parameters if one["in"] == "query"}
    for name, value in (query or {}).items():
        assert name in known, f"{method} {path} knows no parameter {name}"
        _check_parameter(known[name], value)
    missing = [name for name, one in known.items() if one.get("required") and name not in (query or {})]
    assert not missing, f"{method} {path} needs {missing}"
    schemas = [one for one in parameters if one["in"] == "body"]
    if not schemas:
        assert body is None, f"{method} {path} takes no body"
    elif body is not None or schemas[0].get("required"):
        _check(schemas[0]["schema"], body, f"body of {method} {path}")
        _check_names(schemas[0]["schema"], body, f"{method} {path}")


def check_response(method: str, path: str, status: int, body: Any) -> None:
    """Fails where the API description would not have this answer. `body` is parsed JSON, or text."""
    responses = _operation(method, path)["responses"]
    declared: _Schema | None = responses.get(str(status))
    if declared is None:
        assert status in _UNDECLARED, f"{method} {path} does not answer {status}"
    schema: _Schema | None = declared.get("schema") if declared is not None else None
    if schema is not None:
        _check(schema, body, f"{status} of {method} {path}")
    elif status >= 400 and isinstance(body, dict):
        _check({"$ref": "#/definitions/IterableApiResponse"}, cast("Any", body), f"{status} of {method} {path}")


def _check_parameter(parameter: _Schema, value: Any) -> None:
    values = cast("list[Any]", value) if isinstance(value, list | tuple) else [value]
    if "enum" in parameter:
        assert set(values) <= set(parameter["enum"]), f"{parameter['name']} is none of {parameter['enum']}"
    checks: dict[str, Callable[[str], bool]] = {
        "integer": lambda text: re.fullmatch(r"-?\d+", text) is not None,
        "boolean": lambda text: text in {"true", "false"},
    }
    check = checks.get(parameter.get("type", ""))
    for one in values:
        text = str(one).lower() if isinstance(one, bool) else str(one)
        assert check is None or check(text), f"{parameter['name']} is not of type {parameter.get('type')}"


def _check(schema: _Schema, value: Any, what: str) -> None:
    validator = jsonschema.Draft4Validator(schema | {"definitions": _swagger()["definitions"]})
    errors = validator.iter_errors(value)  # pyright: ignore[reportUnknownMemberType]
    problems = [f"{'.'.join(map(str, error.path))}: {error.message}" for error in errors]
    assert not problems, f"{what}: {'; '.join(problems)}"


def _check_names(schema: _Schema, body: Any, what: str) -> None:
    """Unknown fields are ignored by Iterable, so a misspelt one would be lost in silence."""
    name = schema.get("$ref", "").rpartition("/")[2]
    if name and isinstance(body, dict):
        unknown = set(cast("dict[str, Any]", body)) - set(_swagger()["definitions"][name].get("properties", {}))
        assert not unknown, f"{what} knows no fields {sorted(unknown)}"


def _operation(method: str, path: str) -> _Schema:
    if not available():
        pytest.skip("Iterable's API description is not at hand (it does not ship with the repository)")
    paths: dict[str, Any] = _swagger()["paths"]
    wanted = re.sub(r"^/(us|eu)(?=/api/)", "", path)
    for documented in sorted(paths, key=lambda one: ("{" in one, -len(one))):
        pattern = re.sub(r"\\{[^{}]+\\}", "[^/]+", re.escape(documented))
        if method.lower() in paths[documented] and (documented == wanted or re.fullmatch(pattern, unquote(wanted))):
            return paths[documented][method.lower()]
    raise AssertionError(f"there is no {method} {path} in Iterable's API description")


@cache
def _swagger() -> _Schema:
    swagger: _Schema = orjson.loads(PATH.read_bytes())
    definitions: dict[str, _Schema] = swagger["definitions"]
    for name, what, schema, _ in _EXCEPTIONS:
        if what.startswith("required:"):
            definitions[name]["required"].remove(what.removeprefix("required:"))
        else:
            definitions[name]["properties"][what] = schema
    for definition in definitions.values():
        _allow_null(definition)
    return swagger


def _allow_null(definition: _Schema) -> None:
    """Swagger 2.0 cannot say that a property may be null, and at Iterable optional ones may."""
    required = set(definition.get("required", []))
    for name, schema in definition.get("properties", {}).items():
        if name not in required:
            definition["properties"][name] = {"anyOf": [schema, {"type": "null"}]}

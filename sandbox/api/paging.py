"""Lists in pages, as campaigns and templates answer them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

from sandbox.api.call import Call
from sandbox.wire import bad_params

T = TypeVar("T")
LARGEST_PAGE = 1_000


def page(call: Call, items: list[T], keys: Mapping[str, Callable[[T], Any]]) -> tuple[list[T], dict[str, Any]]:
    """The page that was asked for, sorted, and what goes beside it."""
    number = call.number("page", 1)
    size = call.number("pageSize", 20, most=LARGEST_PAGE)
    ordered = _sorted(items, call.text("sort") or "id", keys)
    start = (number - 1) * size
    beside: dict[str, Any] = {}
    if start + size < len(ordered):
        beside["nextPageUrl"] = _url(call, number + 1, size)
    if number > 1:
        beside["previousPageUrl"] = _url(call, number - 1, size)
    return ordered[start : start + size], beside


def _sorted(items: list[T], sort: str, keys: Mapping[str, Callable[[T], Any]]) -> list[T]:
    # A plus sign in a query string is a blank unless it was encoded.
    name = sort.lstrip("-+ ")
    if name not in keys:
        raise bad_params("Invalid sort")
    return sorted(items, key=keys[name], reverse=sort.startswith("-"))


def _url(call: Call, number: int, size: int) -> str:
    others = [
        (name, value) for name, value in call.request.query_params.multi_items() if name not in {"page", "pageSize"}
    ]
    path = call.operation.partition(" ")[2]
    return f"{path}?{urlencode([*others, ('page', number), ('pageSize', size)])}"

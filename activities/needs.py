"""What a template shows and a send's data lacks.

Walks the tags with the data at hand, so that only what this message would show is looked at: the branches it takes, the
items it has. It names paths of the template, never a value. What the profile in Iterable may have nobody here can know,
so the result is a warning and no more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from iterable.handlebars.names import CONDITIONS, HELPERS, PROVIDED
from iterable.handlebars.nodes import Block, Call, Expression, Literal, Name, Node, Partial, Tag

_MOST_ITEMS = 3
"""Of a list; the others are taken to be like them."""
_MOST_TAGS = 5_000
"""Looked at for one message, items of lists counted each: some 30 ms. What a longer message lacks at its end goes
without a warning."""
_MOST_NAMES = 20


class _Anything:
    """A value nobody here knows; every part of it is one too."""


_ANYTHING: Final = _Anything()
_MISSING: Final = object()


@dataclass(frozen=True)
class _Scope:
    """What names are looked up in, innermost first: outer scopes are looked at too, as handlebars.java does."""

    value: object
    path: str = ""
    """How the template's author would name it from outside."""
    outer: "_Scope | None" = None
    named: Mapping[str, object] = field(default_factory=dict[str, object])

    def inner(self, value: object, path: str, named: Mapping[str, object] | None = None) -> "_Scope":
        return _Scope(value, path, self, named or {})

    @property
    def root(self) -> "_Scope":
        return self.outer.root if self.outer is not None else self


def missing_names(bodies: Iterable[list[Node]], data: Mapping[str, Any]) -> list[str]:
    """Paths that the texts show and the data lacks, in order of appearance, without repeats: `order.number`,
    `items[].price`."""
    walk = _Walk()
    for body in bodies:
        walk.all(body, _Scope(data))
    return list(walk.missing)[:_MOST_NAMES]


class _Walk:
    def __init__(self) -> None:
        self.missing: dict[str, None] = {}
        self._assigned: set[str] = set()
        self._looked_at = 0

    def all(self, nodes: Sequence[Node], scope: _Scope) -> None:
        for node in nodes:
            if len(self.missing) > _MOST_NAMES or self._looked_at > _MOST_TAGS:
                return
            self._looked_at += 1
            match node:
                case Tag(call=call):
                    self._assign(call)
                    self._look_at(call, scope)
                case Partial(call=call):
                    self._arguments(call, scope)
                case Block():
                    self._block(node, scope)

    def _block(self, block: Block, scope: _Scope) -> None:
        helper = block.call.helper
        argument = block.call.arguments[0] if block.call.arguments else None
        if helper in {"if", "unless"} and argument is not None:
            self._branch(block, scope, holds=self._truth(argument, scope), turned=helper == "unless")
        elif helper == "each" and argument is not None:
            self._each(block, argument, scope)
        elif helper == "with" and argument is not None:
            self._with(block, argument, scope)
        elif helper is not None and helper not in HELPERS and block.call.is_bare:
            self._section(block, scope)
        else:
            self._assign(block.call)
            self._arguments(block.call, scope)
            inner = scope.inner(_ANYTHING, "") if block.parameters or helper not in HELPERS else scope
            self.all(block.body, inner)
            self.all(block.inverse, scope)

    def _branch(self, block: Block, scope: _Scope, *, holds: bool | None, turned: bool = False) -> None:
        """The branch that is shown; both where that is not known."""
        if holds is None or holds is not turned:
            self.all(block.body, scope)
        if holds is None or holds is turned:
            self.all(block.inverse, scope)

    def _each(self, block: Block, argument: Expression, scope: _Scope) -> None:
        items = self._value(argument, scope)
        path = f"{_shown(argument, scope)}[]"
        if isinstance(items, _Anything):
            self.all(block.body, scope.inner(_ANYTHING, path))
            return
        if items is _MISSING:
            self._note(argument, scope)
        values = _items(items)
        if not values:
            self.all(block.inverse, scope)
        for value in values[:_MOST_ITEMS]:
            named = dict(zip(block.parameters, (value, _ANYTHING), strict=False))
            self.all(block.body, scope.inner(value, path, named))

    def _with(self, block: Block, argument: Expression, scope: _Scope) -> None:
        value = self._value(argument, scope)
        if value is _MISSING:
            self._note(argument, scope)
        if value is _MISSING or not value:
            self.all(block.inverse, scope)
            return
        named = dict(zip(block.parameters, (value,), strict=False))
        self.all(block.body, scope.inner(value, _shown(argument, scope), named))

    def _section(self, block: Block, scope: _Scope) -> None:
        """`{{#order}}…{{/order}}`: a list is gone through, an object gone into, anything else is a condition."""
        value = self._value(block.call.head, scope)
        if isinstance(value, list) and value:
            self._each(block, block.call.head, scope)
        elif isinstance(value, Mapping) and value:
            self._with(block, block.call.head, scope)
        else:
            self._branch(block, scope, holds=_truth_of(cast("object", value)))

    # ── values ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _look_at(self, call: Call, scope: _Scope) -> None:
        if call.is_bare:
            if self._value(call.head, scope) is _MISSING and call.helper not in HELPERS:
                self._note(call.head, scope)
        else:
            self._arguments(call, scope)

    def _arguments(self, call: Call, scope: _Scope) -> None:
        """Arguments are shown or computed with, unless the helper is there for names that are missing."""
        arguments = call.arguments
        if call.helper in CONDITIONS:
            arguments = ()
        elif call.helper == "defaultIfEmpty":
            arguments = arguments[1:]
        for one in (*arguments, *(value for _, value in call.named)):
            match one:
                case Call():
                    self._look_at(one, scope)
                case Name():
                    if self._value(one, scope) is _MISSING:
                        self._note(one, scope)
                case Literal():
                    continue

    def _truth(self, expression: Expression, scope: _Scope) -> bool | None:
        return _truth_of(self._value(expression, scope))

    def _value(self, expression: Expression, scope: _Scope) -> object:
        match expression:
            case Literal(value=value):
                return value
            case Call():
                return _ANYTHING
            case Name():
                return self._look_up(expression, scope)

    def _look_up(self, name: Name, scope: _Scope) -> object:
        parts = name.parts
        if name.at:
            if not parts or parts[0] != "root":
                return _ANYTHING
            scope, parts = scope.root, parts[1:]
        for _ in range(name.up):
            scope = scope.outer or scope
        if not parts:
            return scope.value
        here: _Scope | None = scope
        while here is not None:
            for place in (here.named, here.value):
                if (value := _within(place, parts)) is not _MISSING:
                    return value
            if here.outer is None and (parts[0] in PROVIDED or parts[0] in self._assigned):
                return _ANYTHING
            here = None if name.this else here.outer
        return _MISSING

    def _assign(self, call: Call) -> None:
        match call:
            case Call(head=Name(parts=("assign",)), arguments=(Literal(value=str(name)), *_)):
                self._assigned.add(name)
            case _:
                return

    def _note(self, expression: Expression, scope: _Scope) -> None:
        if isinstance(expression, Name):
            self.missing.setdefault(_shown(expression, scope)[:80])


def _truth_of(value: object) -> bool | None:
    """None where nobody here knows."""
    return None if isinstance(value, _Anything) else value is not _MISSING and bool(value)


def _shown(expression: Expression, scope: _Scope) -> str:
    if not isinstance(expression, Name):
        return "?"
    if expression.at:
        return str(expression)
    for _ in range(expression.up):
        scope = scope.outer or scope
    parts = expression.parts
    here: _Scope | None = scope
    while here is not None:
        if parts and parts[0] in here.named:
            scope, parts = here, parts[1:]
            break
        here = here.outer
    own = ".".join(part if part.isidentifier() else f"[{part}]" for part in parts)
    return ".".join(part for part in (scope.path, own) if part)


def _within(value: object, parts: Sequence[str]) -> object:
    for part in parts:
        if isinstance(value, _Anything):
            return value
        if isinstance(value, Mapping):
            value = cast("Mapping[str, object]", value).get(part, _MISSING)
        elif isinstance(value, list):
            items = cast("list[object]", value)
            if part in {"length", "size"}:
                return len(items)
            value = items[int(part)] if part.isdecimal() and int(part) < len(items) else _MISSING
        else:
            value = len(value) if isinstance(value, str) and part == "length" else _MISSING
        if value is _MISSING:
            return _MISSING
    return value


def _items(value: object) -> list[object]:
    if isinstance(value, list):
        return cast("list[object]", value)
    if isinstance(value, Mapping):
        return list(cast("Mapping[str, object]", value).values())
    return []

"""What a template is made of. Text between merge tags is left out; `start` is an offset into the source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Name:
    """A path: `order.number`, `../title`, `this`, `@index`, `items.[0].name`."""

    parts: tuple[str, ...]
    up: int = 0
    """How often it begins with `../`."""
    at: bool = False
    """`@root`, `@index`: what the renderer itself provides."""
    this: bool = False

    def __str__(self) -> str:
        dots = [part if part.isidentifier() else f"[{part}]" for part in self.parts]
        return "../" * self.up + "@" * self.at + (".".join((["this"] if self.this else []) + dots))


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, `true`, `false`, `null`, `undefined`; or a data feed's `[[field]]` inside a tag."""

    value: object


@dataclass(frozen=True, slots=True)
class Call:
    """A head and its arguments. Without any it is a value as well as a helper."""

    head: Expression
    arguments: tuple[Expression, ...] = ()
    named: tuple[tuple[str, Expression], ...] = ()

    @property
    def helper(self) -> str | None:
        """The name under which a helper would be looked up."""
        match self.head:
            case Name(parts=(name,), up=0, at=False, this=False):
                return name
            case _:
                return None

    @property
    def is_bare(self) -> bool:
        """Whether it has no arguments."""
        return not self.arguments and not self.named


Expression: TypeAlias = Name | Literal | Call


@dataclass(frozen=True, slots=True)
class Tag:
    """`{{…}}`, `{{{…}}}`, `{{&…}}`."""

    start: int
    call: Call


@dataclass(frozen=True, slots=True)
class Partial:
    """`{{> name}}`: content that lies elsewhere."""

    start: int
    call: Call


@dataclass(slots=True)
class Block:
    """`{{#…}}…{{else}}…{{/…}}`, and `{{^…}}…{{/…}}`, whose body is empty."""

    start: int
    call: Call
    parameters: tuple[str, ...] = ()
    body: list[Node] = field(default_factory=list["Node"])
    inverse: list[Node] = field(default_factory=list["Node"])


Node: TypeAlias = Tag | Partial | Block


@dataclass(frozen=True, slots=True)
class Doubt:
    """What may be wrong, and where: a line and a column, both from 1."""

    line: int
    column: int
    what: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A template's tags. `spans` are the (start, end) of everything that is not plain text, in order."""

    body: list[Node]
    spans: list[tuple[int, int]]
    doubts: list[Doubt]


class HandlebarsError(Exception):
    """A template that no Handlebars would take, and where: a line and a column, both from 1."""

    def __init__(self, line: int, column: int, what: str) -> None:
        self.line = line
        self.column = column
        self.what = what
        super().__init__(f"{what} (line {line}, column {column})")

"""What stands inside one merge tag: names, literals, arguments, sub-expressions."""

import re
from dataclasses import dataclass

from iterable.handlebars.nodes import Call, Expression, Literal, Name

_SEGMENT = r"(?:\[[^\]]{0,200}\]|[^\s!\"#%&'()*+,./;<=>@\[\\\]^`{|}~]+)"
# Each alternative begins with other characters, no repetition has two ways to match the same text, and what looks for
# an end looks only so far: the scan is linear whatever it is given. What repeats a group keeps no way back (`*+`): a
# long name would pay for each of them in memory.
_TOKEN = re.compile(
    rf"""
    (?P<space>\s+)
  | (?P<close>\}}~\}}\}}|~?\}}\}}\}}?)
  | (?P<open>\{{\{{)
  | (?P<string>"(?:[^"\\]|\\.)*+" | '(?:[^'\\]|\\.)*+')
  | (?P<feed>\[\[(?:[^\]]|\](?!\])){{0,400}}\]\])
  | (?P<number>-?\d+(?:\.\d+)?(?=[\s}}=)~|]))
  | (?P<name>@?(?:\.\./(?=\.|{_SEGMENT}))*+(?:\.\.|\.|{_SEGMENT})(?:[./]{_SEGMENT})*+)
  | (?P<mark>[()=|])
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PART = re.compile(r"\[([^\]]*)\]|([^./\[\]]+)")
_CONSTANTS: dict[str, object] = {"true": True, "false": False, "null": None, "undefined": None}
_DEEPEST = 50
_MOST_TOKENS = 1_000


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a tag."""

    kind: str
    text: str
    start: int


class Broken(Exception):
    """A tag that cannot be read, and where in the source."""

    def __init__(self, start: int, what: str) -> None:
        self.start = start
        self.what = what
        super().__init__(what)


def tokens_of(source: str, start: int, opened_at: int) -> tuple[list[Token], Token]:
    """The tokens from `start` up to the tag's end, and its end. Raises `Broken` where the tag has none."""
    tokens: list[Token] = []
    position = start
    while found := _TOKEN.match(source, position):
        token = Token(found.lastgroup or "other", found.group(), position)
        position = found.end()
        match token.kind:
            case "space":
                continue
            case "close":
                return tokens, token
            case "open":
                raise Broken(opened_at, "a merge tag has no }} before the next one begins")
            case "other" if token.text in {'"', "'"}:
                raise Broken(token.start, "a text in quotes has no end")
            case _ if len(tokens) == _MOST_TOKENS:
                raise Broken(opened_at, f"a merge tag has more than {_MOST_TOKENS} parts")
            case _:
                tokens.append(token)
    raise Broken(opened_at, "a merge tag has no end")


class Reader:
    """Reads the tokens of one tag. What it does not understand it leaves out and notes in `doubts`."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self.doubts: list[tuple[int, str]] = []

    def peek(self) -> Token | None:
        """The token that is next."""
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def take(self) -> Token:
        """The next token, which is there."""
        token = self._tokens[self._next]
        self._next += 1
        return token

    def take_word(self, *words: str) -> bool:
        """Whether one of these came next; it is taken then."""
        token = self.peek()
        if token is None or token.text not in words:
            return False
        self._next += 1
        return True

    def call(self, opened_at: int, depth: int = 0) -> Call:
        """A head and its arguments, up to the end, a closing parenthesis or block parameters. Raises `Broken` where
        there is no head."""
        head = self._expression(depth)
        if head is None:
            raise Broken(opened_at, "a merge tag is empty" if depth == 0 else "a pair of parentheses is empty")
        arguments: list[Expression] = []
        named: list[tuple[str, Expression]] = []
        while (token := self.peek()) is not None and token.text != ")" and not self._at_parameters():
            if self._at_named():
                name = self.take().text
                self.take()
                value = self._expression(depth)
                if value is None:
                    self.doubts.append((token.start, f"the argument {name[:40]} has no value"))
                    continue
                named.append((name, value))
            elif (argument := self._expression(depth)) is not None:
                arguments.append(argument)
        return Call(head, tuple(arguments), tuple(named))

    def parameters(self) -> tuple[str, ...]:
        """`as |one two|`, where it comes next."""
        if not self._at_parameters():
            return ()
        self.take()
        self.take()
        names: list[str] = []
        while (token := self.peek()) is not None and token.kind == "name":
            names.append(self.take().text)
        if not self.take_word("|"):
            self.doubts.append((self._tokens[-1].start, "block parameters are not closed by |"))
        return tuple(names)

    def finish(self) -> None:
        """Notes what is left over."""
        if (token := self.peek()) is not None:
            self.doubts.append((token.start, f"{token.text[:40]!r} is not expected here"))

    def _at_named(self) -> bool:
        following = self._tokens[self._next : self._next + 2]
        return len(following) == 2 and following[0].kind == "name" and following[1].text == "="

    def _at_parameters(self) -> bool:
        following = self._tokens[self._next : self._next + 2]
        return [token.text for token in following] == ["as", "|"]

    def _expression(self, depth: int) -> Expression | None:
        """The next expression; None at the end, and where a token was left out."""
        while (token := self.peek()) is not None and token.text != ")":
            self.take()
            match token.kind:
                case "string":
                    return Literal(token.text[1:-1])
                case "number":
                    return Literal(float(token.text))
                case "feed":
                    self.doubts.append((token.start, "[[…]] is filled from data feeds, and there are none"))
                    return Literal(None)
                case "name":
                    return _name(token.text)
                case _ if token.text == "(":
                    return self._in_parentheses(token, depth + 1)
                case _:
                    self.doubts.append((token.start, f"{token.text[:40]!r} is not known in a merge tag"))
        return None

    def _in_parentheses(self, opened: Token, depth: int) -> Call:
        if depth > _DEEPEST:
            raise Broken(opened.start, f"parentheses are nested deeper than {_DEEPEST}")
        inner = self.call(opened.start, depth)
        if not self.take_word(")"):
            raise Broken(opened.start, "a parenthesis is not closed")
        return inner


def _name(text: str) -> Expression:
    if text in _CONSTANTS:
        return Literal(_CONSTANTS[text])
    at = text.startswith("@")
    rest = text.removeprefix("@")
    up = 0
    while rest.startswith(".."):
        up += 1
        rest = rest[2:].removeprefix("/")
    this = rest == "." or rest == "this" or rest.startswith(("./", "this.", "this/"))
    if this:
        rest = rest.removeprefix("this").removeprefix(".").removeprefix("/")
    parts = tuple(bracketed or plain for bracketed, plain in _PART.findall(rest))
    return Name(parts, up, at, this)

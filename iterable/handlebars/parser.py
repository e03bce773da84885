"""From a template's text to its tags: one pass forward, blocks on a stack."""

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from iterable.handlebars.expressions import Broken, Reader, Token, tokens_of
from iterable.handlebars.names import BLOCKS_ONLY, HELPERS
from iterable.handlebars.nodes import Block, Call, Doubt, HandlebarsError, Literal, Node, Parsed, Partial, Tag

_DASHED_END = re.compile(r"--~?\}\}")
_COMMENT_END = re.compile(r"\}\}")
_SIGNS = frozenset({"#", "/", "^", ">", "&", "*"})
_MOST_DOUBTS = 20
_DEEPEST = 200


@dataclass(slots=True)
class _Open:
    """A block that is not closed yet."""

    block: Block
    name: str
    into: list[Node]
    """Where its next tag belongs: the body, the inverse, or what an `else if` began."""
    had_else: bool = False


def parse(source: str) -> Parsed:
    """The tags of one text. Raises `HandlebarsError`."""
    return _Parser(source).parse()


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._body: list[Node] = []
        self._open: list[_Open] = []
        self._spans: list[tuple[int, int]] = []
        self._doubts: list[tuple[int, str]] = []

    def parse(self) -> Parsed:
        try:
            self._scan()
        except Broken as broken:
            raise HandlebarsError(*self._place(broken.start), broken.what) from None
        doubts = [Doubt(*self._place(start), what) for start, what in self._doubts]
        return Parsed(self._body, self._spans, doubts)

    def _scan(self) -> None:
        position = 0
        while (start := self._source.find("{{", position)) >= 0:
            self._look_for_feeds(position, start)
            position = self._escaped(start) or self._tag(start)
            self._spans.append((start, position))
        self._look_for_feeds(position, len(self._source))
        if self._open:
            name = self._open[-1].name[:40]
            raise Broken(self._open[-1].block.start, f"{{{{#{name}}}}} is never closed by {{{{/{name}}}}}")

    # ── kinds of tags; each answers with the offset behind it ──────────────────────────────────────────────────────

    def _escaped(self, start: int) -> int | None:
        """Behind `\\{{`, which is text. With two backslashes implementations differ, so nothing is said about it."""
        if start == 0 or self._source[start - 1] != "\\":
            return None
        if self._source[start - 2 : start - 1] == "\\":
            self._doubt(start, "two backslashes before {{ mean different things to different implementations")
        end = start + 2
        while self._source.startswith("{", end):
            end += 1
        return end

    def _tag(self, start: int) -> int:
        source = self._source
        if source.startswith("{{{{", start):
            return self._raw_block(start)
        at = start + 2
        triple = False
        for sign in ("~", "{", "~"):  # `{{~{x}~}}` as well as `{{{~x~}}}`
            if source.startswith(sign, at):
                at += 1
                triple |= sign == "{"
        if source.startswith("!", at):
            return self._comment(start, at + 1)
        if source.startswith("=", at):
            self._doubt(start, "other delimiters are set: nothing from here on was checked")
            return len(source)
        spaced = at
        while source[at : at + 1].isspace():
            at += 1
        sign = source[at : at + 1]
        if sign not in _SIGNS or triple:
            sign = ""
        elif spaced < at:  # read as it is meant; not every implementation does
            self._doubt(start, f"a space stands before {sign}")
        tokens, close = tokens_of(source, at + len(sign), start)
        end = self._end(start, close, triple=triple)
        self._understand(sign, start, Reader(tokens))
        return end

    def _end(self, start: int, close: Token, *, triple: bool) -> int:
        wanted = 3 if triple else 2
        braces = close.text.count("}")
        if braces < wanted:
            raise Broken(start, "{{{ is closed by }} where it needs }}}")
        return close.start + len(close.text) - (braces - wanted)

    def _comment(self, start: int, at: int) -> int:
        dashed = self._source.startswith("--", at)
        end = (_DASHED_END if dashed else _COMMENT_END).search(self._source, at)
        if end is None:
            raise Broken(start, f"a comment has no {'--' * dashed}}}}}")
        return end.end()

    def _raw_block(self, start: int) -> int:
        """`{{{{name}}}}…{{{{/name}}}}`: nothing inside is a tag."""
        opened = self._source.find("}}}}", start)
        if opened < 0:
            raise Broken(start, "{{{{ has no }}}}")
        words = self._source[start + 4 : opened].split()
        name = words[0] if words else ""
        if not name or name.startswith("/"):
            raise Broken(start, "{{{{ begins no block that is closed")
        closing = f"{{{{{{{{/{name}}}}}}}}}"
        end = self._source.find(closing, opened)
        if end < 0:
            raise Broken(start, f"{{{{{{{{{name[:40]}}}}}}}}} is never closed by {{{{{{{{/{name[:40]}}}}}}}}}")
        return end + len(closing)

    # ── what they mean ────────────────────────────────────────────────────────────────────────────────────────────

    def _understand(self, sign: str, start: int, reader: Reader) -> None:
        word = reader.peek()
        if sign == "/":
            self._close(start, reader)
        elif sign == "^" and word is None:
            self._else(start, None)
        elif not sign and word is not None and word.text == "else":
            reader.take()
            self._else(start, reader if reader.peek() is not None else None)
        elif sign in {"#", "^"}:
            self._begin(start, reader, inverse=sign == "^")
        elif sign == ">":
            self._add(Partial(start, reader.call(start)))
        elif sign != "*":  # a decorator renders nothing
            call = reader.call(start)
            self._know(start, call, is_block=False)
            self._add(Tag(start, call))
        if sign != "/":
            reader.finish()
        for place, what in reader.doubts:
            self._doubt(place, what)

    def _begin(self, start: int, reader: Reader, *, inverse: bool) -> None:
        if len(self._open) >= _DEEPEST:
            raise Broken(start, f"blocks are nested deeper than {_DEEPEST}")
        special = reader.take_word(">", "*")  # a partial with content of its own; an inline partial
        head = reader.peek()
        call = reader.call(start)
        block = Block(start, call, reader.parameters())
        if not special:
            self._know(start, call, is_block=True)
        self._add(block)
        into = block.inverse if inverse else block.body
        self._open.append(_Open(block, head.text if head else "", into))

    def _close(self, start: int, reader: Reader) -> None:
        word = reader.peek()
        if word is None:
            raise Broken(start, "{{/}} does not say what it closes")
        if not self._open:
            raise Broken(start, f"{{{{/{word.text[:40]}}}}} closes nothing")
        opened = self._open.pop()
        if word.text != opened.name:
            line, _ = self._place(opened.block.start)
            raise Broken(
                start,
                f"{{{{/{word.text[:40]}}}}} stands where {{{{#{opened.name[:40]}}}}} of line {line} is to be closed",
            )
        reader.take()
        reader.finish()

    def _else(self, start: int, chained: Reader | None) -> None:
        """`{{else}}`, `{{^}}`; with a reader `{{else if …}}`: a block in the other's inverse that is closed with it."""
        if not self._open:
            raise Broken(start, "{{else}} stands outside of a block")
        opened = self._open[-1]
        if opened.had_else:
            self._doubt(start, "a block has a second {{else}}")
        if chained is None:
            opened.had_else = True
            opened.into = self._inverse_of(opened)
            return
        call = chained.call(start)
        self._know(start, call, is_block=True)
        block = Block(start, call, chained.parameters())
        self._inverse_of(opened).append(block)
        opened.block = Block(opened.block.start, call, (), block.body, block.inverse)
        opened.into = block.body

    def _inverse_of(self, opened: _Open) -> list[Node]:
        """An `{{else}}` after `{{^x}}` begins what is shown where x is there."""
        return opened.block.body if opened.into is opened.block.inverse else opened.block.inverse

    def _add(self, node: Node) -> None:
        (self._open[-1].into if self._open else self._body).append(node)

    # ── doubts ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _know(self, start: int, call: Call, *, is_block: bool) -> None:
        """Doubts helpers that Iterable does not document, here and in sub-expressions."""
        helper = call.helper
        if helper is not None and helper not in HELPERS and not call.is_bare:
            self._doubt(start, f"{helper[:40]} is no helper that Iterable documents")
        if helper in BLOCKS_ONLY and not is_block and not call.is_bare:
            self._doubt(start, f"{helper} stands without # or a block")
        if isinstance(call.head, Literal):
            self._doubt(start, "a merge tag begins with a text or number")
        for one in (*call.arguments, *(value for _, value in call.named)):
            if isinstance(one, Call):
                self._know(start, one, is_block=True)

    def _look_for_feeds(self, start: int, end: int) -> None:
        at = self._source.find("[[", start, end)
        while at >= 0 and len(self._doubts) < _MOST_DOUBTS:
            self._doubt(at, "[[ begins a data feed's field, and there are no data feeds: it may render as nothing")
            at = self._source.find("[[", at + 2, end)

    def _doubt(self, start: int, what: str) -> None:
        if len(self._doubts) < _MOST_DOUBTS:
            self._doubts.append((start, what))

    @cached_property
    def _lines(self) -> list[int]:
        """Offsets of the lines' first characters."""
        starts = [0]
        while (at := self._source.find("\n", starts[-1])) >= 0:
            starts.append(at + 1)
        return starts

    def _place(self, start: int) -> tuple[int, int]:
        line = bisect_right(self._lines, start)
        return line, start - self._lines[line - 1] + 1

"""Handlebars: what certainly is none is refused with its place; what may be some passes, with a doubt at most."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iterable.handlebars.nodes import HandlebarsError, Parsed
from iterable.handlebars.parser import parse
from tests.hostile import HANDLEBARS, PREFIXES


@pytest.mark.parametrize(
    "source",
    [
        "no tags, {one} brace { { and }} alone",
        "{{name}} {{order.number}} {{profile.city}} {{items.[0].name}} {{[First Name]}} {{this}} {{.}} {{@index}}",
        "{{{raw}}} {{&raw}} {{~a~}} {{{~a~}}} {{~{a}~}}",
        '{"json": {{value}}}',
        "{{#if a}}x{{else if b}}y{{else}}z{{/if}}{{#unless a}}{{^}}{{/unless}}{{^a}}x{{/a}}",
        "{{~#if a~}}x{{~else~}}y{{~/if~}}",
        "<!--{{#if a}}-->x<!--{{else}}-->y<!--{{/if}}-->",
        "{{#each items as |item place|}}{{item.name}} {{../title}} {{@root.a}}{{/each}}",
        '{{#catalog "artists" 47 required=true as |artist|}}{{artist.name}}{{else}}none{{/catalog}}',
        "{{defaultIfEmpty name \"it's\"}} {{dateFormat d format='yyyy' tz=\"UTC\"}} {{math a '+' -2.5}}",
        '{{{snippet "footer }} text" year=(now format="yyyy") who=(upper (lower name))}}}',
        "{{! a comment }}{{!-- with {{#if}} in it --}}{{~!-- x --~}}",
        "{{{{raw}}}} {{#if {{{{/raw}}}}",
        '{{> footer}}{{> shared/head title="x"}}{{#> layout}}x{{/layout}}{{#*inline "x"}}y{{/inline}}',
        "\\{{not a tag} and \\{{{nor this",
        "<style>@media (x){a{b:c}}</style><!--[if (gte mso 9)|(IE)]>x<![endif]-->",
        '{{#ifGt a 1}}x{{/ifGt}}{{#and a b}}{{/and}}{{eq a b yes="1" no="2"}}{{not a}}',
        '{{#assign "x"}}{{a}}{{/assign}}{{sendSkip cause="x"}}',
    ],
)
def test_what_iterable_documents_passes_without_a_doubt(source: str) -> None:
    assert parse(source).doubts == []


@pytest.mark.parametrize(
    ("source", "line", "column", "what"),
    [
        ("{{#if a}}", 1, 1, "{{#if}} is never closed"),
        ("\n\n  {{#if a}}{{#each b}}{{/each}}", 3, 3, "{{#if}} is never closed"),
        ("{{#if a}}\n{{/each}}", 2, 1, "{{/each}} stands where {{#if}} of line 1"),
        ("ä{{/if}}", 1, 2, "{{/if}} closes nothing"),
        ("{{else}}", 1, 1, "outside of a block"),
        ("x {{name", 1, 3, "has no end"),
        ("{{ a {{b}}", 1, 1, "no }} before the next"),
        ("{{}}", 1, 1, "empty"),
        ("{{ }}", 1, 1, "empty"),
        ("{{#if}}{{/}}", 1, 8, "does not say"),
        ('{{a "b}}', 1, 5, "no end"),
        ("{{{a}}", 1, 1, "needs }}}"),
        ("{{#if (a b}}{{/if}}", 1, 7, "not closed"),
        ("{{a ()}}", 1, 5, "empty"),
        ("{{!-- x }}", 1, 1, "no --}}"),
        ("{{! x", 1, 1, "no }}"),
        ("{{{{raw}}}} x", 1, 1, "never closed"),
        ("{{{{", 1, 1, "no }}}}"),
        ("{{#a}}" * 300, 1, 1201, "deeper than 200"),
        ("{{a " + "(" * 100, 1, 1, "no end"),
        ("{{a " + "(b " * 100 + "}}", 1, 155, "deeper than 50"),
    ],
)
def test_what_no_handlebars_takes_is_refused_with_its_place(source: str, line: int, column: int, what: str) -> None:
    with pytest.raises(HandlebarsError) as refused:
        parse(source)
    assert what in refused.value.what
    assert (refused.value.line, refused.value.column) == (line, column)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("{{First Name}}", "First is no helper"),
        ("{{#ifGreater a 1}}x{{/ifGreater}}", "ifGreater is no helper"),
        ("{{#if (isBig a)}}x{{/if}}", "isBig is no helper"),
        ('{{userId|fallback="N/A"}}', "'|' is not known"),
        ("{{math age + 5}}", "'+' is not known"),
        ("{{numberFormat price maximumFractionDigits=}}", "has no value"),
        ("{{ #if a }}x{{/if}}", "a space stands before #"),
        ("{{if a}}", "stands without #"),
        ("[[price]]", "data feed"),
        ("{{#each [[products.[0].x]]}}x{{/each}}", "data feeds"),
        ("{{#if a}}{{else}}{{else}}{{/if}}", "second {{else}}"),
        ("{{#if a}}{{/if a}}", "not expected"),
        ("{{'text'}}", "begins with a text"),
        ("{{=<% %>=}}<% a %>", "other delimiters"),
        ("\\\\{{a}}", "two backslashes"),
    ],
)
def test_what_only_some_would_take_is_a_doubt_and_no_refusal(source: str, what: str) -> None:
    assert any(what in doubt.what for doubt in parse(source).doubts), parse(source).doubts


PIECES = (
    *("{{", "}}", "{{{", "}}}", "{{{{", "{{#if a}}", "{{/if}}", "{{else}}", "{{!--", "--}}", "{{!", "~", "#", "/", "^"),
    *(">", "&", "*", "=", "|", "as |x|", "(", ")", "[", "]", "[[", "]]", '"', "'", "\\", ".", "..", "../", "@", "-1"),
    *("a", "this", "else", "true", " ", "\n", "<p>", "é", "\x00", "\ud800"),
)


def read(source: str) -> tuple[Parsed | None, HandlebarsError | None]:
    try:
        return parse(source), None
    except HandlebarsError as error:
        return None, error


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_text_parses_or_is_refused_with_a_place_inside_it(pieces: list[str]) -> None:
    source = "".join(pieces)
    parsed, error = read(source)
    if error is not None:
        lines = source.split("\n")
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1
    ends = 0
    for start, end in parsed.spans if parsed else []:  # in order, disjoint, and what is left over has no tag
        assert ends <= start < end <= len(source)
        assert "{{" not in source[ends:start]
        ends = end
    assert parsed is None or "{{" not in source[ends:]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("unit", HANDLEBARS)
def test_no_text_is_too_long_or_too_deep(unit: str, prefix: str) -> None:
    """That the time grows with the length and no faster is measured by `make bench-growth`."""
    with contextlib.suppress(HandlebarsError):
        parse(prefix + unit * 20_000)

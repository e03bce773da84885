"""Our own render, and how it differs from Iterable's."""

from typing import Any

import pytest

from activities.rendering import differences, render
from contracts.template import Template


def template(html: str, **changes: Any) -> Template:
    good = {"template_id": "t", "name": "n", "subject": "Hi {{a}}", "html": html, "from_email": "a@acme.test"}
    return Template.model_validate(good | changes)


def test_plain_handlebars_is_rendered_here_too() -> None:
    html = "{{#each items}}{{name}},{{/each}}{{#if no}}x{{else}}{{a}}{{/if}}{{{a}}}{{unsubscribeUrl}}"
    made, problems = render(template(html, text="{{a}}"), {"a": "<&>", "items": [{"name": 1}, {"name": 2}]})
    assert problems == []
    assert made is not None
    assert made.html == "1,2,&lt;&amp;&gt;<&>[unsubscribeUrl]"
    assert (made.subject, made.text) == ("Hi <&>", "<&>")


@pytest.mark.parametrize(
    ("html", "name"),
    [
        ("{{defaultIfEmpty a 'x'}}", "defaultIfEmpty"),
        ("{{#if (eq a 1)}}x{{/if}}", "eq"),
        ("{{> footer}}", "partials"),
        ("{{{snippet 'footer'}}}", "snippet"),
        ("{{profile.city}}", "profile"),
        ("{{#ifGt a 1}}x{{/ifGt}}", "ifGt"),
    ],
)
def test_what_only_iterable_knows_is_not_guessed(html: str, name: str) -> None:
    made, (problem,) = render(template(html), {})
    assert made is None
    assert f"only Iterable can render {name}:" in problem


def test_differences_show_where() -> None:
    assert differences("<p>a</p><p>b</p>", "<p>a</p><p>b</p>") == []
    found = differences("<p>a</p><p>b</p><p>c</p>", "<p>a</p><p>x</p><p>c</p>")
    assert [line for line in found if line[:1] in "+-"][2:] == ["-<p>b</p>", "+<p>x</p>"]
    assert differences("a" * 10, "\n" * 30_000) == ["they differ, and are too long to show where"]
    assert differences("", "\n\n") != []

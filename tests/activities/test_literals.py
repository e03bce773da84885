"""Literal braces and brackets: as text after Handlebars, whatever was around them."""

from html import unescape
from typing import Any

import pytest
from pydantic_handlebars import HandlebarsEnvironment

from activities.checks import check_template
from activities.literals import as_meant
from contracts.connector import ConnectorSettings
from contracts.template import Opener, Template
from contracts.warning import WarningCode

SETTINGS = ConnectorSettings(data_center="us")


def template(literals: list[Opener], **changes: Any) -> Template:
    good = {"template_id": "t", "name": "n", "subject": "s", "html": "<p>h</p>", "from_email": "a@acme.test"}
    return Template.model_validate(good | changes | {"literals": literals})


@pytest.mark.parametrize(
    "text", ["a {{b}} c", "{{", "{{{", "{{{{", "{{{{{x}}", "}} {{#if}} {{/each}}", "no braces", "{ {"]
)
def test_braces_come_out_of_handlebars_as_they_went_in(text: str) -> None:
    done = as_meant(template(["{{"], html=f"<p>{text}</p>", subject=f"s {text}"))
    assert unescape(HandlebarsEnvironment().render(done.html, {})) == f"<p>{text}</p>"
    assert HandlebarsEnvironment().render(done.subject, {}) == f"s {text}"
    assert check_template(done, "transactional", SETTINGS) == []


def test_brackets_are_escaped_outside_of_tags_only() -> None:
    done = as_meant(template(["[["], html="[[1,2]] {{a.[[x]]}} [b] [[[", text="[[1]] {{x}}"))
    assert done.html == "&#91;&#91;1,2]] {{a.[[x]]}} [b] &#91;&#91;&#91;"
    assert done.text == "[{{! }}[1]] {{x}}"
    assert HandlebarsEnvironment().render(done.text, {"x": 1}) == "[[1]] 1"


def test_without_literals_nothing_is_touched() -> None:
    content = template([], html="{{a}} [[b]]")
    assert as_meant(content) is content
    (warning,) = check_template(content, "transactional", SETTINGS)
    assert warning.code == WarningCode.TEMPLATE_UNCLEAR


def test_every_locale_is_escaped() -> None:
    done = as_meant(template(["{{"], locales={"fr": {"html": "{{x}}"}}))
    assert done.locales["fr"].html == "&#123;&#123;x}}"
    assert (done.locales["fr"].subject, done.literals) == (None, [])

"""What is looked at before Iterable is touched."""

from typing import Any

import pytest

from activities.checks import check_data, check_template
from contracts.connector import ConnectorSettings
from contracts.errors import ConnectorError, ErrorCode
from contracts.template import Stream, Template
from contracts.warning import SendWarning, WarningCode


def template(**changes: Any) -> Template:
    good = {
        "template_id": "t",
        "name": "Welcome",
        "subject": "Hi {{first_name}}",
        "html": "<p>Hi {{first_name}}</p>",
        "from_email": "hello@acme.test",
    }
    return Template.model_validate(good | changes)


def checked(
    stream: Stream = "transactional", settings: dict[str, Any] | None = None, **changes: Any
) -> list[SendWarning]:
    return check_template(template(**changes), stream, ConnectorSettings(data_center="us", **(settings or {})))


def refusal(stream: Stream = "transactional", settings: dict[str, Any] | None = None, **changes: Any) -> ConnectorError:
    with pytest.raises(ConnectorError) as refused:
        checked(stream, settings, **changes)
    return refused.value


def codes(warnings: list[SendWarning]) -> list[WarningCode]:
    return [warning.code for warning in warnings]


def test_a_good_template_has_no_warnings() -> None:
    assert checked() == []


@pytest.mark.parametrize("field", ["subject", "preheader", "html", "text", "from_name", "reply_to"])
def test_a_broken_merge_tag_is_refused_with_field_line_and_column(field: str) -> None:
    error = refusal(**{field: "fine\n  {{#if vip}} fine"})
    assert error.code == ErrorCode.TEMPLATE_INVALID
    assert f"{field} is no valid Handlebars: line 2, column 3: " in str(error)


def test_what_we_do_not_know_passes_with_a_warning() -> None:
    (warning,) = checked(html="<p>{{First Name}} [[price]]</p>")
    assert warning.code == WarningCode.TEMPLATE_UNCLEAR
    assert "html, line 1, column 4: First is no helper" in warning.message
    assert "html, line 1, column 19: [[" in warning.message


def test_a_hundred_doubts_are_told_shortly() -> None:
    (warning,) = checked(html="{{First Name}}" * 100)
    assert "and 15 more" in warning.message
    assert len(warning.message) <= 1000


def test_the_reserved_name_is_refused() -> None:
    error = refusal(html="x\n{{#if a}}{{genieos.send}}{{/if}}")
    assert error.code == ErrorCode.TEMPLATE_INVALID
    assert "genieos" in str(error)
    assert "line 2" in str(error)
    assert checked(html="{{genie}} {{order.genieos}}") == []


def test_size() -> None:
    assert checked(html="ä" * 52_000) == []
    assert codes(checked(html="ä" * 52_225)) == [WarningCode.TEMPLATE_CLIPPED]
    assert refusal(html="ä" * 5_001, settings={"template_max_bytes": 10_000}).code == ErrorCode.TEMPLATE_TOO_LARGE
    assert checked(html="ä" * 5_000, settings={"template_max_bytes": 10_000}) == []


def test_the_subject() -> None:
    assert refusal(subject="  ").code == ErrorCode.TEMPLATE_INVALID


@pytest.mark.parametrize("field", ["subject", "from_name", "reply_to"])
@pytest.mark.parametrize("control", ["\r\nBcc: x@example.com", "\n", "\0", "\x1b[31m", "\x7f"])
def test_a_header_is_one_line(field: str, control: str) -> None:
    refused = refusal(**{field: f"a{control}"})
    assert refused.code == ErrorCode.TEMPLATE_INVALID
    assert field in str(refused)


def test_senders() -> None:
    assert refusal(from_email="Acme <hello@acme.test>").code == ErrorCode.TEMPLATE_INVALID
    assert refusal(from_email=" hello@acme.test").code == ErrorCode.TEMPLATE_INVALID
    assert refusal(reply_to="nobody").code == ErrorCode.TEMPLATE_INVALID
    assert codes(checked(from_email="{{shop}}@acme.test")) == [WarningCode.SENDER_UNCLEAR]
    assert codes(checked(from_name=" Acme")) == [WarningCode.SENDER_UNCLEAR]
    allowed = {"allowed_senders": ["acme.test"]}
    assert checked(settings=allowed) == []
    assert refusal(settings=allowed, from_email="hello@other.test").code == ErrorCode.SENDER_NOT_AUTHORISED


@pytest.mark.parametrize(
    "html",
    [
        '<a href="{{unsubscribeUrl}}">',
        "{{#if a}}{{else}}<a href='{{{unsubscribeMessageTypeUrl}}}'>{{/if}}",
        "{{urlEncode hostedUnsubscribeUrl}}",
    ],
)
def test_marketing_with_an_unsubscribe_tag(html: str) -> None:
    assert checked("marketing", {"marketing_without_unsubscribe": "refuse"}, html=html) == []


def test_marketing_without_an_unsubscribe_tag() -> None:
    commented = "{{! {{unsubscribeUrl}} unsubscribeUrl"
    assert codes(checked("marketing")) == [WarningCode.UNSUBSCRIBE_MISSING]
    assert codes(checked("marketing", html=commented)) == [WarningCode.UNSUBSCRIBE_MISSING]
    assert checked("marketing", {"marketing_without_unsubscribe": "allow"}) == []
    refuse = {"marketing_without_unsubscribe": "refuse"}
    assert refusal("marketing", refuse).code == ErrorCode.TEMPLATE_INVALID
    assert checked("transactional", refuse) == []
    (warning,) = checked("marketing", refuse, html='{{{snippet "footer"}}}')  # it may be in there
    assert warning.code == WarningCode.UNSUBSCRIBE_MISSING


# Data


def missing(html: str, data: dict[str, Any], profile: dict[str, Any] | None = None) -> list[str]:
    content = template(subject="Hi", html=html)
    warnings = check_data(content, data, profile or {})
    if not warnings:
        return []
    (warning,) = warnings
    assert warning.code == WarningCode.DATA_MISSING
    return warning.message.removeprefix("Neither data nor recipient.profile has ").partition(":")[0].split(", ")


@pytest.mark.parametrize(
    ("html", "data", "names"),
    [
        ("{{a}}{{b.c}}", {"a": 1}, ["b.c"]),
        ("{{b.c}}", {"b": {"d": 1}}, ["b.c"]),
        ("{{a}}", {"a": None}, []),
        ("{{email}}{{unsubscribeUrl}}{{profile.x.y}}{{now}}", {}, []),
        ("{{defaultIfEmpty a 'x'}}{{#if a}}{{b}}{{/if}}{{#unless a}}{{c}}{{/unless}}", {}, ["c"]),
        ("{{#if a}}{{b}}{{else}}{{c}}{{/if}}", {"a": True}, ["b"]),
        ("{{#if (eq a 1)}}{{b}}{{else}}{{c}}{{/if}}", {}, ["b", "c"]),
        ("{{#ifGt a 1}}{{/ifGt}}{{#ifEq d 1}}{{/ifEq}}", {}, ["a"]),
        ("{{upper a}}{{dateFormat (dateMath b '+' 1 'day') format=c}}", {}, ["a", "b", "c"]),
        (
            "{{#each items}}{{name}}{{price}}{{this.x}}{{@index}}{{/each}}",
            {"items": [{"name": 1}]},
            ["items[].price", "items[].x"],
        ),
        (
            "{{#each items}}{{shop}}{{../shop}}{{../no}}{{@root.no}}{{/each}}",
            {"items": [1], "shop": 1},
            ["no", "@root.no"],
        ),
        ("{{#each items}}{{a}}{{else}}{{b}}{{/each}}", {"items": []}, ["b"]),
        ("{{#each items}}{{a}}{{/each}}", {}, ["items"]),
        ("{{#each items as |i|}}{{i.a}}{{i.b}}{{/each}}", {"items": [{"a": 1}]}, ["items[].b"]),
        ("{{#with order}}{{number}}{{date}}{{/with}}", {"order": {"number": 1}}, ["order.date"]),
        ("{{#order}}{{number}}{{date}}{{/order}}", {"order": {"number": 1}}, ["order.date"]),
        ("{{#flag}}{{a}}{{/flag}}{{^flag}}{{b}}{{/flag}}", {}, ["b"]),
        ("{{items.[0].name}}{{items.[1].name}}{{items.length}}", {"items": [{"name": 1}]}, ["items.[1].name"]),
        ('{{#catalog "x" a as |c|}}{{c.name}}{{b}}{{/catalog}}', {}, ["a"]),
        ('{{#assign "x"}}{{a}}{{/assign}}{{x}}', {}, ["a"]),
        ("{{[First Name]}}", {}, ["[First Name]"]),
    ],
)
def test_names_that_are_shown_and_missing(html: str, data: dict[str, Any], names: list[str]) -> None:
    assert missing(html, data) == names


def test_the_profile_of_the_recipient_counts() -> None:
    assert missing("{{first_name}}", {}, {"first_name": "Ann"}) == []


def test_no_value_is_told() -> None:
    (warning,) = check_data(template(html="{{a.b}}"), {"first_name": "x", "a": {"secret": "secret-value"}}, {})
    assert "secret" not in warning.message


def test_many_missing_names_are_told_shortly() -> None:
    html = "".join(f"{{{{{'name' * 20}{i}}}}}" for i in range(100))
    (warning,) = check_data(template(html=html), {"first_name": "x"}, {})
    assert len(warning.message) <= 1000


def test_a_message_of_a_million_tags_is_looked_at_in_part() -> None:
    rows = "{{#each rows}}{{#each cells}}{{a}}{{b}}{{/each}}{{/each}}"
    data = {"first_name": "x", "rows": [{"cells": [{"a": 1}] * 5}] * 5}
    assert missing(rows + "{{last}}", data) == ["rows[].cells[].b", "last"]
    assert missing(rows * 500 + "{{last}}", data) == ["rows[].cells[].b"]


def test_data_that_is_too_long_to_come_back() -> None:
    assert check_data(template(), {"first_name": "x" * 11_000}, {}) == []
    (warning,) = check_data(template(), {"first_name": "x" * 12_000}, {})
    assert warning.code == WarningCode.DATA_TOO_LONG


def test_every_locale_is_checked() -> None:
    error = refusal(locales={"fr": {"html": "{{#if}}"}})
    assert (error.code, "Locale fr: " in str(error)) == (ErrorCode.TEMPLATE_INVALID, True)
    (warning,) = checked(locales={"fr": {"html": "[[x]]"}, "de": {"html": "<p>gut</p>"}})
    assert warning.message.startswith("Locale fr: html, line 1")


def test_the_names_of_the_locale_that_the_send_names_are_looked_at() -> None:
    content = template(locales={"fr": {"subject": "x", "html": "{{prenom}}"}})
    assert codes(check_data(content, {"locale": "fr", "prenom": 1}, {})) == []
    assert codes(check_data(content, {"prenom": 1}, {"locale": "fr"})) == []
    assert codes(check_data(content, {"prenom": 1}, {})) == [WarningCode.DATA_MISSING]


def test_whole_numbers_of_any_size_are_data() -> None:
    assert check_data(template(), {"first_name": "x", "order": 10**30}, {}) == []

"""Fingerprints: recorded, so that no release changes them by accident."""

import hashlib

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from activities.fingerprints import fingerprint, template_ref
from contracts.template import InlineImage, Template

PLAIN = Template(
    template_id="tpl_1",
    name="Welcome",
    subject="Hi {{first_name}}",
    html="<p>Hällo {{first_name}} 👋</p>",
    from_email="hello@acme.test",
)


def test_recorded_vectors() -> None:
    assert fingerprint(PLAIN, 101) == "b10a34848ab83da7d50832c2cb0d59985e92f4fefc7f090f9fb0e5ce5640da36"
    assert template_ref(PLAIN) == "20da1b0585ed0440f74da0750f756eaa2a9a7938bdc8ddaca4e6547d01a52b22"


FULL = Template(
    template_id="tpl_2",
    name="Everything",
    subject='Hi "{{first_name}}" \\ /',
    preheader="\t{{offer}}\u2028\x7f\x01",
    html="<p>\r\n{{{raw}}} [[feed.x]] 'é' 𝄞</p>",
    text="",
    from_email="{{sender}}@acme.test",
    from_name="Acme & Co",
    reply_to="support@acme.test",
    inline_images=[InlineImage(content_id="logo", media_type="image/png", data="AAAA")],
)


def test_recorded_vectors_of_every_field() -> None:
    assert fingerprint(FULL, 2**31 - 1) == "e1598171ba3129569a69da6e6d6d449798f57773404ad62da0c2d349cd2c0214"
    assert template_ref(FULL) == "2e36ddda95ef9197f97acd2d5aa5037931bc9f8fe5406de765e9500df0e1c494"


@given(st.text(), st.text(min_size=1), st.integers(0, 2**53 - 1))
def test_the_canonical_form_is_that_of_rfc_8785(text: str, html: str, message_type_id: int) -> None:
    template = PLAIN.model_copy(update={"text": text, "html": html})
    fields = {"subject", "preheader", "html", "text", "from_email", "from_name", "reply_to"}
    content = {name: value or "" for name, value in template.model_dump(include=fields).items()}
    named = {"recipe": 1, "message_type_id": message_type_id, "content": content}
    assert fingerprint(template, message_type_id) == hashlib.sha256(rfc8785.dumps(named)).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "Hi"},
        {"html": "<p>Hällo {{first_name}} 👋</p> "},
        {"preheader": "x"},
        {"text": "x"},
        {"from_email": "other@acme.test"},
        {"from_name": "Acme"},
        {"reply_to": "other@acme.test"},
    ],
)
def test_whatever_iterable_renders_differently_has_another_fingerprint(change: dict[str, str]) -> None:
    assert fingerprint(PLAIN.model_copy(update=change), 101) != fingerprint(PLAIN, 101)


def test_another_message_type_is_another_campaign() -> None:
    assert fingerprint(PLAIN, 102) != fingerprint(PLAIN, 101)


@pytest.mark.parametrize("change", [{"name": "Other"}, {"template_id": "tpl_2"}, {"text": ""}, {"preheader": ""}])
def test_whatever_iterable_renders_alike_has_the_same_fingerprint(change: dict[str, str]) -> None:
    assert fingerprint(PLAIN.model_copy(update=change), 101) == fingerprint(PLAIN, 101)


FRENCH = {"fr": {"subject": "Bonjour {{first_name}}"}}


def in_french(locales: dict[str, dict[str, str]]) -> Template:
    return Template.model_validate(PLAIN.model_dump() | {"locales": locales})


def test_recorded_vectors_of_locales() -> None:
    assert fingerprint(in_french(FRENCH), 101) == "3cb6d95364871cacd6d9af1beb17fdf3a95cfb40393c47a4e5c727f951adcfc0"
    assert template_ref(in_french(FRENCH)) == "d236666ff56eb12859316f878a8cc2e9cffe4b5f55510cca894e1f18d81866d3"


def test_a_locale_counts_as_what_it_renders() -> None:
    repeated = {"fr": {**FRENCH["fr"], "html": PLAIN.html}}
    assert fingerprint(in_french(repeated), 101) == fingerprint(in_french(FRENCH), 101)
    for other in ({"fr": {"subject": "Salut"}}, {"fr-CA": FRENCH["fr"]}, {**FRENCH, "de": FRENCH["fr"]}, {}):
        assert fingerprint(in_french(other), 101) != fingerprint(in_french(FRENCH), 101)


def test_the_order_of_locales_does_not_count() -> None:
    two = {**FRENCH, "de": {"subject": "Hallo"}}
    assert fingerprint(in_french(dict(reversed(two.items()))), 101) == fingerprint(in_french(two), 101)

"""Fingerprints: recorded, so that no release changes them by accident."""

import pytest

from activities.fingerprints import fingerprint, template_ref
from contracts.template import Template

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

"""The demo's template: a responsive email as designers hand it over, with merge tags, a preheader and plain text."""

from pathlib import Path

from contracts.template import Template


def welcome_template() -> Template:
    """Reads the HTML beside this file."""
    return Template(
        template_id="tpl_welcome",
        name="Welcome",
        subject="Welcome aboard, {{first_name}}",
        preheader="Your first order ships free until {{offer_ends}}.",
        html=(Path(__file__).parent / "welcome.html").read_text(encoding="utf-8"),
        text=(Path(__file__).parent / "welcome.txt").read_text(encoding="utf-8"),
        from_email="hello@acme.test",
        from_name="Acme",
        reply_to="support@acme.test",
    )

"""The demo's template: a responsive email as designers hand it over, with merge tags, a preheader, plain text, and a
logo that it carries itself."""

import base64
from pathlib import Path

from contracts.template import InlineImage, Template


def welcome_template() -> Template:
    """Reads the files beside this one."""
    logo = base64.b64encode((Path(__file__).parent / "welcome.png").read_bytes()).decode()
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
        inline_images=[InlineImage(content_id="logo", media_type="image/png", data=logo)],
    )

"""An email template as GenieOS hands it over."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from contracts.model import Contract

EmailAddress = Annotated[str, Field(max_length=254, pattern=r"^[^\s@<>\"(),:;\\]+@[^\s@<>\"(),:;\\]+$")]
"""One bare address. The pattern refuses what certainly is none; whether it exists only a send can tell."""

Sender = Annotated[str, Field(max_length=320, min_length=3)]
"""A sender's address. Merge tags are allowed (Iterable renders sender fields), so only its length is checked."""


class InlineImage(Contract):
    """An image that the HTML refers to as `cid:{content_id}`; `data` is base64."""

    content_id: Annotated[str, Field(min_length=1, max_length=255)]
    media_type: str
    data: str


Opener = Literal["{{", "[["]
"""How a merge tag begins, or a data feed's field."""

Locale = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$")]
"""A locale as the Iterable project has it, `fr` or `fr-FR`."""


class Variant(Contract):
    """A template's content for one locale. What is left out is as in the template itself."""

    subject: Annotated[str | None, Field(min_length=1, max_length=998)] = None
    preheader: str | None = None
    html: Annotated[str | None, Field(min_length=1)] = None
    text: str | None = None
    from_name: str | None = None
    reply_to: str | None = None

    def given(self) -> dict[str, str | None]:
        """The fields that are not left out."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class Template(Contract):
    """Content of one email, with Handlebars merge tags as Iterable knows them.

    `name` is for people: it appears in Iterable's lists and does not change what is rendered, so it is not part of the
    fingerprint. Neither is `template_id`, GenieOS's own.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    template_id: Annotated[str, Field(min_length=1, max_length=200)]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    subject: Annotated[str, Field(min_length=1, max_length=998)]
    preheader: str | None = None
    html: Annotated[str, Field(min_length=1)]
    text: str | None = None
    from_email: Sender | None = None
    """The connector's default sender where it is left out, with its name and reply address."""
    from_name: str | None = None
    reply_to: str | None = None
    inline_images: list[InlineImage] = []
    locales: Annotated[dict[Locale, Variant], Field(max_length=50)] = {}
    """Other content for people whose profile in Iterable has this `locale`; everybody else gets the template's own."""
    literals: list[Opener] = []
    """What is text in this template although it looks like the beginning of a tag: it is escaped. With `{{` in it the
    template has no merge tags at all."""

    def variants(self) -> dict[Locale, "Template"]:
        """Locale → the whole content for it."""
        return {
            tag: self.model_copy(update={**variant.given(), "locales": {}}) for tag, variant in self.locales.items()
        }

    def for_locale(self, locale: object) -> "Template":
        """The content that somebody of this locale gets."""
        return self.variants().get(locale, self) if isinstance(locale, str) else self


Stream = Literal["transactional", "marketing"]
"""Picks the Iterable message type, and with it the channel, caps and unsubscribe rules."""

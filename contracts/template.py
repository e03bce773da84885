"""An email template as GenieOS hands it over."""

from typing import Annotated, Literal

from pydantic import Field

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


class Template(Contract):
    """Content of one email, with Handlebars merge tags as Iterable knows them.

    `name` is for people: it appears in Iterable's lists and does not change what is rendered, so it is not part of the
    fingerprint. Neither is `template_id`, GenieOS's own.
    """

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


Stream = Literal["transactional", "marketing"]
"""Picks the Iterable message type, and with it the channel, caps and unsubscribe rules."""

"""Warnings: what a send may go out with, and somebody should know of all the same."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.model import Contract


class WarningCode(StrEnum):
    """Stable codes. Like those of errors they never change meaning; readers let unknown ones pass."""

    TEMPLATE_CLIPPED = "template_clipped"
    """Gmail shows the first 102 KB of an HTML body and hides the rest behind a link."""
    TEMPLATE_UNCLEAR = "template_unclear"
    """A merge tag that we do not know Iterable to take: misspelt, or newer than this release."""
    DATA_MISSING = "data_missing"
    """Names the template shows and the send's data lacks. They render as nothing, unless the profile in Iterable has
    them."""
    DATA_TOO_LONG = "data_too_long"
    """Iterable cuts the data that comes back with events at 12,000 characters."""
    UNSUBSCRIBE_MISSING = "unsubscribe_missing"
    """Marketing without an unsubscribe tag. Iterable may add a block by itself, where the project is set up so."""
    SENDER_UNCLEAR = "sender_unclear"
    """A sender that is made of merge tags, or one that Iterable is known to have trouble with."""
    IMAGE_UNUSED = "image_unused"
    """An inline image that the HTML does not refer to. It is not hosted: nobody would see it."""
    IMAGE_TYPE_DIFFERS = "image_type_differs"
    """An image that is declared as one type and is of another. It is hosted as what it is."""
    IMAGE_FORMAT_RARE = "image_format_rare"
    """An image in a format that widely used mail programs do not show."""
    IMAGE_LARGE = "image_large"
    """An image of more than a megabyte: people on a phone wait for it."""
    IMAGE_LEFT_INLINE = "image_left_inline"
    """A `data:` URI that a merge tag completes. It cannot be hosted; many mail programs will not show it."""


class SendWarning(Contract):
    """`message` is for people: it names fields and places in the template, never a value of a send's data."""

    code: WarningCode
    message: Annotated[str, Field(max_length=1000)]

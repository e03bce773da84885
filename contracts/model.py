"""The base of every contract."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

WorkspaceId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""A GenieOS tenant. No slash: it is a segment of workflow ids and of the webhook's path."""

SendId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]
"""GenieOS's name for one message to one recipient; unique in its workspace, for ever."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Contract(BaseModel):
    """A model that crosses a boundary.

    Unknown fields are refused (a typo must not be lost), instances are immutable, and a validation error never shows
    the offending value: it may be an address.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

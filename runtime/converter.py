"""How values become payloads: pydantic's JSON, and a refusal in place of what cannot be read.

Temporal's own behaviour for input that does not decode is to fail the workflow task and try it again for ever. What
fits no contract is told by `Received`; what is not even JSON (a lone surrogate, too deep, cut off) is told here.
"""

from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter, pydantic_data_converter
from temporalio.converter import CompositePayloadConverter, DefaultPayloadConverter, JSONPlainPayloadConverter
from temporalio.exceptions import ApplicationError

from contracts.received import refusal_of


class RefusingJsonConverter(PydanticJSONPlainPayloadConverter):
    """Reads JSON, or says why it cannot, without quoting it."""

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Raises a final failure `request_invalid` for what is not JSON, or not what the type says."""
        try:
            return super().from_payload(payload, type_hint)
        except ValidationError as error:
            refusal = refusal_of(error)
        raise ApplicationError(str(refusal), type=refusal.code, non_retryable=True)


class RefusingPayloadConverter(CompositePayloadConverter):
    """The default converters, with ours in the place of JSON."""

    def __init__(self) -> None:
        """One set a process."""
        super().__init__(
            *(
                RefusingJsonConverter() if isinstance(converter, JSONPlainPayloadConverter) else converter
                for converter in DefaultPayloadConverter.default_encoding_payload_converters
            )
        )


data_converter = replace(pydantic_data_converter, payload_converter_class=RefusingPayloadConverter)
"""What every client and worker of the connector uses."""

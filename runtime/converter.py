"""How values become payloads: pydantic's JSON, encryption around it, and a refusal in place of what cannot be read.

Temporal's own behaviour for input that does not decode is to fail the workflow task and try it again for ever. What
fits no contract is told by `Received`; what is not even JSON (a lone surrogate, too deep, cut off), or was encrypted
wrongly, is told here.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter, pydantic_data_converter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
    PayloadConverter,
)
from temporalio.exceptions import ApplicationError

from contracts.errors import ConnectorError, ErrorCode
from contracts.received import Received, refusal_of
from contracts.target import TemplateBody
from runtime.codec import BODY, ENCRYPTED, CannotOpen, EncryptingCodec

_CODES = frozenset(code.value for code in ErrorCode)


class RefusingJsonConverter(PydanticJSONPlainPayloadConverter):
    """Reads JSON, or says why it cannot, without quoting it. Marks the bodies of templates, for external storage."""

    def to_payload(self, value: Any) -> Payload | None:
        """None where the value is not for JSON."""
        payload = super().to_payload(value)
        if payload is not None and isinstance(value, TemplateBody):
            payload.metadata[BODY] = b"1"
        return payload

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Raises a final failure `request_invalid` for what is not JSON, or not what the type says."""
        try:
            return super().from_payload(payload, type_hint)
        except ValidationError as error:
            refusal = refusal_of(error)
        raise ApplicationError(str(refusal), type=refusal.code, non_retryable=True)


class UnopenedConverter(EncodingPayloadConverter):
    """What the codec could not open with a key it has: somebody encrypted it wrongly, or it was altered."""

    @property
    def encoding(self) -> str:
        """The codec's own."""
        return ENCRYPTED.decode()

    def to_payload(self, value: Any) -> None:
        """Nothing becomes this."""
        del value

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Raises: a request from outside ends its run with `request_invalid`; anything else, a part of our own history,
        is not guessed at, and holds its run until somebody has looked."""
        del payload
        if _is_from_outside(type_hint):
            refusal = ConnectorError(
                ErrorCode.REQUEST_INVALID, "The request is encrypted, and does not open with the key that it names"
            )
            raise ApplicationError(str(refusal), type=refusal.code, non_retryable=True)
        raise CannotOpen("a payload of this run does not open with the key that it names")


def _is_from_outside(type_hint: Any) -> bool:
    return any(get_origin(one) is Received for one in (type_hint, *get_args(type_hint)))


_CONVERTERS: Sequence[EncodingPayloadConverter] = (
    UnopenedConverter(),
    *(
        RefusingJsonConverter() if isinstance(converter, JSONPlainPayloadConverter) else converter
        for converter in DefaultPayloadConverter.default_encoding_payload_converters
    ),
)


class RefusingPayloadConverter(CompositePayloadConverter):
    """The default converters, with ours in the place of JSON."""

    def __init__(self) -> None:
        """The SDK makes one for each task: they share the parts."""
        super().__init__(*_CONVERTERS)


class CodedFailureConverter(DefaultFailureConverter):
    """Failures with one of our codes say what to do; where in our code they were raised is left out."""

    encrypts = False

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Called for each cause too."""
        super().to_failure(exception, payload_converter, failure)
        code = failure.application_failure_info.type
        is_ours = code in _CODES
        if is_ours:
            failure.stack_trace = ""
        if self.encrypts:  # the SDK's own layout: who has the codec reads message and stack trace, in any language
            hidden = {"message": failure.message, "stack_trace": failure.stack_trace}
            failure.encoded_attributes.CopyFrom(payload_converter.to_payloads([hidden])[0])
            failure.message = f"{code}: the rest is encrypted" if is_ours else "Encoded failure"
            failure.stack_trace = ""


class EncryptingFailureConverter(CodedFailureConverter):
    """Leaves to the codec what a failure says, and in plain sight only its type."""

    encrypts = True


data_converter = replace(
    pydantic_data_converter,
    payload_converter_class=RefusingPayloadConverter,
    failure_converter_class=CodedFailureConverter,
)
"""What reads and writes in plain."""


def encrypting_converter(codec: EncryptingCodec | None) -> DataConverter:
    """What reads encrypted and plain payloads, and writes as the codec is set. Without a codec: plain ones only.

    Where it encrypts, messages and stack traces of failures are encrypted too. A failure's type stays plain: it is an
    error code, and a client without the key can still act on it.
    """
    if codec is None:
        return data_converter
    found = replace(data_converter, payload_codec=codec)
    if codec.encrypts:
        return replace(found, failure_converter_class=EncryptingFailureConverter)
    return found

"""What commands read from a file, or from standard input, to start a run with."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from temporalio.client import Client
from typer import FileBinaryRead

from cli.output import USAGE, stop
from contracts.broadcast import BroadcastRequest
from contracts.errors import ConnectorError, ErrorCode
from contracts.received import refusal_of
from contracts.send import SendRequest
from workflows.failures import LARGEST_START

M = TypeVar("M", bound=BaseModel)

_STORE_FIRST = (
    "Host images instead of embedding them, or store the template first (PUT /v1/workspaces/{workspace}/templates) and "
    "give its template_ref."
)


def text_of(file: FileBinaryRead) -> str:
    """A file's text, without the mark that editors on Windows begin it with; or the end of the command."""
    try:
        return file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        stop(USAGE, f"{file.name} is not UTF-8")


def request_of(model: type[M], text: str) -> M:
    """The request, or the end of the command with what is wrong with it."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        refusal = refusal_of(error)
        stop(USAGE, f"{refusal.code}: {refusal}")


async def insist_that_it_fits(temporal: Client, request: SendRequest | BroadcastRequest) -> None:
    """Temporal says no more of what is too large than that it is. Raises `ConnectorError`."""
    payloads = await temporal.data_converter.encode([request])
    size = sum(payload.ByteSize() for payload in payloads)
    if size <= LARGEST_START:
        return
    what = f"The request has {size:,} bytes, and {LARGEST_START:,} are the most"
    if request.template is not None and len(request.template.model_dump_json()) > LARGEST_START // 2:
        raise ConnectorError(ErrorCode.TEMPLATE_TOO_LARGE, what, _STORE_FIRST)
    raise ConnectorError(ErrorCode.REQUEST_INVALID, what)

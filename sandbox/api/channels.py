"""/api/channels and /api/messageTypes"""

from typing import Final

from starlette.responses import Response

from sandbox.api.call import Call, Operation
from sandbox.wire import answer


def channels(call: Call) -> Response:
    return answer({"channels": [channel.shown() for channel in call.project.channels]})


def message_types(call: Call) -> Response:
    return answer({"messageTypes": [message_type.shown() for message_type in call.project.message_types]})


OPERATIONS: Final = (
    Operation("GET", "/api/channels", channels, read_only=True),
    Operation("GET", "/api/messageTypes", message_types, read_only=True),
)

"""Reading a request's body no further than allowed."""

from starlette.requests import Request


async def read_body(request: Request, most: int) -> bytes | None:
    """The body; None where it has more than `most` bytes. Raises `ClientDisconnect`."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            return None
        parts.append(part)
    return b"".join(parts)

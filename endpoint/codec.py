"""`POST /codec/decode` and `/codec/encode`: what the Temporal UI and CLI ask to show, and take, encrypted payloads.

Bodies are Temporal's `Payloads` message as protobuf JSON (docs.temporal.io/codec-server). Who may read is decided here,
by a bearer token; which web page may ask is decided by CORS: the Temporal UI's, and no other.
"""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from temporalio.api.common.v1 import Payload, Payloads

from contracts.errors import ApiCode, ErrorCode
from endpoint.bearer import bears
from endpoint.body import read_body
from endpoint.problems import answer
from runtime.codec import CannotOpen, EncryptingCodec, codec_of
from runtime.settings import Settings

_MOST_BYTES = 8_000_000
"""Temporal answers with 4 MiB at most; base64 makes a third more of them."""
_HEADERS = ("authorization", "authorization-extras", "content-type", "x-namespace")
"""With single sign-on the UI sends the id token in the second: for a proxy, we do not read it."""
_PREFLIGHT_SECONDS = 600


class Codec:
    """Opens and seals payloads for who may see them."""

    def __init__(self, settings: Settings) -> None:
        self._codec = codec_of(settings)
        self._token = settings.codec_token or settings.admin_token
        self._ui_origin = origin_of(settings.temporal_ui_url)
        self._is_open = settings.codec_open

    def mount(self) -> Mount:
        """The routes, and the CORS rules for them alone."""
        cors = Middleware(
            CORSMiddleware,
            allow_origins=[self._ui_origin] if self._ui_origin else [],
            allow_methods=["POST"],
            allow_headers=list(_HEADERS),
            allow_credentials=True,
            max_age=_PREFLIGHT_SECONDS,
        )
        routes = [
            Route("/decode", self._answering(self._decoded), methods=["POST"]),
            Route("/encode", self._answering(self._encoded), methods=["POST"]),
        ]
        return Mount("/codec", routes=routes, middleware=[cors])

    def _answering(
        self, turn: Callable[[EncryptingCodec, Payload], Payload]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def turned_over(request: Request) -> Response:
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
            body = await read_body(request, _MOST_BYTES)
            if body is None:
                return answer(413, ApiCode.TOO_LARGE, f"A request may have {_MOST_BYTES} bytes.")
            codec = self._codec
            if codec is None:
                return answer(
                    503, ApiCode.CODEC_DISABLED, "Set CONNECTOR_MASTER_KEY_FILE: the codec's keys come from it."
                )
            try:
                # In a thread: a page of history is work for tens of milliseconds, and webhooks wait for none of it.
                turned = await asyncio.to_thread(_turn_all, body, lambda payload: turn(codec, payload))
            except (ParseError, ValueError, RecursionError):  # a lone surrogate is a ValueError
                return answer(
                    400, ErrorCode.REQUEST_INVALID, 'Send {"payloads": […]}, Temporal\'s Payloads as protobuf JSON.'
                )
            return Response(turned, media_type="application/json")

        return turned_over

    def _refusal(self, request: Request) -> Response | None:
        if self._is_open and self._is_ui_here(request):
            return None
        if self._token is None:
            return answer(503, ApiCode.CODEC_DISABLED, "Set CONNECTOR_CODEC_TOKEN to open the codec.")
        if not bears(request, self._token):
            return answer(401, ApiCode.UNAUTHORISED, "Send the codec token as a bearer token.")
        return None

    def _is_ui_here(self, request: Request) -> bool:
        """The Temporal UI, in a browser on this machine. What else runs here could pretend to be one: development."""
        here = request.client is not None and _is_loopback(request.client.host)
        return here and self._ui_origin is not None and request.headers.get("Origin") == self._ui_origin

    @staticmethod
    def _decoded(codec: EncryptingCodec, payload: Payload) -> Payload:
        """What does not open is given back as it is: the rest of the page can still be read."""
        try:
            return codec.open(payload)
        except CannotOpen:
            return payload

    @staticmethod
    def _encoded(codec: EncryptingCodec, payload: Payload) -> Payload:
        return codec.seal(payload) if codec.encrypts else payload


def origin_of(url: str | None) -> str | None:
    """`scheme://host[:port]` of a URL, as browsers send it."""
    if url is None:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _turn_all(body: bytes, turn: Callable[[Payload], Payload]) -> str:
    given = Parse(body, Payloads())
    return MessageToJson(Payloads(payloads=[turn(payload) for payload in given.payloads]), indent=None)

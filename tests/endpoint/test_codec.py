"""`POST /codec/…`: who may ask, what is answered, and what is not told."""

import json
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette
from temporalio.api.common.v1 import Payload, Payloads

from endpoint.codec import Codec
from runtime.codec import EncryptingCodec, codec_of
from runtime.settings import Settings
from store.keyring import new_key_text

UI = "https://temporal.example.com"
TOKEN = {"Authorization": "Bearer codec-token"}
_OF_THE_UI = "authorization,authorization-extras,content-type,x-namespace"
"""With single sign-on it sends the id token too."""
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"ann@example.com"')


def settings(**changes: Any) -> Settings:
    given: dict[str, Any] = {
        "master_key": SecretStr(new_key_text().strip()),
        "codec_token": SecretStr("codec-token"),
        "admin_token": SecretStr("admin-token"),
        "temporal_ui_url": f"{UI}/somewhere",
        "encrypt_payloads": True,
    }
    return Settings(**given | changes)


def http(chosen: Settings, *, client: tuple[str, int] = ("192.0.2.7", 1)) -> httpx.AsyncClient:
    app = Starlette(routes=[Codec(chosen).mount()])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=client), base_url="http://endpoint")


def sealing(chosen: Settings) -> EncryptingCodec:
    codec = codec_of(chosen)
    assert codec is not None
    return codec


def body(*payloads: Payload) -> dict[str, Any]:
    return MessageToDict(Payloads(payloads=payloads))


def payloads(answer: httpx.Response) -> list[Payload]:
    return list(ParseDict(answer.raise_for_status().json(), Payloads()).payloads)


async def test_the_ui_reads_what_is_encrypted_and_what_is_plain() -> None:
    chosen = settings()
    async with http(chosen) as ui:
        answer = await ui.post("/codec/decode", json=body(sealing(chosen).seal(PLAIN), PLAIN), headers=TOKEN)
    assert payloads(answer) == [PLAIN, PLAIN]


async def test_what_does_not_open_does_not_hide_the_rest() -> None:
    chosen, foreign = settings(), sealing(settings()).seal(PLAIN)
    async with http(chosen) as ui:
        answer = await ui.post("/codec/decode", json=body(foreign, sealing(chosen).seal(PLAIN)), headers=TOKEN)
    assert payloads(answer) == [foreign, PLAIN]


async def test_encode_writes_as_the_connector_does() -> None:
    chosen = settings()
    async with http(chosen) as ui:
        answer = await ui.post("/codec/encode", json=body(PLAIN), headers=TOKEN)
    [sealed] = payloads(answer)
    assert sealing(chosen).open(sealed) == PLAIN
    assert b"ann" not in sealed.SerializeToString()
    async with http(settings(encrypt_payloads=False)) as ui:
        assert payloads(await ui.post("/codec/encode", json=body(PLAIN), headers=TOKEN)) == [PLAIN]


@pytest.mark.parametrize(
    "offered", ["", "Bearer", "Bearer wrong", "Bearer admin-token", "Basic codec-token", "Bearer é"]
)
async def test_who_has_no_token_reads_nothing(offered: str) -> None:
    chosen = settings()
    async with http(chosen) as ui:
        answer = await ui.post(
            "/codec/decode",
            json=body(sealing(chosen).seal(PLAIN)),
            headers={"Authorization": offered.encode(), "Origin": UI},  # type: ignore[dict-item]
        )
    assert answer.status_code == 401
    assert "ann" not in answer.text
    assert "codec-token" not in answer.text


async def test_without_a_codec_token_the_admin_token_opens_it_and_without_either_nobody_does() -> None:
    async with http(settings(codec_token=None)) as ui:
        answer = await ui.post("/codec/decode", json=body(PLAIN), headers={"Authorization": "Bearer admin-token"})
        assert payloads(answer) == [PLAIN]
    async with http(settings(codec_token=None, admin_token=None)) as ui:
        assert (await ui.post("/codec/decode", json=body(PLAIN), headers=TOKEN)).status_code == 503


async def test_only_the_uis_page_may_ask_from_a_browser() -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": _OF_THE_UI}
    async with http(settings()) as ui:
        allowed = await ui.options("/codec/decode", headers={"Origin": UI, **asks})
        refused = await ui.options("/codec/decode", headers={"Origin": "https://elsewhere.example.com", **asks})
        answered = await ui.post("/codec/decode", json=body(PLAIN), headers={"Origin": UI, **TOKEN})
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == answered.headers["Access-Control-Allow-Origin"] == UI
    assert refused.status_code == 400
    assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize(
    "sent",
    [b"", b"null", b"1", b"\xff", b"[" * 100_000, b'{"payloads": 3}', b'{"x": 1}', b'{"payloads": [{"data": 1}]}'],
)
async def test_nonsense_is_refused(sent: bytes) -> None:
    async with http(settings()) as ui:
        answer = await ui.post("/codec/decode", content=sent, headers=TOKEN)
    assert answer.status_code == 400
    assert answer.json()["code"] == "request_invalid"


async def test_what_is_too_large_is_refused() -> None:
    async with http(settings()) as ui:
        answer = await ui.post("/codec/decode", content=json.dumps({"x": "x" * 8_000_000}), headers=TOKEN)
    assert answer.status_code == 413


async def test_an_open_codec_answers_the_ui_on_this_machine_and_nobody_else() -> None:
    local = "http://127.0.0.1:8233"
    chosen = settings(codec_open=True, temporal_ui_url=local)
    here, elsewhere = ("127.0.0.1", 1), ("192.0.2.7", 1)
    asked: list[int] = []
    for client, origin in [(here, local), (here, "http://evil.example.com"), (elsewhere, local)]:
        async with http(chosen, client=client) as ui:
            asked.append((await ui.post("/codec/decode", json=body(PLAIN), headers={"Origin": origin})).status_code)
    async with http(chosen, client=here) as ui:
        asked.append((await ui.post("/codec/decode", json=body(PLAIN))).status_code)
    assert asked == [200, 401, 401, 401]


def test_the_codec_cannot_be_open_for_a_ui_elsewhere() -> None:
    with pytest.raises(ValidationError, match="codec_open"):
        settings(codec_open=True)

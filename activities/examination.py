"""What a connector needs of its Iterable project, looked at point by point. Of Iterable it only reads, with one
exception that changes nothing (`_activation`)."""

from dataclasses import dataclass

from pydantic import SecretStr

from activities.catalogs import read_catalog
from activities.connectors import ClientFactory
from activities.hooks import webhook_findings
from contracts.channel import EMAIL, Catalog, Channel
from contracts.connector import ConnectorSettings, DataCenter
from contracts.errors import ErrorCode
from contracts.finding import Finding, attention, fine, refused, unknown
from contracts.template import Stream
from iterable.client import IterableClient
from iterable.errors import ForbiddenByProject, IterableError, KeyRefused, NotTaken

KEY, MESSAGE_TYPE, ALL_LIST, ACTIVATION = "key", "message type", "all-list", "activation"
STREAMS: tuple[Stream, ...] = ("transactional", "marketing")
_OTHER: dict[DataCenter, DataCenter] = {"us": "eu", "eu": "us"}
_NO_CAMPAIGN = 0


@dataclass(frozen=True)
class Examination:
    """What was found; the catalog where the key was taken."""

    findings: list[Finding]
    catalog: Catalog | None = None


async def examine(
    make_client: ClientFactory, settings: ConnectorSettings, key: SecretStr, webhook_url: str | None, workspace_id: str
) -> Examination:
    """Every point, also after one that failed. Raises `IterableError` where Iterable could not be asked."""
    try:
        client = make_client(settings.data_center, key)
    except ValueError:  # no HTTP header can carry it
        return Examination([refused(KEY, "What was given is no API key", ErrorCode.API_KEY_INVALID)])
    try:
        webhooks = await client.webhooks.all()
    except KeyRefused as error:
        return Examination([await _key_problem(make_client, client, error, settings.data_center, key)])
    else:
        catalog = await read_catalog(client)
        return Examination(
            [
                fine(KEY, "Iterable takes it, and it may write"),
                *(_message_type(catalog, settings, stream) for stream in STREAMS),
                *await _all_list(client, settings),
                await _activation(client),
                *webhook_findings(webhooks, catalog, settings, webhook_url, workspace_id),
            ],
            catalog,
        )
    finally:
        await client.aclose()


async def _key_problem(
    make_client: ClientFactory, client: IterableClient, error: KeyRefused, data_center: DataCenter, key: SecretStr
) -> Finding:
    """Dead keys, keys of the wrong kind and keys of the other data center all get the same 401. Where it does not name
    the kind, what else the key opens tells: read-only keys may read channels, and no webhooks (help centre)."""
    if error.key_type not in {None, "server"}:
        return _wrong_kind(error.key_type)
    if error.key_type is None and await _opens_channels(client) is None:
        return _wrong_kind("read_only")
    other = make_client(_OTHER[data_center], key)
    try:
        elsewhere = await _opens_channels(other)
    except IterableError:
        return refused(
            KEY,
            f"Iterable's {data_center} data center refused the API key, and the {_OTHER[data_center]} one could not be "
            "asked",
            ErrorCode.API_KEY_INVALID,
        )
    finally:
        await other.aclose()
    if elsewhere is not None and elsewhere.key_type is None:
        found = f"Iterable refused the API key, in the {data_center} data center and in the {_OTHER[data_center]} one"
        return refused(KEY, found, ErrorCode.API_KEY_INVALID, "It is disabled, deleted or mistyped: " + _MAKE_A_KEY)
    found = f"The API key belongs to the data center {_OTHER[data_center]}, not {data_center}"
    return refused(
        KEY, found, ErrorCode.API_KEY_INVALID, f"Install with data_center {_OTHER[data_center]}, or use another key."
    )


_MAKE_A_KEY = (
    "make a server-side key in Iterable (Integrations, API keys) and give it to `connector rotate key`, or to "
    "`connector install` where none is in force yet."
)


async def _opens_channels(client: IterableClient) -> KeyRefused | None:
    """None where the key may read channels."""
    try:
        await client.channels.all()
    except KeyRefused as error:
        return error
    return None


def _wrong_kind(kind: str | None) -> Finding:
    named = "read-only" if kind == "read_only" else f"client-side ({kind})"
    found = f"The API key is {named}: it may not do what the connector needs"
    return refused(KEY, found, ErrorCode.API_KEY_INSUFFICIENT)


def _message_type(catalog: Catalog, settings: ConnectorSettings, stream: Stream) -> Finding:
    """Marketing or transactional is a property of the message type's channel; the type itself does not say."""
    point, wanted = f"{MESSAGE_TYPE} ({stream})", settings.message_type_id(stream)
    if wanted is None:
        return fine(point, "none is set: sends of this stream are refused")
    fitting = [one for one in catalog.message_types if _fits(catalog.channel_of(one.id), stream)]
    choice = ", ".join(f"{one.id} ({one.name})" for one in fitting[:10]) or "none; make one in Iterable first"
    advice = f"Choose an email message type whose channel is {stream}. In this project: {choice}."
    if wanted not in {kind.id for kind in catalog.message_types}:
        return refused(
            point, f"Iterable has no message type {wanted} ({stream})", ErrorCode.MESSAGE_TYPE_MISSING, advice
        )
    channel = catalog.channel_of(wanted)
    if not _fits(channel, stream):
        kind = "unknown" if channel is None else f"{channel.kind} {channel.medium}"
        found = f"Message type {wanted} belongs to a channel of the kind {kind}, not {stream} email"
        return refused(point, found, ErrorCode.MESSAGE_TYPE_MISMATCH, advice)
    return fine(point, f"{wanted} is {stream} email")


def _fits(channel: Channel | None, stream: Stream) -> bool:
    return channel is not None and (channel.medium, channel.kind) == (EMAIL, stream.capitalize())


async def _all_list(client: IterableClient, settings: ConnectorSettings) -> list[Finding]:
    wanted = settings.all_list_id
    if wanted is None:
        return []
    found = next((one for one in await client.lists.all() if one.id == wanted), None)
    if found is None:
        return [
            refused(
                ALL_LIST,
                f"Iterable has no list {wanted} (all_list_id)",
                ErrorCode.REQUEST_INVALID,
                "Set all_list_id to a list of this project, or leave it out.",
            )
        ]
    return [fine(ALL_LIST, f"{wanted} is there")]


async def _activation(client: IterableClient) -> Finding:
    """Asks to activate a campaign that cannot exist. A project without activation through the API answers 403; any
    other refusal means that it was not refused for that, which is as much as can be known before a first campaign:
    nowhere does Iterable say which of the two it looks at first."""
    try:
        await client.campaigns.activate(_NO_CAMPAIGN)
    except ForbiddenByProject:
        return attention(
            ACTIVATION,
            "Iterable does not allow this project to activate campaigns through the API",
            "Ask your Iterable customer success manager to allow it. Until then somebody has to press Activate for "
            "every new template: its sends wait, and go on by themselves once it is pressed.",
            ErrorCode.ACTIVATION_REQUIRED,
        )
    except NotTaken:
        return fine(ACTIVATION, "not refused; the first campaign proves it")
    return unknown(ACTIVATION, "Iterable gave an answer that says nothing")

"""Activities of an installation: checks that tell the truth, and putting settings into force."""

from pydantic import SecretStr
from temporalio import activity

from activities.connectors import ClientFactory
from activities.failures import failures, provider_failure
from contracts.connector import CheckRequest, ConnectorSettings, ConnectorState, DataCenter
from contracts.errors import ConnectorError, ErrorCode
from contracts.template import Stream
from iterable.channels import Channel
from iterable.client import IterableClient
from iterable.errors import IterableError, KeyRefused
from store.store import Store

_STREAMS: tuple[Stream, ...] = ("transactional", "marketing")
_OTHER: dict[DataCenter, DataCenter] = {"us": "eu", "eu": "us"}


class InstallActivities:
    """What `InstallWorkflow` does to the world."""

    def __init__(self, store: Store, make_client: ClientFactory) -> None:
        self._store = store
        self._make_client = make_client

    @activity.defn
    async def check_connector(self, request: CheckRequest) -> None:
        """Whether the key on offer may do what the connector needs, and the message types fit. Only reads.

        `GET /api/webhooks` is outside of what read-only keys may do, so it proves a full server-side key.
        Fails with `api_key_invalid`, `api_key_insufficient`, `message_type_missing`, `message_type_mismatch`.
        """
        with failures():
            async with self._store.read() as tx:
                key = await tx.connectors.offered_key(request.workspace_id)
            if key is None:
                raise ConnectorError(ErrorCode.API_KEY_INVALID, "No API key was given for this workspace")
            client = self._make_client(request.settings.data_center, key)
            try:
                await client.webhooks.all()
                await _check_message_types(client, request.settings)
            except KeyRefused as error:
                raise await self._refused(
                    request, await self._key_problem(error, request.settings.data_center, key)
                ) from None
            except ConnectorError as error:
                raise await self._refused(request, error) from None
            except IterableError as error:
                raise provider_failure(error) from None
            finally:
                await client.aclose()

    async def _refused(self, request: CheckRequest, error: ConnectorError) -> ConnectorError:
        """Leaves the reason where `connector status` finds it, unless an older connector is in force."""
        async with self._store.begin() as tx:
            await tx.connectors.note_refusal(request.workspace_id, f"{error.code}: {error}")
        return error

    async def _key_problem(self, error: KeyRefused, data_center: DataCenter, key: SecretStr) -> ConnectorError:
        """A dead key, a key of the wrong kind, and a key of the other data center all get the same 401."""
        if error.key_type not in {None, "server"}:
            return ConnectorError(ErrorCode.API_KEY_INSUFFICIENT, f"The API key is a {error.key_type} key")
        other = self._make_client(_OTHER[data_center], key)
        try:
            await other.channels.all()
        except IterableError:
            return ConnectorError(ErrorCode.API_KEY_INVALID, f"Iterable's {data_center} data center refused the key")
        finally:
            await other.aclose()
        return ConnectorError(
            ErrorCode.API_KEY_INVALID,
            f"The API key belongs to the data center {_OTHER[data_center]}, not {data_center}",
        )

    @activity.defn
    async def adopt_connector(self, request: CheckRequest) -> ConnectorState:
        """Puts checked settings and the key on offer into force. Safe to repeat."""
        async with self._store.begin() as tx:
            row = await tx.connectors.get(request.workspace_id)
            seen = row is not None and row.state is ConnectorState.ACTIVE
            state = ConnectorState.ACTIVE if seen else ConnectorState.AWAITING_WEBHOOK
            await tx.connectors.adopt(request.workspace_id, request.settings, state)
        return state

    @activity.defn
    async def retire_connector(self, workspace_id: str) -> None:
        """Stops new sends: they fail with `connector_not_installed`. Safe to repeat."""
        async with self._store.begin() as tx:
            await tx.connectors.set_state(workspace_id, ConnectorState.UNINSTALLED)


async def _check_message_types(client: IterableClient, settings: ConnectorSettings) -> None:
    channels = {channel.id: channel for channel in await client.channels.all()}
    channel_of_type = {kind.id: channels.get(kind.channel_id) for kind in await client.message_types.all()}
    for stream in _STREAMS:
        wanted = settings.message_type_id(stream)
        if wanted is None:
            continue
        if wanted not in channel_of_type:
            raise ConnectorError(ErrorCode.MESSAGE_TYPE_MISSING, f"Iterable has no message type {wanted} ({stream})")
        _check_channel(channel_of_type[wanted], stream, wanted)
    if all(settings.message_type_id(stream) is None for stream in _STREAMS):
        raise ConnectorError(ErrorCode.MESSAGE_TYPE_MISSING, "No message type is set for either stream")


def _check_channel(channel: Channel | None, stream: Stream, message_type_id: int) -> None:
    """Marketing or transactional is a property of the message type's channel; the type itself does not say."""
    if channel is None or (channel.message_medium, channel.channel_type) != ("Email", stream.capitalize()):
        kind = "unknown" if channel is None else f"{channel.channel_type} {channel.message_medium}"
        raise ConnectorError(
            ErrorCode.MESSAGE_TYPE_MISMATCH,
            f"Message type {message_type_id} belongs to a channel of the kind {kind}, not {stream} email",
        )

"""The client of one Iterable project."""

from types import TracebackType
from typing import Self

from pydantic import SecretStr

from iterable.base_urls import BaseUrls, DataCenter
from iterable.calls import CallRecord, Calls, OnCall
from iterable.campaigns import Campaigns
from iterable.channels import Channels
from iterable.email import Email
from iterable.events import Events
from iterable.export import Export
from iterable.lists import Lists
from iterable.message_types import MessageTypes
from iterable.subscriptions import Subscriptions
from iterable.templates import Templates
from iterable.timeouts import Timeouts
from iterable.transport import AsyncTransport, HttpTransport
from iterable.users import Users
from iterable.webhooks import Webhooks

__all__ = ["BaseUrls", "CallRecord", "DataCenter", "IterableClient", "Timeouts"]


class IterableClient:
    """One project, by its API key. Safe for many calls at once; close it, or use it as an async context manager.

    Every call raises the errors of `iterable.errors` and no others, except `ValueError` for a mistake of the calling
    code. There are no retries: whoever calls knows what a repeat would mean.

        async with IterableClient(data_center="eu", api_key=key) as client:
            await client.email.target(TargetEmail(campaign_id=1, recipient_email="ann@example.com"))
    """

    def __init__(
        self,
        *,
        data_center: DataCenter,
        api_key: SecretStr,
        base_urls: BaseUrls | None = None,
        transport: AsyncTransport | None = None,
        timeouts: Timeouts | None = None,
        on_call: OnCall | None = None,
    ) -> None:
        """`on_call` hears of every call once it is over; it must be quick, and what it raises is logged and dropped.

        Raises `ValueError` for an unknown data center, and for a key that no HTTP header can carry.
        """
        self._data_center = data_center
        base_url = (base_urls or BaseUrls()).of(data_center)
        self._transport = HttpTransport(base_url, _checked(api_key), timeouts or Timeouts(), transport)
        calls = Calls(self._transport, on_call)
        self.campaigns = Campaigns(calls)
        self.channels = Channels(calls)
        self.email = Email(calls)
        self.events = Events(calls)
        self.export = Export(calls)
        self.lists = Lists(calls)
        self.message_types = MessageTypes(calls)
        self.subscriptions = Subscriptions(calls)
        self.templates = Templates(calls)
        self.users = Users(calls)
        self.webhooks = Webhooks(calls)

    async def aclose(self) -> None:
        """Closes its connections. Calls under way break off, with an unknown outcome."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"IterableClient(data_center={self._data_center!r})"


def _checked(api_key: SecretStr) -> SecretStr:
    """The HTTP library's error about an impossible header would quote it."""
    value = api_key.get_secret_value()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("the API key is empty or has characters that no key has, a line break perhaps")
    return api_key

"""Clients of Iterable, as this process is set up."""

from pydantic import SecretStr

from activities.connectors import ClientFactory
from contracts.connector import DataCenter
from iterable.calls import CallRecord, OnCall
from iterable.client import BaseUrls, IterableClient, Timeouts
from runtime.settings import Settings


def client_factory(settings: Settings, *listeners: OnCall) -> ClientFactory:
    """Makes Iterable clients for this process's hosts, whose calls are told to those who listen."""
    base_urls = BaseUrls(us=settings.iterable_us_url, eu=settings.iterable_eu_url)
    timeouts = Timeouts(read=settings.iterable_read_timeout_seconds)

    def heard(record: CallRecord) -> None:
        for listener in listeners:
            listener(record)

    def make(data_center: DataCenter, api_key: SecretStr) -> IterableClient:
        return IterableClient(
            data_center=data_center, api_key=api_key, base_urls=base_urls, timeouts=timeouts, on_call=heard
        )

    return make

"""Where the API is."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

DataCenter = Literal["us", "eu"]


@dataclass(frozen=True, slots=True)
class BaseUrls:
    """One address for each data center; every path below it starts with `/api`. Source: Swagger 1.8, help centre.

    All projects of an organisation are in one data center, and keys are not known to the other. Plain http is for
    stand-ins.
    """

    us: str = "https://api.iterable.com"
    eu: str = "https://api.eu.iterable.com"

    def __post_init__(self) -> None:
        """Raises `ValueError` for what is no address of a host."""
        for url in (self.us, self.eu):
            parts = urlsplit(url)
            if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("a base URL is http(s)://host[:port][/path]")

    def of(self, data_center: DataCenter) -> str:
        """Raises `ValueError` for an unknown data center: a wrong guess would send one region's data to another."""
        if data_center == "us":
            return self.us
        if data_center == "eu":
            return self.eu
        raise ValueError("the data center is either 'us' or 'eu'")

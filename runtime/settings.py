"""Settings of a process, from the environment (`CONNECTOR_…`). Temporal's own are the SDK's (`TEMPORAL_…`)."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from contracts.connector import Network
from contracts.received import plain
from store.keyring import Keyring, KeyringError, parse_keys

STATE_FOLDER = Path(".connector")
SECRETS_FOLDER = Path("/run/secrets")
"""Where container engines mount secrets. `CONNECTOR_SECRETS_DIR` names another place."""
DEFAULT_DATABASE_URL = f"sqlite+aiosqlite:///{STATE_FOLDER}/connector.db"


_PLAIN_URL = r"^https?://[A-Za-z0-9.:/_~%@+-]+$"
"""Goes into HTML attributes and style sheets as it is, so it holds nothing that ends one."""


class Settings(BaseSettings):
    """Read once at start-up. Secrets are `SecretStr`: their repr shows nothing."""

    model_config = SettingsConfigDict(
        env_prefix="CONNECTOR_",
        env_ignore_empty=True,  # Compose hands a variable on that is not set as an empty one
        hide_input_in_errors=True,
        extra="ignore",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Any setting may be a file of the secrets folder, named as its variable: `connector_admin_token`. A variable
        goes before a file."""
        del dotenv_settings, file_secret_settings
        folder = Path(os.environ.get("CONNECTOR_SECRETS_DIR", SECRETS_FOLDER))
        files = [SecretsSettingsSource(settings_cls, folder)] if folder.is_dir() else []
        return (init_settings, env_settings, *files)

    database_url: str = DEFAULT_DATABASE_URL
    master_key: SecretStr | None = None
    """`id:base64` pairs of 32-byte keys, newest first, separated by commas."""
    master_key_file: Path | None = None
    """A file with the same pairs, one a line."""
    task_queue: str = "iterable"
    admin_token: SecretStr | None = None
    """Bearer token of the endpoint's API. Without one the API answers 503 and only webhooks are taken."""
    public_url: Annotated[str, Field(pattern=_PLAIN_URL)] | None = None
    """Where Iterable reaches the endpoint, for instance https://hooks.example.com"""
    assets_store: str = str(STATE_FOLDER / "assets")
    """Where images of templates are kept: a folder that every worker and endpoint shares, or `s3://…`, `gs://…`,
    `az://…`."""
    assets_url: Annotated[str, Field(pattern=_PLAIN_URL)] | None = None
    """The public address of what is in `assets_store`, of a CDN say. Without one it is `/assets` of `public_url`."""
    image_max_bytes: Annotated[int, Field(gt=0)] = 5_000_000
    template_images_max_bytes: Annotated[int, Field(gt=0)] = 10_000_000
    """Of all images of one template together, decoded."""
    iterable_us_url: str = "https://api.iterable.com"
    iterable_eu_url: str = "https://api.eu.iterable.com"
    iterable_read_timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 30.0
    """How long to wait for Iterable's answer. Shorter makes more outcomes unknown, longer keeps slots occupied."""
    least_evidence_after_seconds: Annotated[float, Field(ge=0)] = 30.0
    """What a connector's `evidence_after_seconds` may not be less than: records that are late would pass for none, and
    messages would go out twice. Less is for the sandbox alone, whose records' delay is known."""
    trusted_proxies: Annotated[list[Network], NoDecode] = []
    """Networks of the proxies in front of the endpoint, separated by commas: what they say of where a request comes
    from is believed. It matters to connectors with an `ip_allowlist`."""
    webhook_max_bytes: Annotated[int, Field(gt=0)] = 1_048_576
    inbox_shards: Annotated[int, Field(ge=1, le=64)] = 1
    """How many runs drain one workspace's events side by side."""
    push_allow_private: bool = False
    """Lets events be pushed to http URLs and to addresses inside of this network."""
    health_address: str | None = None
    """`host:port` on which the worker answers `/healthz` and `/readyz`; without one it does not."""
    metrics_address: str | None = None
    """`host:port` on which the worker answers `/metrics`; without one it does not."""
    traces: bool = False
    """Sends traces where OpenTelemetry's variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`). Needs the extra `tracing`."""
    deployment_name: str = "iterable-connector"
    build_id: str | None = None
    """Names this build to Temporal's Worker Versioning; without one the worker takes part in none."""
    worker_queues: Literal["all", "sends", "broadcasts"] = "all"
    """What a worker serves. A broadcast without a rate uses its process to the full: apart, single sends stay quick."""
    audience_roots: Annotated[list[Path], NoDecode] = []
    """Folders below which audiences of broadcasts may be read from this machine's disk; separated by colons."""
    audience_allow_private: bool = False
    """Lets audiences be read from http URLs and from addresses inside of this network."""
    broadcast_slots: Annotated[int, Field(ge=1, le=100)] = 4
    """Broadcasts that this process works on at once; others take turns."""
    broadcast_concurrency: Annotated[int, Field(ge=1, le=90)] = 50
    """Requests of one broadcast that are under way at once."""
    broadcast_page_seconds: Annotated[float, Field(gt=0, le=120)] = 30.0
    """How long one activity of a broadcast works before its run hears of the progress."""
    temporal_ui_url: str | None = None
    """Where people look at runs; links to it are printed."""

    encrypt_payloads: bool = False
    """Encrypts everything that passes through Temporal. What is encrypted already is read either way."""
    codec_token: SecretStr | None = None
    """Bearer token of the codec that the Temporal UI asks; without one it takes the admin token."""
    codec_open: bool = False
    """For `connector dev`: the codec answers the Temporal UI on this machine without a token."""

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return value.replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("admin_token", "codec_token")
    @classmethod
    def _not_empty(cls, value: SecretStr | None) -> SecretStr | None:
        """Whoever sends nothing would have it."""
        if value is not None and not value.get_secret_value().strip():
            raise ValueError("the token is empty: fill its file or variable, or take that away")
        return value

    @model_validator(mode="after")
    def _open_only_here(self) -> Self:
        if self.codec_open and urlsplit(self.temporal_ui_url or "").hostname not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError(
                "codec_open is for a Temporal UI on this machine: CONNECTOR_TEMPORAL_UI_URL says where it is"
            )
        return self

    @property
    def assets_prefix(self) -> str | None:
        """What the URL of a hosted image begins with; None where nobody could load it."""
        if self.assets_url is not None:
            return self.assets_url.rstrip("/")
        return None if self.public_url is None else f"{self.public_url.rstrip('/')}/assets"

    @property
    def shadow_task_queue(self) -> str:
        """The queue of sends that wait for a shadow: apart, so that waiting never takes a slot from working."""
        return f"{self.task_queue}-shadow"

    @property
    def broadcast_task_queue(self) -> str:
        """The queue of broadcasts: slots of their own, so that they never take one from a single send."""
        return f"{self.task_queue}-broadcast"

    @field_validator("audience_roots", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(":") if part] if isinstance(value, str) else value

    def keyring(self) -> Keyring:
        """What seals with the master keys. Raises `KeyringError`."""
        return Keyring(self.master_keys())

    def master_keys(self) -> dict[str, bytes]:
        """By id, newest first. Raises `KeyringError` saying what to set where there is none."""
        if self.master_key is not None:
            return parse_keys(self.master_key.get_secret_value())
        if self.master_key_file is not None:
            try:
                return parse_keys(self.master_key_file.read_text())
            except OSError as error:
                raise KeyringError(f"cannot read {self.master_key_file}: {os.strerror(error.errno or 0)}") from None
        raise KeyringError("no master key: set CONNECTOR_MASTER_KEY_FILE or CONNECTOR_MASTER_KEY")


def what_is_wrong(error: ValidationError) -> str:
    """Why `Settings()` was refused, by the names of the variables; never a value."""
    prefix = str(Settings.model_config.get("env_prefix", ""))
    told = [
        f"{prefix}{str(one['loc'][0]).upper() if one['loc'] else '…'}: {plain(one)}"
        for one in error.errors(include_url=False, include_input=False)
    ]
    return "; ".join(told)

"""Hosting a template's images: the one step between what GenieOS hands over and what Iterable gets."""

import asyncio
from dataclasses import dataclass

from contracts.errors import ConnectorError, ErrorCode
from contracts.template import Template
from contracts.warning import SendWarning
from images.assets import AssetStore
from images.rewriting import Limits, carries_images, rewrite


@dataclass(frozen=True, slots=True)
class Hosted:
    """`template` refers to hosted images only."""

    template: Template
    warnings: list[SendWarning]


class ImageHost:
    """`prefix` is the public address under which the store's images are served; None where there is none."""

    def __init__(self, store: AssetStore, prefix: str | None, limits: Limits) -> None:
        self._store = store
        self._prefix = prefix
        self._limits = limits

    async def host(self, template: Template) -> Hosted:
        """Stores the images a template carries and refers to them by URL. Safe to repeat: the same template gives the
        same result, and an image that is stored already is left alone.

        Raises `ConnectorError` (`template_invalid`, `template_too_large`, `assets_unavailable` where no public address
        is set) and `AssetsUnavailable`.
        """
        if not carries_images(template):
            return Hosted(template, [])
        rewritten = rewrite(template, self._prefix or "", self._limits)
        if rewritten.assets and self._prefix is None:
            raise ConnectorError(
                ErrorCode.ASSETS_UNAVAILABLE,
                "The template has images of its own, and recipients could not load them from here",
                "Set CONNECTOR_PUBLIC_URL (the endpoint's public address) or CONNECTOR_ASSETS_URL.",
            )
        await asyncio.gather(*(self._store.put(asset) for asset in rewritten.assets))
        return Hosted(rewritten.template, rewritten.warnings)

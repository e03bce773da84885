"""The host of images, from a process's settings."""

from images.assets import AssetStore
from images.hosting import ImageHost
from images.rewriting import Limits
from runtime.settings import Settings


def image_host(settings: Settings) -> ImageHost:
    """Stores images where the settings say and refers to them by the address that recipients load them from."""
    limits = Limits(image=settings.image_max_bytes, template=settings.template_images_max_bytes)
    return ImageHost(AssetStore(settings.assets_store), settings.assets_prefix, limits)

"""`/assets/{name}`: hosted images, for recipients and for the CDN in front of them."""

from starlette.requests import Request
from starlette.responses import Response

from images.assets import CACHE_CONTROL, AssetStore, AssetsUnavailable

_HEADERS = {
    "Cache-Control": CACHE_CONTROL,
    "Content-Disposition": "inline",
    # Whatever a browser takes the bytes for, it runs nothing of them.
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_NOT_KEPT = {"Cache-Control": "no-store"}


class Assets:
    """Served from wherever images lie, so a bucket may stay private."""

    def __init__(self, store: AssetStore) -> None:
        self._store = store

    async def get(self, request: Request) -> Response:
        """The image; 404 for any name that is not one's. What is under a name never changes."""
        name = request.path_params["name"]
        tag = f'"{name}"'
        try:
            asset = await self._store.get(name)
        except AssetsUnavailable:
            return Response(status_code=503, headers={**_NOT_KEPT, "Retry-After": "5"})
        if asset is None:
            return Response(status_code=404, headers=_NOT_KEPT)
        headers = {**_HEADERS, "ETag": tag}
        if tag in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return Response(asset.data, media_type=asset.media_type, headers=headers)

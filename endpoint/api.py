"""The API for GenieOS: what it reads, and what its admins do. Described at `/docs`, without anything from elsewhere."""

from fastapi import Depends
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.routing import Mount

from contracts.errors import API_MEANING, ErrorCode
from endpoint import connectors, reading
from endpoint.administration import Administration
from endpoint.guard import Guard
from endpoint.problems import answer_problems
from runtime.assets import image_host
from runtime.settings import Settings
from store.store import Store

_DESCRIPTION = """What GenieOS reads, and what admins do with a connector. Every error has a stable `code` and a
`message` that says what to do. Contracts are the same as in Temporal (`docs/contracts`).

{codes}

Whatever a run may fail with is answered with the same code: {run_codes}."""


def mount_api(store: Store, administration: Administration, settings: Settings) -> Mount:
    """The API, to be the last of the endpoint's routes: it answers whatever is left."""
    app = FastAPIOffline(
        title="GenieOS connector for Iterable",
        description=_DESCRIPTION.format(
            codes="\n".join(f"- `{code}` {meaning}" for code, meaning in API_MEANING.items()),
            run_codes=", ".join(f"`{code}`" for code in ErrorCode),
        ),
        version="1",
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/static",
        redirect_slashes=False,
        swagger_ui_parameters={"persistAuthorization": False, "tryItOutEnabled": True},
    )
    told_by = [Depends(HTTPBearer(auto_error=False, description="CONNECTOR_ADMIN_TOKEN"))]  # `Guard` checks it
    app.include_router(connectors.routes(store, administration, settings.public_url), dependencies=told_by)
    app.include_router(reading.routes(store, image_host(settings)), dependencies=told_by)
    answer_problems(app)
    return Mount("", app=Guard(app, settings.admin_token))

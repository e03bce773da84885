"""How every request to the API is served: key, faults, limit, answer."""

import asyncio
import time
from itertools import groupby
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sandbox.api import campaigns, channels, email, history, lists, subscriptions, templates, users, webhooks
from sandbox.api.call import Call, Operation
from sandbox.connection import give_up, hang, reset
from sandbox.faults import Fault
from sandbox.keys import KIND_NAMES, Grant
from sandbox.project import DataCenter, Project
from sandbox.wire import ApiError, envelope, not_a_path, text
from sandbox.world import World

OPERATIONS: Final[tuple[Operation, ...]] = (
    *templates.OPERATIONS,
    *campaigns.OPERATIONS,
    *email.OPERATIONS,
    *channels.OPERATIONS,
    *history.OPERATIONS,
    *lists.OPERATIONS,
    *subscriptions.OPERATIONS,
    *users.OPERATIONS,
    *webhooks.OPERATIONS,
)
# Addresses and userIds may hold a slash.
_OPEN_PARAMETERS: Final = ("email", "userEmail", "userId")
# What a log line may say about a request; it holds neither addresses nor keys nor query strings.
OPERATION_STATE: Final = "sandbox.operation"
PROJECT_STATE: Final = "sandbox.project"


def routes(world: World) -> list[BaseRoute]:
    """The API of both data centres, under /us and /eu."""
    return [_route(world, center, path, operations) for center in ("us", "eu") for path, operations in _by_path()]


def _by_path() -> list[tuple[str, dict[str, Operation]]]:
    """In the order given, which matters: the last paths of /api/users match anything."""
    ordered = list(dict.fromkeys(operation.path for operation in OPERATIONS))
    by_path = sorted(OPERATIONS, key=lambda operation: ordered.index(operation.path))
    return [
        (path, {operation.method: operation for operation in group})
        for path, group in groupby(by_path, key=lambda operation: operation.path)
    ]


def _route(world: World, center: DataCenter, path: str, operations: dict[str, Operation]) -> Route:
    async def serve(request: Request) -> Response:
        operation = operations.get(request.method)
        if operation is None:
            return not_a_path()
        try:
            return await _serve(world, center, operation, request)
        except asyncio.CancelledError:
            response = give_up(request)
            if response is None:
                raise
            return response

    pattern = path
    for name in _OPEN_PARAMETERS:
        pattern = pattern.replace(f"{{{name}}}", f"{{{name}:path}}")
    return Route(f"/{center}{pattern}", serve, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])


async def _serve(world: World, center: DataCenter, operation: Operation, request: Request) -> Response:
    began = time.perf_counter()
    request.scope[OPERATION_STATE] = operation.name
    project, grant = _holder(world, center, request)
    if project is not None:
        project.requests[operation.name] += 1
        request.scope[PROJECT_STATE] = project.id
    concrete = request.url.path.removeprefix(f"/{center}")
    faults = world.faults.strike(operation.method, (operation.path, concrete), project and project.id)
    early = await _before(world, faults, request)
    if early is not None:
        return early
    response = await _answer(world, operation, request, project, grant)
    late = await _after(faults, request)
    if late is not None:
        return late
    response.headers["Iterable-Request-Id"] = world.request_id()
    response.headers["Request-Time"] = f"{(time.perf_counter() - began) * 1000:.0f}"
    response.headers["Server"] = "iterable-ingress sandbox"
    return response


def _holder(world: World, center: DataCenter, request: Request) -> tuple[Project | None, Grant | None]:
    """Whose key it is. Keys are not known outside their data centre."""
    key = request.headers.get("Api-Key") or request.headers.get("Api_Key")
    grant = world.keys.find(key) if key else None
    project = world.projects.get(grant.project_id) if grant is not None else None
    if project is None or project.data_center != center:
        return None, None
    return project, grant


async def _answer(
    world: World, operation: Operation, request: Request, project: Project | None, grant: Grant | None
) -> Response:
    raw = await request.body()
    if project is None or grant is None or not operation.admits(grant):
        return _bad_key(operation, request, grant if project is None or project.settings.key_kind_in_refusals else None)
    wait = project.limiter.take(operation.name, grant.identifier, project.rules(operation.name), world.clock.now())
    if wait is not None:
        return rate_limited(wait if project.settings.retry_after_header else None)
    try:
        return operation.handler(Call(world, project, grant, request, operation.name, raw))
    except ApiError as error:
        return error.response()


def _bad_key(operation: Operation, request: Request, grant: Grant | None) -> Response:
    """A key that may not do this looks like a dead one; only `apiKeyType` tells them apart."""
    params = {"ip": request.client.host if request.client is not None else "", "endpoint": operation.path}
    if grant is not None:
        params |= {"apiKeyIdentifier": grant.identifier, "apiKeyType": KIND_NAMES[grant.kind]}
    return envelope("Invalid API key", code="BadApiKey", params=params, status=401)


def rate_limited(retry_after: int | None, *, plain_text: bool = False) -> Response:
    """JSON, or the plain text that some clients met."""
    if plain_text:
        response = text("Rate limit exceeded. Please try again later.", 429)
    else:
        response = envelope("Exceeded rate limit.", code="RateLimitExceeded", status=429)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


# Faults


async def _before(world: World, faults: list[Fault], request: Request) -> Response | None:
    for fault in faults:
        spec = fault.spec
        if spec.kind == "slow":
            await world.clock.sleep(1.0 if spec.seconds is None else spec.seconds)
        elif spec.kind == "rate_limited":
            return rate_limited(spec.retry_after, plain_text=spec.plain_text)
        elif spec.kind == "error_before":
            return _broken(fault)
        elif spec.kind == "reset_before":
            return await reset(request)
        elif spec.kind == "hang_before":
            return await hang(request, spec.seconds)
    return None


async def _after(faults: list[Fault], request: Request) -> Response | None:
    """By now all was done; only its answer is lost."""
    for fault in faults:
        if fault.spec.kind == "error_after":
            return _broken(fault)
        if fault.spec.kind == "reset_after":
            return await reset(request)
        if fault.spec.kind == "hang_after":
            return await hang(request, fault.spec.seconds)
    return None


def _broken(fault: Fault) -> Response:
    msg = "An error occurred. Please try again later. If problem persists, please contact your CSM"
    if fault.spec.plain_text:
        return text(msg, fault.spec.status)
    return envelope(msg, code="GenericError", status=fault.spec.status)

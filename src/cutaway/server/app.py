"""The application: routes, their errors, and what stands before them."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from cutaway.engine import Model
from cutaway.errors import CutawayError
from cutaway.server import (
    routes_analysis,
    routes_find,
    routes_models,
    routes_shelf,
    routes_traces,
    routes_writing,
    static,
)
from cutaway.server.answer import error_response, json_response
from cutaway.server.desk import Desk
from cutaway.server.door import Door
from cutaway.server.limits import LimitRequests, Limits
from cutaway.server.models import Models
from cutaway.server.refusals import BadRequest
from cutaway.server.security import LOOPBACK, OnlyOurPage
from cutaway.server.state import State
from cutaway.server.traces import Traces
from cutaway.server.writing import Caches
from cutaway.weights import catalog
from cutaway.wire.structures import ErrorAnswer, ErrorBody

log = logging.getLogger("cutaway.server")


# A model's name may hold slashes: "/api/models/{name}" comes last of what begins so.
PARTS = (routes_find, routes_shelf, routes_models, routes_analysis, routes_traces, routes_writing)
BODIES = (
    routes_models.TOKENIZE,
    routes_traces.TRACE,
    routes_writing.GENERATE,
    routes_writing.CHAT,
    routes_shelf.PULL,
    routes_shelf.OPEN,
    routes_find.SWEEP,
)


def create_app(
    models: Mapping[str, Model] | None = None,
    *,
    default: str | None = None,
    limits: Limits | None = None,
    hosts: Iterable[str] = LOOPBACK,
    port: int | None = None,
    any_address: bool = False,
    token: str | None = None,
    folder: Path = static.FOLDER,
) -> FastAPI:
    """The server as an ASGI application.

    `models`: open already, by name; others are opened when they are asked for, if they are on this machine. `hosts`
    and `port`: what `Host` may say (None: any port; `any_address`: any bare IP address). `token`: what others must
    show to come in; without one the server is for this machine alone. `folder`: the built page.
    """
    limits = limits or Limits()
    given = dict(models or {})
    traces = Traces(limits.cache_bytes)
    default = default or next(iter(given), catalog.DEFAULT)
    models_here = Models(given, default, limits.models, traces.forget_model, local=token is None)
    state = State(limits, models_here, traces, Desk(limits), Caches(limits.writing_bytes))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state.desk.open()
        yield
        state.desk.close()

    app = FastAPI(
        title="Cutaway",
        version=importlib.metadata.version("cutaway"),
        summary="A Transformer language model with its side removed.",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(only_known_query)],
    )
    app.state.cutaway = state
    for part in PARTS:
        app.include_router(part.routes(state))
    for route in static.routes(folder):
        app.router.routes.append(route)
    _handle_errors(app)
    _describe(app)
    app.add_middleware(LimitRequests, limits=limits)
    if token is not None:
        app.add_middleware(Door, token=token, port=port)
    app.add_middleware(OnlyOurPage, hosts=tuple(hosts), port=port, any_address=any_address)
    return app


async def only_known_query(request: Request) -> None:
    """A misspelt parameter would be ignored in silence, and the answer would be to another question."""
    route = request.scope.get("route")
    described = request.app.openapi()["paths"].get(getattr(route, "path_format", ""), {})
    operation = described.get(request.method.lower())
    if operation is None:
        return
    known = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
    for name in request.query_params:
        if name not in known:
            takes = ", ".join(sorted(known)) or "none"
            raise BadRequest(f'there is no parameter "{name[:40]}" here; this address takes {takes}.')


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(CutawayError)
    async def ours(request: Request, error: CutawayError) -> Response:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def wrong_request(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        return error_response(BadRequest(f"{name}: {first['msg']}."))

    @app.exception_handler(HTTPException)
    async def plain_http(request: Request, error: HTTPException) -> Response:
        kind = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "BadRequest")
        answer = ErrorAnswer(ErrorBody(kind, f"{request.method} {request.url.path[:80]}: {error.detail}."))
        response = json_response(answer, status=error.status_code)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        message = "the server made a mistake; what it was stands in the terminal that it runs in."
        return json_response(ErrorAnswer(ErrorBody("ServerError", message)), status=500)


def _describe(app: FastAPI) -> None:
    """Adds the schemas of the bodies that are read strictly (see `state.Body`)."""
    generate = app.openapi

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            description = generate()
            schemas = description.setdefault("components", {}).setdefault("schemas", {})
            for body in BODIES:
                schemas.update(body.schemas())
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            app.openapi_schema = description
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]

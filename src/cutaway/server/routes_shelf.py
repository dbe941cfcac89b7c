"""`/api/models/pull`, `/open` and `…/costs`: models as things that one has, brings, and pays for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from cutaway.errors import BadInput
from cutaway.server.answer import json_response
from cutaway.server.bringing import Bringing
from cutaway.server.routes_models import model_of
from cutaway.server.sse import EVENTS, EventResponse
from cutaway.server.state import Body, State, errors, example, numbers_of
from cutaway.weights import catalog
from cutaway.weights.checkpoint import OpenCheckpoint
from cutaway.wire import structures as s
from cutaway.wire.shelf import costs_answer

PULL = Body(s.PullRequest, {"name": "smollm2-135m"})
OPEN = Body(s.OpenRequest, {"path": "/models/gpt2"})

LENGTHS = r"^[1-9][0-9]{0,6}(,[1-9][0-9]{0,6}){0,31}$"
USUAL_LENGTHS = (1, 128, 1024)


def routes(state: State) -> APIRouter:
    api = APIRouter(prefix="/api/models")

    @api.post("/pull", responses={200: EVENTS, **errors(404, 413)}, openapi_extra=PULL.openapi())
    async def pull(request: Request) -> Response:
        """Brings a model onto this machine, as server-sent events: `progress` (PullProgress), `end` (PullEnd), or
        `error` (ErrorAnswer). Letting the connection go stops it. Refused where others are let in."""
        asked: s.PullRequest = await PULL.read(request)
        await state.desk.do(request, lambda check: _refuse_pull(state, asked.name))
        bringing = Bringing(request, asked.name)
        return EventResponse(bringing, await bringing.next())

    @api.post("/open", response_model=s.ModelAnswer, responses=errors(404, 413), openapi_extra=OPEN.openapi())
    async def open(request: Request) -> Response:
        """Opens a file or folder of this machine, and names it. Refused where others are let in."""
        asked: s.OpenRequest = await OPEN.read(request)
        return json_response(
            await state.desk.do(request, lambda check: model_of(state, state.models.open(asked.path)))
        )

    @api.get("/{name:path}/costs", response_model=s.CostsAnswer, responses=errors(404))
    async def costs(
        request: Request,
        name: str,
        n: Annotated[
            str | None, Query(pattern=LENGTHS, description="lengths: 1,128", openapi_examples=example("1,128,1024"))
        ] = None,
    ) -> Response:
        """What a model costs at these lengths, beside GPT-2's four sizes and GPT-3."""
        found = await state.desk.do(request, lambda check: _costs(state, name, numbers_of(n)))
        return json_response(found, immutable=True)

    return api


def _refuse_pull(state: State, name: str) -> None:
    """Raises `Refused`, `UnknownModel`, `BadInput`."""
    state.models.refuse_others("brought here")
    location = catalog.find(name)
    if location is not None and location.source == "path":
        raise BadInput(f'"{name[:200]}" is here already, as a file or folder; open it instead.')


def _costs(state: State, name: str, lengths: list[int]) -> s.CostsAnswer:
    model = state.models.get(name)
    file_bytes = None
    if isinstance(model.checkpoint, OpenCheckpoint):
        file_bytes = sum(model.checkpoint.stored_bytes(each) for each in model.checkpoint.names)
    at = lengths or sorted({*USUAL_LENGTHS, model.config.n_ctx})
    return costs_answer(model.config, at, name=name, file_bytes=file_bytes)

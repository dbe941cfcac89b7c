"""`/api/generate` and `/api/chat`: what comes next, and after that."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Request, Response

from cutaway.errors import BadInput
from cutaway.server.answer import json_response
from cutaway.server.changes import ids_of, interventions_of
from cutaway.server.desk import Check
from cutaway.server.routes_models import check_length
from cutaway.server.sse import EVENTS, Event, event_stream
from cutaway.server.state import Body, State, errors
from cutaway.server.writing import Writing
from cutaway.wire import structures as s
from cutaway.wire.answers import token_answer

GENERATE = Body(
    s.GenerateRequest, {"model": "smollm2-135m", "ids": [12, 7, 31], "settings": {"max_new_tokens": 3, "seed": 1}}
)
CHAT = Body(s.ChatRequest, {"model": "smollm2-135m", "messages": [{"role": "user", "content": "Hello"}]})
MOST_MESSAGES = 200


def routes(state: State) -> APIRouter:
    api = APIRouter(prefix="/api")

    @api.post("/generate", responses={200: EVENTS, **errors(404, 413)}, openapi_extra=GENERATE.openapi())
    async def generate(request: Request) -> Response:
        """Continues a text, as server-sent events: `start` (GenerateStart), `step` (StepAnswer) for each token, `end`
        (GenerateEnd), or `error` (ErrorAnswer). Letting the connection go stops it within a block."""
        asked: s.GenerateRequest = await GENERATE.read(request)
        return await event_stream(state.desk, request, lambda check: _written(state, asked, check))

    @api.post("/chat", response_model=s.ChatAnswer, responses=errors(404, 413), openapi_extra=CHAT.openapi())
    async def chat(request: Request) -> Response:
        """A conversation as the text that the model gets, in its own chat template."""
        asked: s.ChatRequest = await CHAT.read(request)
        return json_response(await state.desk.do(request, lambda check: _chat(state, asked)))

    return api


def _written(state: State, asked: s.GenerateRequest, check: Check) -> Iterator[Event]:
    model = state.models.get(asked.model)
    ids = ids_of(state, model, asked)
    interventions = interventions_of(state, model, asked.model, asked.interventions, check)
    changed = model.with_interventions(interventions) if interventions else model
    writing = Writing(changed, ids, asked, state.limits, check)
    with state.caches.room_for(writing.most_bytes):
        yield Event("start", writing.start)
        for step in writing.steps():
            yield Event("step", step)
            if step.finish is not None:
                yield Event("end", s.GenerateEnd(step.finish, writing.ids))


def _chat(state: State, asked: s.ChatRequest) -> s.ChatAnswer:
    model = state.models.get(asked.model)
    if not asked.messages:
        raise BadInput("there are no messages; give at least one.")
    if len(asked.messages) > MOST_MESSAGES:
        raise BadInput(f"{len(asked.messages)} messages are more than the {MOST_MESSAGES} that this server takes.")
    check_length(state, "".join(each.content for each in asked.messages))
    ids = model.chat_ids([{"role": each.role, "content": each.content} for each in asked.messages])
    assert model.tokenizer is not None  # `chat_ids` has refused
    tokens = model.tokenizer.tokens(ids)
    # the pieces' own bytes: a tokenizer's `decode` may leave out a space that stands first
    text = b"".join(each.bytes for each in tokens).decode("utf-8", "replace")
    return s.ChatAnswer(text, [token_answer(each) for each in tokens])

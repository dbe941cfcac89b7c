"""`/api/traces/{id}/…`: what comes next, how surprising the text was, and what each part did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, cast

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from cutaway.analysis.attribution import attribute_logit, attribute_neurons
from cutaway.analysis.heads import strongest
from cutaway.analysis.logit_lens import logit_lens
from cutaway.analysis.score import score
from cutaway.generation.sampling import Sampling
from cutaway.server.answer import json_response
from cutaway.server.state import State, errors, example, numbers_of
from cutaway.server.traces import Watched
from cutaway.trace.trace import Trace
from cutaway.wire import structures as s
from cutaway.wire.answers import (
    attribution_answer,
    heads_answer,
    lens_answer,
    neurons_answer,
    next_answer,
    row_of,
    surprise_answer,
)

IDS = r"^[0-9]{1,9}(,[0-9]{1,9}){0,63}$"
Position = Annotated[int, Query(ge=-(2**31), lt=2**31, description="from 0; negative counts from the end")]
TokenId = Annotated[int, Query(ge=0, lt=2**31, openapi_examples=example(3))]
OtherId = Annotated[int | None, Query(ge=0, lt=2**31)]
Count = Annotated[int, Query(ge=1, le=200)]
Whole64 = Annotated[int, Query(ge=0, lt=2**63)]


def routes(state: State) -> APIRouter:
    api = APIRouter(prefix="/api/traces/{id}")

    @api.get("/next", response_model=s.NextAnswer, responses=errors(410))
    async def following(
        request: Request,
        id: str,
        position: Position = -1,
        k: Count = 20,
        temperature: Annotated[float, Query(ge=0, le=1000)] = 1.0,
        top_k: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
        top_p: Annotated[float | None, Query(gt=0, le=1)] = None,
        min_p: Annotated[float | None, Query(ge=0, le=1)] = None,
        repetition_penalty: Annotated[float | None, Query(ge=0.01, le=100)] = None,
        seed: Whole64 = 0,
        index: Whole64 = 0,
    ) -> Response:
        """The distribution after a position, through temperature and the filters, and the draw for `seed`,
        `index`."""
        held = state.traces.get(id)
        row = row_of(held.trace, position)
        sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
        seen = np.unique(np.asarray(held.trace.ids[: held.trace.start + row + 1], dtype=np.intp))
        found = await state.desk.do(
            request,
            lambda check: next_answer(
                held.logits(row),
                held.model.token,
                position=row,
                k=k,
                sampling=sampling,
                seed=seed,
                index=index,
                seen=seen,
            ),
        )
        state.traces.weigh(held)
        return json_response(found, immutable=True)

    @api.get("/surprise", response_model=s.SurpriseAnswer, responses=errors(410))
    async def surprise(request: Request, id: str) -> Response:
        """The loss of each token of the text, in nats, and the perplexity."""
        held = state.traces.get(id)
        found = await state.desk.do(
            request,
            lambda check: surprise_answer(score(watched(held.trace, check)) if len(held.trace.ids) > 1 else None),
        )
        return json_response(found, immutable=True)

    @api.get("/lens", response_model=s.LensAnswer, responses=errors(410))
    async def lens(
        request: Request,
        id: str,
        position: Position = -1,
        tokens: Annotated[str | None, Query(pattern=IDS, description="ids to follow: 919,1464")] = None,
        k: Annotated[int, Query(ge=1, le=50)] = 5,
    ) -> Response:
        """What the model would say if it stopped after each block (logit lens): an unfinished thought."""
        held = state.traces.get(id)
        row = row_of(held.trace, position)
        followed = numbers_of(tokens) or None
        found = await state.desk.do(
            request,
            lambda check: lens_answer(
                logit_lens(watched(held.trace, check), position=row, tokens=followed, k=k), held.model.token
            ),
        )
        return json_response(found, immutable=True)

    @api.get("/attribution", response_model=s.AttributionAnswer, responses=errors(410))
    async def attribution(
        request: Request, id: str, token: TokenId, position: Position = -1, against: OtherId = None
    ) -> Response:
        """Which part wrote how much of a token's logit (or of its lead over `against`)."""
        held = state.traces.get(id)
        row = row_of(held.trace, position)
        found = await state.desk.do(
            request,
            lambda check: attribution_answer(
                attribute_logit(watched(held.trace, check), token, position=row, against=against), held.model.token
            ),
        )
        state.traces.weigh(held)
        return json_response(found, immutable=True)

    @api.get("/neurons", response_model=s.NeuronsAnswer, responses=errors(410))
    async def neurons(
        request: Request,
        id: str,
        block: Annotated[int, Query(ge=0, lt=2**31, openapi_examples=example(0))],
        token: TokenId,
        position: Position = -1,
        against: OtherId = None,
        k: Count = 10,
    ) -> Response:
        """The neurons of a block's MLP that wrote most of a token's logit, up or down."""
        held = state.traces.get(id)
        row = row_of(held.trace, position)
        found = await state.desk.do(
            request,
            lambda check: neurons_answer(
                attribute_neurons(watched(held.trace, check), block, token, k=k, position=row, against=against),
                held.model.token,
            ),
        )
        state.traces.weigh(held)
        return json_response(found, immutable=True)

    @api.get("/heads", response_model=s.HeadsAnswer, responses=errors(410))
    async def heads(
        request: Request, id: str, position: Position = -1, k: Count = 20, skip_first: bool = True
    ) -> Response:
        """The heads that attend most strongly to a single position, first token set aside."""
        held = state.traces.get(id)
        row = row_of(held.trace, position)
        found = await state.desk.do(
            request,
            lambda check: heads_answer(
                row, strongest(watched(held.trace, check), position=row, k=k, skip_first=skip_first)
            ),
        )
        state.traces.weigh(held)
        return json_response(found, immutable=True)

    return api


def watched(trace: Trace, check: Callable[[], None]) -> Trace:
    return cast(Trace, Watched(trace, check))

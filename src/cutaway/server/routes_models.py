"""`/api/models`, `/api/parameters`, `/api/tokenize`, `/api/health`: what does not need a trace."""

from __future__ import annotations

import importlib.metadata
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response

from cutaway.analysis.parameters import count, model_shape
from cutaway.engine import Model
from cutaway.errors import BadInput, CutawayError, UnknownModel
from cutaway.server.answer import frame_response, json_response
from cutaway.server.state import FRAME, Body, State, errors, example, numbers_of, parameter_selection
from cutaway.trace.selection import Index
from cutaway.wire import structures as s
from cutaway.wire.answers import likeliest, token_answer
from cutaway.wire.models import model_answer, parameters_answer, tokenize_answer
from cutaway.wire.parameters import parameter_frame
from cutaway.wire.query import BINS_PATTERN, parse_bins

TOKENIZE = Body(s.TokenizeRequest, {"model": "smollm2-135m", "text": "Data visualization"})

IDS = r"^[0-9]{1,9}(,[0-9]{1,9}){0,63}$"
Ids = Annotated[str | None, Query(pattern=IDS, description="token ids: 3,7", openapi_examples=example("3,7"))]


def routes(state: State) -> APIRouter:
    api = APIRouter(prefix="/api")

    @api.get("/health", response_model=s.Health, responses=errors())
    async def health() -> Response:
        """Whether the server is up, and what it has loaded."""
        return json_response(s.Health(importlib.metadata.version("cutaway"), state.models.loaded))

    @api.get("/models", response_model=s.ModelList, responses=errors())
    async def models(request: Request) -> Response:
        """The models that can be named."""
        return json_response(await state.desk.do(request, lambda check: state.models.listed()))

    @api.get("/models/{name:path}/parameters/{parameter}", responses={200: FRAME, **errors(404)})
    async def parameter(
        request: Request,
        name: str,
        parameter: str,
        selected: Annotated[dict[str, Index], Depends(parameter_selection)],
        reduce: Annotated[str | None, Query(pattern="^absmax$")] = None,
        bins: Annotated[str | None, Query(pattern=BINS_PATTERN)] = None,
    ) -> Response:
        """A weight, or a part of it, as safetensors."""
        cut = _bins(reduce, bins)
        frame = await state.desk.do(
            request, lambda check: parameter_frame(state.models.get(name).parameters, parameter, selected, cut)
        )
        return frame_response(frame)

    @api.get("/models/{name:path}/neighbours", response_model=s.NeighboursAnswer, responses=errors(404))
    async def neighbours(
        request: Request,
        name: str,
        plus: Ids = None,
        minus: Ids = None,
        k: Annotated[int, Query(ge=1, le=100)] = 10,
        exclude: bool = True,
    ) -> Response:
        """The rows of the embedding table nearest, by cosine, to the sum of `plus` less the sum of `minus`; without
        the tokens that were asked with, unless `exclude=false`."""
        found = await state.desk.do(
            request,
            lambda check: _neighbours(state, state.models.get(name), numbers_of(plus), numbers_of(minus), k, exclude),
        )
        return json_response(found, immutable=True)

    @api.get("/models/{name:path}", response_model=s.ModelAnswer, responses=errors(404))
    async def model(request: Request, name: str) -> Response:
        """A model's shape, and everything that it declares. Opens it."""
        return json_response(await state.desk.do(request, lambda check: model_of(state, name)))

    @api.get("/parameters", response_model=s.ParametersAnswer, responses=errors(404))
    async def parameters(
        request: Request, model: Annotated[str, Query(max_length=200, openapi_examples=example("gpt3"))]
    ) -> Response:
        """How many numbers a model has learned, and where: of a served model, or of a known shape ("gpt3")."""
        return json_response(await state.desk.do(request, lambda check: _parameters(state, model)))

    @api.post(
        "/tokenize", response_model=s.TokenizeAnswer, responses=errors(404, 413), openapi_extra=TOKENIZE.openapi()
    )
    async def tokenize(request: Request) -> Response:
        """A text's pieces, and the merges that made each. `at`: of the word that holds this piece alone."""
        asked: s.TokenizeRequest = await TOKENIZE.read(request)
        return json_response(await state.desk.do(request, lambda check: _tokenize(state, asked)))

    return api


def _bins(reduce: str | None, bins: str | None) -> tuple[int, ...]:
    if (reduce is None) != (bins is None):
        raise BadInput("reduce and bins go together: reduce=absmax&bins=64.")
    return parse_bins(bins) if bins is not None else ()


def model_of(state: State, name: str) -> s.ModelAnswer:
    """What is told of the model that is called this here. Raises `UnknownModel`, and what `load` raises."""
    model = state.models.get(name)
    return model_answer(
        model.config,
        name=name,
        max_tokens=min(model.config.n_ctx, state.limits.max_tokens),
        has_tokenizer=model.tokenizer is not None,
        has_chat_template=model.tokenizer is not None and bool(model.tokenizer.chat_template),
    )


def _parameters(state: State, name: str) -> s.ParametersAnswer:
    if name in state.models.loaded:
        return parameters_answer(count(state.models.get(name).config).to_dict())
    try:
        return parameters_answer(count(model_shape(name)).to_dict())
    except CutawayError as unknown_shape:
        try:
            return parameters_answer(count(state.models.get(name).config).to_dict())
        except UnknownModel:
            raise UnknownModel(str(unknown_shape)) from None


def _tokenize(state: State, asked: s.TokenizeRequest) -> s.TokenizeAnswer:
    model = state.models.get(asked.model)
    if model.tokenizer is None:
        raise BadInput("this model has no tokenizer; it works on token ids.")
    check_length(state, asked.text)
    if asked.at is not None:
        found = model.tokenizer.merges_at(asked.text, asked.at)
        return tokenize_answer([], []) if found is None else tokenize_answer(found[1].pieces, [found[1]], found[0])
    tokens = model.tokenizer.tokens(model.encode(asked.text)) if asked.text else []
    return tokenize_answer(tokens, model.tokenizer.merges(asked.text) if asked.text else [])


def check_length(state: State, text: str) -> None:
    """Raises `BadInput` before a long text is cut into tokens."""
    if len(text) > state.limits.text_length:
        raise BadInput(
            f"the text has {len(text):,} characters; this server takes {state.limits.text_length:,}, so shorten it."
        )


def _neighbours(
    state: State, model: Model, plus: list[int], minus: list[int], k: int, exclude: bool
) -> s.NeighboursAnswer:
    if not plus and not minus:
        raise BadInput("nothing to be near to; give token ids in plus= (and minus=).")
    table = model.parameters["W_E"]  # [vocab, d_model]
    for id in (*plus, *minus):
        if id >= len(table):
            raise BadInput(f"token id {id} is outside this model's vocabulary, 0 to {len(table) - 1}.")
    aim = table[plus].sum(axis=0) - table[minus].sum(axis=0)
    length = float(np.sqrt(aim @ aim))
    if length == 0:
        raise BadInput("plus and minus cancel out, and zero points nowhere; change one of them.")
    norms = state.models.embedding_norms(model)
    cosine = (table @ aim) / np.where(norms > 0, norms * np.float32(length), np.float32(np.inf))
    if exclude:
        cosine[[*plus, *minus]] = -2.0  # below every cosine
    ids = [id for id in likeliest(cosine, k) if cosine[id] > -2.0]
    return s.NeighboursAnswer([s.Neighbour(token_answer(model.token(id)), float(cosine[id])) for id in ids])

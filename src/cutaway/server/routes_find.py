"""Finding which part did it, and trying: detectors, the largest neurons, a vocabulary's search, two texts compared, a
patching sweep."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Annotated, Generic, Literal, TypeVar

from fastapi import APIRouter, Query, Request, Response

from cutaway.analysis.compare import cosines
from cutaway.analysis.detectors import HeadDetectors, detect_heads
from cutaway.analysis.neurons import largest_neurons
from cutaway.analysis.patching import PatchingSweep, rows_swept
from cutaway.analysis.vocabulary import Vocabulary
from cutaway.config import ModelConfig
from cutaway.engine import Model
from cutaway.errors import BadInput
from cutaway.server.answer import json_response
from cutaway.server.changes import hold, ids_of
from cutaway.server.desk import Check
from cutaway.server.routes_analysis import Count, OtherId, Position, TokenId, watched
from cutaway.server.sse import EVENTS, Event, event_stream
from cutaway.server.state import Body, State, errors, example
from cutaway.server.writing import Doorman
from cutaway.trace.trace import Piece, Trace
from cutaway.wire import structures as s
from cutaway.wire.answers import row_of, token_answer
from cutaway.wire.finding import compare_answer, detectors_answer, largest_answer, sweep_row, sweep_start

SWEEP = Body(
    s.SweepRequest,
    {
        "model": "smollm2-135m",
        "clean": {"ids": [12, 7, 31]},
        "corrupted": {"ids": [12, 8, 31]},
        "site": "resid_pre",
        "token": 3,
    },
)
PAIRS = r"^-?[0-9]{1,9}:-?[0-9]{1,9}(,-?[0-9]{1,9}:-?[0-9]{1,9}){0,1023}$"
MOST_SWEPT = 8192  # rows of a layer's runs together: 64 positions in each of 64 runs, and as many again

T = TypeVar("T")


def routes(state: State) -> APIRouter:
    api = APIRouter(prefix="/api")
    detected: Once[HeadDetectors] = Once(_detect)
    vocabularies: Once[Vocabulary] = Once(lambda model, check: Vocabulary(model.token, model.config.n_vocab))

    @api.get("/models/{name:path}/detectors", response_model=s.DetectorsAnswer, responses=errors(404))
    async def detectors(request: Request, name: str) -> Response:
        """What each head does on random tokens said twice: previous token, duplicate token, induction, first
        token."""
        found = await state.desk.do(request, lambda check: detected.of(state.models.get(name), check))
        return json_response(detectors_answer(found), immutable=True)

    @api.get("/models/{name:path}/vocabulary", response_model=s.VocabularyAnswer, responses=errors(404))
    async def vocabulary(
        request: Request,
        name: str,
        query: Annotated[
            str,
            Query(max_length=200, description="text, an id, or bytes in hexadecimal", openapi_examples=example("3")),
        ],
        k: Count = 50,
    ) -> Response:
        """Tokens by text, id or bytes, best first. A space before the word is part of it."""

        def work(check: Check) -> s.VocabularyAnswer:
            model = state.models.get(name)
            found = vocabularies.of(model, check).search(query, k)
            return s.VocabularyAnswer([token_answer(model.token(id)) for id in found.ids], found.total)

        return json_response(await state.desk.do(request, work), immutable=True)

    @api.get("/traces/{id}/neurons/largest", response_model=s.LargestNeuronsAnswer, responses=errors(410))
    async def largest(
        request: Request,
        id: str,
        token: TokenId,
        position: Position = -1,
        against: OtherId = None,
        k: Count = 20,
        by: Annotated[
            Literal["activation", "value"],
            Query(description="order: by how strongly they fire, or by what they wrote, up or down"),
        ] = "activation",
    ) -> Response:
        """The neurons of all blocks that fire most at a position (`by=value`: that wrote most to a token's logit),
        and what each wrote to it (or to its lead over `against`)."""
        held = state.traces.get(id)
        row = row_of(held.trace, position)
        found = await state.desk.do(
            request,
            lambda check: largest_answer(
                largest_neurons(watched(held.trace, check), token, k=k, position=row, against=against, by=by),
                held.model.token,
                position=row,
                token=token,
                against=against,
            ),
        )
        state.traces.weigh(held)
        return json_response(found, immutable=True)

    @api.get("/traces/{id}/compare", response_model=s.CompareAnswer, responses=errors(410))
    async def compare(
        request: Request,
        id: str,
        other: Annotated[
            str, Query(max_length=64, description="another trace's id", openapi_examples=example("another trace"))
        ],
        pairs: Annotated[
            str | None,
            Query(pattern=PAIRS, description="positions here and there", openapi_examples=example("0:1,2:2")),
        ] = None,
    ) -> Response:
        """How alike two texts' residual streams are, position by position and depth by depth: cosines. Without
        `pairs`, at each position that both have."""
        one, two = state.traces.get(id), state.traces.get(other)
        positions = [(row_of(one.trace, a), row_of(two.trace, b)) for a, b in _pairs(pairs)] if pairs else None
        found = await state.desk.do(
            request,
            lambda check: compare_answer(cosines(watched(one.trace, check), watched(two.trace, check), positions)),
        )
        return json_response(found, immutable=True)

    @api.post("/sweeps", responses={200: EVENTS, **errors(404, 413)}, openapi_extra=SWEEP.openapi())
    async def sweep(request: Request) -> Response:
        """A patching sweep, layer by layer, as server-sent events: `start` (SweepStart), `row` (SweepRow) for each
        layer, `end` (SweepEnd), or `error` (ErrorAnswer). Letting the connection go stops it within a block."""
        asked: s.SweepRequest = await SWEEP.read(request)
        return await event_stream(state.desk, request, lambda check: _sweep(state, asked, check))

    return api


def _sweep(state: State, asked: s.SweepRequest, check: Check) -> Iterator[Event | None]:
    model = state.models.get(asked.model)
    clean, corrupted = (ids_of(state, model, each) for each in (asked.clean, asked.corrupted))
    n_pos, n_both = len(corrupted), min(len(clean), len(corrupted))
    patched = range(n_both) if asked.pairs is None else [pair[0] % n_pos for pair in asked.pairs if pair]
    rows = rows_swept(n_pos, patched)
    if rows > MOST_SWEPT:
        raise BadInput(
            f"the sweep would run {rows:,} positions at each layer ({len(patched)} runs), and this server runs"
            f" {MOST_SWEPT:,}; take fewer pairs, later ones, or a shorter text."
        )
    one, other = (hold(state, model, asked.model, ids, [], check).trace for ids in (clean, corrupted))
    sweep = PatchingSweep(
        model,
        watched(one, check),
        watched(other, check),
        asked.token,
        against=asked.against,
        site=asked.site,
        pairs=asked.pairs,
        check=check,
    )
    yield Event("start", sweep_start(sweep, corrupted, model.token))
    for row in sweep.steps():
        yield None if row is None else Event("row", sweep_row(row))
    yield Event("end", s.SweepEnd(sweep.n_layer))


def _pairs(text: str) -> list[tuple[int, int]]:
    """ "3:5,4:6" -> [(3, 5), (4, 6)]."""
    found = [each.split(":") for each in text.split(",")]
    return [(int(a), int(b)) for a, b in found]


class Once(Generic[T]):
    """What is made once a model, and kept as long as it is loaded. Two that ask at once wait for one making."""

    def __init__(self, make: Callable[[Model, Check], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}
        self._lock = threading.Lock()

    def of(self, model: Model, check: Check) -> T:
        with self._lock:
            key = id(model.parameters)
            found = self._made.get(key)
            if found is None:
                self._made[key] = found = self._make(model, check)
                weakref.finalize(model.parameters, self._made.pop, key, None)
            return found


def _detect(model: Model, check: Check) -> HeadDetectors:
    return detect_heads(_Stoppable(model, check))


class _Stoppable:
    """A model whose runs stop at a block's door when `check` raises."""

    def __init__(self, model: Model, check: Check) -> None:
        self._model = model
        self._check = check

    @property
    def config(self) -> ModelConfig:
        return self._model.config

    def token(self, id: int) -> Piece:
        return self._model.token(id)

    def trace(self, text: list[int], *, record: str = "") -> Trace:
        return self._model.trace(text, record=record, beside=Doorman(self._check))

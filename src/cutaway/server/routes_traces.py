"""`/api/traces`: making a trace and reading its sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from cutaway.errors import BadSelection
from cutaway.server.answer import file_response, frame_response, json_response
from cutaway.server.changes import hold, ids_of, read_changes
from cutaway.server.desk import Check
from cutaway.server.state import FRAME, Body, State, errors, example, selection
from cutaway.server.traces import Held
from cutaway.trace.saved import pieces
from cutaway.trace.selection import Index
from cutaway.wire import structures as s
from cutaway.wire.answers import explain_answer, manifest, next_answer
from cutaway.wire.frames import View, sites_frame
from cutaway.wire.overview import overview_frame
from cutaway.wire.query import BINS_PATTERN, INDEX_PATTERN, parse_bins, parse_index

TRACE = Body(s.TraceRequest, {"model": "smollm2-135m", "ids": [12, 7, 31], "client": "a-tab", "seq": 1})


def routes(state: State) -> APIRouter:
    api = APIRouter(prefix="/api/traces")

    @api.post(
        "", response_model=s.Manifest, responses=errors(404, 409, 413), openapi_extra=TRACE.openapi(), status_code=200
    )
    async def create(request: Request) -> Response:
        """Runs a text and keeps its trace. The same text (and changes) gives the same id; a newer keystroke of the
        same `client` drops this one's work."""
        asked: s.TraceRequest = await TRACE.read(request)
        held = await state.desk.do(
            request, lambda check: _create(state, asked, check), client=asked.client, seq=asked.seq
        )
        return json_response(_manifest(held))

    @api.get("/{id}", response_model=s.Manifest, responses=errors(410))
    async def show(id: str) -> Response:
        """The manifest again."""
        return json_response(_manifest(state.traces.get(id)))

    @api.get("/{id}/sites", responses={200: FRAME, **errors(404, 410)})
    async def sites(
        request: Request,
        id: str,
        names: Annotated[
            str,
            Query(
                max_length=4000,
                description="names and globs, with commas",
                openapi_examples=example("embed,blocks.*.resid_pre"),
            ),
        ],
        selected: Annotated[dict[str, Index], Depends(selection)],
        reduce: Annotated[str | None, Query(pattern="^absmax$")] = None,
        bins: Annotated[str | None, Query(pattern=BINS_PATTERN, description="64, or rows x columns: 12x12")] = None,
        skip_first: bool = False,
        ranges: bool = True,
    ) -> Response:
        """Sites by name and glob, sliced and reduced, as safetensors."""
        held = state.traces.get(id)
        if (reduce is None) != (bins is None):
            raise BadSelection("reduce and bins go together: reduce=absmax&bins=64.")
        view = View(selected, parse_bins(bins) if bins is not None else (), skip_first, ranges)
        patterns = [each.strip() for each in names.split(",") if each.strip()]
        if not patterns:
            raise BadSelection("no site is named; give names=blocks.0.attn.pattern, or several with commas.")
        frame = await state.desk.do(
            request, lambda check: sites_frame(held.trace, patterns, view, held.ranges, check)
        )
        state.traces.weigh(held)
        return frame_response(frame)

    @api.get("/{id}/overview", responses={200: FRAME, **errors(410)})
    async def overview(
        request: Request,
        id: str,
        bins: Annotated[int, Query(ge=1, le=512)] = 48,
        pos: Annotated[str | None, Query(pattern=INDEX_PATTERN, max_length=4000)] = None,
        k: Annotated[int, Query(ge=1, le=100)] = 10,
    ) -> Response:
        """Everything that the first view draws, in one safetensors file: stripes of the residual stream, how much
        each block wrote, and (in the metadata) what comes next."""
        held = state.traces.get(id)
        rows = slice(None) if pos is None else parse_index(pos, "pos")

        def work(check: Callable[[], None]) -> bytes:
            row = len(held.trace) - 1
            following = next_answer(held.logits(row), held.model.token, position=row, k=k)
            check()
            return overview_frame(held.trace, held.norms, following, bins=bins, pos=rows, known=held.ranges)

        frame = await state.desk.do(request, work)
        state.traces.weigh(held)
        return frame_response(frame)

    @api.get("/{id}/explain", response_model=s.ExplainAnswer, responses=errors(404, 410))
    async def explain(
        request: Request,
        id: str,
        site: Annotated[str, Query(max_length=200, openapi_examples=example("blocks.0.attn.qk"))],
        index: Annotated[
            str, Query(pattern=r"^-?[0-9]{1,9}(,-?[0-9]{1,9}){0,4}$", openapi_examples=example("1,2,0"))
        ],
    ) -> Response:
        """Where one number came from: formula, inputs with their values, and the result computed from them again."""
        held = state.traces.get(id)
        at = [int(each) for each in index.split(",")]
        found = await state.desk.do(request, lambda check: explain_answer(held.trace.explain(site, at)))
        state.traces.weigh(held)
        return json_response(found, immutable=True)

    @api.get("/{id}/save", responses={200: FRAME, **errors(410)})
    async def save(request: Request, id: str) -> Response:
        """The trace as `trace.save` writes it: tokens, changes, residual stream. `cutaway.load_trace` reads it."""
        held = state.traces.get(id)
        parts = await state.desk.do(request, lambda check: pieces(held.trace))
        return file_response(parts, f"{held.model.name or 'trace'}-{len(held.trace)}-tokens.safetensors")

    return api


def _manifest(held: Held) -> s.Manifest:
    return manifest(
        held.trace,
        held.model.token,
        id=held.id,
        text=held.text,
        seconds=held.seconds,
        changes=held.changes,
        python=held.python,
    )


def _create(state: State, asked: s.TraceRequest, check: Check) -> Held:
    model = state.models.get(asked.model)
    ids = ids_of(state, model, asked)
    sent = read_changes(state, model, asked.interventions)
    return hold(state, model, asked.model, ids, sent, check, asked.text)

"""Answers about a trace: the structures, filled in from what the analysis returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cutaway.errors import BadSelection
from cutaway.generation.choice import Choice, choose
from cutaway.generation.sampling import Sampling, ranked
from cutaway.trace.trace import Trace, position_of
from cutaway.wire import structures as s
from cutaway.wire.json_text import number, numbers

if TYPE_CHECKING:
    from cutaway.analysis.attribution import Attribution, NeuronAttribution
    from cutaway.analysis.heads import HeadAttention
    from cutaway.analysis.logit_lens import LogitLens
    from cutaway.analysis.score import Score
    from cutaway.trace.explain import Explanation
    from cutaway.trace.interventions import Intervention

AROUND_THE_DRAW = 3

LENS_NOTE = (
    "An unfinished thought: the last norm and the unembedding, applied before the blocks that were trained to come"
    " first. Only the last row is what the model says."
)
ATTRIBUTION_NOTE = (
    "What each part wrote directly, with the last norm's scale frozen as it was; what it made later parts do counts"
    " for those."
)


class PieceLike(Protocol):
    @property
    def id(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def display(self) -> str: ...
    @property
    def bytes(self) -> bytes: ...
    @property
    def special(self) -> bool: ...


PieceOf = Callable[[int], PieceLike]


def token_answer(piece: PieceLike) -> s.TokenAnswer:
    return s.TokenAnswer(piece.id, piece.text, piece.display, piece.bytes.hex(), piece.special)


# -- the trace itself --------------------------------------------------------------------------------------------


def manifest(
    trace: Trace,
    piece: PieceOf,
    *,
    id: str,
    text: str,
    seconds: float,
    changes: Sequence[s.ChangeAnswer] = (),
    python: str = "",
) -> s.Manifest:
    sizes = trace.axis_sizes
    shapes = {site.template: [sizes[axis] for axis in site.axes] for site in trace.sites.values()}
    return s.Manifest(
        id=id,
        model=trace.model,
        text=text,
        tokens=[token_answer(piece(each)) for each in trace.ids],
        start=trace.start,
        n_pos=len(trace),
        shapes=shapes,
        interventions=list(changes),
        python=python,
        seconds=s.Seconds(seconds),
    )


def _applied(each: Intervention) -> s.AppliedIntervention:
    selection: dict[str, Any] = {}
    for axis, index in each.selection.items():
        if isinstance(index, slice):
            selection[axis] = {"start": index.start, "stop": index.stop, "step": index.step}
        else:
            selection[axis] = int(index) if isinstance(index, int | np.integer) else [int(i) for i in index]
    shape = None if each.value is None else list(each.value.shape)
    return s.AppliedIntervention(each.site, each.action, selection, shape)


def explain_answer(explanation: Explanation) -> s.ExplainAnswer:
    inputs = [
        s.SourceAnswer(
            name=each.name,
            kind=each.kind,
            axes=list(each.axes),
            index=[list(axis) for axis in each.index],
            shape=list(each.values.shape),
            values=numbers(np.asarray(each.values, dtype=np.float32).reshape(-1)),
        )
        for each in explanation.inputs
    ]
    return s.ExplainAnswer(
        site=explanation.site,
        axes=list(explanation.axes),
        index=list(explanation.index),
        value=number(explanation.value),
        result=number(explanation.result),
        latex=explanation.latex,
        meaning=explanation.meaning,
        source=explanation.source,
        changed_by=[_applied(each) for each in explanation.changed_by],
        inputs=inputs,
    )


# -- what comes next ---------------------------------------------------------------------------------------------


def next_answer(
    logits: np.ndarray,  # [vocab]
    piece: PieceOf,
    *,
    position: int,
    k: int = 20,
    sampling: Sampling | None = None,
    seed: int = 0,
    index: int = 0,
    seen: np.ndarray | None = None,
) -> s.NextAnswer:
    """The `k` likeliest tokens and the chosen one, through every stage, and where the draw fell.

    Raises `BadNumbers` when the logits are no numbers.
    """
    return choice_answer(choose(logits, sampling or Sampling(), seen, seed, index), piece, position=position, k=k)


def choice_answer(choice: Choice, piece: PieceOf, *, position: int, k: int) -> s.NextAnswer:
    """The same of a choice that was made already."""
    logits = choice.logits
    stages = {stage.name: stage for stage in choice.stages()}
    raw, last = stages["raw"], next(reversed(stages.values()))
    scaled, after = raw, {}
    for name in ("repetition_penalty", "temperature"):
        scaled = stages.get(name, scaled)
    filtered = scaled
    for name in ("top_k", "top_p", "min_p"):
        after[name] = filtered = stages.get(name, filtered)
    shown = likeliest(logits, k)
    if choice.token_id not in shown:
        shown.append(choice.token_id)
    candidates = [
        s.CandidateAnswer(
            token=token_answer(piece(id)),
            rank=1 + int((logits > logits[id]).sum() + (logits[:id] == logits[id]).sum()),
            logit=number(logits[id]),
            probability=float(raw.probabilities[id]),
            scaled=number(scaled.scores[id]),
            kept_top_k=bool(after["top_k"].scores[id] > -math.inf),
            kept_top_p=bool(after["top_p"].scores[id] > -math.inf),
            kept_min_p=bool(after["min_p"].scores[id] > -math.inf),
            final=float(last.probabilities[id]),
        )
        for id in shown
    ]
    chosen = token_answer(piece(choice.token_id))
    draw = None
    if choice.u is not None:
        draw = s.DrawAnswer(choice.u, chosen, _cumulative(last.scores, choice.token_id, k, piece))
    most = float(logits.max())
    return s.NextAnswer(
        position=position,
        candidates=candidates,
        kept=s.KeptAnswer(after["top_k"].kept, after["top_p"].kept, after["min_p"].kept),
        n_vocab=len(logits),
        max_logit=number(most),
        log_sum_exp=number(most + math.log(np.exp(logits.astype(np.float64) - most).sum())),
        chosen=chosen,
        draw=draw,
    )


def likeliest(logits: np.ndarray, k: int) -> list[int]:
    """Ids of the `k` largest, best first; of equal ones the lower id first."""
    k = max(0, min(k, len(logits)))
    if k == 0:
        return []
    among = np.flatnonzero(logits >= np.partition(logits, len(logits) - k)[len(logits) - k])
    return [int(id) for id in among[np.lexsort((among, -logits[among]))[:k]]]


def _cumulative(scores: np.ndarray, chosen: int, k: int, piece: PieceOf) -> list[s.CumulativeSlice]:
    """The first `k` of the row, and the chosen one with its neighbours, from low to high."""
    order, running, _ = ranked(scores)
    edges = np.minimum(np.concatenate([[0.0], running]) / running[-1], 1.0)
    place = int(np.flatnonzero(order == chosen)[0])
    near = range(max(0, place - AROUND_THE_DRAW), min(len(order), place + AROUND_THE_DRAW + 1))
    places = sorted({*range(min(k, len(order))), *near})
    return [
        s.CumulativeSlice(token_answer(piece(int(order[at]))), float(edges[at]), float(edges[at + 1]))
        for at in places
    ]


def surprise_answer(scored: Score | None) -> s.SurpriseAnswer:
    """`None`: a text of one token, which nothing predicts."""
    if scored is None:
        return s.SurpriseAnswer([None], None)
    try:
        perplexity = number(scored.perplexity)
    except OverflowError:
        perplexity = None
    return s.SurpriseAnswer([None, *numbers(scored.losses)], perplexity)


# -- what each part did ------------------------------------------------------------------------------------------


def lens_answer(lens: LogitLens, piece: PieceOf) -> s.LensAnswer:
    depths = []
    for i, name in enumerate(lens.sites):
        tokens = [
            s.LensToken(token, number(logit), float(probability), int(rank))
            for token, logit, probability, rank in zip(
                lens.tokens, lens.logit[i], lens.probability[i], lens.rank[i], strict=True
            )
        ]
        top = [
            s.LensTop(token_answer(piece(int(id))), float(probability), number(logit))
            for id, probability, logit in zip(
                lens.top_ids[i], lens.top_probability[i], lens.top_logit[i], strict=True
            )
        ]
        depths.append(s.LensDepth(name, tokens, top))
    return s.LensAnswer(lens.position, depths, LENS_NOTE)


def attribution_answer(found: Attribution, piece: PieceOf) -> s.AttributionAnswer:
    *terms, remainder = found.terms()
    parts = [s.AttributionPart(each.site, each.kind, each.layer, each.head, number(each.value)) for each in terms]
    blocks = [
        s.AttributionBlock(i, number(attn), number(mlp))
        for i, (attn, mlp) in enumerate(zip(found.attn, found.mlp, strict=True))
    ]
    return s.AttributionAnswer(
        token=token_answer(piece(found.token)),
        against=None if found.against is None else token_answer(piece(found.against)),
        position=found.position,
        logit=number(found.logit),
        parts=parts,
        blocks=blocks,
        remainder=number(remainder.value),
        note=ATTRIBUTION_NOTE,
    )


def neurons_answer(found: NeuronAttribution, piece: PieceOf) -> s.NeuronsAnswer:
    neurons = [
        s.NeuronPart(each.neuron, number(each.activation), number(each.per_activation), number(each.value))
        for each in found.neurons
    ]
    return s.NeuronsAnswer(
        block=found.layer,
        token=token_answer(piece(found.token)),
        against=None if found.against is None else token_answer(piece(found.against)),
        position=found.position,
        neurons=neurons,
        others=number(found.others),
        bias=None if found.bias is None else number(found.bias),
        total=number(found.total),
    )


def heads_answer(position: int, found: Sequence[HeadAttention]) -> s.HeadsAnswer:
    return s.HeadsAnswer(
        position,
        [s.HeadPart(each.layer, each.head, each.key, each.weight, each.first) for each in found],
    )


def row_of(trace: Trace, position: int) -> int:
    """A position of the trace from 0; negative counts from the end. Raises `BadSelection`."""
    if not -(2**31) < position < 2**31:
        raise BadSelection(f"position {position} is no position of a text.")
    return position_of(trace, position)

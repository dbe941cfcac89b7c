"""What `cutaway trace` found out, computed once for the picture and for the machine's form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cutaway.cli.machine import finite, plain_values, token_values

if TYPE_CHECKING:
    from cutaway.analysis.heads import HeadAttention
    from cutaway.analysis.logit_lens import LogitLens
    from cutaway.engine import Model
    from cutaway.trace.explain import Explanation
    from cutaway.trace.trace import NextToken, Trace

HEADS_IN_JSON = 20
LENS_TOP = 5


@dataclass(frozen=True)
class Overview:
    """One position of a trace, seen from all sides. `position` counts from 0; `unchanged` are the probabilities of
    `next_tokens` without the interventions, where there are any."""

    model: Model
    trace: Trace
    text: str
    position: int
    next_tokens: list[NextToken]
    lens: LogitLens
    heads: list[HeadAttention]
    unchanged: list[float] | None


def overview(model: Model, text: str, ids: Sequence[int], position: int, top: int) -> Overview:
    """Raises `BadInput`, `BadSelection`."""
    from cutaway.analysis.heads import strongest
    from cutaway.analysis.logit_lens import logit_lens
    from cutaway.trace.trace import position_of

    trace = model.trace(ids)
    position = position_of(trace, position)
    found = trace.next_tokens(top, position=position)
    followed = [found[0].token.id] if found else None
    return Overview(
        model,
        trace,
        text,
        position,
        found,
        logit_lens(trace, position=position, tokens=followed, k=LENS_TOP),
        strongest(trace, position=position),
        _unchanged(model, ids, position, found) if model.interventions else None,
    )


def _unchanged(model: Model, ids: Sequence[int], position: int, found: Sequence[NextToken]) -> list[float]:
    from cutaway.ops import softmax
    from cutaway.trace.interventions import Interventions

    plain = model.with_interventions(Interventions(model.config)).trace(ids)
    probabilities = softmax(plain.logits(position))
    return [float(probabilities[each.token.id]) for each in found]


def to_dict(found: Overview) -> dict[str, Any]:
    """The schema that docs/cli.md describes."""
    trace, config = found.trace, found.model.config
    return {
        "model": found.model.name,
        "architecture": config.architecture,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "d_model": config.d_model,
        "n_vocab": config.n_vocab,
        "text": found.text,
        "tokens": [token_values(each) for each in trace.tokens],
        "position": found.position,
        "interventions": trace.interventions.to_list(),
        "next_tokens": [
            {
                "token": token_values(each.token),
                "probability": each.probability,
                "logit": each.logit,
                **({} if found.unchanged is None else {"unchanged_probability": found.unchanged[i]}),
            }
            for i, each in enumerate(found.next_tokens)
        ],
        "lens": _lens(found),
        "heads": [
            {"layer": h.layer, "head": h.head, "key": h.key, "weight": h.weight, "first": h.first}
            for h in found.heads[:HEADS_IN_JSON]
        ],
    }


def _lens(found: Overview) -> list[dict[str, Any]]:
    stages: list[dict[str, Any]] = found.lens.to_dict()["stages"]
    for stage in stages:
        for each in (*stage["tokens"], *stage["top"]):
            token = found.model.token(each["id"])
            each["display"] = getattr(token, "display", token.text)
    return stages


def site_values(trace: Trace, name: str) -> dict[str, Any]:
    """One site in full: axes, shape, values (null for what is not finite)."""
    array = trace.read(name)
    return {"axes": list(trace.sites[name].axes), "shape": list(array.shape), "values": plain_values(array)}


def explanation_values(each: Explanation) -> dict[str, Any]:
    """Where one number came from, as the wire has it."""
    return {
        "site": each.site,
        "axes": list(each.axes),
        "index": list(each.index),
        "value": finite(each.value),
        "result": finite(each.result),
        "latex": each.latex,
        "meaning": each.meaning,
        "source": each.source,
        "changed_by": [change.action for change in each.changed_by],
        "inputs": [
            {
                "name": source.name,
                "kind": source.kind,
                "axes": list(source.axes),
                "index": [list(along) for along in source.index],
                "shape": list(source.values.shape),
                "values": plain_values(source.values.reshape(-1)),
            }
            for source in each.inputs
        ],
    }

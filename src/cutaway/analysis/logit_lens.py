"""The logit lens: what the model would say if it stopped after this block (nostalgebraist 2020).

The residual stream, as it is after the embedding and after each block, goes through the model's own last norm and
unembedding. This is an unfinished thought: the blocks after it were trained to go on from there, and the early rows
are often nonsense. The row after the last block is the model's real answer (unless an intervention changes the last
norm or the logits themselves: the lens always takes them as they are in the model).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cutaway.errors import BadInput
from cutaway.models.forward import unembed
from cutaway.ops import softmax

if TYPE_CHECKING:
    from cutaway.trace.trace import Trace

LOGITS_AT_ONCE = 1 << 22  # 16 MB of logits, whatever the vocabulary


@dataclass(frozen=True)
class LogitLens:
    """One position, seen after every part. `sites` names the stages: `blocks.0.resid_pre` (the embedding), then what
    leaves each block.

    `logit`, `probability` (over the whole vocabulary) and `rank` (1 is the likeliest; equal logits share the better
    rank) are [stage, token] for the asked `tokens`; `top_ids`, `top_logit` and `top_probability` are [stage, k], best
    first.
    """

    position: int
    sites: tuple[str, ...]
    tokens: tuple[int, ...]
    logit: np.ndarray
    probability: np.ndarray
    rank: np.ndarray
    top_ids: np.ndarray
    top_logit: np.ndarray
    top_probability: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: one entry a stage."""
        stages = []
        for i, site in enumerate(self.sites):
            asked = zip(self.tokens, self.logit[i], self.probability[i], self.rank[i], strict=True)
            top = zip(self.top_ids[i], self.top_logit[i], self.top_probability[i], strict=True)
            stages.append(
                {
                    "site": site,
                    "tokens": [
                        {"id": token, "logit": float(logit), "probability": float(p), "rank": int(rank)}
                        for token, logit, p, rank in asked
                    ],
                    "top": [{"id": int(id), "logit": float(logit), "probability": float(p)} for id, logit, p in top],
                }
            )
        return {"position": self.position, "stages": stages}


@dataclass(frozen=True)
class LensTable:
    """Several positions: the likeliest token after every stage, each array [stage, pos]."""

    positions: tuple[int, ...]
    sites: tuple[str, ...]
    best_id: np.ndarray
    logit: np.ndarray
    probability: np.ndarray


def stages(trace: Trace, *, include_mid: bool = False) -> tuple[str, ...]:
    """The sites that the lens looks at; with `include_mid` also between attention and MLP (each block runs again)."""
    names = ["blocks.0.resid_pre"]
    for i in range(trace.config.n_layer):
        names += [f"blocks.{i}.resid_mid"] * include_mid + [f"blocks.{i}.resid_post"]
    return tuple(names)


def logit_lens(
    trace: Trace,
    *,
    position: int = -1,
    tokens: Sequence[int] | None = None,
    k: int = 5,
    include_mid: bool = False,
) -> LogitLens:
    """How the prediction after `position` forms, stage by stage.

    `tokens`: ids to follow (else the `k` that the model ends with). Raises `BadSelection` for a position outside the
    trace, `BadInput` for an id outside the vocabulary.
    """
    sites = stages(trace, include_mid=include_mid)
    stream = np.stack([trace.read(site, pos=position) for site in sites])  # [stage, d_model]
    n_vocab = trace.config.n_vocab
    k = max(0, min(k, n_vocab))
    if tokens is None:
        tokens = _largest(unembed(trace.config, trace.parameters, stream[-1:])[0], k).tolist()
    for token in tokens:
        if not 0 <= token < n_vocab:
            raise BadInput(f"token id {token} is outside this model's vocabulary, 0 to {n_vocab - 1}.")
    asked = np.asarray(tokens, dtype=np.intp)
    parts = []
    for rows in _chunks(len(sites), n_vocab):
        logits = unembed(trace.config, trace.parameters, stream[rows])  # [stage, vocab]
        probabilities = softmax(logits)
        best = np.stack([_largest(each, k) for each in logits])
        rank = np.empty((len(logits), len(asked)), dtype=np.intp)
        for column, token in enumerate(asked):
            rank[:, column] = 1 + (logits > logits[:, token, None]).sum(axis=1)
        top_logit, top_probability = (np.take_along_axis(each, best, axis=1) for each in (logits, probabilities))
        parts.append((logits[:, asked], probabilities[:, asked], rank, best, top_logit, top_probability))
    arrays = [np.concatenate(each, axis=0) for each in zip(*parts, strict=True)]
    at = position if position >= 0 else len(trace) + position
    return LogitLens(at, sites, tuple(asked.tolist()), *arrays)


def lens_table(trace: Trace, *, positions: Sequence[int] | None = None, include_mid: bool = False) -> LensTable:
    """The likeliest next token after every stage at these positions (all, if not said); [stage, pos].

    Never more than 16 MB of logits at a time. Raises `BadSelection` for a position outside the trace.
    """
    sites = stages(trace, include_mid=include_mid)
    rows = list(range(len(trace))) if positions is None else [int(each) for each in positions]
    shape = (len(sites), len(rows))
    best_id, logit = np.empty(shape, dtype=np.intp), np.empty(shape, dtype=np.float32)
    probability = np.empty(shape, dtype=np.float32)
    for i, site in enumerate(sites):
        stream = trace.read(site, pos=np.asarray(rows, dtype=np.intp))
        for some in _chunks(len(rows), trace.config.n_vocab):
            logits = unembed(trace.config, trace.parameters, stream[some])
            best = logits.argmax(axis=1)
            best_id[i, some] = best
            logit[i, some] = np.take_along_axis(logits, best[:, None], axis=1)[:, 0]
            probability[i, some] = np.take_along_axis(softmax(logits), best[:, None], axis=1)[:, 0]
    return LensTable(tuple(each % len(trace) for each in rows), sites, best_id, logit, probability)


def _chunks(n_rows: int, n_vocab: int) -> list[slice]:
    step = max(1, LOGITS_AT_ONCE // n_vocab)
    return [slice(first, min(first + step, n_rows)) for first in range(0, n_rows, step)]


def _largest(logits: np.ndarray, k: int) -> np.ndarray:  # [vocab] -> [k]
    """Ids of the `k` largest, best first; of equal ones the lower id first."""
    if k == 0:
        return np.zeros(0, dtype=np.intp)
    least = np.partition(logits, len(logits) - k)[len(logits) - k]
    among = np.nonzero(logits >= least)[0]
    order = np.lexsort((among, -logits[among]))
    return np.asarray(among[order[:k]])

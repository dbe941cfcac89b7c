"""Direct logit attribution: which part wrote how much of one logit (Elhage et al. 2021; TransformerLens' guide).

The residual stream is a sum, and the unembedding is linear; only the last norm is not. With its scale frozen at what
it was, it is: logit = x · d + b · u, where u is the token's column of W_U, and d = w ∘ u / scale (LayerNorm: less its
mean, which is the same as centring x). So every embedding, head and MLP has a share, and the shares add up. They
say what a part wrote *directly*, not what it made later parts do; a part that grew would change the scale as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cutaway.errors import BadInput, BadSelection
from cutaway.ops import centre
from cutaway.trace.row import row_alone

if TYPE_CHECKING:
    from cutaway.trace.trace import Trace


@dataclass(frozen=True)
class Contribution:
    """One part of the sum: the site that wrote it (or the parameter), and what it added to the logit.

    `layer` and `head` are None where there is none. `kind`: "embed", "pos_embed", "head", "attn", "attn_bias", "mlp",
    "norm_bias" or "remainder".
    """

    kind: str
    site: str
    value: float
    layer: int | None = None
    head: int | None = None


@dataclass(frozen=True)
class Attribution:
    """One logit (or, with `against`, the difference of two) as a sum.

    `heads` [layer, head]; `attn_bias` [layer] is b_O's share; `attn` [layer] is all that attention added (heads and
    bias); `mlp` [layer] (b_out included). `norm_bias` is the last norm's offset. `remainder` closes the sum over
    blocks: rounding (within 1e-4 of the largest term), and what interventions on the stream, the last norm or the
    logits added.
    """

    token: int
    against: int | None
    position: int
    logit: float
    embed: float
    pos_embed: float | None
    heads: np.ndarray
    attn_bias: np.ndarray | None
    attn: np.ndarray
    mlp: np.ndarray
    norm_bias: float | None
    remainder: float

    def terms(self, *, split_heads: bool = True) -> list[Contribution]:
        """The sum, in the order of the computation; the values add up to `logit`, remainder last.

        `split_heads`: each head and b_O by itself, else each attention as one. (An intervention on `attn_out` itself
        makes it differ from its heads; the remainder then has that difference too.)
        """
        found = [Contribution("embed", "embed", self.embed)]
        if self.pos_embed is not None:
            found.append(Contribution("pos_embed", "pos_embed", self.pos_embed))
        for i in range(len(self.mlp)):
            if split_heads:
                site = f"blocks.{i}.attn.result"
                found += [Contribution("head", site, float(v), i, head) for head, v in enumerate(self.heads[i])]
                if self.attn_bias is not None:
                    found.append(Contribution("attn_bias", f"blocks.{i}.attn.b_O", float(self.attn_bias[i]), i))
            else:
                found.append(Contribution("attn", f"blocks.{i}.attn_out", float(self.attn[i]), i))
            found.append(Contribution("mlp", f"blocks.{i}.mlp_out", float(self.mlp[i]), i))
        if self.norm_bias is not None:
            found.append(Contribution("norm_bias", "ln_final.b", self.norm_bias))
        rest = self.logit - _sum(each.value for each in found)
        return [*found, Contribution("remainder", "", rest)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "token": self.token,
            "against": self.against,
            "position": self.position,
            "logit": self.logit,
            "embed": self.embed,
            "pos_embed": self.pos_embed,
            "heads": self.heads.tolist(),
            "attn_bias": None if self.attn_bias is None else self.attn_bias.tolist(),
            "attn": self.attn.tolist(),
            "mlp": self.mlp.tolist(),
            "norm_bias": self.norm_bias,
            "remainder": self.remainder,
        }


@dataclass(frozen=True)
class NeuronContribution:
    """One neuron of an MLP: `activation` (`mlp.post`) times `per_activation` (its row of W_out, along the token's
    direction) is `value`."""

    neuron: int
    activation: float
    per_activation: float
    value: float


@dataclass(frozen=True)
class NeuronAttribution:
    """One MLP's share of a logit: the strongest neurons (by |value|), all `others` together, b_out's share, and the
    `total`, which these come to."""

    layer: int
    token: int
    against: int | None
    position: int
    neurons: tuple[NeuronContribution, ...]
    others: float
    bias: float | None
    total: float


def attribute_logit(trace: Trace, token_id: int, *, position: int = -1, against: int | None = None) -> Attribution:
    """Who wrote the logit of `token_id` after `position`; with `against`, the difference to that token's.

    Each block is run again once (of a long run: at that position alone). Raises `BadSelection` for a position outside
    the trace, `BadInput` for an id outside the vocabulary.
    """
    run, row = row_alone(trace, position)
    direction, norm_bias = frozen_direction(run, token_id, row, against)
    config = trace.config
    logits = run.read("logits", pos=row)
    logit = float(logits[token_id]) - (0.0 if against is None else float(logits[against]))
    embed = _share(run.read("embed", pos=row), direction)
    pos_embed = None if config.traits.rotary else _share(run.read("pos_embed", pos=row), direction)
    heads = np.zeros((config.n_layer, config.n_head), dtype=np.float32)
    attn, mlp = np.zeros(config.n_layer, dtype=np.float32), np.zeros(config.n_layer, dtype=np.float32)
    attn_bias = np.zeros(config.n_layer, dtype=np.float32) if config.has_out_bias else None
    for i in range(config.n_layer):
        here = f"blocks.{i}."
        # one run of the block for all three; the heads' parts at this position then follow from `attn.z`
        rows = run.read_many([here + "attn.z", here + "attn_out", here + "mlp_out"])
        attn[i] = rows[here + "attn_out"][row] @ direction
        mlp[i] = rows[here + "mlp_out"][row] @ direction
        heads[i] = run.read(here + "attn.result", pos=row) @ direction
        if attn_bias is not None:
            attn_bias[i] = trace.parameters[here + "attn.b_O"] @ direction
    written = [embed, pos_embed or 0.0, norm_bias or 0.0, *attn.tolist(), *mlp.tolist()]
    return Attribution(
        token=int(token_id),
        against=None if against is None else int(against),
        position=position if position >= 0 else len(trace) + position,
        logit=logit,
        embed=embed,
        pos_embed=pos_embed,
        heads=heads,
        attn_bias=attn_bias,
        attn=attn,
        mlp=mlp,
        norm_bias=norm_bias,
        remainder=logit - _sum(written),
    )


def attribute_neurons(
    trace: Trace, layer: int, token_id: int, *, k: int = 10, position: int = -1, against: int | None = None
) -> NeuronAttribution:
    """The `k` neurons of block `layer`'s MLP that wrote most of the logit, up or down.

    Raises `BadSelection` for a block or a position that is not there, `BadInput` for an id outside the vocabulary.
    """
    n_layer = trace.config.n_layer
    if not -n_layer <= layer < n_layer:
        raise BadSelection(f"there is no block {layer}; this model has blocks 0 to {n_layer - 1}.")
    layer %= n_layer
    run, row = row_alone(trace, position)
    direction, _ = frozen_direction(run, token_id, row, against)
    here = f"blocks.{layer}."
    rows = run.read_many([here + "mlp.post", here + "mlp_out"])
    activation = rows[here + "mlp.post"][row]  # [d_mlp]
    per_activation = trace.parameters[here + "mlp.W_out"] @ direction  # [d_mlp, d_model] [d_model] -> [d_mlp]
    value = activation * per_activation
    strongest = np.lexsort((np.arange(len(value)), -np.abs(value)))[: max(0, k)]
    neurons = tuple(
        NeuronContribution(int(n), float(activation[n]), float(per_activation[n]), float(value[n])) for n in strongest
    )
    total = _share(rows[here + "mlp_out"][row], direction)
    bias = _share(trace.parameters[here + "mlp.b_out"], direction) if trace.config.has_out_bias else None
    others = total - (bias or 0.0) - _sum(each.value for each in neurons)
    at = position if position >= 0 else len(trace) + position
    return NeuronAttribution(layer, int(token_id), against, at, neurons, others, bias, total)


def frozen_direction(
    trace: Trace, token_id: int, position: int, against: int | None = None
) -> tuple[np.ndarray, float | None]:
    """`d` [d_model], and b · u (None where the last norm has no offset), with the last norm's scale as it was at
    `position`: logit = x · d + b · u."""
    config, parameters = trace.config, trace.parameters
    for token in (token_id, *(() if against is None else (against,))):
        if not 0 <= token < config.n_vocab:
            raise BadInput(f"token id {token} is outside this model's vocabulary, 0 to {config.n_vocab - 1}.")
    scale = trace.read("ln_final.scale", pos=position)  # [1]
    unembedding = parameters["W_U"]
    column = unembedding[:, token_id]
    if against is not None:
        column = column - unembedding[:, against]
    direction = parameters["ln_final.w"] * column / scale
    if config.traits.norm == "layer":
        direction = centre(direction)  # (x - mean x) · d = x · (d - mean d)
    offset = _share(parameters["ln_final.b"], column) if "ln_final.b" in parameters else None
    return direction, offset


def _share(written: np.ndarray, direction: np.ndarray) -> float:
    return float(written @ direction)


def _sum(values: Iterable[float]) -> float:
    return math.fsum(values)

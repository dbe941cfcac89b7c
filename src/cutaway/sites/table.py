"""The declared sites: every intermediate value that a model emits, in one table.

Axes
    pos      the rows of the run: one for each token          q_pos, k_pos   the same, as queries and as keys
    head     query heads; kv_head, the heads of keys and values (each shared by n_head / n_kv_head query heads)
    d_model  the residual stream; d_head, within one head; d_mlp, neurons; vocab, tokens; one, a single number

A row gives name, axes, inputs, formula (executable, and as LaTeX; `[[…]]` stands only where its optional input does),
one sentence of meaning, and the source. Docs, wire types, page labels, hover formulas and the contract tests derive
from it.

An input is `name | fallback | …` (the first that the model has) and, for each of its axes, which part of it one
output element needs: an axis of the output (`q_pos`), `*` (all of it), `keys` (all positions, remembered ones too),
`head/group` (the shared key/value head) or `token[pos]`, `position[pos]` (the row looked up for that position).
Names: sites of the same block, parameters, and three constants of the run: `rope.cos`, `rope.sin` [pos, d_head/2] and `mask` [q_pos, k_pos].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cutaway.config import ModelConfig
from cutaway.sites import formulas as f

Formula = Callable[..., Any]


@dataclass(frozen=True)
class Input:
    """One declared input. `optional`: a model may do without it (a bias)."""

    name: str
    index: tuple[str, ...]
    optional: bool = False


@dataclass(frozen=True)
class Row:
    """One row of the table. `when` says which models have it."""

    name: str
    axes: tuple[str, ...]
    inputs: tuple[Input, ...]
    formula: Formula
    latex: str
    meaning: str
    source: str
    when: Callable[[ModelConfig], bool]


def _row(
    name: str,
    axes: str,
    inputs: list[tuple[str, str]],
    formula: Formula,
    latex: str,
    meaning: str,
    source: str = "Vaswani et al. 2017",
    when: Callable[[ModelConfig], bool] = lambda c: True,
) -> Row:
    parsed = tuple(Input(each.rstrip("?"), tuple(index.split()), each.endswith("?")) for each, index in inputs)
    return Row(name, tuple(axes.split()), parsed, formula, latex, meaning, source, when)


def _layer(c: ModelConfig) -> bool:
    return c.traits.norm == "layer"


def _rms(c: ModelConfig) -> bool:
    return c.traits.norm == "rms"


def _rotary(c: ModelConfig) -> bool:
    return c.traits.rotary


def _gated(c: ModelConfig) -> bool:
    return c.traits.gated


def _norm_rows(ln: str, stream: str, before: str) -> list[Row]:
    """A norm's three sites, in its two kinds. `stream` is what goes in, `before` what comes after."""
    w, b = f"{ln}.w", f"{ln}.b?"
    x, scale, normalized = (stream, "pos *"), (f"{ln}.scale", "pos *"), (f"{ln}.normalized", "pos d_model")
    return [
        _row(f"{ln}.scale", "pos one", [x], f.rms_scale, r"\sqrt{\tfrac1d\textstyle\sum_j x_j^2+\varepsilon}",
             f"The size of the vector before {before}: the root of its mean square.",
             "Zhang and Sennrich 2019", _rms),
        _row(f"{ln}.scale", "pos one", [x], f.std_scale,
             r"\sqrt{\tfrac1d\textstyle\sum_j (x_j-\bar x)^2+\varepsilon}",
             f"The spread of the vector before {before}: its standard deviation.", "Ba et al. 2016", _layer),
        _row(f"{ln}.normalized", "pos d_model", [(stream, "pos d_model"), scale], f.over_scale, r"x\,/\,\text{scale}",
             f"The vector before {before}, brought to size 1.", "Zhang and Sennrich 2019", _rms),
        _row(f"{ln}.normalized", "pos d_model", [x, scale], f.centred_over_scale, r"(x-\bar x)\,/\,\text{scale}",
             f"The vector before {before}, with mean 0 and spread 1.", "Ba et al. 2016", _layer),
        _row(f"{ln}.out", "pos d_model", [normalized, (w, "d_model")], f.gain, r"\hat x\odot w",
             f"The normalized vector times a learned gain: what {before} reads.", "Zhang and Sennrich 2019", _rms),
        _row(f"{ln}.out", "pos d_model", [normalized, (w, "d_model"), (b, "d_model")], f.gain, r"\hat x\odot w [[+ b]]",
             f"The normalized vector with a learned gain and offset: what {before} reads.", "Ba et al. 2016", _layer),
    ]  # fmt: skip


_Q = "attn.rot_q|attn.q"
_K = "attn.rot_k|attn.k"

BEFORE = (
    _row("embed", "pos d_model", [("W_E", "token[pos] d_model")], f.same, r"W_E[\text{token}]",
         "The token's row of the embedding table: a vector without context.", "Bengio et al. 2003"),
    _row("pos_embed", "pos d_model", [("W_pos", "position[pos] d_model")], f.same, r"W_{pos}[\text{position}]",
         "The position's row of the learned table, added to the token's.", "Radford et al. 2018",
         lambda c: not c.traits.rotary),
)  # fmt: skip

BLOCK = (
    _row("resid_pre", "pos d_model", [("embed|resid_post@before", "pos d_model"), ("pos_embed?", "pos d_model")],
         lambda c, x, p=None: x if p is None else x + p, "x [[+ p]]",
         "The residual stream as it enters the block.", "He et al. 2015; Elhage et al. 2021"),
    *_norm_rows("ln1", "resid_pre", "attention"),
    _row("attn.q", "pos head d_head",
         [("ln1.out", "pos *"), ("attn.W_Q", "head * d_head"), ("attn.b_Q?", "head d_head")],
         f.project_heads, r"x\,W_Q [[+ b_Q]]", "The query: what this position looks for."),
    _row("attn.k", "pos kv_head d_head",
         [("ln1.out", "pos *"), ("attn.W_K", "kv_head * d_head"), ("attn.b_K?", "kv_head d_head")],
         f.project_heads, r"x\,W_K [[+ b_K]]", "The key: what this position offers to be found by."),
    _row("attn.v", "pos kv_head d_head",
         [("ln1.out", "pos *"), ("attn.W_V", "kv_head * d_head"), ("attn.b_V?", "kv_head d_head")],
         f.project_heads, r"x\,W_V [[+ b_V]]", "The value: what this position hands over when it is looked at."),
    _row("attn.q_norm", "pos head d_head", [("attn.q", "pos head *"), ("attn.q_norm.w", "*")], f.head_norm,
         r"q\,/\,\mathrm{rms}(q)\odot w", "The query, normalized within its head.", "Henry et al. 2020",
         lambda c: c.traits.qk_norm),
    _row("attn.k_norm", "pos kv_head d_head", [("attn.k", "pos kv_head *"), ("attn.k_norm.w", "*")], f.head_norm,
         r"k\,/\,\mathrm{rms}(k)\odot w", "The key, normalized within its head.", "Henry et al. 2020",
         lambda c: c.traits.qk_norm),
    _row("attn.rot_q", "pos head d_head",
         [("attn.q_norm|attn.q", "pos head *"), ("rope.cos", "pos *"), ("rope.sin", "pos *")], f.turn,
         r"R_{\text{pos}}\,q", "The query, its pairs turned by an angle that grows with the position.",
         "Su et al. 2021", _rotary),
    _row("attn.rot_k", "pos kv_head d_head",
         [("attn.k_norm|attn.k", "pos kv_head *"), ("rope.cos", "pos *"), ("rope.sin", "pos *")], f.turn,
         r"R_{\text{pos}}\,k", "The key, its pairs turned by an angle that grows with the position.",
         "Su et al. 2021", _rotary),
    _row("attn.qk", "head q_pos k_pos", [(_Q, "q_pos head *"), (_K, "k_pos head/group *")], f.products,
         r"q\cdot k", "The dot product of a query with a key: how well the two match."),
    _row("attn.qk_scaled", "head q_pos k_pos", [("attn.qk", "head q_pos k_pos")], f.over_root,
         r"\frac{q\cdot k}{\sqrt{d_{head}}}", "The match, divided so that its spread does not grow with d_head."),
    _row("attn.attn_scores", "head q_pos k_pos", [("attn.qk_scaled", "head q_pos k_pos"), ("mask", "q_pos k_pos")],
         f.masked, r"\begin{cases}s&\text{where the mask allows}\\-\infty&\text{elsewhere}\end{cases}",
         "The scaled match, minus infinity where the query may not look."),
    _row("attn.pattern", "head q_pos k_pos", [("attn.attn_scores", "head q_pos *")], f.softmax,
         r"\mathrm{softmax}_k(s)", "How a query shares its attention out among the keys: each row sums to 1."),
    _row("attn.z", "pos head d_head", [("attn.pattern", "head pos *"), ("attn.v", "keys head/group d_head")],
         f.mix,
         r"\sum_k \mathrm{pattern}_k\,v_k", "The values, mixed by the pattern."),
    _row("attn.result", "pos head d_model", [("attn.z", "pos head *"), ("attn.W_O", "head * d_model")],
         f.head_parts,
         r"z\,W_O", "What this head alone adds to the residual stream.", "Elhage et al. 2021"),
    _row("attn_out", "pos d_model", [("attn.result", "pos * d_model"), ("attn.b_O?", "d_model")], f.sum_of_heads,
         r"\sum_{head}\mathrm{result} [[+ b_O]]", "What attention adds to the residual stream: the sum of its heads."),
    _row("resid_mid", "pos d_model", [("resid_pre", "pos d_model"), ("attn_out", "pos d_model")], f.add,
         r"x + \mathrm{attn\_out}", "The residual stream after attention.", "He et al. 2015; Elhage et al. 2021"),
    *_norm_rows("ln2", "resid_mid", "the MLP"),
    _row("mlp.pre", "pos d_mlp", [("ln2.out", "pos *"), ("mlp.W_gate", "* d_mlp")], f.project, r"x\,W_{gate}",
         "The gate of each neuron, before the activation.", "Shazeer 2020", _gated),
    _row("mlp.pre_linear", "pos d_mlp", [("ln2.out", "pos *"), ("mlp.W_in", "* d_mlp")], f.project, r"x\,W_{in}",
         "What the gate lets through: the linear branch.", "Shazeer 2020", _gated),
    _row("mlp.post", "pos d_mlp", [("mlp.pre", "pos d_mlp"), ("mlp.pre_linear", "pos d_mlp")],
         f.gated_activation,
         r"\mathrm{act}(\mathrm{pre})\odot\mathrm{pre\_linear}", "Each neuron's activation: gate times linear branch.",
         "Shazeer 2020", _gated),
    _row("mlp.pre", "pos d_mlp", [("ln2.out", "pos *"), ("mlp.W_in", "* d_mlp"), ("mlp.b_in?", "d_mlp")], f.project,
         r"x\,W_{in} [[+ b_{in}]]", "What each neuron receives.", when=lambda c: not c.traits.gated),
    _row("mlp.post", "pos d_mlp", [("mlp.pre", "pos d_mlp")], f.activation, r"\mathrm{act}(\mathrm{pre})",
         "Each neuron's activation.", "Hendrycks and Gimpel 2016", lambda c: not c.traits.gated),
    _row("mlp_out", "pos d_model", [("mlp.post", "pos *"), ("mlp.W_out", "* d_model"), ("mlp.b_out?", "d_model")],
         f.project, r"\mathrm{post}\,W_{out} [[+ b_{out}]]", "What the MLP adds to the residual stream.",
         "Geva et al. 2021"),
    _row("resid_post", "pos d_model", [("resid_mid", "pos d_model"), ("mlp_out", "pos d_model")], f.add,
         r"x + \mathrm{mlp\_out}", "The residual stream as it leaves the block.",
         "He et al. 2015; Elhage et al. 2021"),
)  # fmt: skip

AFTER = (
    *_norm_rows("ln_final", "resid_post@last", "the unembedding"),
    _row("logits", "pos vocab", [("ln_final.out", "pos *"), ("W_U", "* vocab")], f.project, r"x\,W_U",
         "One score for each token of the vocabulary; softmax makes probabilities of them.", "Bengio et al. 2003"),
)  # fmt: skip

"""What a model has learned, and where: counted from the declared parameters, for real and hypothetical models.

`count(shape)` gives a `ParameterTable` (see `table`) of a shape from `model_shape(name)`, `hypothetical(...)` or a
loaded model's config; `count_tensors` counts what a file holds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cutaway.analysis.presets import EncoderDecoder, Partial, Shape, hypothetical, model_shape
from cutaway.analysis.table import AttentionCost, Kind, ParameterTable, Row, Term, dtype_named
from cutaway.kernels.quants import FORMATS
from cutaway.sites.parameters import Parameter, declared_parameters

__all__ = ["ParameterTable", "Row", "TensorTable", "count", "count_tensors", "hypothetical", "model_shape"]

# -- counting ---------------------------------------------------------------------------------------------------

# (part, name, meaning, kind, parameters); "*" stands for a block. Parameters that a model lacks are left out, and
# rows that are then empty with them.
_PLAN: tuple[tuple[str, str, str, Kind, tuple[str, ...]], ...] = (
    ("embedding", "token embedding", "one row for each token", "lookup", ("W_E",)),
    ("positions", "learned positions", "one row for each position", "lookup", ("W_pos",)),
    ("attention", "query", "what each position looks for", "matrix", ("*.attn.W_Q",)),
    ("attention", "key", "what each position offers to be found by", "matrix", ("*.attn.W_K",)),
    ("attention", "value", "what each position passes on when found", "matrix", ("*.attn.W_V",)),
    ("attention", "output", "brings each head's mix back to the stream", "matrix", ("*.attn.W_O",)),
    (
        "attention",
        "attention biases",
        "added after the matrices",
        "vector",
        ("*.attn.b_Q", "*.attn.b_K", "*.attn.b_V", "*.attn.b_O"),
    ),
    ("MLP", "gate", "decides how much of each neuron passes", "matrix", ("*.mlp.W_gate",)),
    ("MLP", "up", "widens to the neurons", "matrix", ("*.mlp.W_in",)),
    ("MLP", "down", "brings the neurons back to the stream", "matrix", ("*.mlp.W_out",)),
    ("MLP", "MLP biases", "added after the matrices", "vector", ("*.mlp.b_in", "*.mlp.b_out")),
    (
        "norms",
        "block norms",
        "before attention and before the MLP",
        "vector",
        ("*.ln1.w", "*.ln1.b", "*.ln2.w", "*.ln2.b"),
    ),
    ("norms", "query and key norms", "on every query and key", "vector", ("*.attn.q_norm.w", "*.attn.k_norm.w")),
    ("norms", "final norm", "before the unembedding", "vector", ("ln_final.w", "ln_final.b")),
    ("unembedding", "unembedding", "one column of logit weights for each token", "matrix", ("W_U",)),
)

_SYMBOLS = {"vocab": "n_vocab", "head": "n_head", "kv_head": "n_kv_head"}


def count(shape: Shape) -> ParameterTable:
    """The table of a model of this shape."""
    if isinstance(shape, EncoderDecoder):
        return _count_encoder_decoder(shape)
    if isinstance(shape, Partial):
        table = count(shape.config)
        rows = [row for row in table.rows if row.part not in shape.leaves_out]
        return dataclasses.replace(table, shape=shape, rows=_with_shares(rows), note=shape.note)
    # One block tells all: a hypothetical model of a million blocks is counted as fast as a real one.
    declared = declared_parameters(dataclasses.replace(shape, n_layer=1))
    rows = []
    for part, name, meaning, kind, patterns in _PLAN:
        names = [pattern.replace("*", "blocks.0") for pattern in patterns]
        present = [declared[each] for each in names if each in declared]
        in_blocks = patterns[0].startswith("*")
        shared = name == "unembedding" and not present
        if shared:
            present = [declared["W_E"]]
        if not present:
            continue
        rows.append(
            Row(
                part=part,
                name=name,
                meaning=meaning,
                kind=kind,
                parameters=tuple(each.name.replace("blocks.0", "blocks.{i}") for each in present),
                terms=_terms(present, grouped=shape.group > 1),
                blocks=shape.n_layer if in_blocks else 1,
                in_blocks=in_blocks,
                shared=shared,
            )
        )
    cost = AttentionCost(shape.n_layer, shape.n_head, shape.n_kv_head, shape.d_head, shape.sliding_window)
    return ParameterTable(shape.name, shape, _with_shares(rows), (cost,), shape.d_model, shape.d_head)


def _terms(parameters: Iterable[Parameter], grouped: bool) -> tuple[Term, ...]:
    """Like products are written once, with a factor."""
    terms: dict[tuple[str, ...], Term] = {}
    for parameter in parameters:
        pairs = list(zip(parameter.axes, parameter.shape, strict=True))
        if parameter.axes[-2:] == ("d_model", "d_head"):
            pairs[0], pairs[1] = pairs[1], pairs[0]  # in before out: d_model · n_head · d_head
        names = {**_SYMBOLS, "kv_head": "n_kv_head" if grouped else "n_head"}
        symbols = tuple(names.get(axis, axis) for axis, _ in pairs)
        sizes = tuple(size for _, size in pairs)
        # A file's row is what one output is made of; a table's is one token's.
        width = parameter.stored_shape[0] if parameter.name != "W_E" else parameter.stored_shape[1]
        before = terms.get(symbols)
        factor = 1 if before is None else before.factor + 1
        terms[symbols] = Term(factor, symbols, sizes, width)
    return tuple(terms.values())


def _with_shares(rows: Sequence[Row]) -> tuple[Row, ...]:
    total = sum(row.total for row in rows)
    return tuple(dataclasses.replace(row, share=row.total / total) for row in rows)


def _count_encoder_decoder(shape: EncoderDecoder) -> ParameterTable:
    d, heads, mlp = ("d_model", shape.d_model), (("n_head", shape.n_head), ("d_head", shape.d_head)), shape.d_mlp
    d_mlp = ("d_mlp", mlp)

    def term(factor: int, *pairs: tuple[str, int], width: int = shape.d_model) -> Term:
        return Term(factor, tuple(name for name, _ in pairs), tuple(size for _, size in pairs), width)

    joined = shape.n_head * shape.d_head
    into, out = term(1, d, *heads), term(1, *heads, d, width=joined)
    biases = (term(3, *heads), term(1, d))
    rows = [
        _table("embedding", "token embedding", "both texts' pieces", "lookup", term(1, ("n_vocab", shape.n_vocab), d))
    ]
    for stack, attentions, norms in (("encoder", ("self",), 2), ("decoder", ("self", "cross"), 3)):
        here = stack == "decoder"
        for kind in attentions:
            label = f"{stack} {kind}-attention"
            # the source's keys and values are made once, whatever the length of the answer
            once = here and kind == "self"
            for name in ("query", "key", "value"):
                each_step = once or (here and name == "query")
                rows.append(_inner(shape, "attention", f"{label} {name}", "matrix", each_step, into))
            rows.append(_inner(shape, "attention", f"{label} output", "matrix", here, out))
            rows.append(_inner(shape, "attention", f"{label} biases", "vector", here, *biases))
        rows.append(_inner(shape, "MLP", f"{stack} up", "matrix", here, term(1, d, d_mlp)))
        rows.append(_inner(shape, "MLP", f"{stack} down", "matrix", here, term(1, d_mlp, d, width=mlp)))
        rows.append(_inner(shape, "MLP", f"{stack} MLP biases", "vector", here, term(1, d_mlp), term(1, d)))
        rows.append(_inner(shape, "norms", f"{stack} norms", "vector", here, term(2 * norms, d)))
    unembedding = _table("unembedding", "unembedding", "logit weights", "matrix", rows[0].terms[0])
    rows.append(dataclasses.replace(unembedding, shared=True))
    counts = (shape.n_layer, shape.n_head, shape.n_head, shape.d_head)
    attention = (
        AttentionCost(*counts, in_decoder=False),
        AttentionCost(*counts),
        AttentionCost(*counts, cross=True),
    )
    return ParameterTable(shape.name, shape, _with_shares(rows), attention, shape.d_model, shape.d_head, shape.note)


def _table(part: str, name: str, meaning: str, kind: Kind, term: Term) -> Row:
    return Row(part, name, meaning, kind, (), (term,))


def _inner(shape: EncoderDecoder, part: str, name: str, kind: Kind, each_step: bool, *terms: Term) -> Row:
    return Row(part, name, "", kind, (), terms, blocks=shape.n_layer, in_blocks=True, each_step=each_step)


# -- what a file holds ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TensorRow:
    """One tensor. `bytes` is None where its dtype was not said."""

    name: str
    shape: tuple[int, ...]
    total: int
    share: float
    dtype: str | None
    bytes: int | None


@dataclass(frozen=True)
class TensorTable:
    """What a file holds, tensor by tensor."""

    rows: tuple[TensorRow, ...]

    @property
    def total(self) -> int:
        return sum(row.total for row in self.rows)

    @property
    def bytes(self) -> int | None:
        """Of all tensors; None when any dtype was not said."""
        sizes = [row.bytes for row in self.rows if row.bytes is not None]
        return sum(sizes) if len(sizes) == len(self.rows) else None

    def to_dict(self) -> dict[str, Any]:
        return {"total": self.total, "bytes": self.bytes, "tensors": [dataclasses.asdict(row) for row in self.rows]}


def count_tensors(shapes: Mapping[str, Sequence[int]], dtypes: Mapping[str, str] | None = None) -> TensorTable:
    """The table of these tensors: name -> shape, and how the file stores each ("F32", "Q4_1", …) if known."""
    total = sum(math.prod(shape) for shape in shapes.values()) or 1
    rows = []
    for name, shape in shapes.items():
        size = math.prod(shape)
        dtype = dtypes.get(name) if dtypes is not None else None
        form = FORMATS[dtype_named(dtype)] if dtype is not None else None
        n_bytes = None if form is None else size // form.weights * form.n_bytes
        rows.append(TensorRow(name, tuple(shape), size, size / total, dtype, n_bytes))
    return TensorTable(tuple(rows))

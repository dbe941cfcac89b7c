"""The table that `parameters.count` fills: its rows, and the bytes, multiplications and cache that follow from them.

FLOPs are counted as nanoGPT's sizing notebook counts them: matrix products only, two (a multiplication and an
addition) for each product; every query with every key, the masked ones too; logits at every position. Norms, softmax,
activations, RoPE, biases and the embedding's lookup are left out (all under 1% together).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cutaway.analysis.presets import Partial, Shape
from cutaway.config import ModelConfig
from cutaway.errors import BadConfig, BadInput, did_you_mean
from cutaway.kernels.quants import FORMATS

Kind = Literal["lookup", "matrix", "vector"]

# Whoever quantises a matrix whose rows don't fill blocks of 256 gets these instead; llama.cpp's choice.
FALLBACK: Mapping[str, str] = {
    "Q2_K": "IQ4_NL",
    "Q3_K": "IQ4_NL",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}


@dataclass(frozen=True)
class Term:
    """One product of a formula, `factor` times. `width`: how many of its numbers lie in one row of a file."""

    factor: int
    symbols: tuple[str, ...]
    sizes: tuple[int, ...]
    width: int

    @property
    def total(self) -> int:
        return self.factor * math.prod(self.sizes)

    def text(self, pieces: Iterable[str]) -> str:
        factor = [str(self.factor)] if self.factor > 1 else []
        return " · ".join([*factor, *pieces])


@dataclass(frozen=True)
class Row:
    """One line of the table: a matrix, or the vectors of one kind, of all blocks together.

    `kind`: "matrix" (multiplied with every position), "lookup" (one row of it is read) or "vector" (added or
    multiplied; never quantised). `blocks` is 1 outside the blocks. `shared`: a tied unembedding, which costs a
    product and no numbers of its own. `each_step`: false for what decoding computes once for the whole source text.
    """

    part: str
    name: str
    meaning: str
    kind: Kind
    parameters: tuple[str, ...]
    terms: tuple[Term, ...]
    blocks: int = 1
    in_blocks: bool = False
    shared: bool = False
    each_step: bool = True
    share: float = 0.0

    @property
    def per_block(self) -> int:
        """Numbers learned in one block (outside the blocks: all of them)."""
        return 0 if self.shared else sum(term.total for term in self.terms)

    @property
    def total(self) -> int:
        return self.blocks * self.per_block

    @property
    def multiplied(self) -> int:
        """Products that one position costs."""
        return self.blocks * sum(term.total for term in self.terms) if self.kind == "matrix" else 0

    @property
    def formula(self) -> str:
        """In symbols: "n_layer · d_model · n_head · d_head"."""
        if self.shared:
            return "the embedding, transposed"
        return self._formula("n_layer", [term.text(term.symbols) for term in self.terms])

    @property
    def numbers(self) -> str:
        """The same in numbers: "12 · 768 · 12 · 64"."""
        if self.shared:
            return "0"
        return self._formula(f"{self.blocks:,}", [term.text(f"{n:,}" for n in term.sizes) for term in self.terms])

    def _formula(self, blocks: str, terms: Sequence[str]) -> str:
        joined = " + ".join(terms)
        if not self.in_blocks:
            return joined
        return f"{blocks} · ({joined})" if len(terms) > 1 else f"{blocks} · {joined}"

    def bytes(self, dtype: str) -> int:
        """As a file of this dtype keeps it; see `ParameterTable.bytes`."""
        if self.shared:
            return 0
        form = FORMATS[dtype]
        quantised = form.weights > 1
        size = 0
        for term in self.terms:
            stays = quantised and (self.kind == "vector" or self.part == "positions")
            size += term.total * _bytes_each(dtype="F32" if stays else dtype, width=term.width)
        return self.blocks * size // _SCALE

    def to_dict(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "name": self.name,
            "meaning": self.meaning,
            "kind": self.kind,
            "parameters": list(self.parameters),
            "blocks": self.blocks,
            "per_block": self.per_block,
            "total": self.total,
            "share": self.share,
            "formula": self.formula,
            "numbers": self.numbers,
            "shared": self.shared,
        }


_SCALE = 256  # bytes for each number are counted in 256ths, so that every sum is of whole numbers


def _bytes_each(dtype: str, width: int) -> int:
    """256ths of a byte for each number, in rows of `width`."""
    form = FORMATS[dtype]
    if width % form.weights:
        form = FORMATS[FALLBACK.get(dtype, "F16")]
        if width % form.weights:
            form = FORMATS["F16"]
    return form.n_bytes * _SCALE // form.weights


def dtype_named(dtype: str) -> str:
    """The canonical spelling ("q4_k" -> "Q4_K"). Raises `BadConfig` for a type that is not known."""
    wanted = dtype.upper()
    if wanted not in FORMATS:
        raise BadConfig(f'unknown dtype "{dtype}"{did_you_mean(wanted, FORMATS) or "."} Known: {", ".join(FORMATS)}.')
    return wanted


@dataclass(frozen=True)
class AttentionCost:
    """What one kind of attention costs besides its matrices. `cross`: its keys are the source text's."""

    n_layer: int
    n_head: int
    n_kv_head: int
    d_head: int
    window: int | None = None
    cross: bool = False
    in_decoder: bool = True

    def products(self, n_queries: int, n_keys: int) -> int:
        """Multiplications of the scores (or of mixing the values: as many), all blocks, masked ones included."""
        seen = n_keys if self.window is None else min(n_keys, self.window)
        return self.n_layer * n_queries * seen * self.n_head * self.d_head

    def cached(self, n_keys: int) -> int:
        """Numbers kept: a key and a value for each position that a later query can still see."""
        if not self.in_decoder:
            return 0
        seen = n_keys if self.window is None else min(n_keys, self.window)
        return 2 * self.n_layer * seen * self.n_kv_head * self.d_head


@dataclass(frozen=True)
class ParameterTable:
    """The rows, and what follows from them. All counts are exact whole numbers."""

    name: str
    shape: Shape
    rows: tuple[Row, ...]
    attention: tuple[AttentionCost, ...]
    d_model: int
    d_head: int
    note: str = ""

    @property
    def total(self) -> int:
        return sum(row.total for row in self.rows)

    @property
    def parts(self) -> dict[str, int]:
        """Totals by part, in the order of the rows."""
        totals: dict[str, int] = {}
        for row in self.rows:
            totals[row.part] = totals.get(row.part, 0) + row.total
        return totals

    def part_per_block(self, part: str) -> int:
        """What one block holds of `part` ("attention", "MLP")."""
        return sum(row.per_block for row in self.rows if row.part == part and row.in_blocks)

    @property
    def per_head(self) -> int:
        """The four matrices of one head (where query heads share a key/value head: of one of them, with it)."""
        return 4 * self.d_model * self.d_head

    # -- time ---------------------------------------------------------------------------------------------------

    def flops_by_part(self, n_tokens: int) -> dict[str, int]:
        """Of one forward pass over `n_tokens`, by part; "scores" and "mix" are attention's own two products.

        For the encoder–decoder: a source and a target of that length each.
        """
        _at_least(n_tokens, 1)
        flops: dict[str, int] = {}
        for row in self.rows:
            if row.multiplied:
                flops[row.part] = flops.get(row.part, 0) + 2 * n_tokens * row.multiplied
        scores = sum(2 * each.products(n_tokens, n_tokens) for each in self.attention)
        return flops | {"scores": scores, "mix": scores}

    def flops(self, n_tokens: int) -> int:
        """Of one forward pass over `n_tokens`, with logits at every position."""
        return sum(self.flops_by_part(n_tokens).values())

    def flops_per_token(self, n_context: int = 1) -> int:
        """Of decoding one token with a cache, its query seeing `n_context` positions, itself included."""
        _at_least(n_context, 1)
        products = sum(row.multiplied for row in self.rows if row.each_step)
        return 2 * products + sum(4 * each.products(1, n_context) for each in self.attention if each.in_decoder)

    # -- space --------------------------------------------------------------------------------------------------

    def bytes(self, dtype: str, *, embedding: str | None = None) -> int:
        """Of the weights, stored as `dtype`; `embedding` says another type for the embedding.

        F32, F16, BF16: every number in that type, as a safetensors folder has it. Block formats (as a GGUF file has
        them, all matrices alike, without the mixes that "Q4_K_M" stands for): matrices only; norms, biases and
        learned positions stay F32, and a matrix whose rows don't fill whole blocks has the type that llama.cpp falls
        back to (`FALLBACK`, else F16).
        """
        dtype, lookup = self._dtypes(dtype, embedding)
        return sum(row.bytes(lookup if row.part == "embedding" else dtype) for row in self.rows)

    def bytes_read_per_token(
        self, dtype: str, *, embedding: str | None = None, n_context: int = 0, kv_dtype: str = "F32"
    ) -> int:
        """That decoding one token must read: every matrix once, one row of each table that is only looked up, and the
        keys and values of `n_context` earlier positions. (A tied embedding is read whole: it makes the logits.)"""
        dtype, lookup = self._dtypes(dtype, embedding)
        tied = any(row.shared for row in self.rows)
        read = self.kv_cache_bytes(n_context, kv_dtype) if n_context else 0
        for row in self.rows:
            if not row.each_step:
                continue
            size = row.bytes(lookup if row.part == "embedding" else dtype)
            one_row = row.kind == "lookup" and not (tied and row.part == "embedding")
            read += size // row.terms[0].sizes[0] if one_row else size
        return read

    def kv_cache_bytes(self, n_tokens: int, dtype: str = "F32") -> int:
        """Of the keys and values of `n_tokens` positions: 2 · n_layer · n_kv_head · d_head numbers for each; with a
        sliding window, of no more positions than it spans."""
        _at_least(n_tokens, 0)
        form = FORMATS[dtype_named(dtype)]
        return sum(each.cached(n_tokens) for each in self.attention) * form.n_bytes // form.weights

    def _dtypes(self, dtype: str, embedding: str | None) -> tuple[str, str]:
        return dtype_named(dtype), dtype_named(embedding or dtype)

    def to_dict(self, n_tokens: Sequence[int] = ()) -> dict[str, Any]:
        """Plain values, for JSON. `n_tokens`: the lengths for FLOPs and cache (else 1, and the context)."""
        config = self.shape.config if isinstance(self.shape, Partial) else self.shape
        lengths = list(n_tokens) or sorted({1, config.n_ctx if isinstance(config, ModelConfig) else 1})
        return {
            "name": self.name,
            "note": self.note,
            "total": self.total,
            "per_head": self.per_head,
            "parts": self.parts,
            "rows": [row.to_dict() for row in self.rows],
            "shape": {key: value for key, value in dataclasses.asdict(self.shape).items() if value is not None},
            "bytes": {dtype: self.bytes(dtype) for dtype in FORMATS},
            "bytes_read_per_token": {dtype: self.bytes_read_per_token(dtype) for dtype in FORMATS},
            "lengths": [
                {
                    "n_tokens": n,
                    "flops": self.flops(n),
                    "flops_per_token": self.flops_per_token(n),
                    "kv_cache_bytes": {dtype: self.kv_cache_bytes(n, dtype) for dtype in ("F32", "F16")},
                }
                for n in lengths
            ],
        }


def _at_least(n_tokens: int, least: int) -> None:
    if n_tokens < least:
        raise BadInput(f"a length of {n_tokens} tokens makes no sense here; give at least {least}.")

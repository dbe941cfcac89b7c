"""What the work of a row is: bytes that must be read, operations that must be done; and one measured figure."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.limits import limits
from benchmarks.measure import Ratio, model_path
from cutaway.config import ModelConfig
from cutaway.sites.parameters import declared_parameters

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Shape:
    """A model, as the limits see it: its matrices' bytes in the file, and how many weights multiply."""

    config: ModelConfig
    matrix_bytes: float
    block_weights: int
    unembedding: int

    @property
    def cache_bytes(self) -> int:
        """Of one remembered position, float32 keys and values."""
        c = self.config
        return 2 * 4 * c.n_layer * c.n_kv_head * c.d_head


@functools.cache
def default_model() -> Shape:
    return _shape(model_path())


def folder_model(folder: Path) -> Shape:
    return _shape(str(folder))


def _shape(path: str) -> Shape:
    from cutaway.weights import open_checkpoint

    checkpoint = open_checkpoint(path)
    config = checkpoint.config
    declared = declared_parameters(config)
    size, weights = 0.0, 0
    for name, each in declared.items():
        if len(each.stored_shape) != 2 or name in ("W_E", "W_pos", "W_U"):
            continue
        count = each.stored_shape[0] * each.stored_shape[1]
        weights += count
        size += count * bits(checkpoint.dtype(name)) / 8
    unembedding = config.n_vocab * config.d_model
    size += unembedding * bits(checkpoint.dtype("W_E" if config.tied else "W_U")) / 8
    return Shape(config, size, weights, unembedding)


def bits(dtype: str) -> float:
    """Bits of one weight in the file, scales included."""
    from cutaway.kernels.quants import FORMATS

    return FORMATS[dtype].bits


# -- the least a piece of work can take ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Least:
    """Seconds that the machine's limit asks for, and by what."""

    seconds: float
    by: str


def _least(size: float, operations: float, threads: int) -> Least | None:
    limit = limits(threads).get(threads)
    if limit is None:
        return None
    reading, multiplying = size / limit.bytes, operations / limit.flops
    if reading > multiplying:
        return Least(reading, f"{size / 1e6:,.0f} MB at {limit.bytes / 1e9:.0f} GB/s")
    return Least(multiplying, f"{operations / 1e9:,.1f} GFLOP at {limit.flops / 1e9:.0f} GFLOP/s")


def _operations(shape: Shape, n: int, logits: int = 1) -> float:
    """Multiplications and additions of a pass over n positions; scores and weighted values of the causal half."""
    c = shape.config
    attention = 4 * c.n_layer * c.n_head * c.d_head * (n * (n + 1) / 2)
    return 2.0 * n * shape.block_weights + attention + 2.0 * logits * shape.unembedding


def decoding_limit(shape: Shape, position: int, threads: int) -> Least | None:
    """One step at `position`: every weight once, every remembered key and value once."""
    size = shape.matrix_bytes + position * shape.cache_bytes
    return _least(size, _operations(shape, position) - _operations(shape, position - 1, 0), threads)


def prefill_limit(shape: Shape, n: int, threads: int) -> Least | None:
    return _least(shape.matrix_bytes, _operations(shape, n), threads)


def captured_limit(shape: Shape, n: int, written: float, threads: int) -> Least | None:
    """Every weight read, every captured number written, every position's logits computed."""
    return _least(shape.matrix_bytes + written, _operations(shape, n, n), threads)


# -- a figure --------------------------------------------------------------------------------------------------------


@dataclass
class Figure:
    """One measured row. `ours` and `theirs` in seconds (bytes, for memory); `value` is what the table shows."""

    what: str
    value: str
    met: bool = True
    bar: str = "(shown)"
    goal: str = ""
    goal_met: bool | None = None
    ours: float | None = None
    theirs: float | None = None
    peer: str = ""
    quartiles: list[float] = field(default_factory=list)
    rounds: int = 0
    limit: str = ""
    versions: list[str] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_ratio(
        cls,
        what: str,
        measured: Ratio,
        peer: str,
        bar: float | None,
        goal: float | None,
        least: Least | None,
        versions: list[str] | None = None,
    ) -> Figure:
        """Their seconds over ours: above 1, we are faster."""
        limit = ""
        if least is not None:
            limit = f"{measured.b / least.seconds:.1f}× the least, {seconds(least.seconds)} ({least.by})"
        return cls(
            what,
            f"{measured.ratio:.2f}×",
            bar is None or measured.ratio >= bar,
            "(shown)" if bar is None else f"≥ {bar:g}×",
            "" if goal is None else f"{goal:g}×",
            None if goal is None else measured.ratio >= goal,
            measured.b,
            measured.a,
            peer,
            [measured.low, measured.high],
            measured.pairs,
            limit,
            versions or [],
        )

    def as_row(self) -> dict[str, Any]:
        took = f" ({seconds(self.ours)} against {seconds(self.theirs)} of {self.peer})" if self.quartiles else ""
        limit = f"; {self.limit}" if self.limit else ""
        return {"figure": self.what, "bar": self.bar, "value": f"{self.value}{took}{limit}", "met": self.met}

    def as_kept(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def seconds(value: float | None) -> str:
    """As a reader says it: 6.87 ms, 1.23 s."""
    if value is None:
        return "–"
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms" if value >= 1e-3 else f"{1e6 * value:.3g} µs"


# -- GPT-2 small's shape ---------------------------------------------------------------------------------------------


def gpt2_folder(dtype: str) -> Path:
    """A folder that transformers and Cutaway both open: GPT-2 small's shape, random weights, written once."""
    folder = ROOT / ".cache/benchmarks" / f"gpt2-small-{dtype}"
    if not (folder / "model.safetensors").exists():
        from tests.support.folders import write_tiny

        write_tiny(
            folder, "gpt2", dtype={"float32": "F32", "bfloat16": "BF16"}[dtype], n_layer=12, n_head=12, n_kv_head=12,
            n_ctx=1024, n_vocab=50257, d_model=768, d_head=64, d_mlp=3072,
        )  # fmt: skip
    return folder

"""A block in one native call, where nobody acts inside it.

The equations in `llama.py` and the others are the definition. This is the same function: the same kernels in the same
order, without an array and a trip through Python for every line, so the result has the same bits
(`tests/unit/test_exact.py`). Sites that are only read come out of it as outputs; where somebody may change a value,
or end the pass, the equations run.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from cutaway.config import ModelConfig
from cutaway.kernels import native
from cutaway.kernels.products import Matrix
from cutaway.kernels.rows import ACTIVATIONS
from cutaway.models.run import Memory, Run
from cutaway.tap import Tap

# As `enum Site` in native/block.cpp, in the order of the computation.
SITES = (
    "ln1.scale", "ln1.normalized", "ln1.out", "attn.q", "attn.k", "attn.v", "attn.q_norm", "attn.k_norm",
    "attn.rot_q", "attn.rot_k", "attn.qk", "attn.qk_scaled", "attn.attn_scores", "attn.pattern", "attn.z", "attn_out",
    "resid_mid", "ln2.scale", "ln2.normalized", "ln2.out", "mlp.pre", "mlp.pre_linear", "mlp.post", "mlp_out",
)  # fmt: skip
NOTHING: list[Any] = [None] * len(SITES)
AROUND = ("resid_pre", "resid_post")
KNOWN = frozenset((*SITES, *AROUND))
SQUARE = frozenset(SITES[10:14])
ONE_ALLOCATION = 1 << 20  # floats: 4 MB, from where on NumPy asks for large pages


def only_reads(tap: Tap) -> Collection[str] | None:
    """The sites of this block that somebody reads, if nobody does anything else there; else None."""
    ask = getattr(tap, "only_reads", None)
    return None if ask is None else ask()


def block(
    config: ModelConfig, w: Any, x: Any, run: Run, tap: Tap, memory: Memory | None, out: Any = None
) -> Any:  # [pos, d_model] -> [pos, d_model]
    """What leaves the block (in `out`, if that is given), or None where the equations must run."""
    if not native.takes(x):
        return None
    read = only_reads(tap)
    if read is None or not KNOWN.issuperset(read):
        return None
    kernel = _kernel(config, w)
    room = getattr(memory, "room", None)
    one = len(run.segments) == 1
    if kernel is None or (memory is not None and (room is None or not one)):
        return None
    n = x.shape[0]
    shape = (config.n_kv_head, config.d_head)
    if room is None:
        start, keys, values = 0, np.empty((n, *shape), np.float32), np.empty((n, *shape), np.float32)
    else:
        start, keys, values = room(n, shape)
    sites, wanted = NOTHING, list[str]()
    if any(name not in AROUND for name in read):
        if not one and not SQUARE.isdisjoint(read):
            return None
        wanted = [name for name in SITES if name in read]
        arrays = _empty({name: _shape(config, name, n, start + n) for name in wanted})
        sites = [arrays.get(name) for name in SITES]
    y = np.empty((n, config.d_model), np.float32) if out is None else out
    ends = [end for _, end in run.segments]
    kernel.run(np.ascontiguousarray(x), run.cos, run.sin, keys, values, start, ends, sites, y)
    for name in wanted:
        tap(name, sites[SITES.index(name)])
    return tap("resid_post", y)


def stream(config: ModelConfig, x: Any) -> Sequence[np.ndarray] | list[None]:
    """Where the residual stream after each block is to lie, for a pass that keeps it: one allocation, where large."""
    if not native.takes(x) or config.n_layer * x.size < ONE_ALLOCATION:
        return [None] * config.n_layer
    return list(np.empty((config.n_layer, *x.shape), np.float32))


def _kernel(config: ModelConfig, w: Any) -> Any:
    """The block's native form, made once; None where its weights are no packed matrices."""
    if not hasattr(w, "kernel"):
        matrices = {name: getattr(w.attn, name) for name in ("W_Q", "W_K", "W_V", "W_O")}
        matrices |= {name: getattr(w.mlp, name, None) for name in ("W_gate", "W_in", "W_out")}
        vectors = {f"{ln}.{leaf}": getattr(getattr(w, ln), leaf) for ln in ("ln1", "ln2") for leaf in ("w", "b")}
        vectors |= {name: getattr(w.attn, name) for name in ("b_Q", "b_K", "b_V", "b_O")}
        vectors |= {f"{name}.w": getattr(w.attn, f"{name}_w", None) for name in ("q_norm", "k_norm")}
        vectors |= {name: getattr(w.mlp, name) for name in ("b_in", "b_out")}
        packed = all(each is None or isinstance(each, Matrix) for each in matrices.values())
        plain = all(each is None or native.takes(each) for each in vectors.values())
        w.kernel = None
        if packed and plain:
            held = {name: None if each is None else each._held for name, each in matrices.items()}
            held |= {name: None if each is None else np.ascontiguousarray(each) for name, each in vectors.items()}
            c = config
            window = c.sliding_window or 0 if c.traits.windowed else 0
            shape = [c.d_model, c.n_head, c.n_kv_head, c.d_head, c.d_mlp, window]
            w.kernel = native.MODULE.Block(
                held, shape, c.norm_eps, c.traits.norm == "layer", ACTIVATIONS[c.activation]
            )
    return w.kernel


def _shape(c: ModelConfig, name: str, n: int, n_k: int) -> tuple[int, ...]:
    if name in SQUARE:
        return (c.n_head, n, n_k)
    if name.endswith(".scale"):
        return (n, 1)
    if name.startswith("attn."):
        heads = c.n_kv_head if name in ("attn.k", "attn.v", "attn.k_norm", "attn.rot_k") else c.n_head
        return (n, heads, c.d_head)
    return (n, c.d_mlp if name.startswith("mlp.") else c.d_model)


def _empty(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Where there is much, all in one allocation: the system then gives large pages, which cost a tenth."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    if sum(sizes.values()) < ONE_ALLOCATION:
        return {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
    room = np.empty(sum(-(-size // 16) * 16 for size in sizes.values()), np.float32)
    found, at = {}, 0
    for name, shape in shapes.items():
        found[name] = room[at : at + sizes[name]].reshape(shape)
        at += -(-sizes[name] // 16) * 16
    return found

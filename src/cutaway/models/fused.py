"""A block in one native call, where nobody acts inside it.

The equations in `llama.py` and the others are the definition. This is the same function: the same kernels in the same
order, without an array and a trip through Python for every line, so the result has the same bits
(`tests/unit/test_exact.py`). Sites that are only read come out of it as outputs; where somebody may change a value,
or end the pass, the equations run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from cutaway.config import ModelConfig
from cutaway.kernels import native, room
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
    place = getattr(memory, "room", None)
    one = len(run.segments) == 1
    if kernel is None or (memory is not None and (place is None or not one)):
        return None
    n = x.shape[0]
    shape = (config.n_kv_head, config.d_head)
    if place is None:
        start, keys, values = 0, room.empty((n, *shape)), room.empty((n, *shape))
    else:
        start, keys, values = place(n, shape)
    sites, wanted = NOTHING, list[str]()
    if any(name not in AROUND for name in read):
        if not one and not SQUARE.isdisjoint(read):
            return None
        wanted = [name for name in SITES if name in read]
        arrays = room.together({name: _shape(config, name, n, start + n) for name in wanted})
        sites = [arrays.get(name) for name in SITES]
    y = room.empty((n, config.d_model)) if out is None else out
    ends = [end for _, end in run.segments]
    kernel.run(np.ascontiguousarray(x), run.cos, run.sin, keys, values, start, ends, sites, y)
    for name in wanted:
        tap(name, sites[SITES.index(name)])
    return tap("resid_post", y)


def stream(config: ModelConfig, x: Any) -> Sequence[np.ndarray] | list[None]:
    """Where the residual stream after each block is to lie, for a pass that keeps it: together, where large."""
    if not native.takes(x) or 4 * config.n_layer * x.size < room.LARGE:
        return [None] * config.n_layer
    return list(room.empty((config.n_layer, *x.shape)))


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

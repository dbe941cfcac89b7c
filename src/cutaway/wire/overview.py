"""Everything that the first view draws, in one frame: the stream's stripes, how much each block wrote, what comes
next."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from cutaway.framing import pack
from cutaway.sites import residual_stream
from cutaway.trace.selection import Index, pick
from cutaway.trace.trace import Trace
from cutaway.wire.frames import Ranges
from cutaway.wire.json_text import dumps, plain
from cutaway.wire.reduction import absmax, ranges_of
from cutaway.wire.structures import NextAnswer


def overview_frame(
    trace: Trace,
    norms: Mapping[str, np.ndarray],
    following: NextAnswer,
    *,
    bins: int = 48,
    pos: Index = slice(None),
    known: Ranges | None = None,
) -> bytes:
    """Stripes of `embed`, of every `blocks.{i}.resid_pre` and of the last `resid_post`, each [pos, bins] with
    `name#index`; `attn_ratio` = ‖attn_out‖/‖resid_pre‖ and `mlp_ratio` = ‖mlp_out‖/‖resid_mid‖, each [block, pos],
    NaN where there was nothing to divide by.

    `norms`: [block, pos] for `attn_out resid_pre mlp_out resid_mid`. Metadata, as JSON: `shapes`, `ranges`, and
    `next` (a `NextAnswer`).
    """
    known = {} if known is None else known
    names = ["embed", *residual_stream(trace.config)]
    rows = pick(pos, len(trace), "pos", "this trace")
    stream = trace.read_many(names)
    reduced = absmax(np.stack([array[rows] for array in stream.values()]), (bins,))  # [site, pos, bin]
    tensors: dict[str, np.ndarray] = {}
    for at, name in enumerate(names):
        tensors[name] = reduced.values[at]
        tensors[f"{name}#index"] = reduced.index[at]
        if name not in known:
            known[name] = ranges_of(stream[name], 0)
    with np.errstate(all="ignore"):
        for part, over, under in (("attn_ratio", "attn_out", "resid_pre"), ("mlp_ratio", "mlp_out", "resid_mid")):
            ratio = norms[over][:, rows] / norms[under][:, rows]
            tensors[part] = np.where(np.isfinite(ratio), ratio, np.float32(np.nan)).astype(np.float32)
    metadata = {
        "shapes": json.dumps({name: array.shape for name, array in stream.items()}),
        "ranges": json.dumps({name: plain(known[name]) for name in names}, allow_nan=False),
        "next": dumps(following).decode(),
    }
    return pack(tensors, metadata)

"""Leaving a step out: a site takes what went into the step instead of what came out of it.

`attn.qk_scaled` without its step is `attn.qk` (no ÷ √d), `attn.attn_scores` is `attn.qk_scaled` (no mask),
`attn.rot_q` and `attn.rot_k` are the query and the key as they were (no positions), `resid_mid` is `resid_pre` (no
attention), `ln1.out` is `ln1.normalized` (no gain).
"""

from __future__ import annotations

from typing import Any

from cutaway.config import ModelConfig
from cutaway.errors import BadSelection
from cutaway.sites import Site, declared

Array = Any


def left_out(config: ModelConfig, site: Site) -> str:
    """The site whose value `site` takes when its step is left out: the first of its declared inputs that has its
    axes and is computed in the same part of the model. Raises `BadSelection` where there is none."""
    if site.name.endswith("attn.pattern"):
        raise BadSelection(
            f"{site.name} without its softmax would be scores, -inf where the mask is, and not shares; skip"
            " attn.attn_scores (the mask) or attn.qk_scaled (the division) instead."
        )
    sites = declared(config)
    for each in site.inputs:
        before = sites.get(each.name)
        if before is not None and before.axes == site.axes and before.block == site.block and _is_emitted(before):
            return before.name
    raise BadSelection(
        f"the step to {site.name} cannot be skipped: none of what goes into it has its axes"
        f" ({', '.join(site.axes)}); use zero, mean or set to put something in its place."
    )


def _is_emitted(before: Site) -> bool:
    """Whether it passes by in the same run of a part of the model: what is before the blocks is run by itself."""
    return before.name not in ("embed", "pos_embed")


class Passing:
    """Holds on to a value as it goes by, until the step after it is done."""

    def __init__(self) -> None:
        self._value: Array = None

    def keep(self, value: Array) -> Array:
        self._value = value
        return value

    def take(self) -> Array:
        value, self._value = self._value, None
        return value

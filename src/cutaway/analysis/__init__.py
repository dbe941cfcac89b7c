"""What can be computed from a trace or a shape: arrays and dataclasses, never figures.

`parameters` counts what a model has learned (and what it costs to run), real or hypothetical. `logit_lens`,
`attribution`, `heads` and `neurons` read a trace; `compare` reads two. `detectors` and `patching` run a model again
and again; `vocabulary` searches its tokens.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cutaway.analysis.attribution import attribute_logit, attribute_neurons
    from cutaway.analysis.compare import Cosines, cosines
    from cutaway.analysis.detectors import HeadDetectors, detect_heads
    from cutaway.analysis.heads import head_scores, strongest
    from cutaway.analysis.neurons import LargestNeuron, largest_neurons
    from cutaway.analysis.parameters import count, model_shape
    from cutaway.analysis.patching import PatchingSweep, SweepRow
    from cutaway.analysis.vocabulary import Vocabulary

__all__ = [
    "Cosines",
    "HeadDetectors",
    "LargestNeuron",
    "PatchingSweep",
    "SweepRow",
    "Vocabulary",
    "attribute_logit",
    "attribute_neurons",
    "cosines",
    "count",
    "detect_heads",
    "head_scores",
    "largest_neurons",
    "model_shape",
    "strongest",
]

_MODULES = {
    "attribution": (
        "attribute_logit",
        "attribute_neurons",
    ),
    "compare": (
        "Cosines",
        "cosines",
    ),
    "detectors": (
        "HeadDetectors",
        "detect_heads",
    ),
    "heads": (
        "head_scores",
        "strongest",
    ),
    "neurons": (
        "LargestNeuron",
        "largest_neurons",
    ),
    "parameters": (
        "count",
        "model_shape",
    ),
    "patching": (
        "PatchingSweep",
        "SweepRow",
    ),
    "vocabulary": ("Vocabulary",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Modules are loaded when something of theirs is first used: a trace needs none of them."""
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""What can be computed from a trace or a shape: arrays and dataclasses, never figures.

`parameters` counts what a model has learned (and what it costs to run), real or hypothetical. `logit_lens`,
`attribution`, `heads` and `neurons` read a trace; `compare` reads two. `detectors` and `patching` run a model again
and again; `vocabulary` searches its tokens.
"""

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

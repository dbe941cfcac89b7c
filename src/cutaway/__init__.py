"""Cutaway: a Transformer language model with its side removed, while it still runs.

import cutaway
model = cutaway.load("smollm2-135m")
trace = model.trace("Data visualization empowers users to")
trace["blocks.3.attn.pattern"]               # [head, q_pos, k_pos]
trace.next_tokens(10)
with model.intervene({"blocks.3.attn.z": cutaway.zero(head=2)}) as edited: ...
for step in model.generate("The robots will bring", max_new_tokens=20, seed=1): ...
"""

from cutaway.config import ModelConfig
from cutaway.engine import Model, load, load_trace
from cutaway.errors import CutawayError
from cutaway.trace.interventions import Intervention, add, function, mean, patch, scale, set_to, skip, zero
from cutaway.trace.trace import Trace

set = set_to  # the name people look for; `set_to` is the same where a builtin must not be shadowed

__version__ = "0.1.0"

__all__ = [
    "CutawayError",
    "Intervention",
    "Model",
    "ModelConfig",
    "Trace",
    "__version__",
    "add",
    "function",
    "load",
    "load_trace",
    "mean",
    "patch",
    "scale",
    "set",
    "set_to",
    "skip",
    "zero",
]

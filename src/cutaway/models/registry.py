"""Which file holds an architecture's equations.

To add one: a file here, its traits in `config.TRAITS`, its name below.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from cutaway.config import ModelConfig
from cutaway.models import gpt2, llama, mistral, qwen2, qwen3

ARCHITECTURES: Mapping[str, ModuleType] = {
    "gpt2": gpt2,
    "llama": llama,
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
}


def equations(config: ModelConfig) -> ModuleType:
    """The module with this model's `embed`, `block` and `unembed`."""
    return ARCHITECTURES[config.architecture]

"""Tiny random models of every shape, made in memory: real computation, no files, no downloads."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from cutaway.config import ModelConfig, RopeScaling
from cutaway.engine import Model
from cutaway.parameters import Parameters
from cutaway.sites.parameters import declared_parameters

BASE: dict[str, Any] = {
    "n_layer": 3,
    "n_head": 4,
    "n_kv_head": 2,
    "n_ctx": 64,
    "n_vocab": 97,
    "d_model": 32,
    "d_head": 8,
    "d_mlp": 48,
    "activation": "silu",
    "norm_eps": 1e-5,
    "tied": False,
}
GPT2 = {"architecture": "gpt2", "n_kv_head": 4, "activation": "gelu_new"}

# name -> what differs from BASE
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {**GPT2, "tied": True},
    "gpt2-untied": GPT2,
    "gpt2-no-bias": {**GPT2, "tied": True, "bias": False},
    "llama-gqa": {"architecture": "llama"},
    "llama-mha": {"architecture": "llama", "n_kv_head": 4},
    "llama-mqa-tied": {"architecture": "llama", "n_kv_head": 1, "tied": True},
    "llama-rope-scaled": {
        "architecture": "llama",
        "rope_base": 500.0,
        "rope_scaling": RopeScaling("llama3", 8.0, 1.0, 4.0, 32),
    },
    "mistral-window": {"architecture": "mistral", "sliding_window": 5},
    "qwen2": {"architecture": "qwen2"},
    "qwen3": {"architecture": "qwen3", "d_head": 16},
}


def tiny_config(shape: str, **overrides: Any) -> ModelConfig:
    """The configuration of one of `SHAPES`."""
    return ModelConfig(**{**BASE, "name": f"tiny-{shape}", **SHAPES[shape], **overrides})


def random_parameters(config: ModelConfig, seed: int = 0) -> Parameters:
    """Seeded weights, large enough that patterns are far from uniform and every bias matters."""

    def read(name: str) -> np.ndarray:
        shape = declared_parameters(config)[name].stored_shape
        draw = np.random.default_rng([seed, zlib.crc32(name.encode())])
        values = draw.normal(0.0, 1.0, shape).astype(np.float32)
        leaf = name.rsplit(".", 1)[-1]
        if leaf == "w":
            return 1.0 + np.float32(0.2) * values
        if leaf.startswith("b"):
            return np.float32(0.3) * values
        if name == "W_E":
            return values
        return values * np.float32(1.6 / np.sqrt(shape[0]))

    return Parameters(config, read)


def tiny_model(shape: str, seed: int = 0, **overrides: Any) -> Model:
    """A model without a tokenizer: it works on ids."""
    config = tiny_config(shape, **overrides)
    return Model(config, random_parameters(config, seed), name=config.name)


def some_ids(n: int, seed: int = 0, n_vocab: int = 97) -> list[int]:
    return [int(i) for i in np.random.default_rng([7, seed]).integers(0, n_vocab, n)]

"""TransformerLens' bridge over transformers, on the weights that Cutaway runs."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import torch
import transformer_lens  # noqa: F401  # missing, this side says so at once

import cutaway
from benchmarks.peers import transformer_lens as bridge


class Work:
    def __init__(self, threads: int, path: str | None = None) -> None:
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self._opened = bridge(cutaway.load(path))
        self.model = self._opened.__enter__()

    def about(self) -> dict[str, Any]:
        return {"version": f"transformer-lens {version('transformer-lens')}, torch {torch.__version__}"}

    def keys(self, ids: list[int]) -> dict[str, Any]:
        """What its cache holds."""
        _, cache = self.model.run_with_cache(torch.tensor([ids]))
        return {"seconds": 0.0, "keys": list(cache.keys())}

    def captured(self, ids: list[int]) -> dict[str, Any]:
        """`run_with_cache`; everything it holds as arrays, alive until the clock stops."""
        began = time.perf_counter()
        _, cache = self.model.run_with_cache(torch.tensor([ids]))
        held = [each.numpy() for each in cache.values()]
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "arrays": len(held), "bytes": sum(each.nbytes for each in held)}

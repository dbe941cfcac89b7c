"""Cutaway, through its public functions."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import cutaway
from benchmarks.measure import peak_memory
from cutaway.generation.kv_cache import KVCache
from cutaway.models.forward import forward, unembed
from cutaway.parameters import Parameters


class Work:
    """`path`: a file or folder. `n_layer`: only so many of its blocks. `ready`: the weights are read at once."""

    def __init__(self, path: str, threads: int, n_layer: int | None = None, ready: bool = True) -> None:
        whole = cutaway.load(path)
        self.model = whole if n_layer is None else _shorter(whole, n_layer)
        if ready:
            self.model.trace([1, 2, 3]).logits()

    def about(self) -> dict[str, Any]:
        return {"version": f"cutaway {cutaway.__version__}"}

    def _run(self, ids: list[int], cache: KVCache) -> int:
        model = self.model
        x = forward(model.config, model.parameters, np.asarray(ids), cache=cache)
        return int(unembed(model.config, model.parameters, x[-1:])[0].argmax())

    def prefill(self, ids: list[int]) -> dict[str, Any]:
        """One pass over `ids`, from an empty cache to the last position's logits; nobody watches."""
        cache = KVCache(self.model.config.n_layer)
        began = time.perf_counter()
        best = self._run(ids, cache)
        return {"seconds": time.perf_counter() - began, "best": best}

    def decode(self, ids: list[int], n: int) -> dict[str, Any]:
        """`n` greedy steps behind `ids`, which are read before the clock runs; nobody watches."""
        cache = KVCache(self.model.config.n_layer)
        best = self._run(ids, cache)
        out = [best]
        began = time.perf_counter()
        for _ in range(n):
            best = self._run([best], cache)
            out.append(best)
        return {"seconds": time.perf_counter() - began, "ids": out}

    def watched(self, ids: list[int], n: int) -> dict[str, Any]:
        """The same through `generate`, every step kept, so that any site of any position can be read afterwards;
        one of each kind is read to see that it can, when the clock has stopped."""
        steps: Iterator[Any] = self.model.generate(ids, max_new_tokens=n + 1, temperature=0, eos_ids=())
        kept = [next(steps)]
        began = time.perf_counter()
        kept.extend(steps)
        seconds = time.perf_counter() - began
        assert len(kept) == n + 1
        for at in (1, n // 2, n):
            pattern = kept[at].trace[f"blocks.{at % self.model.config.n_layer}.attn.pattern"]
            assert pattern.shape[-1] == len(ids) + at and abs(float(pattern[0, -1].sum()) - 1) < 1e-4
        return {"seconds": seconds, "ids": [step.token_id for step in kept]}

    def written(self, ids: list[int], n: int, lookup: int) -> dict[str, Any]:
        """`generate`, with drafts of up to `lookup` tokens or none; the prompt is read before the clock runs."""
        steps: Iterator[Any] = self.model.generate(
            ids, max_new_tokens=n + 1, temperature=0, lookup=lookup, eos_ids=()
        )
        kept = [next(steps)]
        began = time.perf_counter()
        kept.extend(steps)
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds,
            "ids": [step.token_id for step in kept],
            "drafted": sum(step.drafted for step in kept),
        }

    def chat_ids(self, text: str) -> dict[str, Any]:
        return {"seconds": 0.0, "ids": self.model.chat_ids([{"role": "user", "content": text}])}

    def captured(self, ids: list[int], names: list[str]) -> dict[str, Any]:
        """One pass that keeps `names` as they go by; all of them as arrays, alive until the clock stops."""
        began = time.perf_counter()
        trace = self.model.trace(ids, record=names)
        held = [trace[name] for name in names]
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "arrays": len(held), "bytes": sum(each.nbytes for each in held)}

    def replayed(self, ids: list[int], names: list[str]) -> dict[str, Any]:
        """A lazy pass, then `names` by replay; all of them as arrays, alive until the clock stops."""
        began = time.perf_counter()
        trace = self.model.trace(ids)
        held = list(trace.read_many(names).values())
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "arrays": len(held), "bytes": sum(each.nbytes for each in held)}

    def batch(self, texts: list[list[int]]) -> dict[str, Any]:
        """Several texts in one pass, traced, and the last logits of each."""
        began = time.perf_counter()
        for trace in self.model.trace(texts):
            trace.logits()
        return {"seconds": time.perf_counter() - began}

    def same_as_lens(self, keys: list[str]) -> dict[str, Any]:
        """Our sites for what TransformerLens' cache holds."""
        from benchmarks.peers import our_names

        return {"seconds": 0.0, "names": our_names(self.model, keys)}

    def same_as_transformers(self) -> dict[str, Any]:
        """Our sites for what transformers gives with attentions and hidden states."""
        blocks = range(self.model.config.n_layer)
        names = [f"blocks.{i}.{site}" for i in blocks for site in ("resid_pre", "attn.pattern")]
        return {"seconds": 0.0, "names": [*names, "ln_final.out", "logits"]}

    def peak(self, ids: list[int]) -> dict[str, Any]:
        """A lazily traced pass and the last position's logits, and the most memory this process ever held."""
        began = time.perf_counter()
        trace = self.model.trace(ids)
        trace.logits()
        seconds = time.perf_counter() - began
        gc.collect()
        return {"seconds": seconds, "bytes": peak_memory()}


def _shorter(model: cutaway.Model, n_layer: int) -> cutaway.Model:
    config = dataclasses.replace(model.config, n_layer=n_layer)
    assert model.checkpoint is not None
    packed = getattr(model.checkpoint, "packed_rows", None)
    return cutaway.Model(config, Parameters(config, model.checkpoint.read, None, packed), name=model.name)

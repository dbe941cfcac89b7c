"""llama.cpp, through the low-level `llama_decode` of llama-cpp-python: nothing of its Python layer is timed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np

from benchmarks.measure import peak_memory


class Work:
    """One model in one context. `flash_attention`: on or off; the kernels and the cache's half precision are its own
    defaults."""

    def __init__(self, path: str, threads: int, flash_attention: bool, n_ctx: int = 4608, n_seq: int = 1) -> None:
        llama_cpp.llama_backend_init()
        self._quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._quiet, None)
        self._model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        if not self._model:
            raise RuntimeError(f"llama.cpp does not open {path}")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = n_ctx * n_seq
        settings.n_batch = settings.n_ctx  # a text in one call; it cuts it into its own smaller batches
        settings.n_seq_max = n_seq
        settings.n_threads = settings.n_threads_batch = threads
        settings.flash_attn_type = int(flash_attention)
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        if not self._context:
            raise RuntimeError("llama.cpp makes no context with these settings")
        self._n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

    def about(self) -> dict[str, Any]:
        return {"version": f"llama-cpp-python {llama_cpp.__version__}"}

    def _forget(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)

    def _run(self, ids: Sequence[int]) -> int:
        """Reads `ids` behind what is remembered; the likeliest next id (logits of the last position alone)."""
        tokens = (llama_cpp.llama_token * len(ids))(*ids)
        status = llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(tokens, len(ids)))
        if status:
            raise RuntimeError(f"llama_decode gave {status}")
        logits = llama_cpp.llama_get_logits_ith(self._context, -1)
        return int(np.ctypeslib.as_array(logits, (self._n_vocab,)).argmax())

    def prefill(self, ids: list[int]) -> dict[str, Any]:
        """One pass over `ids`, from an empty cache to the last position's logits."""
        self._forget()
        began = time.perf_counter()
        best = self._run(ids)
        return {"seconds": time.perf_counter() - began, "best": best}

    def decode(self, ids: list[int], n: int) -> dict[str, Any]:
        """`n` greedy steps behind `ids`, which are read before the clock runs."""
        self._forget()
        best = self._run(ids)
        out = [best]
        began = time.perf_counter()
        for _ in range(n):
            best = self._run([best])
            out.append(best)
        return {"seconds": time.perf_counter() - began, "ids": out}

    def peak(self, ids: list[int]) -> dict[str, Any]:
        """The same work in the same process, and the most memory it ever held."""
        return self.prefill(ids) | {"bytes": peak_memory()}

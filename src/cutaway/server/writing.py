"""A model that writes: one pass at a time, each a piece of work of its own, so that readers take turns in between."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from cutaway.config import ModelConfig
from cutaway.engine import Model
from cutaway.errors import BadInput
from cutaway.generation.decode import Step, generate
from cutaway.generation.kv_cache import KVCache
from cutaway.server.limits import Limits
from cutaway.server.refusals import Busy
from cutaway.tap import SILENT, Tap
from cutaway.wire import structures as s
from cutaway.wire.answers import choice_answer, token_answer

MOST_STOPS, LONGEST_STOP, MOST_CANDIDATES, LONGEST_DRAFT = 16, 200, 100, 64


class Doorman:
    """A tap beside the pass that changes nothing, and stops it at a block's door when `check` raises."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def __call__(self, site: str, value: Any) -> Any:
        return value

    def wants(self, site: str) -> bool:
        return False

    def only_reads(self) -> None:
        return None

    def within(self, prefix: str) -> Tap:
        self._check()
        return SILENT


class Watched(Protocol):
    """`generation.passes.Passes`: passes with a tap beside."""

    @property
    def config(self) -> ModelConfig: ...
    @property
    def needs_whole_run(self) -> bool: ...
    def forward(self, ids: Sequence[int], cache: KVCache | None = ..., *, beside: Tap = ...) -> Any: ...
    def logits(self, kept: Any, rows: Sequence[int]) -> np.ndarray: ...
    def trace(self, ids: Sequence[int], kept: Any, row: int | None = ..., cache: Any = ...) -> Any: ...


class Measured:
    """Passes that note what each of them held, computed and took, and stop where `check` raises."""

    def __init__(self, passes: Watched, check: Callable[[], None]) -> None:
        self._passes = passes
        self._cache: KVCache | None = None
        self._held = self._computed = 0
        self._seconds = 0.0
        self._doorman = Doorman(check)

    @property
    def config(self) -> ModelConfig:
        return self._passes.config

    @property
    def needs_whole_run(self) -> bool:
        return self._passes.needs_whole_run

    def forward(self, ids: Sequence[int], cache: KVCache | None) -> Any:
        self._cache = cache
        self._held = 0 if cache is None else cache.length
        self._computed = len(ids)
        start = time.perf_counter()
        kept = self._passes.forward(ids, cache, beside=self._doorman)
        self._seconds += time.perf_counter() - start
        return kept

    def logits(self, kept: Any, rows: Sequence[int]) -> np.ndarray:
        start = time.perf_counter()
        logits = self._passes.logits(kept, rows)
        self._seconds += time.perf_counter() - start
        return logits

    def trace(self, ids: Sequence[int], kept: Any, row: int, cache: KVCache | None) -> Any:
        return self._passes.trace(ids, kept, row, cache)

    def cache(self) -> s.CacheAnswer:
        """Of the last pass."""
        size = 0 if self._cache is None else self._cache.nbytes
        return s.CacheAnswer(self._held, self._computed, size, self._cache is not None)

    def take_seconds(self) -> float:
        """Since it was asked last."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class Writing:
    """One generation, checked. `check` stops it at a block's door. Raises `BadInput`."""

    def __init__(
        self,
        model: Model,
        ids: Sequence[int],
        asked: s.GenerateRequest,
        limits: Limits,
        check: Callable[[], None],
    ) -> None:
        settings = asked.settings
        window = _window(model.config.n_ctx, settings.n_ctx, limits.max_tokens)
        _require("max_new_tokens", settings.max_new_tokens, 1, limits.new_tokens)
        _require("lookup", settings.lookup, 0, LONGEST_DRAFT)
        _require("k", asked.k, 1, MOST_CANDIDATES)
        if len(asked.stop) > MOST_STOPS or any(len(each) > LONGEST_STOP for each in asked.stop):
            raise BadInput(f"at most {MOST_STOPS} stop strings are taken, of {LONGEST_STOP} characters at most.")
        decoder, ends = None, list[int]()
        if model.tokenizer is not None:
            from cutaway.tokenizers import StreamDecoder

            decoder, ends = StreamDecoder(model.tokenizer), list(model.tokenizer.eos_ids)
        seed = secrets.randbits(32) if settings.seed is None else settings.seed
        self._model = model
        self._k = asked.k
        self._passes = Measured(model.passes, check)
        self._steps = generate(
            self._passes,
            ids,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            min_p=settings.min_p,
            repetition_penalty=settings.repetition_penalty,
            seed=seed,
            stop=asked.stop,
            eos_ids=ends,
            decoder=decoder,
            lookup=settings.lookup,
            n_ctx=window,
            index=settings.index,
        )
        self.ids = list(ids)
        self.start = s.GenerateStart([token_answer(model.token(id)) for id in ids], window, seed)
        self.most_bytes = min(len(ids) + settings.max_new_tokens, window) * bytes_per_position(model.config)

    def steps(self) -> Iterator[s.StepAnswer]:
        """A pass, and what it settled; one more pass; and so on."""
        for step in self._steps:
            self.ids.append(step.token_id)
            yield self._answer(step)

    def _answer(self, step: Step) -> s.StepAnswer:
        piece = self._model.token
        following = choice_answer(step.choice, piece, position=step.position - 1, k=self._k)
        draft, dropped = None, None
        if step.draft is not None:
            guessed = [token_answer(piece(id)) for id in step.draft.ids]
            draft = s.DraftAnswer(guessed, step.draft.accepted)
        if step.dropped is not None:
            dropped = s.DroppedAnswer(step.dropped.tokens, step.dropped.prefilled)
        return s.StepAnswer(
            index=step.index,
            position=step.position,
            token=following.chosen,
            text=step.text,
            candidates=following.candidates,
            kept=following.kept,
            draw=following.draw,
            drafted=step.drafted,
            draft=draft,
            dropped=dropped,
            finish=step.finish,
            cache=self._passes.cache(),
            seconds=self._passes.take_seconds(),
        )


def bytes_per_position(config: ModelConfig) -> int:
    """What a cache holds for one position. Its buffers grow by doubling, so that up to twice that is set aside."""
    return 2 * 2 * config.n_layer * config.n_kv_head * config.d_head * 4


class Caches:
    """How much memory all generations together may take for keys and values. Thread-safe."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._taken = 0
        self._lock = threading.Lock()

    @contextmanager
    def room_for(self, n_bytes: int) -> Iterator[None]:
        """Raises `Busy` where others have it all. One alone always has room."""
        with self._lock:
            if self._taken and self._taken + n_bytes > self._most:
                raise Busy("as many texts are being written here as fit into memory; try again in a second.")
            self._taken += n_bytes
        try:
            yield
        finally:
            with self._lock:
                self._taken -= n_bytes


def _window(n_ctx: int, asked: int | None, most: int) -> int:
    """How many positions the model sees."""
    if asked is None:
        return min(n_ctx, most)
    _require("n_ctx", asked, 1, min(n_ctx, most))
    return asked


def _require(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise BadInput(f"{name} is {value}; this server takes {least} to {most:,}.")

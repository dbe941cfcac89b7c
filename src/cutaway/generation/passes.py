"""Passes that are watched: what a lazy trace keeps of one, and how a part of it is run again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cutaway.config import ModelConfig
from cutaway.errors import BadNumbers
from cutaway.models.forward import Cache, block, forward, unembed
from cutaway.models.registry import equations
from cutaway.models.run import Memory, Run
from cutaway.parameters import Parameters
from cutaway.sites import declared, residual_stream
from cutaway.tap import SILENT, Both, Tap
from cutaway.trace.interventions import Interventions
from cutaway.trace.listening import Listening
from cutaway.trace.trace import Piece, Trace

Pasts = Callable[[int], tuple[np.ndarray, np.ndarray] | None]


class Past:
    """Remembered keys and values of one block, to which a replayed row adds its own without changing them."""

    def __init__(self, k: np.ndarray, v: np.ndarray) -> None:
        self._k = k
        self._v = v

    def extend(self, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate([self._k, k], axis=0), np.concatenate([self._v, v], axis=0)

    def room(self, n: int, shape: tuple[int, int]) -> tuple[int, np.ndarray, np.ndarray]:
        """A copy with room for `n` more rows."""
        start = len(self._k)
        k, v = (np.empty((start + n, *shape), np.float32) for _ in range(2))
        k[:start], v[:start] = self._k, self._v
        return start, k, v


class ModelReplay:
    """`trace.Replay` over a model: one part of a pass over `ids`, from row `start` on."""

    def __init__(
        self,
        config: ModelConfig,
        parameters: Parameters,
        ids: Sequence[int],
        start: int = 0,
        past: Pasts | None = None,
    ) -> None:
        self.config = config
        self.parameters = parameters
        self._ids = np.asarray(ids)
        self._start = start
        self._past = past

    def _run(self) -> Run:
        like = self.parameters.stored("ln_final.w")
        return Run.of(self.config, like, [len(self._ids) - self._start], self._start)

    def before(self, tap: Tap) -> None:
        equations(self.config).embed(self.config, self.parameters, self._ids[self._start :], self._run(), tap)

    def block(self, i: int, x: np.ndarray, tap: Tap) -> None:
        past = self.past(i)
        memory: Memory | None = None if past is None else Past(*past)
        block(self.config, self.parameters.block(i), x, self._run(), tap, memory)

    def after(self, x: np.ndarray, tap: Tap) -> None:
        unembed(self.config, self.parameters, x, tap=tap)

    def past(self, i: int) -> tuple[np.ndarray, np.ndarray] | None:
        return None if self._past is None else self._past(i)

    def step(self, row: int, past: Pasts) -> ModelReplay:
        at = self._start + row
        return ModelReplay(self.config, self.parameters, self._ids[: at + 1].tolist(), at, past)


@dataclass(frozen=True)
class Kept:
    """What a pass left: the residual stream between blocks, n_layer + 1 arrays [pos, d_model], and what else was
    recorded. `start` is the position of the first row."""

    residual: list[np.ndarray]
    recorded: dict[str, np.ndarray]
    start: int


class Passes:
    """Runs one model with one set of interventions, and keeps what a lazy trace needs."""

    def __init__(
        self,
        config: ModelConfig,
        parameters: Parameters,
        interventions: Interventions,
        piece: Callable[[int], Piece],
        name: str = "",
    ) -> None:
        self.config = config
        self.parameters = parameters
        self.interventions = interventions
        self._piece = piece
        self._name = name
        self._stream = list(residual_stream(config))

    @property
    def needs_whole_run(self) -> bool:
        """Whether an intervention looks at the whole run, so that nothing may be cached."""
        return self.interventions.needs_whole_run

    def forward(
        self,
        ids: Sequence[int],
        cache: Cache | None = None,
        *,
        record: Iterable[str] = (),
        lengths: Sequence[int] | None = None,
        beside: Tap = SILENT,
    ) -> Kept:
        """One pass over `ids` (which follow what `cache` holds). Raises `BadNumbers` where it ends in NaN.

        `beside` sees every value as it is used, and may stop the pass by raising; it is entered once a block.
        """
        start = cache.length if cache is not None else 0
        n_pos = start + len(ids)
        record = set(record)
        self.parameters.read_all()
        listening = Listening({*self._stream, *record}, self.interventions.edits(np.arange(start, n_pos), n_pos))
        tap: Tap = listening if beside is SILENT else Both(listening, beside)
        x = forward(self.config, self.parameters, np.asarray(ids), tap=tap, cache=cache, lengths=lengths)
        last = np.cumsum(lengths or [len(ids)]) - 1  # of each text
        if not self.interventions and not np.isfinite(x[last]).all():
            self.refuse_non_finite()
        kept = listening.kept
        return Kept([kept[name] for name in self._stream], {name: kept[name] for name in record}, start)

    def refuse_non_finite(self) -> None:
        """Names the weight that holds NaN or infinity; if none does, says that the computation itself overflowed."""
        self.parameters.refuse_non_finite()
        raise BadNumbers("the computation overflowed float32, though every weight is a finite number.")

    def logits(self, kept: Kept, rows: Sequence[int]) -> np.ndarray:  # -> [rows, vocab]
        """The logits of these rows of a pass."""
        n_rows = len(kept.residual[-1])
        at = np.asarray(rows) % n_rows
        whole = self.needs_whole_run  # a change at the end may look at every row
        computed = np.arange(n_rows) if whole else at
        edits = self.interventions.edits(computed + kept.start, kept.start + n_rows)
        listening = Listening({"logits"}, edits)
        unembed(self.config, self.parameters, kept.residual[-1][computed], tap=listening)
        logits: np.ndarray = listening.kept["logits"]
        if not self.interventions and not np.isfinite(logits).all():
            self.refuse_non_finite()
        return logits[at] if whole else logits

    def trace(self, ids: Sequence[int], kept: Kept, row: int | None = None, cache: Any = None) -> Trace:
        """The lazy trace of a whole pass, or of one `row` of it. `cache` (its `past(layer, n)`) holds the keys and
        values of what came before that row."""
        first = kept.start if row is None else kept.start + row
        if row is not None and cache is not None:
            residual = [each[row : row + 1] for each in kept.residual]
            past: Pasts | None = functools.partial(cache.past, n=first)
            ids = ids[: first + 1]
        else:
            residual, past, first = kept.residual, None, 0
        replay = ModelReplay(self.config, self.parameters, ids, first, past)
        return Trace(
            config=self.config,
            ids=ids,
            residual=residual,
            replay=replay,
            piece=self._piece,
            interventions=self.interventions,
            start=first,
            kept=kept.recorded,
            model=self._name,
        )

    def capture(self, ids: Sequence[int], record: Sequence[str], beside: Tap = SILENT) -> Trace:
        """A whole pass over one text, the sites in `record` kept as they go by; `beside` as in `forward`."""
        sites = declared(self.config)
        late = [name for name in record if sites[name].block is None and name not in ("embed", "pos_embed")]
        kept = self.forward(ids, record=set(record) - set(late), beside=beside)
        trace = self.trace(ids, kept)
        if late:
            kept.recorded.update(trace.read_many(late))
            trace = self.trace(ids, kept)
        return trace

    def capture_packed(self, texts: Sequence[Sequence[int]]) -> list[Trace]:
        """Several texts in one pass, each as if it were alone (only where nobody intervenes)."""
        assert not self.interventions
        lengths = [len(each) for each in texts]
        packed = self.forward([i for each in texts for i in each], lengths=lengths)
        traces, end = [], 0
        for ids in texts:
            start, end = end, end + len(ids)
            own = Kept([np.ascontiguousarray(each[start:end]) for each in packed.residual], {}, 0)
            traces.append(self.trace(ids, own))
        return traces

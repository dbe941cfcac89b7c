"""A patching sweep: which layer and position carry what makes the difference between two texts.

Activation patching ("Investigating Gender Bias in Language Models Using Causal Mediation Analysis", Vig et al. 2020;
"Locating and Editing Factual Associations in GPT", Meng et al. 2022): the corrupted text is run again and again, each
time with one vector (at one layer and position) set to what it was in the clean text's run. Where that brings the
clean answer back, that vector carried it.

Each run starts at the layer that is patched, and the positions of one layer run together, packed: the result is that
of `model.intervene({site: patch(clean, pos=…)}).trace(corrupted)`, in a fraction of the time. In a text that is too
long to run with others, each run starts at the patched position as well: what stands before it cannot change, so that
its keys and values are the corrupted run's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cutaway.config import ModelConfig
from cutaway.errors import BadInput, BadSelection
from cutaway.generation.passes import Past
from cutaway.models.forward import block, unembed
from cutaway.models.run import Run
from cutaway.tap import SILENT, Tap
from cutaway.trace.selection import pick

if TYPE_CHECKING:
    from cutaway.parameters import Parameters
    from cutaway.trace.interventions import Interventions
    from cutaway.trace.trace import Trace

SITES = ("resid_pre", "attn_out", "mlp_out")
ROWS_AT_ONCE = 512  # positions that run together, of however many texts
# Up to so many positions, several texts run together; a longer one alone, from the patched position on.
TOGETHER = ROWS_AT_ONCE // 2
# Rows times blocks after which others may have a turn, where one run of a long text takes longer than that.
WORK_AT_ONCE = 1 << 13


class Runnable(Protocol):
    """A `Model`."""

    @property
    def config(self) -> ModelConfig: ...
    @property
    def parameters(self) -> Parameters: ...
    @property
    def interventions(self) -> Interventions: ...

    def trace(self, text: Any, /) -> Trace: ...


@dataclass(frozen=True)
class SweepRow:
    """One layer: what is watched, by the position of the corrupted text that was patched (NaN: none was)."""

    layer: int
    values: np.ndarray


class PatchingSweep:
    """A sweep that is ready to run: `for row in sweep: …`, or `sweep.values()`.

    What is watched is the logit of `token` after the last position (or its lead over `against`): `clean` and
    `corrupted` say what it is in the two runs as they are. `pairs`: (position in corrupted, position in clean).
    """

    def __init__(
        self,
        model: Runnable,
        clean: Any,
        corrupted: Any,
        token: int,
        *,
        against: int | None = None,
        site: str = "resid_pre",
        pairs: Sequence[Sequence[int]] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`clean` and `corrupted`: texts, ids, or traces of this model. `site`: one of `SITES`. `pairs`: which
        positions belong together; without them, each that both texts have. `check` is called before each block, and
        may end the sweep by raising.

        Raises `BadInput` for a token outside the vocabulary and for a model that somebody changed; `BadSelection` for
        another site, and for positions outside.
        """
        config = model.config
        if model.interventions:
            raise BadInput("the sweep makes its own changes; give it the model without others.")
        if site not in SITES:
            raise BadSelection(f'the sweep patches {", ".join(SITES)}; "{site}" is none of them.')
        for id in (token, *(() if against is None else (against,))):
            if not 0 <= id < config.n_vocab:
                raise BadInput(f"token id {id} is outside this model's vocabulary, 0 to {config.n_vocab - 1}.")
        self.site = site
        self.token = int(token)
        self.against = None if against is None else int(against)
        self.n_layer = config.n_layer
        self._model = model
        self._check = check
        self._clean = clean if hasattr(clean, "read_many") else model.trace(clean)
        check()
        self._corrupted = corrupted if hasattr(corrupted, "read_many") else model.trace(corrupted)
        check()
        self.n_pos = len(self._corrupted)
        self.pairs = self._paired(pairs)
        self.clean, self.corrupted = (
            self._watched(each["logits"][-1:])[0] for each in (self._clean, self._corrupted)
        )

    def _paired(self, pairs: Sequence[Sequence[int]] | None) -> tuple[tuple[int, int], ...]:
        if pairs is None:
            return tuple((i, i) for i in range(min(len(self._clean), self.n_pos)))
        if any(len(each) != 2 for each in pairs):
            raise BadSelection("each pair is two positions: one in the corrupted text, one in the clean one.")
        here = pick([pair[0] for pair in pairs], self.n_pos, "pos", "the corrupted text").tolist()
        there = pick([pair[1] for pair in pairs], len(self._clean), "pos", "the clean text").tolist()
        if len(set(here)) < len(here):
            raise BadSelection("a position of the corrupted text is paired twice; say it once.")
        return tuple(zip(here, there, strict=True))

    def __iter__(self) -> Iterator[SweepRow]:
        """Layer by layer, from the first."""
        return (row for row in self.steps() if row is not None)

    def steps(self) -> Iterator[SweepRow | None]:
        """The same in smaller steps: None between the parts of a layer, each of `ROWS_AT_ONCE` rows, and (in a long
        text) inside of them."""
        for layer in range(self.n_layer):
            yield from self._row(layer)

    def values(self) -> np.ndarray:  # [layer, pos]
        """The whole map."""
        return np.stack([row.values for row in self])

    def _row(self, layer: int) -> Iterator[SweepRow | None]:
        found = np.full(self.n_pos, np.nan, dtype=np.float32)
        at_once = max(1, ROWS_AT_ONCE // self.n_pos)
        name = f"blocks.{layer}.{self.site}"
        put, own = self._clean[name], self._corrupted[name]
        here, there = ([pair[side] for pair in self.pairs] for side in (0, 1))
        # where both have the very same vector, as before the first token that differs, nothing is changed
        found[here] = self.corrupted
        pairs = [
            pair for pair, differ in zip(self.pairs, (put[there] != own[here]).any(axis=1), strict=True) if differ
        ]
        if self.n_pos > TOGETHER:
            for n, (a, b) in enumerate(pairs):
                if n:
                    yield None
                found[a] = yield from self._run_on(layer, a, put[b])
            pairs = []
        for first in range(0, len(pairs), at_once):
            rows = [a for a, _ in pairs[first : first + at_once]]
            if first:
                yield None
            found[rows] = self._run(layer, rows, put[[b for _, b in pairs[first : first + at_once]]])
        yield SweepRow(layer, found)

    def _run(self, layer: int, here: Sequence[int], put: np.ndarray) -> np.ndarray:  # [run] [run, d_model] -> [run]
        """The corrupted text so many times, each with one row of `put` at one position of `here`."""
        config, parameters, n_pos = self._model.config, self._model.parameters, self.n_pos
        x = np.tile(self._corrupted[f"blocks.{layer}.resid_pre"], (len(here), 1))  # [run · pos, d_model]
        rows = np.arange(len(here)) * n_pos + np.asarray(here)
        run = Run.of(config, x, [n_pos] * len(here))
        tap = self._patch(x, rows, put)
        for i in range(layer, config.n_layer):
            self._check()
            x = block(config, parameters.block(i), x, run, tap if i == layer else SILENT, None)
        last = x[n_pos - 1 :: n_pos]
        return self._watched(unembed(config, parameters, last))

    def _run_on(self, layer: int, at: int, put: np.ndarray) -> Generator[None, None, float]:  # [d_model] -> []
        """The corrupted text once, with `put` at position `at`, from there on."""
        config, parameters = self._model.config, self._model.parameters
        x = np.array(self._corrupted[f"blocks.{layer}.resid_pre"][at:])  # [pos, d_model]
        run = Run.of(config, x, [len(x)], at)
        tap = self._patch(x, np.zeros(1, dtype=np.intp), put[None])
        pause = max(1, WORK_AT_ONCE // len(x))
        for i in range(layer, config.n_layer):
            self._check()
            if i > layer and (i - layer) % pause == 0:
                yield None
            memory = Past(*self._before(i, at)) if at else None
            x = block(config, parameters.block(i), x, run, tap if i == layer else SILENT, memory)
        return float(self._watched(unembed(config, parameters, x[-1:]))[0])

    def _before(self, layer: int, at: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys and values of the corrupted run before position `at`; the trace remembers as many as it may."""
        keys = self._corrupted.sites[f"blocks.{layer}.attn.qk"].inputs[1].name
        values = f"blocks.{layer}.attn.v"
        found = self._corrupted.read_many([keys, values])
        return found[keys][:at], found[values][:at]

    def _patch(self, x: np.ndarray, rows: np.ndarray, put: np.ndarray) -> Tap:
        """What sets these rows of the site to `put`: a tap, or, where the block has not begun, nothing any more."""
        if self.site != "resid_pre":
            return _Put(self.site, rows, put)
        x[rows] = put
        return SILENT

    def _watched(self, logits: np.ndarray) -> np.ndarray:  # [run, vocab] -> [run]
        if self.against is None:
            return np.asarray(logits[:, self.token])
        return np.asarray(logits[:, self.token] - logits[:, self.against])


def rows_swept(n_pos: int, positions: Sequence[int]) -> int:
    """The rows that the runs of one layer have together, where each of these positions of a text is patched once."""
    return sum(n_pos if n_pos <= TOGETHER else n_pos - at for at in positions)


class _Put:
    """A tap that puts rows in place of a site's own."""

    def __init__(self, site: str, rows: np.ndarray, put: np.ndarray) -> None:
        self._site = site
        self._rows = rows
        self._put = put

    def __call__(self, site: str, value: Any) -> Any:
        if site != self._site:
            return value
        changed = np.array(value, copy=True)
        changed[self._rows] = self._put
        return changed

    def wants(self, site: str) -> bool:
        return site == self._site

    def only_reads(self) -> Collection[str] | None:
        return None

    def within(self, prefix: str) -> Tap:
        return SILENT

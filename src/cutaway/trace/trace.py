"""The lazy `Trace`: what went into each block is kept, everything else is computed when it is asked for.

A site of block 7 is had by running block 7 again, from its `resid_pre`, with the same interventions, and stopping as
soon as the site is there. Scores, patterns and the heads' parts, which grow with the square of the length or with
heads × d_model, are computed for the selected slice alone, from their declared inputs.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cutaway.config import ModelConfig
from cutaway.errors import BadSelection
from cutaway.ops import QUADRATIC, softmax
from cutaway.parameters import Parameters
from cutaway.sites import Site, canonical, declared, matching, site_axes
from cutaway.tap import Tap
from cutaway.trace.interventions import Interventions
from cutaway.trace.listening import Enough, Listening
from cutaway.trace.selection import Index, Picked, pick, pick_axes, take
from cutaway.trace.sources import evaluate

# Keys and values of a block from earlier positions, or None.
Past = Callable[[int], tuple[np.ndarray, np.ndarray] | None]
# What has been replayed is kept up to this many bytes, so that asking twice computes once.
REMEMBERED_BYTES = 64 << 20


class Piece(Protocol):
    """A token, as people see it."""

    @property
    def id(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def bytes(self) -> bytes: ...


class Replay(Protocol):
    """Runs one part of the model again. Given by the engine; holds no state of its own."""

    @property
    def parameters(self) -> Parameters: ...

    def before(self, tap: Tap) -> None:
        """The embedding."""
        ...

    def block(self, i: int, x: np.ndarray, tap: Tap) -> None:
        """Block `i`, from what entered it, [pos, d_model]."""
        ...

    def after(self, x: np.ndarray, tap: Tap) -> None:
        """The last norm and the logits of these rows, [pos, d_model]."""
        ...

    def past(self, i: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Keys and values of block `i` from positions before this trace's first, or None."""
        ...

    def step(self, row: int, past: Past) -> Replay | None:
        """The same for this row alone; None where there is nothing to run it with."""
        ...


@dataclass(frozen=True)
class NextToken:
    """A candidate: `for token, probability, logit in trace.next_tokens(10)` unpacks it."""

    token: Piece
    probability: float
    logit: float

    def __iter__(self) -> Any:
        return iter((self.token, self.probability, self.logit))


class Trace:
    """One pass over one text, open at every site.

    `trace["blocks.3.attn.pattern"]` is a read-only array with the declared axes; `read` takes slices by axis name.
    `start` is the position of the first row (0, but for a step of a generation that came from the cache).
    """

    def __init__(
        self,
        *,
        config: ModelConfig,
        ids: Sequence[int],
        residual: Sequence[np.ndarray],
        replay: Replay,
        piece: Callable[[int], Piece],
        interventions: Interventions | None = None,
        start: int = 0,
        kept: Mapping[str, np.ndarray] | None = None,
        model: str = "",
    ) -> None:
        self.id = uuid.uuid4().hex
        self.config = config
        self.ids = tuple(int(each) for each in ids)
        self.model = model
        self.start = start
        self.interventions = interventions or Interventions(config)
        self._residual = [_frozen(each) for each in residual]
        self._replay = replay
        self._piece = piece
        self._kept = {name: _frozen(each) for name, each in (kept or {}).items()}
        self._remembered: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    # -- the text ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """The number of rows: tokens, for a whole text; 1 for a step that came from the cache."""
        return len(self.ids) - self.start

    def __repr__(self) -> str:
        return f"<Trace of {len(self.ids)} tokens on {self.model or self.config.architecture}>"

    @property
    def tokens(self) -> list[Piece]:
        """The pieces of the text, with ids and bytes; all of them, also where only the last row is traced."""
        return [self._piece(each) for each in self.ids]

    @property
    def sites(self) -> Mapping[str, Site]:
        """What can be read, by name."""
        return declared(self.config)

    @property
    def parameters(self) -> Parameters:
        """The weights, by name and in their public shapes."""
        return self._replay.parameters

    @property
    def positions(self) -> np.ndarray:
        """Where the rows stand in the text, [pos]."""
        return np.arange(self.start, len(self.ids))

    @property
    def axis_sizes(self) -> dict[str, int]:
        return site_axes(self.config, len(self), len(self.ids))

    # -- reading -------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> np.ndarray:
        """The whole of one site, with its declared axes. Raises `UnknownSite`."""
        kept = self._kept.get(name)
        if kept is not None:
            return kept
        return self.read(name)

    def read(self, name: str, **selection: Index) -> np.ndarray:
        """One site, or the part of it that `head= q_pos= k_pos= pos= kv_head= feature=` (or any axis) selects.

        A single number drops its axis, a slice or a list keeps it. Nothing larger than the part (and one block's
        rows) is built. Raises `UnknownSite`, `BadSelection`.
        """
        site = self.sites[canonical(self.config, name)]
        picked, dropped = pick_axes(site, selection, self.axis_sizes)
        array = self.gather(site.name, picked)
        part = array[tuple(0 if at in dropped else slice(None) for at in range(len(site.axes)))]
        return _frozen(np.asarray(part))  # where every axis is dropped, the brackets give no array

    def read_many(self, patterns: str | Iterable[str]) -> dict[str, np.ndarray]:
        """Whole sites by names and globs, each block run again once. Raises `UnknownSite`."""
        names = matching(self.config, patterns)
        found = {name: array for name in names if (array := self._at_hand(name)) is not None}
        found |= self._compute(name for name in names if name not in found)
        return {name: found[name] for name in names}

    def logits(self, position: int = -1) -> np.ndarray:
        """One score for each token of the vocabulary after the token at `position`, [vocab]."""
        return self.read("logits", pos=position)

    def next_tokens(self, k: int = 10, *, temperature: float = 1.0, position: int = -1) -> list[NextToken]:
        """The `k` likeliest next tokens with probability (over the whole vocabulary, at `temperature`) and logit.

        Raises `BadSelection` for a temperature out of range, and for a position that is not there.
        """
        if not isinstance(temperature, int | float | np.number) or not 1e-30 < temperature < 1e30:
            raise BadSelection(
                f"temperature is {temperature!r}; expected a number above 0 (1 leaves the logits as they are)."
            )
        if not isinstance(k, int | np.integer):
            raise BadSelection(f"k is {k!r}; expected how many tokens to give.")
        logits = self.logits(position)
        with np.errstate(over="ignore"):  # far behind and very cold: -inf, a probability of 0
            probabilities = softmax((logits - logits.max()) / np.float32(temperature))
        k = max(0, min(k, len(logits)))
        likeliest = np.argsort(-logits, kind="stable")[:k]
        return [NextToken(self._piece(int(i)), float(probabilities[i]), float(logits[i])) for i in likeliest]

    def explain(self, name: str, index: Sequence[int]) -> Any:
        """Where one number came from: formula, inputs with their values, and the result computed from them again.

        Returns an `Explanation`. Raises `UnknownSite`, `BadSelection`.
        """
        from cutaway.trace.explain import explain

        return explain(self, name, index)

    # -- computing what is asked for -----------------------------------------------------------------------------

    def gather(self, name: str, picked: Sequence[Picked]) -> np.ndarray:
        """The picked part of a declared site, every axis kept."""
        array = self._at_hand(name)
        if array is not None:
            return take(array, picked)
        if all(each is None for each in picked):
            return self._whole(name)
        site = self.sites[name]
        if site.block is None and name not in ("embed", "pos_embed"):
            return take(self._final(name, picked[0]), (None, *picked[1:]))
        if self._sliceable(site):
            return evaluate(self, site, picked)
        return take(self._whole(name), picked)

    def past(self, block: int) -> tuple[np.ndarray, np.ndarray] | None:
        return self._replay.past(block)

    def alone(self, row: int, past: Past) -> Trace | None:
        """The trace of this one row, as of a step of a generation (see `step.step_of`), where it can be run again."""
        replay = self._replay.step(row, past)
        if replay is None:
            return None
        return Trace(
            config=self.config,
            ids=self.ids[: self.start + row + 1],
            residual=[each[row : row + 1] for each in self._residual],
            replay=replay,
            piece=self._piece,
            interventions=self.interventions,
            start=self.start + row,
            model=self.model,
        )

    def _at_hand(self, name: str) -> np.ndarray | None:
        """What need not be computed: recorded, remembered, or the residual stream between blocks."""
        if name in self._kept:
            return self._kept[name]
        with self._lock:
            if name in self._remembered:
                self._remembered.move_to_end(name)
                return self._remembered[name]
        site = self.sites[name]
        if site.block is not None and self._residual:
            if name.endswith(".resid_pre"):
                return self._residual[site.block]
            if name.endswith(".resid_post"):
                follows = f"blocks.{site.block + 1}.resid_pre"
                if site.block == self.config.n_layer - 1 or follows not in self.interventions.sites:
                    return self._residual[site.block + 1]
        return None

    def _whole(self, name: str) -> np.ndarray:
        return self._compute([name])[name]

    def _compute(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Whole sites that are not at hand, each part of the model run again once."""
        by_part: dict[int | str, set[str]] = {}
        for name in names:
            by_part.setdefault(self._part(name), set()).add(name)
        found: dict[str, np.ndarray] = {}
        for part, wanted in by_part.items():
            if part == "after":
                found |= {name: self._final(name, None) for name in wanted}
            else:
                found |= self._run_again(part, wanted)
        return found

    def _part(self, name: str) -> int | str:
        block = self.sites[name].block
        if block is not None:
            return block
        return "before" if name in ("embed", "pos_embed") else "after"

    def _sliceable(self, site: Site) -> bool:
        """Whether a slice follows from the declared inputs: large sites that no intervention acts on."""
        if site.block is None:
            return False
        local = site.name.split(".", 2)[2]
        if local in QUADRATIC:
            chain = QUADRATIC[: QUADRATIC.index(local) + 1]
        elif local == "attn.result":
            chain = ("attn.result",)
        else:
            return False
        return not any(f"blocks.{site.block}.{each}" in self.interventions.sites for each in chain)

    def _run_again(self, part: int | str, wanted: set[str]) -> dict[str, np.ndarray]:
        skip = () if part == "before" else (f"blocks.{part}.resid_pre",)  # it has acted: what is kept is its result
        edits = self.interventions.edits(self.positions, len(self.ids), skip)
        listening = Listening(wanted, edits, stop=True)
        with contextlib.suppress(Enough):
            if part == "before":
                self._replay.before(listening)
            else:
                assert isinstance(part, int)
                here = listening.within(f"blocks.{part}.")
                self._replay.block(part, here("resid_pre", self._residual[part]), here)
        found = {name: _frozen(np.asarray(listening.kept[name])) for name in wanted}
        self._remember(found)
        return found

    def _final(self, name: str, rows: Picked) -> np.ndarray:
        """`ln_final.*` and `logits` at these rows."""
        at = np.arange(len(self)) if rows is None else rows
        last = self._residual[-1]
        if len(at) == 0:
            return np.zeros((0, self.axis_sizes[self.sites[name].feature]), dtype=np.float32)
        touched = any(each.site == name or each.site.startswith("ln_final.") for each in self.interventions.bound)
        if touched and self.interventions.needs_whole_run:
            return take(self._final_rows(name, last, np.arange(len(self))), (at, None))
        return self._final_rows(name, last, at)

    def _final_rows(self, name: str, last: np.ndarray, rows: np.ndarray) -> np.ndarray:
        edits = self.interventions.edits(rows + self.start, len(self.ids))
        listening = Listening({name}, edits, stop=True)
        with contextlib.suppress(Enough):
            self._replay.after(take(last, (rows, None)), listening)
        found = np.asarray(listening.kept[name])
        if name == "logits" and not self.interventions and not np.isfinite(found).all():
            self.parameters.refuse_non_finite()
        return found

    def _remember(self, found: Mapping[str, np.ndarray]) -> None:
        with self._lock:
            for name, array in found.items():
                if array.nbytes <= REMEMBERED_BYTES // 4:
                    self._remembered[name] = array
            while sum(each.nbytes for each in self._remembered.values()) > REMEMBERED_BYTES:
                self._remembered.popitem(last=False)

    @property
    def nbytes(self) -> int:
        """What this trace holds in memory, weights and cache not counted."""
        with self._lock:
            held = [*self._residual, *self._kept.values(), *self._remembered.values()]
        return sum(each.nbytes for each in held)

    # -- keeping -------------------------------------------------------------------------------------------------

    def save(self, path: Any, sites: str | Iterable[str] = ()) -> None:
        """Writes a safetensors file: tokens, interventions, the residual stream between blocks, and the `sites`
        (names and globs) in full. `cutaway.load_trace` reads it. The file is there whole or not at all."""
        from cutaway.trace.saved import save

        save(self, path, sites)


def _frozen(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to: several readers share what a trace holds."""
    view = array.view()
    view.flags.writeable = False
    return view


def position_of(trace: Trace, position: int) -> int:
    """A row of `trace`, from 0; negative counts from the end. Raises `BadSelection`."""
    return int(pick(position, len(trace), "position", "this trace")[0])

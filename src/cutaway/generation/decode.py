"""The loop: run the new ids, choose a token from the last logits, append it, run again; one `Step` per token.

A pass reads only what the cache does not hold. When the text outgrows the context, the oldest quarter is dropped and
the rest is read again from position 0 (kept keys and values would still encode what was dropped).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

from cutaway.config import ModelConfig
from cutaway.errors import BadInput
from cutaway.generation.choice import Candidate, Choice, Stage, choose
from cutaway.generation.kv_cache import KVCache
from cutaway.generation.sampling import Sampling
from cutaway.generation.speculative import Draft, PromptLookup
from cutaway.generation.stopping import StoppableText, StreamDecoder, stop_strings

Finish = Literal["eos", "stop", "length"]
Kept = Any


class Passes(Protocol):
    """A model, as the loop sees it (the engine provides it)."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def needs_whole_run(self) -> bool:
        """An intervention looks at the whole text (a mean over positions, a position counted from the end, a Python
        function): no cache then, and every step reads everything."""
        ...

    def forward(self, ids: Sequence[int], cache: KVCache | None) -> Kept:
        """Runs `ids` behind what `cache` holds, and gives what `logits` and `trace` need of it."""
        ...

    def logits(self, kept: Kept, rows: Sequence[int]) -> np.ndarray:
        """[len(rows), vocab]; rows are counted within the pass."""
        ...

    def trace(self, ids: Sequence[int], kept: Kept, row: int, cache: KVCache | None) -> Any:
        """The lazy trace of one row of a pass: the last of `ids`, `cache` holding all before it. Without a cache,
        of the whole pass."""
        ...


@dataclass(frozen=True)
class Dropped:
    """The text outgrew the context: `tokens` left its front, and the `prefilled` others were read again."""

    tokens: int
    prefilled: int


@dataclass(frozen=True, eq=False)
class Step:
    """One token, and why. Holds its logits and what a trace would need; everything else is computed when asked for.

    `index` counts the output (from 0, or from where `generate` was told to); `position` is where the token stands in
    the window that the model sees (its logits come from the position before, which `trace` shows). `text` is what
    became certain with it, `held` what is whole but could be the beginning of a stop string: whoever stops early may
    still want it. `draft` is the guess of the pass this token came from; `drafted` tells whether this very token had
    been guessed. `finish` is set on the last step.
    """

    index: int
    position: int
    token_id: int
    text: str
    held: str
    choice: Choice
    drafted: bool
    draft: Draft | None
    dropped: Dropped | None
    finish: Finish | None
    _trace: Callable[[], Any] = field(repr=False, compare=False)

    @property
    def seed(self) -> int:
        """With it and the same settings this text can be drawn again."""
        return self.choice.seed

    @property
    def u(self) -> float | None:
        """The random number in [0, 1) that fell; None when greedy."""
        return self.choice.u

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All [vocab] scores and probabilities after each stage, "raw" first."""
        return self.choice.stages()

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """The twenty largest logits and the chosen token, through every stage."""
        return self.choice.candidates()

    @cached_property
    def trace(self) -> Any:
        """What happened inside at the position that predicted this token, replayed from the cache."""
        return self._trace()


def generate(
    passes: Passes,
    ids: Sequence[int],
    *,
    max_new_tokens: int | None = 20,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] = (),
    eos_ids: int | Sequence[int] = (),
    decoder: StreamDecoder | None = None,
    lookup: int = 0,
    n_ctx: int | None = None,
    index: int = 0,
) -> Generator[Step, None, None]:
    """Continues `ids`, one `Step` at a time. Everything is checked before the first.

    `max_new_tokens=None` goes on until the context is full. `seed=None` takes one from the system and says which.
    `stop` cuts the text before the string; `decoder` turns ids into text (without one, `text` stays empty).
    `lookup` is the longest draft of prompt-lookup speculation; 0 is none, and there is none where an intervention
    needs the whole run. `n_ctx` makes the window smaller than the model's. `index` is the place of the first new
    token in the output: a text that was stopped goes on, with its seed, as it would have. Raises `BadInput`.
    """
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    window = _whole("n_ctx", n_ctx, 1, passes.config.n_ctx) if n_ctx is not None else passes.config.n_ctx
    prompt = _prompt(ids, passes.config.n_vocab, window)
    to_the_brim = window - len(prompt) + 1  # the last position of the context may still predict
    limit = to_the_brim if max_new_tokens is None else _whole("max_new_tokens", max_new_tokens, 1)
    seed = secrets.randbits(32) if seed is None else _whole("seed", seed, 0, 2**64 - 1)
    strings = stop_strings(stop)
    if strings and decoder is None:
        raise BadInput("stop strings need text, and this model has no tokenizer; leave them out or give eos_ids.")
    lookup = _whole("lookup", lookup, 0)
    index = _whole("index", index, 0, 2**53)
    text = StoppableText(decoder, strings)
    ends = frozenset(_whole("eos_ids", each, 0) for each in ([eos_ids] if isinstance(eos_ids, int) else eos_ids))
    return _Decoding(passes, prompt, sampling, limit, seed, text, ends, lookup, window, index).steps()


class _Decoding:
    """The state of one generation. `ids` only grows; the model sees those from `first` on."""

    def __init__(
        self,
        passes: Passes,
        ids: list[int],
        sampling: Sampling,
        limit: int,
        seed: int,
        text: StoppableText,
        eos_ids: frozenset[int],
        lookup: int,
        window: int,
        index: int,
    ) -> None:
        self.passes = passes
        self.ids = ids
        self.first = 0
        self.written = 0
        self.index = index
        self.sampling = sampling
        self.limit = limit
        self.seed = seed
        self.text = text
        self.eos_ids = eos_ids
        self.window = window
        self.finish: Finish | None = None
        self.cache = self._new_cache()
        self.seen: np.ndarray | None = None
        if sampling.penalizes:
            self.seen = np.zeros(passes.config.n_vocab, dtype=np.bool_)
            self.seen[ids] = True
        # A draft would change what such an intervention sees, so there is none.
        drafts = lookup and not passes.needs_whole_run
        self.lookup = PromptLookup(ids) if drafts else None
        self.longest_draft = lookup

    def steps(self) -> Generator[Step, None, None]:
        while self.finish is None:
            yield from self.advance()  # whole before the first is given out: a caller may stop anywhere

    def advance(self) -> list[Step]:
        """One pass, and the tokens it settles: one, or more where a draft was right."""
        dropped = self._make_room()
        held = self.cache.length if self.cache is not None else 0
        fresh = self.ids[self.first + held :]
        draft = self._guess()
        kept = self.passes.forward([*fresh, *draft], self.cache)
        row = len(fresh) - 1
        rows = self.passes.logits(kept, range(row, row + 1 + len(draft)))
        steps: list[dict[str, Any]] = []
        accepted = 0
        for place, logits in enumerate(rows):
            # A row of its own, so that a step that is kept does not keep its neighbours' logits.
            steps.append(self._settle(logits.copy() if len(rows) > 1 else logits, kept, row + place, held))
            guessed = place < len(draft) and steps[-1]["token_id"] == draft[place]
            steps[-1]["drafted"] = guessed
            accepted += guessed
            if self.finish is not None or not guessed:
                break
        if self.cache is not None:
            self.cache.truncate(held + len(fresh) + accepted)
        verdict = Draft(draft, accepted) if draft else None
        return [
            Step(**step, draft=verdict, dropped=dropped if place == 0 else None) for place, step in enumerate(steps)
        ]

    def _settle(self, logits: np.ndarray, kept: Kept, row: int, held: int) -> dict[str, Any]:
        """Chooses the token behind `row` of the pass and writes it down: a `Step` but for what the pass has yet to
        tell."""
        seen = np.flatnonzero(self.seen) if self.seen is not None else None
        index = self.index + self.written
        choice = choose(logits, self.sampling, seen, self.seed, index)
        token = choice.token_id
        step = {
            "index": index,
            "position": len(self.ids) - self.first,
            "token_id": token,
            "choice": choice,
            "_trace": self._replay(kept, row, held),
        }
        self.ids.append(token)
        self.written += 1
        if self.seen is not None:
            self.seen[token] = True
        if self.lookup is not None:
            self.lookup.append(token)
        text = self._write(token)
        return {**step, "text": text, "held": self.text.held, "finish": self.finish}

    def _write(self, token: int) -> str:
        """The text that became certain; sets `finish`."""
        if token in self.eos_ids:
            self.finish = "eos"
            text = self.text.flush()
        else:
            text = self.text.feed(token)
            if self.written == self.limit and not self.text.stopped:
                self.finish = "length"
                text += self.text.flush()
        if self.text.stopped:
            self.finish = "stop"
        return text

    def _replay(self, kept: Kept, row: int, held: int) -> Callable[[], Any]:
        passes, ids, first, stop = self.passes, self.ids, self.first, len(self.ids)
        before = self.cache.prefix(held + row) if self.cache is not None else None
        return lambda: passes.trace(ids[first:stop], kept, row, before)

    def _guess(self) -> tuple[int, ...]:
        if self.lookup is None:
            return ()
        room = self.window - (len(self.ids) - self.first)
        left = self.limit - self.written - 1  # the pass settles one token more than was guessed
        length = min(self.longest_draft, room, left)
        return self.lookup.draft(length) if length > 0 else ()

    def _make_room(self) -> Dropped | None:
        if len(self.ids) - self.first <= self.window:
            return None
        quarter = max(1, self.window // 4)
        self.first += quarter
        self.cache = self._new_cache()
        return Dropped(quarter, len(self.ids) - self.first)

    def _new_cache(self) -> KVCache | None:
        return None if self.passes.needs_whole_run else KVCache(self.passes.config.n_layer)


def _whole(name: str, value: object, least: int, most: int | None = None) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least or (most and value > most):
        span = f"from {least} up" if most is None else f"from {least} to {most}"
        raise BadInput(f"{name} is {value!r}; expected a whole number {span}.")
    return int(value)


def _prompt(ids: Sequence[int], n_vocab: int, window: int) -> list[int]:
    prompt = [int(token) for token in ids]
    if not prompt:
        raise BadInput("there is nothing to continue: the text is empty; give at least one token.")
    if len(prompt) > window:
        raise BadInput(f"the text is {len(prompt)} tokens long, and the context holds {window}; shorten it.")
    for token in prompt:
        if not 0 <= token < n_vocab:
            raise BadInput(f"token id {token} is out of range; expected 0 to {n_vocab - 1}.")
    return prompt

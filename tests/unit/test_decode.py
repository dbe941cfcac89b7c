"""The loop: cached = uncached, the window that slides, text that arrives whole, and its ends."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import cutaway
from cutaway.errors import BadInput, BadNumbers
from cutaway.generation.decode import Dropped, Step, generate
from cutaway.generation.sampling import Sampling
from cutaway.generation.stopping import StreamDecoder
from tests.support.scripted import Pieces, Scripted
from tests.support.tiny import some_ids, tiny_model

SAMPLED: dict[str, Any] = {
    "temperature": 1.3,
    "top_k": 60,
    "top_p": 0.97,
    "min_p": 0.001,
    "repetition_penalty": 1.1,
    "seed": 5,
}


def tokens(steps: list[Step]) -> list[int]:
    return [step.token_id for step in steps]


def close(a: np.ndarray, b: np.ndarray) -> None:
    assert a.shape == b.shape and a.dtype == b.dtype == np.float32
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * float(np.abs(b).max()))


# -- the numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"temperature": 0}, SAMPLED], ids=["greedy", "sampled"])
def test_cached_is_uncached(any_shape: cutaway.Model, settings: dict[str, Any]) -> None:
    """Every step's logits are what a fresh run over the whole text gives, and so is the token."""
    ids = some_ids(7)
    for step in any_shape.generate(ids, max_new_tokens=24, **settings):
        close(step.choice.logits, any_shape.trace(ids).logits(position=-1))
        assert (step.index, step.position) == (len(ids) - 7, len(ids))
        ids.append(step.token_id)
    assert len(ids) == 7 + 24


def test_a_prompt_of_one_token_goes_on(any_shape: cutaway.Model) -> None:
    steps = list(any_shape.generate([3], max_new_tokens=3, temperature=0))
    for step in steps:
        close(step.trace.logits(position=-1), step.choice.logits)


def test_every_step_can_be_looked_into_afterwards(any_shape: cutaway.Model) -> None:
    """The trace of a step is the position that predicted its token, replayed from the cache."""
    ids = some_ids(5)
    steps = list(any_shape.generate(ids, max_new_tokens=6, **SAMPLED))
    whole = any_shape.trace([*ids, *tokens(steps)])
    for step in reversed(steps):
        assert step.trace.ids == (*ids, *tokens(steps[: step.index]))
        for site in ("blocks.0.attn.z", "blocks.2.resid_post", "blocks.1.mlp.post"):
            close(step.trace.read(site, pos=-1), whole.read(site, pos=step.position - 1))
        close(step.trace.logits(position=-1), step.choice.logits)


def test_an_intervention_acts_on_every_step() -> None:
    model = tiny_model("llama-gqa")
    changed = model.intervene({"blocks.1.attn.z": cutaway.zero(head=2)})
    ids = some_ids(6)
    steps = list(changed.generate(ids, max_new_tokens=8, temperature=0))
    for step in steps:
        close(step.choice.logits, changed.trace([*ids, *tokens(steps[: step.index])]).logits(position=-1))
    assert tokens(steps) != tokens(list(model.generate(ids, max_new_tokens=8, temperature=0)))


def test_without_a_cache_every_step_reads_everything() -> None:
    model = tiny_model("llama-gqa").intervene({"blocks.1.attn_out": cutaway.mean()})
    assert model.passes.needs_whole_run
    ids = some_ids(6)
    for step in model.generate(ids, max_new_tokens=6, temperature=0, lookup=8):
        close(step.choice.logits, model.trace(ids).logits(position=-1))
        assert step.draft is None
        assert len(step.trace.ids) == len(ids)
        ids.append(step.token_id)


# -- the window --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_ctx", [16, 7, 2, 1])
@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 1.2, "seed": 3}], ids=["greedy", "sampled"])
def test_outgrowing_the_context_is_a_fresh_run_on_what_is_kept(n_ctx: int, settings: dict[str, Any]) -> None:
    model = tiny_model("qwen3")
    window = some_ids(n_ctx)
    drops = 0
    for step in model.generate(window, max_new_tokens=30, n_ctx=n_ctx, **settings):
        if len(window) > n_ctx:
            quarter = max(1, n_ctx // 4)
            window = window[quarter:]
            assert step.dropped == Dropped(tokens=quarter, prefilled=len(window))
            drops += 1
        else:
            assert step.dropped is None
        assert step.position == len(window) <= n_ctx
        assert step.trace.ids == tuple(window)
        close(step.choice.logits, model.trace(window).logits(position=-1))
        window.append(step.token_id)
    assert drops == math.ceil(29 / max(1, n_ctx // 4))


def test_traces_of_before_a_drop_stay_true() -> None:
    model = tiny_model("llama-gqa")
    ids = some_ids(10)
    steps = list(model.generate(ids, max_new_tokens=20, n_ctx=16, temperature=0))
    assert any(step.dropped for step in steps)
    for step in steps[:6]:
        close(step.trace.logits(position=-1), model.trace([*ids, *tokens(steps[: step.index])]).logits(position=-1))


def test_the_penalty_remembers_what_was_dropped() -> None:
    steps = list(tiny_model("llama-gqa").generate(some_ids(8), max_new_tokens=12, n_ctx=8, **SAMPLED))
    seen = set(some_ids(8))
    for step in steps:
        assert step.choice.seen is not None
        assert set(step.choice.seen.tolist()) == seen
        seen.add(step.token_id)


def test_without_a_limit_the_text_fills_the_context() -> None:
    model = tiny_model("llama-gqa")
    steps = list(model.generate(some_ids(10), max_new_tokens=None, n_ctx=16))
    assert len(steps) == 7 and steps[-1].position == 16
    assert not any(step.dropped for step in steps)
    assert [step.finish for step in steps] == [None] * 6 + ["length"]
    assert len(list(model.generate(some_ids(16), max_new_tokens=None, n_ctx=16))) == 1


# -- randomness --------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_text_again() -> None:
    model, ids = tiny_model("llama-gqa"), some_ids(5)
    first = list(model.generate(ids, max_new_tokens=15, seed=9))
    assert tokens(first) == tokens(list(model.generate(ids, max_new_tokens=15, seed=9)))
    assert tokens(first) != tokens(list(model.generate(ids, max_new_tokens=15, seed=10)))
    assert {step.seed for step in first} == {9}


def test_without_a_seed_the_step_tells_which_was_taken() -> None:
    model, ids = tiny_model("llama-gqa"), some_ids(5)
    first = list(model.generate(ids, max_new_tokens=15))
    other = list(model.generate(ids, max_new_tokens=15))
    assert first[0].seed != other[0].seed
    assert tokens(list(model.generate(ids, max_new_tokens=15, seed=first[0].seed))) == tokens(first)


def test_a_step_shows_its_candidates_and_stages() -> None:
    model = tiny_model("llama-gqa")
    (step,) = model.generate(some_ids(5), max_new_tokens=1, **SAMPLED)
    assert step.choice.sampling == Sampling(**{name: value for name, value in SAMPLED.items() if name != "seed"})
    assert [each.chosen for each in step.candidates].count(True) == 1
    assert step.stages[0].name == "raw"
    assert step.u is not None and 0 <= step.u < 1
    assert step.candidates is step.candidates and step.trace is step.trace


# -- text --------------------------------------------------------------------------------------------------------


def written(script: list[int], decoder: StreamDecoder, **settings: Any) -> list[Step]:
    return list(
        generate(Scripted(script), [0], temperature=0, decoder=decoder, max_new_tokens=len(script), **settings)
    )


def test_split_characters_are_held_back_until_whole() -> None:
    pieces = Pieces(b"a", "é".encode()[:1], "é".encode()[1:] + "🤖".encode()[:3], "🤖".encode()[3:])
    steps = written([0, 1, 2, 3], pieces)
    assert [step.text for step in steps] == ["a", "", "é", "🤖"]
    cut_short = written([0, 1], pieces)
    assert [step.text for step in cut_short] == ["a", "\N{REPLACEMENT CHARACTER}"]


def test_a_stop_string_across_pieces_is_cut_off() -> None:
    steps = written(
        [0, 1, 2, 3, 4], Pieces(b"one ", b"two\n", b"\nEN", b"D three", b"four"), stop=("\n\nEND", "never")
    )
    assert [step.text for step in steps] == ["one ", "two", "", ""]
    assert [step.held for step in steps] == ["", "\n", "\n\nEN", ""]
    assert [step.finish for step in steps] == [None, None, None, "stop"]


def test_what_only_looked_like_a_stop_string_comes_after_all() -> None:
    steps = written([0, 1, 2, 1], Pieces(b"one", b"\n", b"two"), stop="\n\n")
    assert [step.text for step in steps] == ["one", "", "\ntwo", "\n"]
    assert steps[-1].finish == "length" and steps[-1].held == ""


def test_the_stop_string_that_is_complete_first_counts() -> None:
    assert "".join(step.text for step in written([0], Pieces(b"xabcd"), stop=["abcd", "bc"])) == "xa"
    assert "".join(step.text for step in written([0, 1], Pieces(b"xab", b"cd"), stop=["abcd", "bc"])) == "xa"


def test_an_end_token_ends_without_text() -> None:
    steps = written([0, 1, 2, 0], Pieces(b"one\n", "é".encode()[:1], b"<end>"), eos_ids=[2], stop="\n\n")
    assert [step.finish for step in steps] == [None, None, "eos"]
    assert "".join(step.text for step in steps) == "one\n\N{REPLACEMENT CHARACTER}"
    assert steps[-1].token_id == 2


def test_one_token_that_is_the_last_and_completes_a_stop_string_stops() -> None:
    (step,) = written([0], Pieces(b"one\n\n"), stop="\n\n")
    assert (step.text, step.finish) == ("one", "stop")


def test_without_a_decoder_there_is_no_text() -> None:
    steps = list(generate(Scripted([1, 2, 3]), [0], temperature=0, max_new_tokens=3, eos_ids=(3,)))
    assert tokens(steps) == [1, 2, 3] and steps[-1].finish == "eos"
    assert [step.text for step in steps] == ["", "", ""]


# -- stopping early ----------------------------------------------------------------------------------------------


def test_an_interrupt_keeps_what_was_written() -> None:
    passes = Scripted([1, 2, 3, 4, 5, 6], fail_at=3)
    steps = generate(passes, [0], temperature=0, decoder=Pieces(b"a", b"b", b"c", b"d"))
    kept: list[Step] = []
    with pytest.raises(KeyboardInterrupt):
        for step in steps:
            kept.append(step)
    assert "".join(step.text for step in kept) == "bcd"
    assert [step.trace for step in kept] == [((0,), 0, 0), ((0, 1), 1, 1), ((0, 1, 2), 2, 2)]
    assert list(steps) == []  # over, and no error again


def test_a_caller_may_stop_anywhere() -> None:
    model, ids = tiny_model("llama-gqa"), some_ids(6)
    steps = model.generate(ids, max_new_tokens=50, temperature=0)
    kept = [next(steps), next(steps)]
    steps.close()  # type: ignore[attr-defined]
    assert list(steps) == []
    close(kept[1].trace.logits(position=-1), model.trace([*ids, kept[0].token_id]).logits(position=-1))


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0; expected a whole number from 1 up"),
        ({"max_new_tokens": 2.5}, "max_new_tokens is 2.5"),
        ({"max_new_tokens": True}, "max_new_tokens is True"),
        ({"seed": -1}, "seed is -1; expected a whole number from 0 to"),
        ({"seed": 2**64}, "seed is 18446744073709551616"),
        ({"seed": math.nan}, "seed is nan"),
        ({"lookup": -1}, "lookup is -1"),
        ({"n_ctx": 0}, "n_ctx is 0; expected a whole number from 1 to 256"),
        ({"n_ctx": 257}, "n_ctx is 257; expected a whole number from 1 to 256"),
        ({"stop": ""}, "stop holds ''"),
        ({"stop": ["a", 3]}, "stop holds 3"),
        ({"stop": 3}, "stop is 3"),
        ({"stop": "x", "decoder": None}, "no tokenizer"),
        ({"ids": []}, "empty"),
        ({"ids": [97]}, "token id 97 is out of range; expected 0 to 96"),
        ({"ids": [-1]}, "token id -1 is out of range"),
        ({"ids": [0] * 9, "n_ctx": 8}, "9 tokens long, and the context holds 8"),
        ({"temperature": -1}, "temperature is -1"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_before_the_first_step(bad: dict[str, Any], said: str) -> None:
    settings = {"ids": [0], "decoder": Pieces(b"a"), **bad}
    passes = Scripted([1])
    with pytest.raises(BadInput) as refused:
        generate(passes, settings.pop("ids"), **settings)
    assert said in str(refused.value)
    assert str(refused.value).endswith(".") and passes.passes == []


def test_logits_that_are_no_numbers_end_it() -> None:
    class Broken(Scripted):
        def logits(self, kept: range, rows: Any) -> np.ndarray:
            return np.full((len(rows), self.config.n_vocab), math.nan, dtype=np.float32)

    with pytest.raises(BadNumbers, match="not-a-number"):
        next(generate(Broken([1]), [0]))


def test_a_step_holds_no_more_than_its_logits() -> None:
    """Nothing of the size of the vocabulary but the raw logits, and those of its own position alone."""
    model = tiny_model("llama-gqa")
    for step in model.generate([1, 2, 3, 1, 2, 3, 1, 2], max_new_tokens=12, lookup=6, **{**SAMPLED, "top_k": 2}):
        assert step.choice.logits.shape == (97,)
        base = step.choice.logits.base
        assert base is None or base.shape[0] <= 1
        large = [f.name for f in dataclasses.fields(step) if isinstance(getattr(step, f.name), np.ndarray)]
        assert large == []

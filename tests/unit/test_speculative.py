"""Drafts change how fast a text comes, never the text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cutaway
from cutaway.engine import Model
from cutaway.generation.decode import Step, generate
from cutaway.generation.speculative import Draft, PromptLookup
from cutaway.parameters import Parameters
from tests.support.scripted import Pieces, Scripted
from tests.support.tiny import random_parameters, tiny_config

LOOP = [5, 9, 2, 7] * 5


def looping_model(shape: str = "llama-gqa") -> Model:
    """Few tokens and weak blocks: what comes next depends mostly on the last token, so that texts run in circles and
    leave them again."""
    config = tiny_config(shape, n_vocab=12)
    strong = random_parameters(config, seed=1)

    def read(name: str) -> np.ndarray:
        return strong.array(name) * np.float32(0.25 if name.endswith(("W_O", "W_out")) else 1.0)

    return Model(config, Parameters(config, read), name="looping")


SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "greedy-penalty": {"temperature": 0, "repetition_penalty": 1.05},
    "cold": {"temperature": 0.3, "seed": 1},
    "top-k": {"temperature": 1.0, "top_k": 3, "seed": 2},
    "every-filter": {
        "temperature": 0.8,
        "top_k": 20,
        "top_p": 0.9,
        "min_p": 0.05,
        "repetition_penalty": 1.05,
        "seed": 3,
    },
    "hot": {"temperature": 2.0, "seed": 4},
}


def facts(steps: list[Step]) -> list[tuple[Any, ...]]:
    """All that must not depend on drafts."""
    return [
        (s.index, s.position, s.token_id, s.text, s.held, s.u, s.dropped, s.finish, tuple(s.choice.kept()))
        for s in steps
    ]


def drafts(steps: list[Step]) -> list[Draft]:
    """One per pass, in order."""
    found: list[Draft] = []
    for step in steps:
        if step.draft is not None and (not found or step.draft is not found[-1]):
            found.append(step.draft)
    return found


# -- guessing ----------------------------------------------------------------------------------------------------


def sure(ids: list[int]) -> PromptLookup:
    """One that thinks every guess likely, so that what it would guess can be seen."""
    lookup = PromptLookup(ids)
    lookup._right = list(lookup._seen)
    return lookup


def test_the_longest_run_is_looked_up_and_its_last_place_taken() -> None:
    assert sure([1, 2, 3, 10, 11, 12, 2, 3, 20, 21, 1, 2, 3]).draft(3) == (10, 11, 12)
    assert sure([2, 3, 10, 2, 3, 20, 2, 3]).draft(2) == (20, 2)
    assert sure([7, 7, 1, 2, 3, 4, 5, 8, 9, 1, 2, 3, 4, 6, 7, 1, 2, 3, 4]).draft(1) == (5,), "7 1 2 3 4, the first"
    assert sure([3, 10, 4, 3]).draft(1) == (10,)
    assert sure([1, 2, 3]).draft(4) == ()
    assert PromptLookup([]).draft(4) == ()


def test_a_loop_is_continued_beyond_the_text() -> None:
    assert sure([1, 2, 1, 2]).draft(5) == (1, 2, 1, 2, 1)
    assert sure([4, 4, 4]).draft(3) == (4, 4, 4)
    assert sure([9, 1, 2, 3, 1, 2, 3]).draft(7) == (1, 2, 3, 1, 2, 3, 1)


def test_the_longest_run_is_the_one_that_a_search_finds() -> None:
    ids = [int(i) for i in np.random.default_rng(0).integers(0, 3, 300)]
    growing = PromptLookup()
    for n, token in enumerate(ids, start=1):
        growing.append(token)
        runs = {start: run_before(ids[:n], start) for start in range(1, n)}
        longest = max(runs.values(), default=0)
        assert growing._run <= longest and (growing._run == 0) == (longest == 0)
        if growing._run:
            assert growing._next is not None and runs[growing._next] >= growing._run
        if 0 < longest <= 4:  # what is looked up; beyond that one run is followed as long as it lasts
            assert growing._run == longest
            assert growing._next == max(start for start, run in runs.items() if run == longest)
        assert growing.draft(4) == PromptLookup(ids[:n]).draft(4)


def run_before(ids: list[int], start: int) -> int:
    """How many ids before `start` are those at the end of the text."""
    run = 0
    while run < start and ids[start - 1 - run] == ids[-1 - run]:
        run += 1
    return run


def test_a_guess_is_as_long_as_it_is_likely() -> None:
    new = PromptLookup([1, 2, 3, 4, 5, 6, 7, 8, 9, 1])
    assert new.draft(10) == (), "one id says little"
    for token in (2, 3, 4):
        new.append(token)
    first = new.draft(10)
    assert first == (5, 6, 7) and len(first) < len(PromptLookup([*range(1, 10)] * 4).draft(10)), "success teaches"
    lengths = []
    for _ in range(12):  # the run goes on otherwise than before, each time
        new = PromptLookup([*new._ids, 50 + len(new._ids), 1, 2, 3, 4])
        lengths.append(len(new.draft(10)))
    assert lengths[-1] == 0 and sorted(lengths, reverse=True) == lengths, "and failure, too"


def test_nothing_is_learned_by_guessing() -> None:
    """So a text that is guessed at and one that is not go on with the same guesses."""
    one, other = PromptLookup(LOOP), PromptLookup(LOOP)
    assert all(one.draft(n) == other.draft(10)[:n] for n in range(11)) and one._seen == other._seen
    assert PromptLookup([1] * 40).draft(2) == (1, 1)


# -- checking ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("shape", ["llama-gqa", "gpt2", "mistral-window"])
@pytest.mark.parametrize("n_ctx", [64, 22])
def test_the_text_is_that_of_plain_decoding(shape: str, settings: dict[str, Any], n_ctx: int) -> None:
    """With a window of 22 the text outgrows the context many times."""
    model = looping_model(shape)
    plain = list(model.generate(LOOP, max_new_tokens=60, n_ctx=n_ctx, **settings))
    assert drafts(plain) == []
    for lookup in (1, 3, 10):
        fast = list(model.generate(LOOP, max_new_tokens=60, n_ctx=n_ctx, lookup=lookup, **settings))
        assert facts(fast) == facts(plain)
        assert all(len(draft.ids) <= lookup for draft in drafts(fast))
        for a, b in zip(fast, plain, strict=True):
            np.testing.assert_allclose(a.choice.logits, b.choice.logits, rtol=0, atol=1e-5 * 30)
    if n_ctx == 22:
        assert any(step.dropped for step in plain)


def test_drafts_are_accepted_and_rejected_in_these_tests() -> None:
    """Otherwise the equality above would say nothing."""
    for n_ctx in (64, 22):
        accepted, rejected = {}, {}
        for name, settings in SETTINGS.items():
            steps = list(looping_model().generate(LOOP, max_new_tokens=60, lookup=10, n_ctx=n_ctx, **settings))
            accepted[name] = sum(draft.accepted for draft in drafts(steps))
            rejected[name] = sum(len(draft.rejected) for draft in drafts(steps))
        assert min(accepted["greedy"], accepted["greedy-penalty"], accepted["cold"]) > 20
        assert min(accepted["top-k"], accepted["every-filter"]) > 0
        assert min(rejected.values()) > 0


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_step_tells_which_tokens_were_guessed(settings: dict[str, Any]) -> None:
    steps = list(looping_model().generate(LOOP, max_new_tokens=60, lookup=10, n_ctx=64, **settings))
    passes: dict[int, list[Step]] = {}
    for step in steps:
        if step.draft is not None:
            passes.setdefault(id(step.draft), []).append(step)
        else:
            assert not step.drafted
    for group in passes.values():
        draft = group[0].draft
        assert draft is not None
        assert draft.ids[: draft.accepted] + draft.rejected == draft.ids
        assert [step.drafted for step in group] == [True] * draft.accepted + [False] * (len(group) - draft.accepted)
        assert [step.token_id for step in group[: draft.accepted]] == list(draft.ids[: draft.accepted])
        assert len(group) == draft.accepted + 1  # the token that differed, or the one after the whole draft
        if draft.rejected:
            assert group[-1].token_id != draft.rejected[0]


def test_a_drafted_step_can_be_looked_into_afterwards() -> None:
    model = looping_model()
    steps = list(model.generate(LOOP, max_new_tokens=40, temperature=0, lookup=10, n_ctx=64))
    assert any(step.drafted for step in steps) and any(d.rejected for d in drafts(steps))
    whole = model.trace([*LOOP, *(step.token_id for step in steps)])
    for step in steps:
        assert len(step.trace.ids) == step.position
        ours, theirs = (
            step.trace.read("blocks.2.attn.z", pos=-1),
            whole.read("blocks.2.attn.z", pos=step.position - 1),
        )
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * float(np.abs(theirs).max()))


def test_an_intervention_on_one_position_allows_drafts() -> None:
    model = looping_model().intervene({"blocks.1.attn.z": cutaway.zero(head=1)})
    plain = list(model.generate(LOOP, max_new_tokens=40, temperature=0, n_ctx=64))
    fast = list(model.generate(LOOP, max_new_tokens=40, temperature=0, n_ctx=64, lookup=10))
    assert facts(fast) == facts(plain)
    assert any(step.drafted for step in fast)


# -- the ends, within a draft ------------------------------------------------------------------------------------

SCRIPT = [1, 2, 3, 1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]


def scripted(lookup: int, **settings: Any) -> tuple[list[Step], Scripted]:
    passes = Scripted(SCRIPT)
    decoder = Pieces(b"", b"one ", "é".encode()[:1], "é".encode()[1:] + b" ", b"four ")
    settings = {"temperature": 0, "max_new_tokens": len(SCRIPT), **settings}
    return list(generate(passes, [0], decoder=decoder, lookup=lookup, **settings)), passes


@pytest.mark.parametrize(
    "ends",
    [
        {"stop": "one é one"},
        {"stop": "one é one é"},
        {"stop": "one é one é one"},
        {"stop": "one é one é one é four one é one"},
        {},
        {"stop": "four"},
        {"stop": "é one é one é one"},
        {"stop": ["one é one é four", "zzz"]},
        {"eos_ids": [4]},
        {"eos_ids": [2]},
        *({"max_new_tokens": n} for n in range(1, 22)),
        *({"stop": "é", "max_new_tokens": n} for n in range(1, 4)),
    ],
    ids=str,
)
def test_a_text_ends_within_a_draft_as_it_would_without(ends: dict[str, Any]) -> None:
    plain, _ = scripted(0, **ends)
    for lookup in (2, 3, 6, 10):
        fast, _ = scripted(lookup, **ends)
        assert facts(fast) == facts(plain)
        assert fast[-1].finish is not None and [step.finish for step in fast[:-1]] == [None] * (len(fast) - 1)


def test_an_end_token_within_a_draft_ends_it() -> None:
    prompt = [1, 2, 3, 4, 5, 6] * 4 + [1, 2]
    passes = Scripted([*prompt[1:], 3, 4, 5, 6, 1, 2])
    steps = list(generate(passes, prompt, temperature=0, max_new_tokens=20, eos_ids=[5], lookup=4))
    assert [step.token_id for step in steps] == [3, 4, 5]
    assert [step.finish for step in steps] == [None, None, "eos"]
    assert drafts(steps) == [Draft((3, 4, 5, 6), 3)]


def test_a_text_that_cannot_be_guessed_is_hardly_guessed_at() -> None:
    script = [int(i) for i in np.random.default_rng(1).integers(0, 12, 200)]  # every pair of ids comes back
    passes = Scripted(script)
    steps = list(generate(passes, [0], temperature=0, max_new_tokens=len(script), lookup=10))
    assert [step.token_id for step in steps] == script
    assert 5 < len(drafts(steps)) < 0.4 * len(script)
    assert sum(len(ids) for ids in passes.passes) < 1.4 * len(script)


def test_right_drafts_save_passes() -> None:
    fast, passes = scripted(6)
    assert len(passes.passes) < 0.6 * len(SCRIPT) == 0.6 * len(fast)
    wrong = [draft for draft in drafts(fast) if draft.rejected]
    assert wrong[0].rejected[0] == 1  # what followed the longest run; the script goes on with 4


def test_rejected_rows_leave_the_cache() -> None:
    fast, passes = scripted(6)
    read = 0
    for ids, draft in zip(passes.passes, _by_pass(fast), strict=True):
        read += len(ids) - (len(draft.rejected) if draft else 0)
    assert read == 1 + len(SCRIPT) - 1  # the prompt, and every token but the last, whose keys nobody needs


def _by_pass(steps: list[Step]) -> list[Draft | None]:
    found: list[Draft | None] = []
    for step in steps:
        if step.draft is None or not any(step.draft is each for each in found):
            found.append(step.draft)
    return found

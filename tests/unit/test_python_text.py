"""Changes as Python: the text is run, and gives the same logits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cutaway
from cutaway.errors import BadSelection
from cutaway.trace.python_text import Change, Direction, Source, lines, program, quoted
from tests.support.spelling import write_tiny_speller
from tests.support.tiny import some_ids, tiny_model
from tests.unit.test_interventions import EVERY_KIND


def run(text: str, **known: Any) -> dict[str, Any]:
    exec(text, known)
    return known


def test_what_is_bound_can_be_pasted(any_shape: cutaway.Model) -> None:
    ids = some_ids(7)
    other = any_shape.trace(some_ids(5, seed=3))
    changes = {
        **EVERY_KIND,
        "blocks.0.attn.k": cutaway.zero(kv_head=0),
        "blocks.0.attn.v": cutaway.mean(pos=slice(None, None, 2)),
        "blocks.1.attn.q": cutaway.mean(other["blocks.1.attn.q"], head=[0, 2]),
        "blocks.1.attn.attn_scores": [cutaway.patch(other, head=1, q_pos=[3], from_pos=[4]), cutaway.skip(q_pos=2)],
        "blocks.0.attn.attn_scores": cutaway.set_to(-math.inf, head=3, q_pos=4, k_pos=2),
    }
    edited = any_shape.intervene(changes)
    text = edited.interventions.to_python()
    again = run(text, cutaway=cutaway, model=any_shape)["edited"]
    np.testing.assert_array_equal(again.trace(ids)["logits"], edited.trace(ids)["logits"])
    assert len(text.splitlines()) == len(edited.interventions.bound)
    assert text.splitlines()[0].startswith("edited = model.intervene({") and 'float("-inf")' in text
    with pytest.raises(BadSelection, match="Python function"):
        any_shape.intervene({"logits": lambda value: value}).interventions.to_python()


def test_a_program_runs_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / 'it\'s a "model"'
    write_tiny_speller(folder)
    model = cutaway.load(folder)
    text, other = 'the "tide"', "the\ntide's"
    changes = [
        Change("blocks.*.attn.qk_scaled", "skip", {"head": 1}),
        Change("blocks.1.resid_pre", "patch", {"pos": 1}, source=Source(other, pos=2)),
        Change("blocks.0.resid_pre", "add", {"pos": slice(1, None)}, direction=Direction([3, 4], [5], 0.3)),
        Change("blocks.0.resid_pre", "add", direction=Direction([], [5], 0.7)),
        Change("blocks.0.mlp_out", "patch", {"pos": [0]}, source=Source([3, 1])),
        Change("blocks.0.attn.z", "scale", {"head": [0, 1]}, value=0.9),
    ]
    found = run(program(str(folder), text, changes))
    table = model.parameters["W_E"]
    expected = model
    for each in [
        {"blocks.*.attn.qk_scaled": cutaway.skip(head=1)},
        {"blocks.1.resid_pre": cutaway.patch(model.trace(other), pos=1, from_pos=2)},
        {"blocks.0.resid_pre": cutaway.add(0.3 * (table[3] + table[4] - table[5]), pos=slice(1, None))},
        {"blocks.0.resid_pre": cutaway.add(-0.7 * table[5])},
        {"blocks.0.mlp_out": cutaway.patch(model.trace([3, 1]), pos=[0])},
        {"blocks.0.attn.z": cutaway.scale(0.9, head=[0, 1])},
    ]:
        expected = expected.intervene(each)
    logits = expected.trace(text)["logits"]
    np.testing.assert_allclose(found["trace"]["logits"], logits, rtol=1e-5, atol=1e-5)
    assert np.abs(logits - model.trace(text)["logits"]).max() > 1e-2
    assert len(capsys.readouterr().out.splitlines()) == 10
    plain = run(program(str(folder), [3, 1, 2], []))
    np.testing.assert_array_equal(plain["trace"]["logits"], model.trace([3, 1, 2])["logits"])


@pytest.mark.parametrize("ids", [([3], []), ([], [3]), ([3, 5], [7]), ([3], [5, 7]), ([3, 3], [3])])
def test_a_direction_has_the_bits_of_its_text(ids: tuple[list[int], list[int]]) -> None:
    model = tiny_model("llama-gqa")
    direction = Direction(*ids, scale=0.37)
    change = Change("blocks.1.resid_pre", "add", direction=direction)
    given = run(f"vector = {change.expression}", cutaway=cutaway, model=model)["vector"].value
    np.testing.assert_array_equal(given, direction.of(model.parameters["W_E"]))
    plus, minus = (model.parameters["W_E"][each].sum(axis=0) for each in ids)
    np.testing.assert_allclose(given, 0.37 * (plus - minus), rtol=1e-5, atol=1e-6)


def test_every_float32_comes_back() -> None:
    values = np.random.default_rng(1).integers(0, 2**32, 2000, dtype=np.uint32).view(np.float32)
    values = np.concatenate(
        [values[np.isfinite(values)], np.array([0.1, -0.0, 1e20, 1e-45, math.inf, -math.inf], np.float32)]
    )
    text = Change("x", "set", value=values[-1800:].reshape(2, 900)).expression
    again = run(f"found = {text}", cutaway=cutaway)["found"].value
    np.testing.assert_array_equal(again, values[-1800:].reshape(2, 900))
    assert "0.9, head" in Change("x", "scale", {"head": 1}, value=0.9).expression


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "it's",
        'a "b"',
        "'\"",
        "\\",
        '"""',
        "\n\r\t\0",
        "\u2028\u202e\ud800",
        "{x}",
        '") or exit() #',
        "é 汉 😀",
    ],
)
def test_no_text_breaks_out(text: str) -> None:
    spelled = quoted(text)
    assert run(f"found = {spelled}")["found"] == text
    assert all(each.isprintable() for each in spelled) and len(spelled.splitlines()) == 1


def test_lines_follow_on() -> None:
    first, second = lines(
        [Change("logits", "zero"), Change("blocks.0.attn.z", "zero", {"head": 2, "pos": slice(2, 9)})]
    )
    assert first == 'edited = model.intervene({"logits": cutaway.zero()})'
    assert second == 'edited = edited.intervene({"blocks.0.attn.z": cutaway.zero(head=2, pos=slice(2, 9))})'

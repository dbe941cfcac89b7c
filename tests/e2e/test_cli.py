"""The command line: in this process on a tiny model with a tokenizer, and as a person starts it."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from typer.main import get_command

import cutaway
from cutaway.cli import main
from cutaway.cli.app import application
from cutaway.cli.completion import complete_model, complete_site
from tests.support.spelling import write_tiny_speller

ROOT = Path(__file__).parents[2]
TEXT = "Hi 🙂 ho"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture(scope="session")
def speller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "speller"
    write_tiny_speller(folder)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("trace", "hi", stdin=b"…")`: one command, 80 wide, in this process."""
    for name in ("NO_COLOR", "FORCE_COLOR", "CUTAWAY_TRACEBACK", "LC_ALL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LANG", "C.UTF-8")

    def call(*arguments: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


def fits(text: str, width: int = 80) -> bool:
    return all(cell_len(line) <= width for line in text.splitlines())


# -- trace ---------------------------------------------------------------------------------------------------------


def test_the_view_tells_the_whole_story(run: Run, speller: Path) -> None:
    result = run("trace", TEXT, "-m", str(speller))
    assert result.code == 0 and result.err == ""
    for heading in ("1 Pieces", "2 Attention", "3 How the prediction forms", "4 What comes next", "5 And so on"):
        assert heading in result.out
    assert "‹F0›" in result.out and "·" in result.out
    assert "\x1b" not in result.out, "a pipe gets plain text"
    assert fits(result.out)


def test_the_view_shows_the_models_own_numbers(run: Run, speller: Path) -> None:
    result = run("trace", TEXT, "-m", str(speller))
    trace = cutaway.load(speller).trace(TEXT)
    for token, probability, logit in trace.next_tokens(10):
        assert re.search(rf"{100 * probability:#.3g}%\s+{logit:#.3g}".replace("-", "−"), result.out), token
    pattern = np.stack([trace[f"blocks.{i}.attn.pattern"][:, -1, :] for i in range(2)])
    pattern[:, :, 0] = 0
    layer, head, key = np.unravel_index(pattern.argmax(), pattern.shape)
    assert re.search(
        rf"{re.escape(trace.tokens[key].display)} █+.?\s+{100 * pattern.max():.1f}%  block {layer} head {head}",
        result.out,
    )


@pytest.mark.parametrize("columns", [40, 60, 79, 80, 100, 200])
def test_every_view_fits_its_terminal(run: Run, speller: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    views = [
        ("trace", "漢字 and a longer text 🙂", "-m", str(speller)),
        ("trace", TEXT, "-m", str(speller), "--layer", "1", "--head", "3"),
        ("trace", TEXT, "-m", str(speller), "--site", "*"),
        (
            "trace",
            TEXT,
            "-m",
            str(speller),
            "--explain",
            "blocks.1.attn_out:3,4",
            "--explain",
            "blocks.0.attn.qk:1,3,2",
        ),
        ("trace", TEXT, "-m", str(speller), "--zero", "blocks.0.attn.z:head=1"),
        ("generate", TEXT, "-m", str(speller), "--why", "-n", "3", "--seed", "1", "--top-k", "9", "--top-p", "0.9"),
        ("params", "llama-3-8b"),
        ("models",),
    ]
    for view in views:
        result = run(*view)
        assert result.code == 0, result.err
        too_wide = [line for line in result.out.splitlines() if cell_len(line) > max(columns, 80)]
        assert not too_wide, (view, too_wide)


def test_ascii_terminals_get_ascii(run: Run, speller: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "C")
    for view in (
        ("trace", TEXT),
        ("trace", TEXT, "--site", "blocks.0.*"),
        ("generate", TEXT, "--why", "--seed", "2"),
    ):
        result = run(*view, "-m", str(speller))
        assert result.code == 0 and result.out.isascii() and fits(result.out)


@pytest.mark.parametrize("plain", [True, False])
def test_colours_are_the_terminals_own_and_can_be_left_out(
    run: Run, speller: Path, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    result = run("trace", TEXT, "-m", str(speller), "--site", "blocks.0.attn_out", "--layer", "0", "--head", "0")
    codes = {int(each) for code in re.findall(r"\x1b\[([0-9;]*)m", result.out) for each in code.split(";") if each}
    assert bool(codes & {*range(30, 38), *range(90, 98)}) is not plain
    assert codes <= {0, 1, 2, *range(30, 38), *range(90, 98)}, "16 colours, bold and dim alone"


def test_json_is_the_trace(run: Run, speller: Path) -> None:
    pattern, scores = "blocks.1.attn.pattern", "blocks.1.attn.attn_scores"
    result = run("trace", TEXT, "-m", str(speller), "--json", "--site", "blocks.1.attn.*", "--top", "3",
                 "--layer", "1", "--head", "2", "--explain", "blocks.1.attn.qk:2,5,4")  # fmt: skip
    assert result.code == 0 and result.out.isascii() and result.out.count("\n") == 1
    trace = cutaway.load(speller).trace(TEXT)
    found = result.json
    assert [token["id"] for token in found["tokens"]] == list(trace.ids) == list(TEXT.encode())
    assert bytes.fromhex("".join(token["bytes"] for token in found["tokens"])).decode() == TEXT
    assert [(each["token"]["id"], each["probability"], each["logit"]) for each in found["next_tokens"]] == [
        (token.id, probability, logit) for token, probability, logit in trace.next_tokens(3)
    ]
    assert np.array_equal(np.array(found["sites"][pattern]["values"], np.float32), trace[pattern])
    assert found["sites"][pattern]["axes"] == ["head", "q_pos", "k_pos"]
    masked = np.array(
        [[[value is None for value in row] for row in head] for head in found["sites"][scores]["values"]]
    )
    assert np.array_equal(masked, np.isneginf(trace[scores])) and masked.any()
    assert np.array_equal(np.array(found["pattern"]["values"], np.float32), trace[pattern][2])
    assert found["explanations"][0]["value"] == pytest.approx(float(trace["blocks.1.attn.qk"][2, 5, 4]), rel=1e-5)
    assert [stage["site"] for stage in found["lens"]] == [
        *("blocks.0.resid_pre", "blocks.0.resid_post", "blocks.1.resid_post")
    ]
    assert found["lens"][-1]["top"][0]["id"] == found["next_tokens"][0]["token"]["id"]
    assert found["heads"][0]["weight"] == max(each["weight"] for each in found["heads"])
    assert found["interventions"] == []


def test_what_is_documented_is_what_json_holds(run: Run, speller: Path) -> None:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    outputs = [
        run("trace", TEXT, "-m", str(speller), "--json", "--site", "embed", "--layer", "0", "--head", "0",
            "--explain", "embed:0,0", "--zero", "embed:pos=1").json,
        json.loads(run("generate", TEXT, "-m", str(speller), "--json", "--why", "-n", "1").out),
        run("models", "--json").json,
    ]  # fmt: skip
    keys = {key for output in outputs for key in _keys(output) if re.fullmatch(r"[a-z_]{2,}", key)}
    sites_and_stages = {"embed", "raw", "temperature", "start", "stop", "step", "pos"}
    assert {key for key in keys - sites_and_stages if not re.search(rf"[`\"]{key}[`\"]", page)} == set()


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for each in value.values() for key in _keys(each)}
    return {key for each in value for key in _keys(each)} if isinstance(value, list) else set()


def test_another_position(run: Run, speller: Path) -> None:
    trace = cutaway.load(speller).trace(TEXT)
    found = run("trace", TEXT, "-m", str(speller), "--json", "-p", "2").json
    assert found["position"] == 2
    assert found["next_tokens"][0]["logit"] == trace.next_tokens(1, position=2)[0].logit
    assert all(1 <= head["key"] <= 2 for head in found["heads"])
    first = run("trace", TEXT, "-m", str(speller), "-p", "0")
    assert first.code == 0 and "nothing to look back at" in first.out


def test_ids_are_as_good_as_text(run: Run, speller: Path) -> None:
    by_text = run("trace", "Hi", "-m", str(speller), "--json").json
    by_ids = run("trace", "[72, 105]", "-m", str(speller), "--json", "--ids").json
    assert by_text == by_ids


def test_a_model_without_a_tokenizer_works_on_ids(run: Run, speller: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((speller / name).read_bytes())
    assert run("trace", "5 7 9", "--ids", "-m", str(bare)).code == 0
    assert re.fullmatch(r"\d+ \d+ \d+\n", run("generate", "5 7", "--ids", "-m", str(bare), "-n", "3").out)
    refused = run("trace", "hello", "-m", str(bare))
    assert refused.code == 2 and "tokenizer" in refused.err


def test_changes_act_and_are_told(run: Run, speller: Path, tmp_path: Path) -> None:
    model = cutaway.load(speller)
    with model.intervene({"blocks.0.attn.z": cutaway.zero(head=1, pos=slice(2, None))}) as edited:
        expected = edited.trace(TEXT).next_tokens(1)[0].probability
    same = model.trace(TEXT)
    by_hand = run("trace", TEXT, "-m", str(speller), "--json", "--zero", "blocks.0.attn.z:head=1,pos=2:").json
    assert by_hand["next_tokens"][0]["probability"] == expected
    token = by_hand["next_tokens"][0]
    unchanged = next(each for each in same.next_tokens(257) if each.token.id == token["token"]["id"])
    assert token["unchanged_probability"] == unchanged.probability
    saved = tmp_path / "changes.json"
    saved.write_text(json.dumps(by_hand["interventions"]))
    for given in (str(saved), saved.read_text(), json.dumps(by_hand["interventions"][0])):
        assert run("trace", TEXT, "-m", str(speller), "--json", "--intervene", given).json == by_hand
    shown = run("trace", TEXT, "-m", str(speller), "--zero", "blocks.0.attn.z:head=1")
    assert "Changed" in shown.out and "head 1): zero" in shown.out


def test_a_trace_is_saved(run: Run, speller: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.safetensors"
    result = run("trace", TEXT, "-m", str(speller), "--out", str(out), "--site", "blocks.1.attn.pattern")
    assert result.code == 0 and result.out == "" and str(out) in result.err
    model = cutaway.load(speller)
    loaded = cutaway.load_trace(out)
    assert np.array_equal(loaded["blocks.1.attn.pattern"], model.trace(TEXT)["blocks.1.attn.pattern"])
    there = tmp_path / "no" / "such" / "folder.safetensors"
    refused = run("trace", TEXT, "-m", str(speller), "--out", str(there))
    assert refused.code != 0 and refused.err.startswith("cutaway: ") and not there.exists()


def test_a_long_text_is_binned_and_says_so(run: Run, tmp_path: Path) -> None:
    write_tiny_speller(tmp_path / "long", n_ctx=256)
    result = run("trace", "a b " * 25, "-m", str(tmp_path / "long"), "--layer", "0", "--head", "0")
    assert result.code == 0 and "4 × 4 weights and shows one of them, the largest" in result.out and fits(result.out)
    view = run("trace", "a b " * 25, "-m", str(tmp_path / "long"))
    assert view.code == 0 and fits(view.out) and "…" in view.out


# -- standard input, errors ----------------------------------------------------------------------------------------


def test_standard_input(run: Run, speller: Path) -> None:
    expected = run("trace", "Hi 🙂", "-m", str(speller), "--json").out
    for raw in ("Hi 🙂", "Hi 🙂\n", "Hi 🙂\r\n"):
        assert run("trace", "-", "-m", str(speller), "--json", stdin=raw.encode()).out == expected
    two = run("trace", "-", "-m", str(speller), "--json", stdin="Hi 🙂\n\n".encode()).json
    assert two["text"] == "Hi 🙂\n"


S = "SPELLER"
REFUSED: list[tuple[tuple[str, ...], bytes, int, str]] = [
    (("trace", "", "-m", S), b"", 2, "empty"),
    (("trace", "-", "-m", S), b"", 2, "empty"),
    (("trace", "-", "-m", S), b"ab\xffcd", 2, "0xFF at offset 2"),
    (("trace", "caf\udce9 x", "-m", S), b"", 2, "0xE9 at offset 3"),
    (("trace", "x" * 65, "-m", S), b"", 2, "65 tokens; this model takes 64"),
    (("trace", "5 x", "--ids", "-m", S), b"", 2, '"x" is not a token id'),
    (("trace", "999", "--ids", "-m", S), b"", 2, "outside this model's vocabulary"),
    (("trace", "hi", "-m", S, "--site", "blocks.9.attn.z"), b"", 2, "It has blocks 0 to 1"),
    (("trace", "hi", "-m", S, "--site", "zzz*"), b"", 2, "zzz*"),
    (("trace", "hi", "-m", S, "-p", "5"), b"", 2, "position=5"),
    (("trace", "hi", "-m", S, "--layer", "1"), b"", 2, "go together"),
    (("trace", "hi", "-m", S, "--layer", "1", "--head", "9"), b"", 2, "head=9"),
    (("trace", "hi", "-m", S, "--layer", "7", "--head", "1"), b"", 2, "blocks 0 to 1"),
    (("trace", "hi", "-m", S, "--explain", "blocks.0.attn.qk"), b"", 2, "SITE:I,J,K"),
    (("trace", "hi", "-m", S, "--explain", "blocks.0.attn.qk:1,1"), b"", 2, "expected 3 numbers"),
    (("trace", "hi", "-m", S, "--zero", "blocks.0.attn.z:head"), b"", 2, "AXIS".lower()),
    (("trace", "hi", "-m", S, "--zero", "blocks.0.attn.z:head=x"), b"", 2, "not an index"),
    (("trace", "hi", "-m", S, "--zero", "blocks.0.attn.z:haed=1"), b"", 2, 'did you mean "head"'),
    (("trace", "hi", "-m", S, "--intervene", "{"), b"", 2, "not JSON"),
    (("trace", "hi", "-m", S, "--intervene", "no-such-file"), b"", 2, "cannot be read"),
    (("trace", "hi", "-m", S, "--intervene", "[3]"), b"", 2, "list of these"),
    (("trace", "hi", "-m", S, "--json", "--out", "x"), b"", 2, "cannot go together"),
    (("trace", "hi", "-m", S, "--top", "0"), b"", 2, "See: cutaway trace --help"),
    (("trace",), b"", 2, "TEXT"),
    (("trace", "hi", "--no-such"), b"", 2, "--no-such"),
    (("tarce", "hi"), b"", 2, "trace"),
    (("trace", "hi", "-m", "smolm2-135m"), b"", 4, 'did you mean "smollm2-135m"'),
    (("trace", "hi", "-m", "./nowhere"), b"", 4, "no file or folder"),
    (("trace", "hi", "-m", "EMPTY"), b"", 3, "config.json"),
    (("trace", "hi", "-m", "PICKLE"), b"", 3, "pickle"),
    (("trace", "hi", "-m", "CUT"), b"", 3, "cut.gguf"),
    (("generate", "hi", "-m", S, "--temperature", "-1"), b"", 2, "temperature"),
    (("generate", "hi", "-m", S, "--top-p", "7"), b"", 2, "top_p"),
    (("generate", "hi", "-m", S, "-n", "0"), b"", 2, "max_new_tokens"),
    (("generate", "hi", "-m", S, "--stop", ""), b"", 2, "stop"),
    (("generate", "hi", "-m", S, "--chat"), b"", 2, "chat template"),
    (("generate", "hi", "-m", S, "--chat", "--ids"), b"", 2, "cannot go together"),
    (("params",), b"", 2, "say which model"),
    (("params", "gtp2"), b"", 4, 'did you mean "gpt2"'),
    (("params", "--n-layer", "3"), b"", 3, "d_model"),
    (("params", "gpt2", "--d-model", "1024"), b"", 3, "n_head 12"),
    (("params", "CONFIG"), b"", 3, "not JSON"),
    (("pull", "smollm2-135"), b"", 4, "did you mean"),
]


@pytest.mark.parametrize(("arguments", "stdin", "code", "told"), REFUSED, ids=[" ".join(r[0])[:50] for r in REFUSED])
def test_bad_input_gets_one_sentence(
    run: Run, speller: Path, tmp_path: Path, arguments: tuple[str, ...], stdin: bytes, code: int, told: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\x00\x00\x00\xff")
    (tmp_path / "weights.bin").write_bytes(b"\x80\x02}q\x00.")
    (tmp_path / "config.json").write_bytes(b"\xff{")
    named = {S: speller, "EMPTY": tmp_path / "empty", "PICKLE": tmp_path / "weights.bin",
             "CUT": tmp_path / "cut.gguf", "CONFIG": tmp_path / "config.json"}  # fmt: skip
    result = run(*(str(named.get(each, each)) for each in arguments), stdin=stdin)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("cutaway: ") and result.err.count("\n") == 1 and told in result.err, result.err


def test_hostile_text_does_not_reach_the_terminal(run: Run, speller: Path) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J a\x9b31m \u202eevil"
    for view in (
        ("trace", hostile),
        ("trace", hostile, "--layer", "0", "--head", "0"),
        ("trace", hostile, "--site", "embed"),
        ("trace", hostile, "--site", hostile),
        ("trace", "hi", "--explain", hostile + ":1"),
        ("generate", hostile, "--why", "-n", "2"),
        ("generate", "hi", "--why", "-n", "30", "--seed", "4"),  # this model writes any byte
        ("generate", "hi", "-n", "60", "--seed", "4", "--temperature", "5"),
        ("trace", hostile, "--json"),
        ("trace", "hi", "-m", hostile),
        ("params", hostile),
    ):
        result = run(*view, *(() if "-m" in view or view[0] == "params" else ("-m", str(speller))))
        bad = re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", result.out + result.err)
        assert not bad, (view, bad)


def test_a_fault_of_ours_is_one_sentence_too(run: Run, speller: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("cutaway.cli.overview.overview", fault)
    result = run("trace", "hi", "-m", str(speller))
    assert result.code == 1 and "ZeroDivisionError: planted" in result.err and result.err.count("\n") == 1
    monkeypatch.setenv("CUTAWAY_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        main(["trace", "hi", "-m", str(speller)])


# -- generate ------------------------------------------------------------------------------------------------------


def test_generate_writes_what_python_does(run: Run, speller: Path) -> None:
    settings = {"max_new_tokens": 12, "temperature": 0.8, "top_k": 40, "seed": 3, "repetition_penalty": 1.2}
    steps = list(cutaway.load(speller).generate(TEXT, **settings))
    given = ["-n", "12", "-t", "0.8", "--top-k", "40", "--seed", "3", "--repetition-penalty", "1.2"]
    lines = run("generate", TEXT, "-m", str(speller), *given, "--json").out.splitlines()
    assert [json.loads(line)["token"]["id"] for line in lines] == [step.token_id for step in steps]
    assert [json.loads(line)["u"] for line in lines] == [step.u for step in steps]
    assert json.loads(lines[-1])["finish"] == "length"
    assert run("generate", TEXT, "-m", str(speller), *given, "--json", "--lookup", "6").code == 0
    text = run("generate", TEXT, "-m", str(speller), *given)
    assert text.code == 0 and text.err == ""


def test_why_tells_every_stage_and_the_draw(run: Run, speller: Path) -> None:
    given = ["-n", "2", "-t", "0.8", "--top-k", "9", "--top-p", "0.9", "--seed", "3"]
    result = run("generate", TEXT, "-m", str(speller), "--why", *given)
    first = next(
        iter(cutaway.load(speller).generate(TEXT, max_new_tokens=2, temperature=0.8, top_k=9, top_p=0.9, seed=3))
    )
    assert first.u is not None and f"The draw: {first.u:.4f} fell into" in result.out
    assert all(title in result.out for title in ("model", "÷T", "top-k", "top-p", "still possible", "▲"))
    row = next(line for line in result.out.splitlines() if "still possible" in line)
    assert [int(each) for each in row.split()[2:]] == list(first.choice.kept().values())
    details = json.loads(run("generate", TEXT, "-m", str(speller), "--why", "--json", *given).out.splitlines()[0])
    chosen = next(each for each in details["candidates"] if each["chosen"])
    assert chosen["interval"][0] <= details["u"] < chosen["interval"][1]


def test_drafts_are_told(run: Run, speller: Path) -> None:
    result = run("generate", "abcabcabcabc", "-m", str(speller), "--why", "-t", "0", "--lookup", "4", "-n", "12")
    assert "guessed ahead" in result.out
    plain = run("generate", "abcabcabcabc", "-m", str(speller), "--why", "-t", "0", "-n", "12")
    assert "guessed ahead" not in plain.out
    assert result.out.split("The text")[1] == plain.out.split("The text")[1]


def test_dropped_context_is_reported(run: Run, speller: Path) -> None:
    result = run("generate", "x" * 60, "-m", str(speller), "-n", "10", "-t", "0")
    assert result.code == 0 and "oldest 16 pieces were dropped and the other 49 read again" in result.err
    lines = [
        json.loads(line)
        for line in run("generate", "x" * 60, "-m", str(speller), "-n", "10", "--json").out.splitlines()
    ]
    assert [line["dropped"] for line in lines if line["dropped"]] == [{"tokens": 16, "prefilled": 49}]


def test_ctrl_c_keeps_what_was_written(run: Run, speller: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = cutaway.Model.generate

    def interrupted(self: cutaway.Model, *arguments: Any, **settings: Any) -> Any:
        for step in original(self, *arguments, **settings):
            yield step
            if step.index == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(cutaway.Model, "generate", interrupted)
    result = run("generate", "hi", "-m", str(speller), "--seed", "1")
    assert result.code == 130 and result.out.endswith("\n") and len(result.out) > 1
    assert "stopped by Ctrl-C after 5 pieces" in result.err
    lines = run("generate", "hi", "-m", str(speller), "--seed", "1", "--json")
    assert lines.code == 130 and [json.loads(each)["index"] for each in lines.out.splitlines()] == [0, 1, 2, 3, 4]


# -- params, models, pull ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "total"),
    [
        (("gpt2",), 124_439_808),
        (("gpt3",), 175_181_291_520),
        (("llama-2-7b",), 6_738_415_616),
        (("transformer-2017",), 63_082_496),
        (("gpt2", "--n-layer", "24", "--d-model", "1024", "--n-head", "16"), 354_823_168),
        (("--n-layer", "12", "--d-model", "768"), 124_439_808),
    ],
)
def test_params(run: Run, arguments: tuple[str, ...], total: int) -> None:
    assert run("params", *arguments, "--json").json["total"] == total
    shown = run("params", *arguments)
    assert shown.code == 0 and f"{total:,} parameters" in shown.out and fits(shown.out)


def test_params_of_a_file_are_what_it_holds(run: Run, speller: Path) -> None:
    for path in (speller, speller / "config.json", speller / "model.safetensors"):
        found = run("params", str(path), "--json").json
        assert found["total"] == sum(array.size for array in cutaway.load(speller).parameters.values())
        if path.suffix != ".json":
            assert found["stored"]["parameters"] == found["total"] and found["stored"]["dtypes"] == {
                "F32": found["total"]
            }
    assert "safetensors" in run("params", str(speller)).out


def test_params_at_a_length(run: Run) -> None:
    found = run("params", "gpt2", "--length", "1024", "--json").json
    assert [(each["n_tokens"], each["flops"]) for each in found["lengths"]] == [(1024, 291_648_307_200)]
    assert "292 GFLOP" in run("params", "gpt2", "--length", "1024").out


def test_models(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTAWAY_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    found = run("models", "--json").json
    assert found["default"] == "smollm2-135m"
    assert {each["name"] for each in found["models"]} >= {"gpt2", "distilgpt2", "qwen3-0.6b", "llama-3.2-1b"}
    assert not any(each["here"] for each in found["models"])
    shown = run("models").out
    assert "nothing yet" in shown and "Apache-2.0" in shown and fits(shown)
    monkeypatch.setenv("CUTAWAY_OFFLINE", "1")
    refused = run("pull", "gpt2")
    assert refused.code == 5 and "offline" in refused.err


def test_pull_of_what_is_here(run: Run, speller: Path) -> None:
    assert "was here already" in run("pull", str(speller)).out
    found = run("pull", str(speller), "--json").json
    assert found == {"name": str(speller), "path": str(speller), "was_here": True}


def test_bench_is_honest_about_what_it_measured(run: Run, speller: Path) -> None:
    found = run("bench", "-m", str(speller), "--repeat", "1", "--json").json
    assert found["machine"]["cores"] >= 1 and found["machine"]["numpy"] == np.__version__
    assert found["n_tokens"] == {"short": 50, "long": 64} and found["dtype"] == {"F32": sum(found["dtype"].values())}
    assert all(seconds > 0 for seconds in found["seconds"].values()) and found["decode_tokens_per_second"] > 0
    seconds = found["seconds"]
    assert found["ratios"]["traced_to_untraced_short"] == seconds["traced_short"] / seconds["untraced_short"]


# -- help, version, completion -------------------------------------------------------------------------------------


def make_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_on_the_command_line_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    words = re.sub(r"\s+", "", page)
    root = get_command(application())
    for command in [root, *root.commands.values()]:  # type: ignore[attr-defined]
        for option in command.params:
            for part in [*option.opts, *option.secondary_opts, getattr(option, "help", None) or ""]:
                if option.param_type_name != "argument" or part != option.name:
                    assert re.sub(r"\s+", "", part) in words, f"{part}: run scripts/make_docs.py"
        for line in (command.help or "").replace("\b", "").splitlines():
            assert re.sub(r"\s+", "", line) in words, f"{line}: run scripts/make_docs.py"
    known = {name for command in [root, *root.commands.values()] for each in command.params  # type: ignore[attr-defined]
             for name in each.opts}  # fmt: skip
    generated = page.partition("<!-- From here")[2]
    listed = set(re.findall(r"^\s+(?:-\w, )?(--[a-z-]+)", generated, re.MULTILINE))
    assert listed <= known | {"--help"}, "an option that is gone is still listed: run scripts/make_docs.py"
    if f"Made with typer {typer.__version__};" in page:  # another version lays the same words out differently
        monkeypatch.setenv("COLUMNS", "80")
        assert make_docs().text(page) == page, "run scripts/make_docs.py"


def test_every_command_shows_examples(run: Run) -> None:
    root = run("--help")
    assert root.code == 0 and "Examples:" in root.out and "Exit codes:" in root.out
    for name in ("trace", "generate", "params", "models", "pull", "bench"):
        shown = run(name, "--help")
        assert shown.code == 0 and f"cutaway {name}" in shown.out.partition("Examples:")[2] and fits(shown.out)
    assert run("--version").out == f"cutaway {cutaway.__version__}\n"


def test_completion() -> None:
    assert complete_model("gpt2-m") == ["gpt2-medium"]
    assert "blocks.3.attn.pattern" in complete_site("blocks.3.attn.")
    assert complete_site("blo") == ["blocks."] and "logits" in complete_site("")


# -- as a person starts it -----------------------------------------------------------------------------------------


def test_a_plain_command_asks_nobody_what_its_values_are(speller: Path) -> None:
    """Typer's judge costs more than a pass over a sentence (see cli/values.py); what is wrong still goes to it."""
    command = (
        "from cutaway.cli import main; code = main(%r); import sys; print('pydantic' in sys.modules); sys.exit(code)"
    )
    line = ["trace", TEXT, "-m", str(speller), "--top", "3", "--site", "embed", "--position", "-2", "--json"]
    done = subprocess.run([sys.executable, "-c", command % line], capture_output=True, text=True, check=True)
    found, _, asked = done.stdout.rstrip().rpartition("\n")
    assert asked == "False" and len(json.loads(found)["next_tokens"]) == 3 and "embed" in json.loads(found)["sites"]


def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "cutaway.cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "80", "LANG": "C.UTF-8", **environment},
        # a shell starts what it puts into the background with Ctrl-C ignored, and this run may be one of those
        preexec_fn=None if os.name == "nt" else lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_the_default_model_answers_as_it_should(default_model_path: Path) -> None:
    process = start("trace", "Data visualization empowers users to", "--json")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, b"")
    found = json.loads(out)
    assert [each["id"] for each in found["tokens"]] == [5127, 15171, 18766, 3629, 288]
    assert [each["token"]["id"] for each in found["next_tokens"][:5]] == [919, 1464, 14556, 3112, 2217]
    logits = [each["logit"] for each in found["next_tokens"][:5]]
    assert logits == pytest.approx([26.9302, 26.5187, 26.3522, 25.9957, 25.9575], abs=0.002)


def test_json_needs_nothing_that_draws_or_downloads(speller: Path) -> None:
    script = (
        "import sys; from cutaway.cli import main; code = main(['trace', 'hi', '-m', sys.argv[1], '--json']);"
        "loaded = {name.partition('.')[0] for name in sys.modules};"
        "sys.exit(code or ' '.join(loaded & {'rich', 'huggingface_hub', 'jinja2', 'httpx', 'requests'}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(speller)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_a_reader_that_stops_is_not_an_error(speller: Path) -> None:
    process = start("generate", "hi", "-m", str(speller), "--json", "-n", "400")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith(b'{"index": 0')
    process.stdout.close()
    with process.stderr:
        complaints = process.stderr.read()
    assert process.wait(timeout=60) == 141
    assert all(line.startswith(b"cutaway: the text outgrew") for line in complaints.splitlines())


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_ctrl_c_from_the_keyboard(speller: Path) -> None:
    process = start("generate", "hi", "-m", str(speller), "--json", "-n", "100000")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith(b'{"index": 0')
    process.send_signal(signal.SIGINT)
    with process.stdout, process.stderr:  # not communicate(), which would lose what readline() has read ahead
        out, err = process.stdout.read(), process.stderr.read()
    assert process.wait(timeout=60) == 130
    assert err.splitlines()[-1].startswith(b"cutaway: stopped by Ctrl-C after") and b"Traceback" not in err
    assert all(json.loads(line) for line in out.splitlines())

"""The harness: rounds that are fair, sides that do what they say, limits that add up, and a page made of results."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from benchmarks import limits, report, speed
from benchmarks.measure import Others, Ratio, ratio, rounds
from benchmarks.products import tables
from benchmarks.side import Missing, Side
from benchmarks.work import Figure, Least, bits, captured_limit, decoding_limit, default_model, prefill_limit, seconds

RESULTS = Path(report.__file__).parent / "results"


def test_rounds_let_each_side_go_first_in_turn_and_do_not_count_the_warm_ones() -> None:
    order = ""

    def side(name: str) -> float:
        nonlocal order
        order += name
        return float(len(order))

    times = rounds({"a": lambda: side("a"), "b": lambda: side("b")}, 3, warm=1, rest=0)
    assert order == "abbaabba"
    assert times == {"a": [4.0, 5.0, 8.0], "b": [3.0, 6.0, 7.0]}


def test_rounds_end_early_but_not_before_three() -> None:
    times = rounds({"a": lambda: 1.0}, 50, warm=1, most=0, rest=0)
    assert len(times["a"]) == 3


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="this system does not tell")
def test_what_others_use_of_the_cores_is_seen() -> None:
    others = Others()
    burn = "import time; until = time.process_time() + 0.5\nwhile time.process_time() < until: pass"
    with subprocess.Popen([sys.executable, "-c", burn]) as other:
        began = time.monotonic()
        while others.cores() < 0.05 and time.monotonic() - began < 10:
            time.sleep(0.1)  # still running: not yet one of ours
        assert others.cores() >= 0.05
        other.wait()


def test_a_ratio_is_taken_round_by_round() -> None:
    measured = ratio([2.0, 40.0, 6.0, 8.0], [1.0, 10.0, 2.0, 4.0])  # 2, 4, 3, 2
    assert (measured.ratio, measured.low, measured.high, measured.pairs) == (2.5, 2.0, 3.0, 4)
    assert (measured.a, measured.b) == (7.0, 3.0)


@pytest.fixture(scope="module")
def ours(default_model_path: Path) -> Any:
    with Side("cutaway", threads=1, path=str(default_model_path)) as side:
        yield side


def test_every_way_to_decode_writes_the_same(ours: Side) -> None:
    prompt, n = speed.some_ids(8), 5
    plain = ours.do("decode", ids=prompt, n=n)
    watched = ours.do("watched", ids=prompt, n=n)
    drafted = ours.do("written", ids=prompt, n=n, lookup=10)
    assert len(plain["ids"]) == n + 1
    assert plain["ids"] == watched["ids"] == drafted["ids"]
    assert ours.do("prefill", ids=prompt)["best"] == plain["ids"][0]
    assert min(each["seconds"] for each in (plain, watched, drafted)) > 0


def test_captured_and_replayed_hold_the_same_arrays(ours: Side) -> None:
    names = ours.do("same_as_transformers")["names"]
    recorded = ours.do("captured", ids=speed.SIX, names=names)
    replayed = ours.do("replayed", ids=speed.SIX, names=names)
    assert recorded["arrays"] == replayed["arrays"] == len(names) == 62
    assert recorded["bytes"] == replayed["bytes"] == 4 * (30 * (6 * 576 + 9 * 36) + 6 * 576 + 6 * 49152)


def test_a_peer_that_is_not_installed_is_missing(tmp_path: Path, default_model_path: Path) -> None:
    (tmp_path / "llama_cpp.py").write_text("raise ImportError('no', name='llama_cpp')\n")
    hidden = {"PYTHONPATH": str(tmp_path)}
    with pytest.raises(Missing, match="llama_cpp is not installed"):
        Side("llama", environment=hidden, path=str(default_model_path), flash_attention=True)


def test_a_missing_peer_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(options: Any) -> list[Figure]:
        raise Missing("llama_cpp is not installed")

    monkeypatch.setitem(speed.ROWS, "decode", missing)
    monkeypatch.setattr(speed, "KEPT", tmp_path / "speed.json")
    rows = speed.run(speed.Options(only=["decode"], quick=True))
    assert rows[0]["value"] == "not measured: llama_cpp is not installed"
    assert not speed.KEPT.exists()  # hurried figures are not kept


def test_a_disturbed_row_does_not_take_the_place_of_an_older_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(speed, "KEPT", tmp_path / "speed.json")
    monkeypatch.setattr(speed, "limits", dict)
    monkeypatch.setattr(report, "write", lambda kept: None)
    for value, others in (("first", 1.5), ("quiet", 0.1), ("disturbed", 0.9)):
        speed._keep("decode", [Figure("decode", value)], others)
        if value == "first":
            assert json.loads(speed.KEPT.read_text())["decode"]["others"] == 1.5
    assert json.loads(speed.KEPT.read_text())["decode"]["figures"][0]["value"] == "quiet"


def test_the_work_of_the_default_model_adds_up() -> None:
    shape = default_model()
    norms = 61 * 576
    assert shape.block_weights + shape.unembedding + norms == 134_515_008
    assert shape.matrix_bytes == shape.block_weights * 20 / 32 + shape.unembedding * 34 / 32
    assert (bits("Q4_1"), bits("Q8_0"), bits("F32"), bits("BF16")) == (5, 8.5, 32, 16)


def test_the_least_is_what_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.work.limits", lambda threads: {2: limits.Limit(2, 1e9, 1e12)})
    shape = default_model()
    step = decoding_limit(shape, 32, 2)
    assert step is not None and step.seconds == pytest.approx((shape.matrix_bytes + 32 * 46080) / 1e9)
    whole = prefill_limit(shape, 512, 2)
    products = 2 * 512 * shape.block_weights + 2 * shape.unembedding
    assert whole is not None and whole.seconds == pytest.approx((products + 4 * 30 * 576 * 512 * 513 / 2) / 1e12)
    held = captured_limit(shape, 6, 10e6, 2)
    assert held is not None and held.seconds == pytest.approx((shape.matrix_bytes + 10e6) / 1e9)
    monkeypatch.setattr("benchmarks.work.limits", lambda threads: {})
    assert decoding_limit(shape, 32, 2) is None


def test_a_limit_is_the_most_that_was_seen() -> None:
    before = {"1": {"bytes": 3.0, "flops": 9.0}, "2": {"bytes": 5.0, "flops": 1.0}}
    assert limits.most(before, {"1": {"bytes": 4.0, "flops": 8.0}}) == {
        "1": {"bytes": 4.0, "flops": 9.0},
        "2": {"bytes": 5.0, "flops": 1.0},
    }


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_program_that_measures_limits_compiles_without_a_warning() -> None:
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-pthread", str(limits.SOURCE)], check=True)


def test_a_figure_says_what_it_missed_and_how_far_the_limit_is() -> None:
    measured = Ratio(0.006, 0.004, 1.4, 1.3, 1.6, 9)
    figure = Figure.of_ratio("decode", measured, "llama.cpp", 1.5, 2.0, Least(0.002, "bytes"))
    assert not figure.met and figure.goal_met is False
    assert figure.limit == "2.0× the least, 2 ms (bytes)"
    assert figure.as_row()["value"] == "1.40× (4 ms against 6 ms of llama.cpp); 2.0× the least, 2 ms (bytes)"
    assert [seconds(each) for each in (1.234, 0.00687, 4e-5, None)] == ["1.23 s", "6.87 ms", "40 µs", "–"]


def kept(figure: Figure) -> dict[str, Any]:
    machine = {
        "processor": "P",
        "cores": 2,
        "system": "S",
        "python": "3",
        "numpy": "2",
        "kernels": "k",
        "commit": "c",
    }
    limit = {"2": {"bytes": 5e10, "flops": 4e11}}
    return {"row": {"machine": machine, "limits": limit, "others": 0.5, "figures": [figure.as_kept()]}}


def test_the_page_names_what_was_missed() -> None:
    missed = Figure.of_ratio("decode", Ratio(0.006, 0.004, 1.4, 1.3, 1.6, 9), "llama.cpp", 1.5, 2.0, None)
    text = report.page(kept(missed))
    assert "disturbed: other programs used 0.5 cores" in text
    assert "**missed**" in text and "- decode: 1.40×, the bar is ≥ 1.5×." in text
    assert "missed" not in report.page(kept(Figure("start", "0.1 s", True, "≤ 0.5 s"))).replace("Missed", "missed")


def test_a_chart_has_a_line_for_each_series() -> None:
    lines = {"Cutaway": [0.01, 0.1], "llama.cpp": [0.02, 0.4]}
    drawn = report.chart(kept(Figure("a <b>", "", series={"axis": "tokens", "at": [16, 64], "lines": lines})))
    assert len(ElementTree.fromstring(drawn).findall(".//{*}polyline")) == 2
    assert report.chart(kept(Figure("start", "0.1 s"))) == ""


def test_the_page_is_made_of_the_kept_results() -> None:
    results = json.loads((RESULTS / "speed.json").read_text(encoding="utf-8"))
    assert set(results) <= set(speed.ROWS)
    ordered = {name: results[name] for name in speed.ROWS if name in results}
    assert report.PAGE.read_text(encoding="utf-8") == report.page(ordered)
    assert report.CHART.read_text(encoding="utf-8") == report.chart(ordered)


def test_a_library_that_is_missing_is_a_row_that_says_so() -> None:
    results = json.loads((RESULTS / "products.json").read_text(encoding="utf-8"))
    results["libraries"]["ggml"] = {"missing_1": "llama_cpp is not installed"}
    row = next(line for line in tables(results).splitlines() if line.startswith("| ggml"))
    assert "llama_cpp is not installed" in row

"""Pictures in characters: what is drawn is what was given, at the promised width, in colour and without."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from cutaway.cli import words
from cutaway.cli.pictures import (
    Grid,
    Part,
    attention_legend,
    attention_map,
    bar,
    number_line,
    scale_of,
    share_shade,
    spans,
    stripe,
)
from cutaway.cli.render_sites import readable_formula
from cutaway.cli.render_trace import pattern_grid, stages_shown
from cutaway.cli.terminal import Screen
from cutaway.config import TRAITS
from cutaway.sites import declared
from tests.support.tiny import SHAPES, some_ids, tiny_config, tiny_model


def screen_of(width: int = 80, unicode: bool = True) -> Screen:
    return Screen(Console(file=io.StringIO(), width=width, color_system=None), width, unicode)


@pytest.mark.parametrize("unicode", [True, False])
@given(share=st.floats(0, 1), width=st.integers(1, 70))
def test_a_bar_has_its_width_and_its_length(unicode: bool, share: float, width: int) -> None:
    drawn = bar(screen_of(unicode=unicode), share, width).plain
    assert cell_len(drawn) == width
    steps = 8 if unicode else 1
    eighths = {"█": 8, "#": 1, " ": 0} | {character: i + 1 for i, character in enumerate("▏▎▍▌▋▊▉")}
    assert sum(eighths[each] for each in drawn) == pytest.approx(share * width * steps, abs=0.5 + 1e-6)


def test_shades_grow_with_the_share() -> None:
    drawn = [share_shade(screen_of(), share) for share in (0.0, 0.015, 0.016, 0.13, 0.15, 0.38, 0.4, 0.76, 0.77, 1.0)]
    assert "".join(drawn) == "  ░░▒▒▓▓██"


def test_a_map_says_each_weight_and_hatches_what_is_masked() -> None:
    weights = np.array([[1, 0], [0.25, 0.75]], dtype=np.float32)
    grid = Grid(weights, np.array([[False, True], [False, False]]), ((0, 1), (1, 2)), ((0, 1), (1, 2)))
    lines = [line.plain for line in attention_map(screen_of(), grid, ["The", "·cat"])]
    assert lines[0].split() == ["The", "·cat"]
    assert lines[1] == "The  0 │██100 ╱╱╱╱╱╱│"
    assert lines[2] == "·cat 1 │▒▒ 25 ▓▓ 75 │"
    assert not grid.binned
    plain = [line.plain for line in attention_map(screen_of(unicode=False), grid, ["The", "·cat"])]
    assert plain[1].isascii() is False and "##100 //////" in plain[1]  # the frame is made plain on its way out


@pytest.mark.parametrize("n", [1, 2, 10, 11, 30, 31, 100, 4096])
@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_map_of_any_length_fits_and_its_rows_align(n: int, width: int) -> None:
    runs = spans(n, 30)
    weights = np.tril(np.ones((len(runs), len(runs)), dtype=np.float32))
    labels = ["日本語の長い断片", "🙂", "e\u0301", "x" * 40][:n] + ["·a"] * (n - 4)
    lines = attention_map(screen_of(width), Grid(weights, weights == 0, runs, runs), labels)
    widths = {cell_len(line.plain) for line in lines[1:]}
    assert len(widths) == 1 and max(widths) <= width
    assert cell_len(lines[0].plain) <= width
    assert max(cell_len(line.plain) for line in [attention_legend(screen_of(width))]) <= 80


def test_spans_cover_everything_once() -> None:
    for n in (1, 29, 30, 31, 59, 61, 4096):
        runs = spans(n, 30)
        assert len(runs) <= 30
        assert [i for start, stop in runs for i in range(start, stop)] == list(range(n))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=200), st.integers(1, 60))
def test_each_cell_of_a_stripe_is_the_largest_value_of_its_bin(values: list[float], width: int) -> None:
    array = np.array(values, dtype=np.float32)
    scale = scale_of(array[None])
    drawn = stripe(screen_of(), array, scale, width).plain
    runs = spans(len(values), width)
    assert len(drawn) == len(runs) <= width
    for cell, (start, stop) in zip(drawn, runs, strict=True):
        largest = max(array[start:stop], key=lambda value: (abs(value), value))
        level = min(4, round(4 * abs(float(largest)) / scale.c))
        assert cell in (" ░▒▓█"[level], " ⠂⠒⠶⣿"[level])  # of equal sizes either sign may stand there
        if level and sum(abs(array[start:stop]) == abs(largest)) == 1:
            assert (cell in "░▒▓█") == (largest >= 0)


def test_one_huge_dimension_does_not_blank_the_others() -> None:
    rows = np.ones((4, 500), dtype=np.float32)
    rows[:, 7] = 20_000
    scale = scale_of(rows)
    assert scale.c == 1 and scale.largest == 20_000


def test_masked_scores_are_hatched() -> None:
    values = np.array([1.0, -math.inf, -1.0], dtype=np.float32)
    assert stripe(screen_of(), values, scale_of(values[None]), 10).plain == "█╱⣿"


def test_the_draw_falls_into_the_chosen_part() -> None:
    parts = [Part("·the", 0.0, 0.5), Part("·a", 0.5, 0.8, chosen=True), Part("·an", 0.8, 0.9)]
    line, mark, names = (text.plain for text in number_line(screen_of(), parts, 0.65, 40))
    assert line == "0│" + "░" * 20 + "█" * 12 + "░" * 4 + " " * 4 + "│1"
    assert mark.index("▲") == 2 + 26 and line[28] == "█"
    assert names.index("·the") == 2 and names.index("·a") == 22


def test_a_thin_part_is_seen_where_the_number_fell() -> None:
    parts = [Part("a", 0.0, 0.999), Part("b", 0.999, 0.9991, chosen=True)]
    line = number_line(screen_of(), parts, 0.99905, 40)[0].plain
    assert line.count("█") == 1


@given(st.text(max_size=40), st.integers(0, 30), st.booleans())
@settings(max_examples=300)
def test_labels_have_exactly_their_width_and_control_nothing(text: str, width: int, unicode: bool) -> None:
    fitted = screen_of(unicode=unicode).fit(text, width)
    assert cell_len(fitted) == width
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", fitted)
    assert unicode or fitted.isascii()


def test_control_characters_become_signs() -> None:
    assert words.harmless("\x1b]0;pwned\x07 a\nb\tc\x9b1m\u202etxt") == "␛]0;pwned␇ a↵b→c‹U+009B›1m‹U+202E›txt"
    assert words.harmless("a\nb\tc\r", keep="\n\t") == "a\nb\tc␍"
    assert words.harmless("ein Wort, 语言 🙂‍") == "ein Wort, 语言 🙂‍"
    assert words.plain("−1.5 … 语") == "-1.5 ~ \\u8bed"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (26.9302, "26.9"),
        (-0.12, "−0.120"),
        (0.0, "0.00"),
        (1234.5, "1,234"),
        (999.6, "1,000"),
        (22989, "22,989"),
        (-1.2e-5, "−1.20e−05"),
        (3.4e8, "3.40e+08"),
        (-math.inf, "−∞"),
        (math.nan, "not a number"),
        (100.2, "100"),
    ],
)
def test_numbers_have_three_digits_and_a_real_minus(value: float, told: str) -> None:
    assert words.number(value) == told


@pytest.mark.parametrize(
    ("share", "told"), [(0.12, "12.0%"), (1.0, "100%"), (0.0, "0%"), (1.234e-5, "0.00123%"), (2e-33, "2.0e−33")]
)
def test_shares(share: float, told: str) -> None:
    assert words.percent(share) == told
    assert len(told) <= 8


def test_sizes() -> None:
    assert [words.size(n) for n in (0, 999, 1000, 98_362_432, 999_600, 2_471_645_608)] == [
        *("0 B", "999 B", "1.00 kB", "98.4 MB", "1.00 MB", "2.47 GB")
    ]


def test_every_declared_formula_can_be_read_without_latex() -> None:
    shapes = [tiny_config(shape) for shape in SHAPES]
    assert {config.architecture for config in shapes} == set(TRAITS)
    for config in shapes:
        for site in declared(config).values():
            plain = readable_formula(site.latex)
            assert plain and not set(plain) & set("\\{}&$"), (site.name, plain)


def test_the_last_stages_are_all_shown() -> None:
    assert stages_shown(13) == list(range(13))
    assert stages_shown(31) == [0, 4, 8, 12, 16, 20, *range(21, 31)]
    for n in range(17, 200):
        shown = stages_shown(n)
        assert (
            shown == sorted(set(shown)) and len(shown) == 16 and shown[0] == 0 and shown[-10:] == [*range(n - 10, n)]
        )


@pytest.mark.parametrize(
    ("encoding", "environment", "can"),
    [
        ("utf-8", {"LANG": "en_GB.UTF-8"}, True),
        ("utf-8", {}, True),
        ("ascii", {"LANG": "en_GB.UTF-8"}, False),
        ("latin-1", {}, False),
        ("utf-8", {"LANG": "C"}, False),
        ("utf-8", {"LC_ALL": "POSIX", "LANG": "en_GB.UTF-8"}, False),
        ("utf-8", {"LANG": "C.UTF-8"}, True),
        ("utf-8", {"LANG": "C", "PYTHONUTF8": "1"}, True),
    ],
)
def test_which_terminals_have_blocks(
    encoding: str, environment: dict[str, str], can: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LANG", "PYTHONUTF8"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert words.can_show_unicode(io.TextIOWrapper(io.BytesIO(), encoding=encoding)) is can


@pytest.mark.parametrize("shape", ["llama-gqa", "mistral-window"])
@pytest.mark.parametrize("most", [30, 8, 1])
def test_a_drawn_pattern_is_the_heads_own(shape: str, most: int) -> None:
    model = tiny_model(shape)
    trace = model.trace(some_ids(20))
    grid = pattern_grid(trace, 1, 2, most)
    pattern, hidden = trace["blocks.1.attn.pattern"][2], np.isneginf(trace["blocks.1.attn.attn_scores"][2])
    for at, (top, bottom) in enumerate(grid.rows):
        for to, (left, right) in enumerate(grid.columns):
            assert grid.weights[at, to] == pytest.approx(pattern[top:bottom, left:right].max(), rel=1e-5)
            assert grid.masked[at, to] == hidden[top:bottom, left:right].all()
    assert grid.masked.any() == (most > 1)
    assert grid.binned == (most < 20)

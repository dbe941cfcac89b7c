"""Counts, bytes and FLOPs: the published figures, and the rules they follow."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest

from cutaway.analysis.parameters import count, count_tensors, hypothetical, model_shape
from cutaway.analysis.presets import PRESETS
from cutaway.config import ModelConfig
from cutaway.errors import BadConfig, BadInput, UnknownModel
from cutaway.sites.parameters import declared_parameters, parameter_count

TOTALS = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "distilgpt2": 81_912_576,
    "gpt3": 175_181_291_520,
    "llama-2-7b": 6_738_415_616,
    "llama-3-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "tinyllama": 1_100_048_384,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "mistral-7b": 7_241_732_096,
    "qwen2.5-0.5b": 494_032_768,
    "qwen3-0.6b": 596_049_920,
    "transformer-2017": 63_082_496,
}


def test_every_preset_has_a_published_total() -> None:
    assert set(PRESETS) == set(TOTALS)


@pytest.mark.parametrize("name", TOTALS)
def test_the_total_is_the_published_one(name: str) -> None:
    assert count(model_shape(name)).total == TOTALS[name]


@pytest.mark.parametrize("name", TOTALS)
def test_formulas_in_numbers_come_to_the_row(name: str) -> None:
    table = count(model_shape(name))
    for row in table.rows:
        assert eval(row.numbers.replace(",", "").replace("·", "*")) == row.total, row.name
        if not row.shared:
            assert row.formula.count("·") == row.numbers.count("·")
    assert sum(row.share for row in table.rows) == pytest.approx(1.0)
    assert sum(table.parts.values()) == table.total


@pytest.mark.parametrize("name", [name for name, shape in PRESETS.items() if isinstance(shape, ModelConfig)])
def test_the_rows_hold_every_declared_parameter_once(name: str) -> None:
    shape = model_shape(name)
    assert isinstance(shape, ModelConfig)
    table = count(shape)
    assert table.total == parameter_count(shape)
    named = [name.replace("{i}", "0") for row in table.rows if not row.shared for name in row.parameters]
    assert sorted(named) == sorted(declared_parameters(dataclasses.replace(shape, n_layer=1)))


def test_gpt2_reads_as_in_a_textbook() -> None:
    rows = {row.name: row for row in count(model_shape("gpt2")).rows}
    assert rows["query"].formula == "n_layer · d_model · n_head · d_head"
    assert rows["query"].numbers == "12 · 768 · 12 · 64"
    assert rows["query"].per_block == 589_824
    assert rows["output"].formula == "n_layer · n_head · d_head · d_model"
    assert rows["attention biases"].formula == "n_layer · (3 · n_head · d_head + d_model)"
    assert rows["block norms"].numbers == "12 · 4 · 768"
    assert rows["token embedding"].share == pytest.approx(0.3102, abs=5e-5)
    assert rows["unembedding"].shared and rows["unembedding"].total == 0


def test_grouped_queries_show_in_the_formula() -> None:
    rows = {row.name: row for row in count(model_shape("smollm2-135m")).rows}
    assert rows["query"].numbers == "30 · 576 · 9 · 64"
    assert rows["key"].formula == "n_layer · d_model · n_kv_head · d_head"
    assert rows["key"].numbers == "30 · 576 · 3 · 64"
    assert "positions" not in count(model_shape("smollm2-135m")).parts


def test_gpt3_as_the_film_counts_it() -> None:
    table = count(model_shape("gpt3"))
    rows = {row.name: row.total for row in table.rows}
    assert rows == {
        "token embedding": 617_558_016,
        "query": 14_495_514_624,
        "key": 14_495_514_624,
        "value": 14_495_514_624,
        "output": 14_495_514_624,
        "up": 57_982_058_496,
        "down": 57_982_058_496,
        "unembedding": 617_558_016,
    }
    assert table.per_head == 6_291_456
    assert table.part_per_block("attention") == 603_979_776
    assert table.parts["attention"] == 57_982_058_496


def test_nanogpt_without_biases_and_its_flops() -> None:
    shape = model_shape("gpt2")
    assert isinstance(shape, ModelConfig)
    table = count(dataclasses.replace(shape, bias=False))
    assert table.total == 124_337_664
    assert table.flops(1024) == 291_648_307_200
    by_part = table.flops_by_part(1024)
    assert by_part["scores"] == by_part["mix"] == 12 * 1_610_612_736
    assert by_part["unembedding"] == 79_047_426_048
    assert by_part["MLP"] == 12 * 9_663_676_416
    assert by_part["attention"] == 12 * (3_623_878_656 + 1_207_959_552)
    assert count(shape).flops(1024) == 291_648_307_200  # biases cost no product


def test_decoding_step_by_step_costs_the_pass_without_what_is_masked() -> None:
    """The sum over steps is the full pass less the pairs above the diagonal."""
    table, n = count(model_shape("smollm2-135m")), 7
    steps = sum(table.flops_per_token(k) for k in range(1, n + 1))
    masked_pairs = n * (n - 1) // 2
    assert steps == table.flops(n) - 4 * 30 * 9 * 64 * masked_pairs


def test_bytes_of_the_default_file_and_what_a_step_reads() -> None:
    """FACTS: 96.6 MB read for each token; the file has 98,362,432 bytes with its header and vocabulary."""
    table = count(model_shape("smollm2-135m"))
    assert table.bytes("Q4_1", embedding="Q8_0") == 96_576_768
    assert table.bytes_read_per_token("Q4_1", embedding="Q8_0") == 96_576_768
    assert table.bytes("F32") == 4 * table.total
    assert table.bytes("bf16") == 2 * table.total


def test_vectors_and_learned_positions_are_not_quantised() -> None:
    table = count(model_shape("gpt2"))
    rows = {row.name: row for row in table.rows}
    assert rows["query"].bytes("Q8_0") == 7_077_888 * 34 // 32
    assert rows["down"].bytes("Q4_K") == 28_311_552 * 144 // 256
    assert rows["attention biases"].bytes("Q8_0") == 4 * 36_864
    assert rows["block norms"].bytes("Q4_K") == 4 * 36_864
    assert rows["learned positions"].bytes("Q8_0") == 4 * 786_432
    assert rows["learned positions"].bytes("F16") == 2 * 786_432
    assert table.bytes("Q6_K") == (table.total - 119_808 - 786_432 - 1_536) * 210 // 256 + 4 * (
        119_808 + 786_432 + 1_536
    )


def test_rows_that_do_not_fill_a_block_fall_back_as_llama_cpp_does() -> None:
    """576 is no multiple of 256, so SmolLM2's Q4_K is Q5_0 but for the down projection's rows of 1,536."""
    rows = {row.name: row for row in count(model_shape("smollm2-135m")).rows}
    assert rows["query"].bytes("Q4_K") == rows["query"].total * 22 // 32
    assert rows["output"].bytes("Q6_K") == rows["output"].total * 34 // 32
    assert rows["down"].bytes("Q4_K") == rows["down"].total * 144 // 256
    odd = count(hypothetical(n_layer=1, d_model=40, n_head=2))
    assert {row.name: row for row in odd.rows}["query"].bytes("Q4_K") == 2 * 40 * 40
    assert {row.name: row for row in odd.rows}["query"].bytes("Q8_0") == 2 * 40 * 40


def test_an_untied_embedding_is_read_by_the_row() -> None:
    table = count(model_shape("llama-3-8b"))
    assert table.bytes_read_per_token("F16") == table.bytes("F16") - 2 * (128_256 - 1) * 4096
    gpt2 = count(model_shape("gpt2"))
    assert gpt2.bytes_read_per_token("F32") == 4 * (gpt2.total - 1023 * 768)
    with_context = table.bytes_read_per_token("F16", n_context=100, kv_dtype="F16")
    assert with_context - table.bytes_read_per_token("F16") == table.kv_cache_bytes(100, "F16")


def test_the_cache_knows_groups_and_windows() -> None:
    assert count(model_shape("gpt2")).kv_cache_bytes(1024) == 2 * 12 * 12 * 64 * 4 * 1024
    assert count(model_shape("llama-3-8b")).kv_cache_bytes(8192, "F16") == 2**30
    mistral = count(model_shape("mistral-7b"))
    assert mistral.kv_cache_bytes(4096) == mistral.kv_cache_bytes(32768) == 4096 * mistral.kv_cache_bytes(1)
    assert mistral.flops_per_token(4096) == mistral.flops_per_token(32768)
    assert count(model_shape("gpt2")).kv_cache_bytes(0) == 0
    with pytest.raises(BadInput, match="-1 tokens"):
        mistral.kv_cache_bytes(-1)
    with pytest.raises(BadInput, match="at least 1"):
        mistral.flops(0)


def test_the_2017_transformer() -> None:
    table = count(model_shape("transformer-base"))
    attention, mlp, norm = 4 * 512 * 512 + 4 * 512, 2 * 512 * 2048 + 2048 + 512, 2 * 512
    encoder, decoder = attention + mlp + 2 * norm, 2 * attention + mlp + 3 * norm
    assert table.total == 37_000 * 512 + 6 * (encoder + decoder)
    n = 10
    pairs = 4 * 6 * n * n * 512  # scores and mix, one attention
    products = 6 * (4 * 512 * 512 * 3 + 2 * 2 * 512 * 2048) + 37_000 * 512
    assert table.flops(n) == 2 * n * products + 3 * pairs
    # a decoding step leaves out the encoder and the source's keys and values
    step = 6 * (4 * 512 * 512 + 2 * 512 * 512 + 2 * 512 * 2048) + 37_000 * 512
    assert table.flops_per_token(n) == 2 * step + 2 * 4 * 6 * n * 512
    assert table.bytes_read_per_token("F32") == 4 * (step + 6 * (2 * 4 * 512 + 2048 + 512 + 6 * 512))
    assert table.kv_cache_bytes(n) == 2 * 2 * 6 * n * 512 * 4


def test_hypothetical_shapes_fill_in_what_follows() -> None:
    assert count(hypothetical(n_layer=12, d_model=768)).total == TOTALS["gpt2"]
    llama = hypothetical(architecture="llama", n_layer=32, d_model=4096, n_head=32)
    assert (llama.d_mlp, llama.n_kv_head, llama.d_head, llama.tied) == (11008, 32, 128, False)
    assert count(llama).total == TOTALS["llama-2-7b"]
    deeper = hypothetical("gpt2", n_layer=24, d_model=1024, n_head=16)
    assert count(deeper).total == TOTALS["gpt2-medium"]
    grouped = hypothetical("llama-3-8b", n_layer=1)
    assert (grouped.n_kv_head, grouped.d_mlp, grouped.rope_base) == (8, 14336, 500000.0)
    assert hypothetical("qwen3-0.6b", n_head=8).d_head == 128
    assert hypothetical("gpt2", architecture="llama").activation == "silu"
    assert hypothetical("mistral-7b", sliding_window=None).sliding_window == 4096


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ({"d_model": 64}, "n_layer is missing"),
        ({"n_layer": 2, "d_model": 100, "n_head": 3}, "not a multiple of n_head 3"),
        ({"n_layer": 2, "d_model": 100}, "give n_head"),
        ({"n_layer": 0, "d_model": 64}, "n_layer is 0"),
        ({"n_layer": 2, "d_model": 64, "n_head": 0}, "n_head is 0"),
        ({"n_layer": 2.5, "d_model": 64}, "n_layer is 2.5"),
        ({"n_layer": True, "d_model": 64}, "n_layer is True"),
        ({"n_layer": 2, "d_model": 64, "n_heads": 2}, 'did you mean "n_head"'),
        ({"n_layer": 2, "d_model": 64, "architecture": "lama"}, 'did you mean "llama"'),
        ({"n_layer": 2, "d_model": 64, "n_head": 4, "n_kv_head": 3}, "not a multiple of n_kv_head"),
        ({"n_layer": 2, "d_model": 64, "n_vocab": -5}, "n_vocab is -5"),
        ({"n_layer": 2, "d_model": 64, "sliding_window": 8}, "gpt2 has no sliding window"),
        ({"n_layer": 2, "d_model": 64, "architecture": "llama", "bias": True}, "llama has no biases"),
        ({"base": "gpt3", "n_layer": 2}, "rules of its own"),
    ],
)
def test_nonsense_is_refused(numbers: dict[str, object], says: str) -> None:
    with pytest.raises(BadConfig, match=says):
        hypothetical(**numbers)  # type: ignore[arg-type]


def test_a_model_of_a_billion_blocks_is_counted_at_once() -> None:
    began = time.perf_counter()
    table = count(hypothetical(n_layer=2**30, d_model=12288, n_head=96))
    assert table.part_per_block("attention") == 603_979_776 + 4 * 12288
    assert table.flops(1) > table.total
    assert time.perf_counter() - began < 0.5


def test_names_are_forgiving_and_unknown_ones_helpful() -> None:
    assert model_shape("GPT-2") == model_shape("gpt2")
    with pytest.raises(UnknownModel, match='did you mean "gpt2-medium"'):
        model_shape("gpt2-meduim")
    with pytest.raises(UnknownModel, match=r'called "zebra"\. Known: gpt2'):
        model_shape("zebra")
    with pytest.raises(BadConfig, match='unknown dtype "Q4"'):
        count(model_shape("gpt2")).bytes("Q4")


def test_what_a_file_holds() -> None:
    shape = model_shape("smollm2-135m")
    assert isinstance(shape, ModelConfig)
    declared = declared_parameters(shape)
    shapes = {name: each.shape for name, each in declared.items()}
    dtypes = {name: "F32" if len(each.shape) == 1 else "Q4_1" for name, each in declared.items()} | {"W_E": "Q8_0"}
    table = count_tensors(shapes, dtypes)
    assert table.total == count(shape).total
    assert table.bytes == 96_576_768
    assert table.rows[0].share == pytest.approx(28_311_552 / 134_515_008)
    untyped = count_tensors({"a": (2, 3), "b": ()})
    assert (untyped.total, untyped.bytes) == (7, None)
    assert count_tensors({}).to_dict() == {"total": 0, "bytes": 0, "tensors": []}


@pytest.mark.parametrize("name", TOTALS)
def test_the_table_is_plain_json(name: str) -> None:
    table = count(model_shape(name))
    out = json.loads(json.dumps(table.to_dict()))
    assert out["total"] == TOTALS[name]
    assert out["rows"][0]["formula"] == "n_vocab · d_model"
    assert out["lengths"][-1]["kv_cache_bytes"]["F32"] == 2 * out["lengths"][-1]["kv_cache_bytes"]["F16"]
    assert out["bytes"]["F32"] == 4 * table.total

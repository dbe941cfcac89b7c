"""Tokenizers out of GGUF metadata: the ids that llama.cpp and transformers gave, and refusals in one sentence."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cutaway.errors import BadInput, BadTokenizer
from cutaway.tokenizers import Tokenizer, load_tokenizer
from cutaway.weights.gguf import GGUFFile

GOLDEN = Path(__file__).parents[1] / "golden" / "tokenizers"
PARTS = ("gpt-2", "llama-bpe", "qwen2", "llama-spm")


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="ascii"))


@pytest.fixture(scope="module")
def smollm2(default_model_path: Path) -> Tokenizer:
    return load_tokenizer(gguf_metadata=GGUFFile(default_model_path).metadata)


@pytest.mark.parametrize("name", PARTS)
def test_ids_are_llama_cpps(name: str) -> None:
    recorded = golden(name)
    tokenizer = load_tokenizer(gguf_metadata=recorded["metadata"])
    assert len(recorded["cases"]) == 47
    for case in recorded["cases"]:
        ids = tokenizer.encode(case["text"], add_bos=False)
        assert ids == case["ids"], case["text"]
        assert tokenizer.decode(ids) == case["text"]
        assert [piece.id for word in tokenizer.merges(case["text"]) for piece in word.pieces] == ids


def test_default_model_has_the_ids_of_transformers(smollm2: Tokenizer) -> None:
    for case in golden("smollm2"):
        ids = smollm2.encode(case["text"])
        assert ids == case["ids"], case["text"]
        assert smollm2.decode(ids) == case["decoded"], case["text"]
        assert [piece.id for word in smollm2.merges(case["text"]) for piece in word.pieces] == ids


def test_a_first_text_has_the_same_ids(default_model_path: Path) -> None:
    metadata = GGUFFile(default_model_path).metadata
    for case in golden("smollm2")[:12]:
        late = load_tokenizer(gguf_metadata=metadata, late=True)
        assert late.encode(case["text"]) == case["ids"], case["text"]


def test_default_model(smollm2: Tokenizer) -> None:
    assert smollm2.encode("Data visualization empowers users to") == [5127, 15171, 18766, 3629, 288]
    assert (smollm2.n_vocab, smollm2.bos_id, smollm2.eos_ids, smollm2.add_bos) == (49152, 1, (2, 0), False)
    assert smollm2.chat_template is not None
    assert smollm2.token_id(" visualization") == 15171
    assert smollm2.token_id("<|im_end|>") == 2
    assert smollm2.token_id("no such token at all") is None


def test_words_are_cut_by_their_own_rule() -> None:
    """Digits: all together (gpt-2), one by one (smollm, qwen2), by three (llama-bpe)."""
    cut = {pre: cuts(pre, "I'M 12345(ab") for pre in ("gpt-2", "smollm", "llama-bpe", "qwen2")}
    assert cut == {
        "gpt-2": ["I", "'", "M", " 12345", "(", "ab"],
        "smollm": ["I", "'", "M", " ", "1", "2", "3", "4", "5", "(", "ab"],
        "llama-bpe": ["I", "'M", " ", "123", "45", "(ab"],
        "qwen2": ["I", "'M", " ", "1", "2", "3", "4", "5", "(ab"],
    }


def cuts(pre: str, text: str) -> list[str]:
    tokenizer = load_tokenizer(gguf_metadata=byte_level(**{"tokenizer.ggml.pre": pre}))
    return [word.text for word in tokenizer.merges(text)]


def test_qwen_composes_characters() -> None:
    qwen = load_tokenizer(gguf_metadata=byte_level(**{"tokenizer.ggml.pre": "qwen2"}))
    assert qwen.encode("e\u0301") == qwen.encode("é")
    other = load_tokenizer(gguf_metadata=byte_level())
    assert other.encode("e\u0301") != other.encode("é")


def byte_level(**changes: Any) -> dict[str, Any]:
    """A vocabulary of the 256 bytes, two merges and two control tokens. A change to None leaves the key out."""
    from cutaway.tokenizers.pieces import CHARACTER

    tokens = [CHARACTER[byte] for byte in range(256)] + ["he", "hel", "<|end|>", "EOT"]
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * 258 + [3, 3],
        "tokenizer.ggml.merges": ["h e", "he l"],
        "tokenizer.ggml.bos_token_id": 258,
        "tokenizer.ggml.eos_token_id": 259,
    }
    metadata.update(changes)
    return {key: value for key, value in metadata.items() if value is not None}


def sentencepiece(**changes: Any) -> dict[str, Any]:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "s", ">", "<", "s>", "▁s"]
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * 6,
        "tokenizer.ggml.scores": [0.0] * 259 + [-float(n) for n in range(6)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    metadata.update(changes)
    return {key: value for key, value in metadata.items() if value is not None}


def test_bos_as_the_file_says_or_the_kind_has_it() -> None:
    text = "hel"
    assert load_tokenizer(gguf_metadata=byte_level()).encode(text) == [257]
    with_bos = load_tokenizer(gguf_metadata=byte_level(**{"tokenizer.ggml.add_bos_token": True}))
    assert with_bos.add_bos and with_bos.encode(text) == [258, 257]
    assert with_bos.encode(text, add_bos=False) == [257]
    assert load_tokenizer(gguf_metadata=byte_level()).encode(text, add_bos=True) == [258, 257]
    llama3 = load_tokenizer(gguf_metadata=byte_level(**{"tokenizer.ggml.pre": "llama-bpe"}))
    assert llama3.encode(text) == [258, 257]
    assert load_tokenizer(gguf_metadata=sentencepiece()).encode("s") == [1, 264]
    both = load_tokenizer(gguf_metadata=byte_level(**{"tokenizer.ggml.add_eos_token": True}))
    assert both.encode(text) == [257, 259]
    none = load_tokenizer(gguf_metadata=byte_level(**{"tokenizer.ggml.bos_token_id": None}))
    with pytest.raises(BadInput, match="no BOS"):
        none.encode(text, add_bos=True)


def test_special_tokens_are_text_when_asked() -> None:
    tokenizer = load_tokenizer(gguf_metadata=byte_level())
    assert tokenizer.encode("hel<|end|>") == [257, 258]
    plain = tokenizer.encode("hel<|end|>", special=False)
    assert not tokenizer.special_ids & set(plain)
    assert tokenizer.decode(plain) == "hel<|end|>"


def test_merges_cannot_make_a_control_token() -> None:
    spm = load_tokenizer(gguf_metadata=sentencepiece())  # "<" + "s>" would be "<s>"
    assert spm.special_ids == {0, 1, 2}
    assert not spm.special_ids & set(spm.encode("<s>", special=False, add_bos=False))
    tokens = byte_level()["tokenizer.ggml.tokens"]
    tokens[257] = "OT"
    made = byte_level(**{"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": ["h e", "O T", "E OT"]})
    tokenizer = load_tokenizer(gguf_metadata=made)
    assert tokenizer.encode("EOT", special=False) == [ord("E"), 257]


def test_whole_words_cannot_be_control_tokens() -> None:
    """Llama 3 takes a word that is in its vocabulary as it is; control tokens are kept out of that, or refused."""
    llama3 = load_tokenizer(gguf_metadata=byte_level(**{"tokenizer.ggml.pre": "llama-bpe"}))
    assert llama3.encode("EOT", add_bos=False) == [259]
    assert llama3.encode("EOT", special=False, add_bos=False) == [*b"EOT"]
    types = [1] * 256 + [3, 1, 3, 3]
    inner = byte_level(**{"tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.token_type": types})
    inner["tokenizer.ggml.merges"] = []
    with pytest.raises(BadInput, match="special token 'he'"):
        load_tokenizer(gguf_metadata=inner).encode("he", special=False)


def test_bytes_and_no_space_prefix() -> None:
    spm = load_tokenizer(gguf_metadata=sentencepiece())
    assert spm.encode("é", add_bos=False) == [259, 3 + 0xC3, 3 + 0xA9]
    assert spm.decode([259, 3 + 0xC3, 3 + 0xA9]) == "é"
    assert spm.token(3 + 0xC3).text == "‹C3›"
    bare = load_tokenizer(gguf_metadata=sentencepiece(**{"tokenizer.ggml.add_space_prefix": False}))
    assert bare.encode("s", add_bos=False) == [260]
    assert bare.decode([264]) == " s"


def test_bytes_as_tokens_are_accepted() -> None:
    metadata = byte_level()
    metadata["tokenizer.ggml.tokens"] = [piece.encode() for piece in metadata["tokenizer.ggml.tokens"]]
    metadata["tokenizer.ggml.merges"] = [merge.encode() for merge in metadata["tokenizer.ggml.merges"]]
    assert load_tokenizer(gguf_metadata=metadata).encode("hel") == [257]


@pytest.mark.parametrize(
    ("architecture", "pre", "fits"),
    [("gpt2", None, True), ("gpt2", "default", True), ("qwen2", None, True), ("llama", None, False)],
)
def test_a_file_without_a_word_rule(architecture: str, pre: str | None, fits: bool) -> None:
    metadata = byte_level(**{"general.architecture": architecture, "tokenizer.ggml.pre": pre})
    if fits:
        assert load_tokenizer(gguf_metadata=metadata).encode("hel") == [257]
    else:
        with pytest.raises(BadTokenizer, match=r"no tokenizer\.ggml\.pre.*smollm"):
            load_tokenizer(gguf_metadata=metadata)


TOKENS = byte_level()["tokenizer.ggml.tokens"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": None}, r"no tokenizer\.ggml\.model"),
        ({"model": "rwkv"}, 'unknown tokenizer.ggml.model "rwkv"'),
        ({"model": 7}, "expected a text"),
        ({"pre": "tekken"}, 'unknown tokenizer.ggml.pre "tekken"; Cutaway knows gpt-2'),
        ({"tokens": None}, r"no tokenizer\.ggml\.tokens"),
        ({"tokens": []}, "is empty"),
        ({"tokens": "abc"}, "expected an array"),
        ({"tokens": [*TOKENS[:-1], 5]}, r"tokens\[259\] is a int"),
        ({"tokens": [*TOKENS[:-1], b"\xff\xfe"]}, "not UTF-8"),
        ({"tokens": [*TOKENS[:-1], "\ud800"]}, "not UTF-8"),
        ({"tokens": [*TOKENS[:-1], "a"]}, "'a' twice, as ids 97 and 259"),
        ({"token_type": [1] * 259}, "259 entries for 260 tokens"),
        ({"token_type": ["x"] * 260}, r"token_type\[0\] is 'x'"),
        ({"merges": None}, r"no tokenizer\.ggml\.merges"),
        ({"merges": ["he"]}, "not two pieces"),
        ({"merges": ["h "]}, "not two pieces"),
        ({"merges": ["h e l"]}, "not two pieces"),
        ({"merges": ["h e", "x y"]}, 'the merge "x y" needs "xy"'),
        ({"merges": ["hh e"]}, 'needs "hh"'),
        ({"bos_token_id": 260}, "bos_token_id is 260; the vocabulary has ids 0 to 259"),
        ({"eos_token_id": -1}, "eos_token_id is -1"),
        ({"eos_token_id": "x"}, "expected a token id"),
        ({"add_bos_token": 3}, "expected a flag"),
    ],
)
def test_damaged_metadata_is_refused_in_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    metadata = byte_level(**{f"tokenizer.ggml.{key}": value for key, value in changes.items()})
    with pytest.raises(BadTokenizer, match=sentence):
        load_tokenizer(gguf_metadata=metadata)


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [(None, "no tokenizer.ggml.scores"), ([0.0], "1 entries for 265"), ([float("nan")] * 265, "finite")],
)
def test_damaged_scores_are_refused(scores: Any, sentence: str) -> None:
    with pytest.raises(BadTokenizer, match=sentence):
        load_tokenizer(gguf_metadata=sentencepiece(**{"tokenizer.ggml.scores": scores}))


def test_a_first_text_needs_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    from_gguf = sys.modules["cutaway.tokenizers.from_gguf"]
    built: list[int] = []
    bpe = from_gguf._bpe
    monkeypatch.setattr(
        from_gguf, "_bpe", lambda ids, *rest, **more: built.append(len(ids)) or bpe(ids, *rest, **more)
    )
    late = load_tokenizer(gguf_metadata=byte_level(), late=True)
    assert late.encode("hel") == [257] and built == [5], "h, e, l, he, hel"
    assert late.token(257).text == "hel" and late.tokens([104, 258])[0].bytes == b"h" and len(built) == 1
    assert late.encode("hel") == [257] and built == [5, 260], "a second text is worth the tables"
    special = load_tokenizer(gguf_metadata=byte_level(), late=True)
    assert special.encode("hEOT") == [104, 259] and built[2:] == [260], "and so is one with a special token"


def test_a_wrong_merge_is_told_when_the_tables_are_built() -> None:
    late = load_tokenizer(gguf_metadata=byte_level(**{"tokenizer.ggml.merges": ["h e", "x y"]}), late=True)
    assert late.encode("he") == [256]
    with pytest.raises(BadTokenizer, match='the merge "x y" needs "xy"'):
        late.encode("he")


def test_nothing_to_load_from() -> None:
    with pytest.raises(BadTokenizer, match="runs on ids"):
        load_tokenizer()


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("text", [" " * 1_000_000, "a" * 100_000, " \n" * 200_000, "日" * 100_000, "1" * 300_000])
def test_long_texts_take_no_longer_than_they_must(name: str, text: str) -> None:
    tokenizer = load_tokenizer(gguf_metadata=golden(name)["metadata"])
    began = time.monotonic()
    assert tokenizer.decode(tokenizer.encode(text, add_bos=False)) == text
    assert time.monotonic() - began < 20  # about half a second on a quiet machine; what is quadratic takes hours

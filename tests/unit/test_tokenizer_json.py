"""Tokenizers out of tokenizer.json, in the shapes of GPT-2, Llama 2, Llama 3 and T5; and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cutaway.errors import BadTokenizer
from cutaway.tokenizers import Tokenizer, load_tokenizer
from cutaway.tokenizers.pieces import CHARACTER


def added(id: int, content: str, special: bool = True) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id, "content": content, "special": special, **flags}


def gpt2() -> dict[str, Any]:
    pieces = [CHARACTER[byte] for byte in range(256)] + ["he", "hel", "<|endoftext|>"]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": [added(258, "<|endoftext|>")],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": {piece: id for id, piece in enumerate(pieces)}, "merges": ["h e", "he l"]},
    }


def llama2() -> dict[str, Any]:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "h", "e", "he", "▁he"]
    template = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return {
        "version": "1.0",
        "added_tokens": [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>"), added(264, "<pre>", special=False)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": template,
            "pair": template,
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {piece: id for id, piece in enumerate(pieces)},
            "merges": [["h", "e"], ["▁", "he"]],
        },
    }


def unigram() -> dict[str, Any]:
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    vocab = [["<unk>", 0.0], ["</s>", 0.0], ["▁", -2.0], ["h", -3.0], ["e", -3.0], ["▁he", -1.0], ["<0x41>", -5.0]]
    return {
        "version": "1.0",
        "added_tokens": [added(0, "<unk>"), added(1, "</s>")],
        "pre_tokenizer": metaspace,
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab},
    }


def load(tmp_path: Path, declared: Any, config: dict[str, Any] | None = None) -> Tokenizer:
    path = tmp_path / "tokenizer.json"
    path.write_text(declared if isinstance(declared, str) else json.dumps(declared), encoding="utf-8")
    return load_tokenizer(tokenizer_json=path, tokenizer_config=config)


def test_gpt2(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, gpt2(), {"bos_token": "<|endoftext|>", "eos_token": {"content": "<|endoftext|>"}})
    assert tokenizer.encode("hello<|endoftext|>") == [257, ord("l"), ord("o"), 258]  # not cut off at two
    assert (tokenizer.n_vocab, tokenizer.bos_id, tokenizer.eos_ids, tokenizer.add_bos) == (259, 258, (258,), False)
    assert tokenizer.encode("he", add_bos=True) == [258, 256]
    assert 258 not in tokenizer.encode("<|endoftext|>", special=False)
    assert tokenizer.token(258).special
    assert [merge.rank for merge in tokenizer.merges("hel")[0].merges] == [0, 1]
    assert tokenizer.token_id("hel") == 257


def test_llama2(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, llama2())
    assert (tokenizer.n_vocab, tokenizer.bos_id, tokenizer.add_bos, tokenizer.unk_id) == (265, 1, True, 0)
    assert tokenizer.encode("he") == [1, 263]
    assert tokenizer.encode("he", add_bos=False) == [263]
    assert tokenizer.encode("<s>he", add_bos=False) == [1, 263]
    assert 1 not in tokenizer.encode("<s>he", special=False, add_bos=False)
    assert tokenizer.encode("<pre>", special=False, add_bos=False) == [264]  # added, but not special
    assert tokenizer.token(263).bytes == b" he" and tokenizer.token(3 + 0xE2).text == "‹E2›"
    assert tokenizer.decode([1, 263]) == "<s> he"
    assert [merge.result.id for merge in tokenizer.merges("he")[0].merges] == [262, 263]


def test_unigram(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, unigram(), {"eos_token": "</s>", "unk_token": "<unk>"})
    assert tokenizer.encode("he") == [5]
    assert tokenizer.token(5).bytes == b" he"
    assert tokenizer.token(6).bytes == b"<0x41>"  # no byte: nothing here falls back on bytes
    (word,) = tokenizer.merges("he")
    assert word.whole and word.pieces[0].id == 5


@pytest.mark.parametrize(
    ("flags", "ids"),
    [
        ({}, [1, 263]),
        ({"add_bos_token": True, "add_eos_token": True}, [1, 263, 2]),
        ({"add_bos_token": False}, [263]),
    ],
)
def test_flags_of_the_configuration_go_first(tmp_path: Path, flags: dict[str, Any], ids: list[int]) -> None:
    tokenizer = load(tmp_path, llama2(), {"bos_token": "<s>", "eos_token": "</s>", **flags})
    assert tokenizer.encode("he") == ids


def test_special_tokens_of_the_configuration(tmp_path: Path) -> None:
    config = {
        "eos_token": "<|end|>",
        "added_tokens_decoder": {"259": {"content": "<|end|>", "special": True}, "260": {"content": "<pad>"}},
    }
    tokenizer = load(tmp_path, gpt2(), config)
    assert tokenizer.encode("he<|end|><pad>") == [256, 259, 260]
    assert tokenizer.eos_ids == (259, 258) and tokenizer.n_vocab == 261


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{{ messages }}", "{{ messages }}"),
        ([{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}], "D"),
        (None, None),
    ],
)
def test_chat_template(tmp_path: Path, template: Any, found: str | None) -> None:
    assert load(tmp_path, gpt2(), {"chat_template": template}).chat_template == found


def test_dropout_is_for_training(tmp_path: Path) -> None:
    declared = gpt2()
    declared["model"]["dropout"] = 0.9
    tokenizer = load(tmp_path, declared)
    assert {tuple(tokenizer.encode("hel")) for _ in range(20)} == {(257,)}


def changed(**model: Any) -> dict[str, Any]:
    declared = gpt2()
    declared["model"].update(model)
    return declared


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ("", "is not JSON"),
        ("{" * 10, "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", 'has no "model"'),
        ({"model": 1}, 'has no "model"'),
        ({"model": {}}, "cannot be read|can read"),
        (changed(type="Abacus"), "can read"),
        (changed(merges=["h x y"]), "can read"),
        (changed(merges=["h zz"]), "can read"),
        (changed(vocab={"a": -1}, merges=[]), "can read"),
        (changed(vocab={"a": 4294967295}, merges=[]), "token ids up to"),
        (changed(vocab={"a": "b"}, merges=[]), "can read"),
        ({"model": {"type": "WordLevel", "vocab": {}, "unk_token": "?"}}, "expected 1 to"),
    ],
)
def test_damaged_files_are_refused_in_one_sentence(tmp_path: Path, declared: Any, sentence: str) -> None:
    with pytest.raises(BadTokenizer, match=sentence):
        load(tmp_path, declared)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(BadTokenizer, match="cannot be read"):
        load_tokenizer(tokenizer_json=path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(BadTokenizer, match="not UTF-8"):
        load_tokenizer(tokenizer_json=path)
    with pytest.raises(BadTokenizer, match="expected text"):
        load(tmp_path, gpt2(), {"chat_template": 7})

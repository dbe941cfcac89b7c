"""The merges, one by one: in the order of their ranks, leftmost first, and ending in the encoder's pieces."""

from __future__ import annotations

import pytest

from cutaway.errors import BadInput
from cutaway.tokenizers import PieceMerges, load_tokenizer
from cutaway.tokenizers.merges import apply
from cutaway.tokenizers.tokenizer import MAX_MERGES_TEXT
from tests.unit.test_tokenizer_gguf import byte_level, golden, sentencepiece


@pytest.mark.parametrize(
    ("symbols", "pairs", "pieces", "steps"),
    [
        ("abc", ["ab"], ["ab", "c"], [(0, 0)]),
        ("abc", ["bc", "ab"], ["a", "bc"], [(0, 1)]),  # the lower rank goes first, wherever it is
        ("aaa", ["aa"], ["aa", "a"], [(0, 0)]),  # of equal pairs the leftmost
        ("aaaa", ["aa", "aa aa"], ["aaaa"], [(0, 0), (0, 2), (1, 0)]),
        ("a", ["aa"], ["a"], []),
        ("", ["aa"], [], []),
        ("xyz", [], ["x", "y", "z"], []),
    ],
)
def test_by_hand(symbols: str, pairs: list[str], pieces: list[str], steps: list[tuple[int, int]]) -> None:
    ranks = {(a, b): rank for rank, (a, b) in enumerate(pair.split() if " " in pair else pair for pair in pairs)}
    assert apply(symbols, ranks) == (pieces, steps)


def told(word: PieceMerges) -> list[str]:
    return [f"{merge.left.display}+{merge.right.display}@{merge.at}" for merge in word.merges]


def test_from_bytes_to_pieces() -> None:
    tokenizer = load_tokenizer(gguf_metadata=byte_level())
    hello, space, end = tokenizer.merges("hello é<|end|>")
    assert hello.text == "hello" and not hello.whole
    assert [token.text for token in hello.start] == ["h", "e", "l", "l", "o"]
    assert [(merge.rank, merge.result.id) for merge in hello.merges] == [(0, 256), (1, 257)]
    assert told(hello) == ["h+e@0", "he+l@0"]
    assert [piece.text for piece in hello.pieces] == ["hel", "l", "o"]
    assert [token.text for token in space.start] == [" ", "‹C3›", "‹A9›"] and space.text == " é"
    assert end.whole and end.pieces[0].special and end.merges == ()


@pytest.mark.parametrize("bos", [False, True])
def test_one_word_of_a_long_text(bos: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a text that is too long to list all of it: the word that holds a piece, and where it begins."""
    added = {"tokenizer.ggml.add_bos_token": bos, "tokenizer.ggml.bos_token_id": 258} if bos else {}
    tokenizer = load_tokenizer(gguf_metadata=byte_level(**added))
    text = "hello é<|end|> hello"
    ids, words = tokenizer.encode(text), tokenizer.merges(text)
    monkeypatch.setattr("cutaway.tokenizers.tokenizer.MAX_MERGES_TEXT", 9)
    with pytest.raises(BadInput, match="merges are listed"):
        tokenizer.merges(text)
    seen = []
    for at in range(len(ids)):
        found = tokenizer.merges_at(text, at)
        if found is None:
            assert bos and at == 0
            continue
        first, word = found
        assert first <= at and [piece.id for piece in word.pieces] == ids[first : first + len(word.pieces)]
        if first == at:
            seen.append(word)
    assert seen == words
    assert tokenizer.merges_at(text, len(ids)) is None
    monkeypatch.setattr("cutaway.tokenizers.tokenizer.MAX_MERGES_TEXT", 4)
    with pytest.raises(BadInput, match="the word has 5 characters"):
        tokenizer.merges_at(text, int(bos))


def test_whole_words_of_llama3() -> None:
    """A word that is in the vocabulary though no merges lead to it is taken as it is."""
    tokenizer = load_tokenizer(
        gguf_metadata=byte_level(**{"tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.merges": ["h e"]})
    )
    (whole,) = tokenizer.merges("hel")
    assert whole.whole and [piece.id for piece in whole.pieces] == [257]


def test_bytes_and_unknowns_are_not_merged() -> None:
    spm = load_tokenizer(gguf_metadata=sentencepiece())
    (word,) = spm.merges("sés>")
    assert [token.text for token in word.start] == [" ", "s", "‹C3›", "‹A9›", "s", ">"]
    assert told(word) == ["s+>@4", "·+s@0"]
    assert spm.encode("sés>", add_bos=False) == [piece.id for piece in word.pieces]


@pytest.mark.parametrize("name", ["gpt-2", "llama-bpe", "qwen2", "llama-spm"])
def test_each_step_joins_two_neighbours(name: str) -> None:
    recorded = golden(name)
    tokenizer = load_tokenizer(gguf_metadata=recorded["metadata"])
    steps = 0
    for case in recorded["cases"]:
        for word in tokenizer.merges(case["text"]):
            if word.whole:
                continue
            row = {at: token.bytes for at, token in enumerate(word.start)}
            for merge in word.merges:
                places = sorted(row)
                right = places[places.index(merge.at) + 1]
                assert (row[merge.at], row.pop(right)) == (merge.left.bytes, merge.right.bytes)
                row[merge.at] = merge.result.bytes
                assert merge.result.bytes == merge.left.bytes + merge.right.bytes
                steps += 1
            assert [row[at] for at in sorted(row)] == [piece.bytes for piece in word.pieces]
    assert steps > 400


def test_a_text_too_long_to_list() -> None:
    tokenizer = load_tokenizer(gguf_metadata=byte_level())
    assert len(tokenizer.merges("he" * (MAX_MERGES_TEXT // 2))[0].merges) == MAX_MERGES_TEXT // 2
    with pytest.raises(BadInput, match="20,001 characters"):
        tokenizer.merges("h" * (MAX_MERGES_TEXT + 1))

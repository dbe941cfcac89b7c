"""What a token shows: exact bytes, whole characters, visible white space; and text that arrives piece by piece."""

from __future__ import annotations

import pytest

from cutaway.errors import BadInput
from cutaway.tokenizers import StreamDecoder, Token, Tokenizer, load_tokenizer
from cutaway.tokenizers.pieces import ALPHABET, shown, spelled, visible
from tests.unit.test_tokenizer_gguf import byte_level, golden


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(gguf_metadata=byte_level())


def test_the_alphabet_is_gpt2s() -> None:
    assert len(ALPHABET) == 256 and sorted(ALPHABET.values()) == list(range(256))
    assert {character: ALPHABET[character] for character in "Ġ!Ċ¡ÿŃ"} == {
        "Ġ": 32,
        "!": 33,
        "Ċ": 10,
        "¡": 0xA1,
        "ÿ": 0xFF,
        "Ń": 0xAD,
    }


@pytest.mark.parametrize(
    ("piece", "spelling", "raw"),
    [
        ("Ġthe", "byte-level", b" the"),
        ("âĤ", "byte-level", b"\xe2\x82"),
        ("日本", "byte-level", "日本".encode()),  # not in the alphabet: it stands for itself
        ("▁the", "sentencepiece", b" the"),
        ("<0xE2>", "sentencepiece", b"\xe2"),
        ("<0xE2>", "metaspace", b"<0xE2>"),
        ("▁the", "plain", "▁the".encode()),
    ],
)
def test_spelling(piece: str, spelling: str, raw: bytes) -> None:
    assert spelled(piece, spelling) == raw  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"abc", "abc"),
        ("é".encode(), "é"),
        (b"\xe2\x82", "‹E2›‹82›"),
        (b" \xf0\x9f", " ‹F0›‹9F›"),
        (b"\xacx\xe2", "‹AC›x‹E2›"),
        (b"\xff\xc3\xa9", "‹FF›é"),
    ],
)
def test_bytes_of_a_split_character_are_shown(raw: bytes, text: str) -> None:
    assert shown(raw) == text


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (" to", "·to"),
        ("\n\n", "↵↵"),
        ("\tx", "→x"),
        ("\r\x00\x7f", "␍␀␡"),
        ("\x85\u200d\u3000", "‹U+0085›‹U+200D›‹U+3000›"),
        ("\u0301", "◌\u0301"),
        ("e\u0301", "e\u0301"),
        ("", ""),
    ],
)
def test_labels_have_no_invisible_character(text: str, label: str) -> None:
    assert visible(text) == label
    assert Token(0, b"", text).display == label


def test_token(tokenizer: Tokenizer) -> None:
    assert tokenizer.token(257) == Token(257, b"hel", "hel", False)
    assert tokenizer.token(258) == Token(258, b"<|end|>", "<|end|>", True)
    assert [token.display for token in tokenizer.tokens([32, 0xE2])] == ["·", "‹E2›"]


@pytest.mark.parametrize("id", [-1, 260, 10**12])
def test_ids_that_do_not_exist(tokenizer: Tokenizer, id: int) -> None:
    for call in (tokenizer.token, lambda id: tokenizer.decode([id]), StreamDecoder(tokenizer).feed):
        with pytest.raises(BadInput, match="out of range; this vocabulary has ids 0 to 259"):
            call(id)


def test_rows_of_the_embedding_without_a_piece(tokenizer: Tokenizer) -> None:
    wide = tokenizer.padded(300)
    assert wide.n_vocab == 300 and tokenizer.n_vocab == 260
    assert wide.token(299) == Token(299, b"", "‹unused 299›")
    assert wide.decode([257, 299]) == "hel"
    with pytest.raises(BadInput):
        wide.token(300)


def test_text_that_is_no_text(tokenizer: Tokenizer) -> None:
    for call in (tokenizer.encode, tokenizer.merges, tokenizer.token_id):
        with pytest.raises(BadInput, match=r"U\+D83D at character 2"):
            call("ab\ud83d")


def test_a_split_character_is_held_back(tokenizer: Tokenizer) -> None:
    stream = StreamDecoder(tokenizer)
    assert [stream.feed(byte) for byte in "a🙂b".encode()] == ["a", "", "", "", "🙂", "b"]
    assert stream.flush() == ""
    assert stream.feed(0xF0) == "" and stream.feed(0x9F) == ""
    assert stream.flush() == "�"
    assert stream.feed(0x62) == "b"  # ready for a new text
    assert stream.feed(0xE2) + stream.feed(0x62) == "�b"


def test_a_stream_leaves_special_tokens_out_when_asked(tokenizer: Tokenizer) -> None:
    assert StreamDecoder(tokenizer).feed(258) == "<|end|>"
    assert StreamDecoder(tokenizer, skip_special=True).feed(258) == ""


def test_a_stream_keeps_the_space_of_a_continuation() -> None:
    spm = load_tokenizer(gguf_metadata=golden("llama-spm")["metadata"])
    ids = spm.encode("Hello World", add_bos=False)
    stream = StreamDecoder(spm)
    assert "".join(map(stream.feed, ids)) + stream.flush() == " Hello World"
    assert spm.decode(ids) == "Hello World"

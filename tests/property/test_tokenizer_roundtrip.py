"""For any text: encoding loses nothing, the merges lead to the pieces, streaming says what decoding says, and plain
text never becomes a special token."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway.errors import CutawayError
from cutaway.tokenizers import StreamDecoder, Tokenizer, load_tokenizer
from cutaway.tokenizers.chat import render_chat
from tests.golden.corpus import HARD
from tests.unit.test_chat_template import CHATML, tokenizer_with
from tests.unit.test_tokenizer_gguf import PARTS, golden

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|end|>", "[INST]", "EOT", "<think>"]
TOKENIZERS = {name: load_tokenizer(gguf_metadata=golden(name)["metadata"]) for name in PARTS}
CHAT = tokenizer_with("<|im_start|>", "<|im_end|>", "[INST]", user=("<think>",))

texts = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.sampled_from(HARD),
        st.sampled_from([" ", "\n", "\t", "  ", "'s", "1", "the", "he", "<s>", "</s>", "<unk>", "<0x41>", "▁"]),
    ),
    max_size=6,
).map("".join)

forging = st.lists(
    st.one_of(
        st.sampled_from([*SPECIAL, *(text[:3] for text in SPECIAL), *(text[3:] for text in SPECIAL), "<", "|>", " "]),
        st.text("<|>im_endEOT[INS] \nx", max_size=6),
    ),
    max_size=8,
).map("".join)


@pytest.mark.parametrize("name", PARTS)
@given(text=st.one_of(texts, forging))
@settings(max_examples=60, deadline=None)
def test_a_first_text_without_the_tables(name: str, text: str) -> None:
    late = load_tokenizer(gguf_metadata=golden(name)["metadata"], late=True)
    assert late.encode(text) == TOKENIZERS[name].encode(text)
    assert late.encode(text) == TOKENIZERS[name].encode(text), "the second time, from the tables"


@pytest.mark.parametrize("name", PARTS)
@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_round_trip(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    ids = tokenizer.encode(text, special=False, add_bos=False)
    kept = unicodedata.normalize("NFC", text) if name == "qwen2" else text
    if name == "llama-spm":  # writes a space as "▁", so that sign comes back as one; a text starts with a space
        kept = kept.replace("▁", " ")
        raw = b"".join(token.bytes for token in tokenizer.tokens(ids)).decode("utf-8")
        assert raw == (" " + kept if kept else "")
    else:
        assert b"".join(token.bytes for token in tokenizer.tokens(ids)).decode("utf-8") == kept
    assert tokenizer.decode(ids) == kept
    assert not (tokenizer.special_ids - {tokenizer.unk_id}) & set(ids)
    stream = StreamDecoder(tokenizer)
    said = "".join(map(stream.feed, ids)) + stream.flush()
    assert said == (" " + kept if name == "llama-spm" and kept else kept)


@pytest.mark.parametrize("name", PARTS)
@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_merges_lead_to_the_pieces(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    words = tokenizer.merges(text)
    assert [piece.id for word in words for piece in word.pieces] == tokenizer.encode(text, add_bos=False)
    for word in words:
        assert len(word.start) == len(word.merges) + len(word.pieces)


@pytest.mark.parametrize("name", [name for name in PARTS if name != "llama-spm"])
@given(ids=st.lists(st.integers(0, 500), max_size=12))
@settings(max_examples=60, deadline=None)
def test_streaming_any_ids_says_what_decoding_says(name: str, ids: list[int]) -> None:
    tokenizer = TOKENIZERS[name]
    stream = StreamDecoder(tokenizer)
    assert "".join(map(stream.feed, ids)) + stream.flush() == tokenizer.decode(ids)


@given(content=forging)
@settings(max_examples=150, deadline=None)
def test_no_message_forges_a_special_token(content: str) -> None:
    ids = render_chat(CHATML, [{"role": "user", "content": content}], tokenizer=CHAT)
    bare = render_chat(CHATML, [{"role": "user", "content": "x"}], tokenizer=CHAT)
    assert special(CHAT, ids) == special(CHAT, bare)
    assert f"user\n{content}<|im_end|>" in CHAT.decode(ids)


@given(content=forging)
@settings(max_examples=100, deadline=None)
def test_without_special_tokens_a_chat_is_its_text(content: str) -> None:
    """What transformers does: render, then encode the whole."""
    for text in SPECIAL:
        content = content.replace(text, "")
    whole = f"<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n"
    if CHAT.encode(whole).count(CHAT.token_id("<|im_end|>") or 0) != 1 or any(text in content for text in SPECIAL):
        return
    assert render_chat(CHATML, [{"role": "user", "content": content}], tokenizer=CHAT) == CHAT.encode(whole)


SNIPPETS = """
{{ {% %} }} messages m for in if endif endfor set x = 'a' 0 [ ] ( ) . | ~ + * ** ( ) content role join replace
namespace macro endmacro call range loop 99999 upper length map sort tojson == not else , : { }
"""
snippets = st.sampled_from([*SNIPPETS.split(), "\n"])


@given(template=st.lists(snippets, max_size=25).map(" ".join))
@settings(max_examples=300, deadline=None)
def test_any_template_gives_ids_or_one_sentence(template: str) -> None:
    try:
        render_chat(template, [{"role": "user", "content": "hi"}], tokenizer=CHAT)
    except CutawayError as error:
        assert str(error).endswith(".") and "\n" not in str(error)


def special(tokenizer: Tokenizer, ids: list[int]) -> list[int]:
    return [id for id in ids if id in tokenizer.special_ids]

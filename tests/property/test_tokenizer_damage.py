"""Whatever a file holds in place of a tokenizer: it loads and encodes, or is refused in one sentence."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cutaway.errors import BadTokenizer, CutawayError
from cutaway.tokenizers import Tokenizer, load_tokenizer
from tests.unit.test_tokenizer_gguf import byte_level, sentencepiece
from tests.unit.test_tokenizer_json import gpt2, llama2

anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 300),
        st.integers(),
        st.floats(),
        st.text(max_size=4),
        st.binary(max_size=4),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
in_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 300), st.integers(), st.text(max_size=4)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
GGUF = {"bytes": byte_level(), "sentencepiece": sentencepiece()}
JSON = {"gpt2": gpt2(), "llama2": llama2()}


def used(tokenizer: Tokenizer) -> None:
    """Every public step, on a text that touches all parts."""
    text = "hello <|end|> s> é🙂"
    ids = tokenizer.encode(text)
    tokenizer.encode(text, special=False)
    tokenizer.decode(ids)
    assert [token.id for token in tokenizer.tokens(ids)] == ids
    tokenizer.merges(text)


@pytest.mark.parametrize("name", GGUF)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_gguf_metadata(name: str, data: st.DataObject) -> None:
    metadata = dict(GGUF[name])
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from(sorted(metadata)))
        value = metadata[key]
        if isinstance(value, list) and value and data.draw(st.booleans()):
            value = list(value)
            at = data.draw(st.integers(0, len(value) - 1))
            if data.draw(st.booleans()):
                value[at] = data.draw(anything)
            else:
                del value[at:]
            metadata[key] = value
        else:
            metadata[key] = data.draw(anything)
    try:
        used(load_tokenizer(gguf_metadata=metadata))
    except CutawayError as error:
        assert str(error).endswith(".") and "\n" not in str(error)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each part of a JSON value; of the vocabulary only the first entries."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, part in list(inside)[:12]:
        found += places(part, (*path, key))
    return found


@pytest.mark.parametrize("name", JSON)
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tokenizer_json(name: str, data: st.DataObject, tmp_path: Path) -> None:
    declared = copy.deepcopy(JSON[name])
    path = data.draw(st.sampled_from(places(declared)))
    holder = declared
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = data.draw(in_json)
    written = json.dumps(declared)
    if data.draw(st.integers(0, 4)) == 0:
        written = written[: data.draw(st.integers(0, len(written)))]
    file = tmp_path / "tokenizer.json"
    file.write_text(written, encoding="utf-8")
    config = data.draw(st.dictionaries(st.sampled_from(CONFIG), in_json, max_size=2))
    try:
        used(load_tokenizer(tokenizer_json=file, tokenizer_config=config))
    except CutawayError as error:
        assert isinstance(error, BadTokenizer) or "text" in str(error)


CONFIG = (
    "bos_token",
    "eos_token",
    "add_bos_token",
    "added_tokens_decoder",
    "additional_special_tokens",
    "chat_template",
)

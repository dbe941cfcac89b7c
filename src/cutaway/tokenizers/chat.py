"""A conversation as token ids: the model's chat template, rendered; special tokens that people type are text.

A template writes its marks ("<|im_start|>") and the messages into one text, which hides who wrote what. So what
people wrote is rendered in disguise: the first sign of everything in it that could begin a special token is
replaced with a stand-in from a private-use plane. In the result, special tokens that still read as such are the
template's. They become marks of a second tokenizer, the stand-ins become what they were, and the whole is encoded at
once: the ids are those of transformers' `apply_chat_template`, except that no message can forge a special token.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
import tokenizers
from tokenizers import AddedToken

from cutaway.errors import BadInput, BadTemplate
from cutaway.tokenizers.sandbox import render
from cutaway.tokenizers.tokenizer import Tokenizer, checked

# Supplementary private use; a conversation that uses one of the two leaves the other free.
PLANES = (0xF0000, 0x100000)
PLANE_SIZE = 0xFFFE


def render_chat(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    tokenizer: Tokenizer,
    bos_token: str | None = None,
    eos_token: str | None = None,
    add_generation_prompt: bool = True,
    variables: Mapping[str, Any] | None = None,
) -> list[int]:
    """The ids of a conversation, ready to run: the template writes BOS itself where its model wants one.

    `messages`: mappings of plain values, mostly {"role": …, "content": …}. `bos_token`/`eos_token`: the tokenizer's
    own by default. `variables`: more names for the template, such as `enable_thinking`. Raises `BadTemplate` when
    the template fails or does what it may not, `BadInput` for messages that are not plain text.
    """
    told = plain(list(messages), "messages")
    more = plain(dict(variables or {}), "variables")
    special = {
        "bos_token": bos_token if bos_token is not None else _text_of(tokenizer, tokenizer.bos_id),
        "eos_token": eos_token if eos_token is not None else _text_of(tokenizer, *tokenizer.eos_ids[:1]),
        "pad_token": _text_of(tokenizer, tokenizer.pad_id),
        "unk_token": _text_of(tokenizer, tokenizer.unk_id),
    }
    given = special | {"tools": None, "documents": None, "add_generation_prompt": add_generation_prompt} | more
    text = render(template, {**given, "messages": told})
    plane = _free_plane([template, text, *_strings(told), *_strings(more)])
    disguise = Disguise(tokenizer, template, plane)
    hidden = _mapped(told, disguise.put_on)
    if hidden == told:
        return disguise.encode(text)
    veiled = render(template, {**given, "messages": hidden})
    if disguise.take_off(veiled) != text:
        # The template looks into the messages and went another way for the disguised ones. Then hide only whole
        # special tokens (most often there are none), unless that lets the template put one together from parts.
        light = render(template, {**given, "messages": _mapped(told, disguise.hide_specials)})
        if disguise.specials(light) == disguise.specials(veiled):
            veiled = light
    return disguise.encode(veiled)


class Disguise:
    """Stand-ins for what could begin a special token, and marks for the special tokens themselves."""

    def __init__(self, tokenizer: Tokenizer, template: str, plane: int) -> None:
        self._tokenizer = tokenizer
        self._added = tokenizer.added_tokens
        special = [token.content for token in self._added.values() if token.special]
        starts = sorted({text[0] for text in special})
        self._stand_in = {sign: chr(plane + at) for at, sign in enumerate(starts)}
        self._sign = {ord(stand_in): sign for sign, stand_in in self._stand_in.items()}
        self._marks = {text: chr(plane + len(starts) + at) for at, text in enumerate(special)}
        if len(starts) + len(special) >= PLANE_SIZE:
            raise BadTemplate("the vocabulary has too many special tokens for a chat.")
        self._special = _any_of(special)
        # A template looks for its own words in a message ("</think>"): they stay readable there. Letters and spaces
        # as a first sign are replaced in whole special tokens only, lest words change their case or their length.
        signs = "".join(sign for sign in starts if not sign.isalnum() and not sign.isspace())
        tails = {word[at:] for word in _constants(template) for at in range(len(word)) if word[at] in signs}
        words = [word for word in tails if not any(text.startswith(word) for text in special)]
        self._signs = re.compile(f"(?P<word>{_any_of(words).pattern})|[{re.escape(signs)}]" if signs else r"(?!)")

    def put_on(self, text: str) -> str:
        """What somebody wrote, so that no special token, nor what could become one, can be read in it."""

        def hide(match: re.Match[str]) -> str:
            return match[0] if match.lastgroup == "word" else self._stand_in[match[0]]

        return self._signs.sub(hide, self.hide_specials(text))

    def hide_specials(self, text: str) -> str:
        """The same, for whole special tokens alone."""
        before = None
        while text != before:  # again for those that began inside a hidden one
            before = text
            text = self._special.sub(lambda match: self._stand_in[match[0][0]] + match[0][1:], text)
        return text

    def take_off(self, text: str) -> str:
        return text.translate(self._sign)

    def specials(self, text: str) -> list[str]:
        """The special tokens that can be read in `text`, in order."""
        return [match[0] for match in self._special.finditer(text)]

    def encode(self, text: str) -> list[int]:
        """Ids of a text in disguise: special tokens that can be read are special, stand-ins are text."""
        marked = self._special.sub(lambda match: self._marks[match[0]], text)
        front, real = self._front()
        ids = front.encode(checked(self.take_off(marked)), add_special_tokens=False).ids
        self._tokenizer.refuse_forged(ids)
        return [real.get(id, id) for id in ids]

    def _front(self) -> tuple[tokenizers.Tokenizer, dict[int, int]]:
        """A tokenizer to which a special token is its mark and never its text, and the ids that differ in it."""
        added: list[AddedToken] = []
        for _, token in sorted(self._added.items()):
            flags = {name: getattr(token, name) for name in ("lstrip", "rstrip", "normalized", "special")}
            if token.special:
                flags["normalized"] = False
            else:
                flags["single_word"] = token.single_word
            added.append(AddedToken(self._marks.get(token.content, token.content), **flags))
        front = self._tokenizer.front(added)
        real: dict[int, int] = {}
        for (id, _), token in zip(sorted(self._added.items()), added, strict=True):
            its_id = front.token_to_id(token.content)
            if its_id is not None and its_id != id:
                real[its_id] = id
        return front, real


def plain(value: Any, what: str) -> Any:
    """The same value out of Python's own text, numbers, lists and dicts; a template gets nothing else to hold."""
    if value is None or type(value) in (bool, int, float):
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(f"{what} holds {value}; expected finite numbers.")
        return value
    if isinstance(value, str):
        return checked(str(value))
    if isinstance(value, Mapping):
        return {plain(str(key), what): plain(each, what) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each, what) for each in value]
    raise BadInput(f"{what} holds a {type(value).__name__}; expected text, numbers, lists and mappings.")


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(each, change) for key, each in value.items()}
    return [_mapped(each, change) for each in value] if isinstance(value, list) else value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def _free_plane(texts: Sequence[str]) -> int:
    for plane in PLANES:
        if not any(plane <= ord(character) < plane + 0x10000 for text in texts for character in set(text)):
            return plane
    raise BadInput("the conversation uses private characters of both planes 15 and 16; leave one of them out.")


def _any_of(texts: Sequence[str]) -> re.Pattern[str]:
    """Matches the longest of `texts` at the leftmost place."""
    longest_first = sorted({text for text in texts if text}, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _constants(template: str) -> set[str]:
    """Every text that the template's expressions mention."""
    found = (value[1:-1] for _, kind, value in jinja2.Environment().lex(template) if kind == "string")
    return {value.encode("ascii", "backslashreplace").decode("unicode-escape") for value in found}


def _text_of(tokenizer: Tokenizer, *ids: int | None) -> str:
    return "".join(tokenizer.token(id).text for id in ids if id is not None)

"""What a chat template's steps may cost: the limits, the count that is kept, the sizes asked before a value is made.

`sandbox` sends every step here. A step that could make much of little (repeat, replace, join, pad, format) is asked
for the size of its result first, so that no single step takes long; the sum of all steps is bounded by the `Meter`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from types import GeneratorType
from typing import Any, cast

from jinja2.utils import Namespace

MAX_TEMPLATE = 200_000  # characters of the template itself; real ones have up to 30,000
MAX_OUTPUT = 4_000_000  # characters of the rendered text
MAX_VALUE = 1_000_000  # characters and items in any one value, its parts counted as often as they appear
MAX_MADE = 64_000_000  # characters and items made by all steps together
MAX_STEPS = 2_000_000
MAX_SECONDS = 2.0
MAX_BITS = 4_096  # of a whole number
MAX_NEEDLE = 200  # characters to strip, or to search for from the right: both take their product with the text


# Sequences that are counted by making them lists.
LAZY: tuple[type, ...] = (GeneratorType, map, filter, zip, type({}.keys()), type({}.values()), type({}.items()))


class LimitReached(Exception):
    """A template did more than it may."""


class Meter:
    """Counts what one rendering does."""

    def __init__(self) -> None:
        self.steps = 0
        self.made = 0
        self.start()

    def start(self) -> None:
        """The clock runs from now."""
        self.deadline = time.monotonic() + MAX_SECONDS

    def step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise LimitReached(f"it takes more than {MAX_STEPS:,} steps")
        if time.monotonic() > self.deadline:
            raise LimitReached(f"it runs for more than {MAX_SECONDS:g} seconds")

    def room(self, size: float) -> None:
        """Before a value is made: may it be this large?"""
        if size > MAX_VALUE:
            raise LimitReached(f"it makes a value of more than {MAX_VALUE:,} characters or items")

    def add(self, value: Any) -> Any:
        """After a value is made. A lazy sequence is made a list, so that it can be counted."""
        self.step()
        if isinstance(value, LAZY):
            value = self._listed(cast(Iterable[Any], value))
        self.room(weight(value))
        self.made += len(value) if isinstance(value, (str, list, tuple, dict)) else 1
        if self.made > MAX_MADE:
            raise LimitReached(f"it makes more than {MAX_MADE:,} characters and items")
        return value

    def _listed(self, values: Iterable[Any]) -> list[Any]:
        made: list[Any] = []
        for value in values:
            self.step()
            made.append(value)
            if len(made) > MAX_VALUE:
                self.room(len(made))
        return made


METER: ContextVar[Meter] = ContextVar("cutaway_template_meter")


def weight(value: Any) -> int:
    """Characters and items in a value, shared parts counted each time (as printing it would); stops at the limit."""
    total, waiting = 0, [value]
    while waiting:
        value = waiting.pop()
        total += 1
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, dict):
            waiting.extend(value)
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple, set, frozenset)):
            waiting.extend(value)
        elif isinstance(value, int):
            total += value.bit_length() // 3
        elif isinstance(value, Namespace) and total > 1:
            raise LimitReached("it puts a namespace into another value")
        if total + len(waiting) > MAX_VALUE:
            return MAX_VALUE + 1
    return total


# A width or precision of four digits, or one that is not written out.
WIDE_PERCENT = re.compile(r"%(\([^)]*\))?[-#0 +]*(\*|\d{4,}|\d*\.(\*|\d{4,}))")
WIDE_BRACES = re.compile(r"\{[^{}]*(\{|:[^{}]*\d{4,})")


def _check_width(text: object, width: object = 0, *_: object, lines: int = 1) -> None:
    size = len(width) if isinstance(width, str) else width
    METER.get().room(len(str(text)) + lines * (size if isinstance(size, (int, float)) else 0))


def _check_indent(text: object, width: object = 4, first: bool = False, blank: bool = False) -> None:
    _check_width(text, width, lines=str(text).count("\n") + 1)


def check_percent(text: object, *values: object) -> None:
    if WIDE_PERCENT.search(str(text)):
        raise LimitReached("it formats text to a width that is not written out in three digits")
    METER.get().room(len(str(text)) + str(text).count("%") * (1000 + weight(values)))


def check_braces(text: str, values: object) -> None:
    if WIDE_BRACES.search(text.replace("{{", "").replace("}}", "")):
        raise LimitReached("it formats text to a width that is not written out in three digits")
    METER.get().room(len(text) + text.count("{") * (1000 + weight(values)))


def _check_replace(text: object, old: object = "", new: object = "", *_: object) -> None:
    text, old, new = str(text), str(old), str(new)
    METER.get().room(len(text) + (text.count(old) if old else len(text) + 1) * len(new))


def _check_join(parts: Any, between: object = "", *_: object) -> None:
    METER.get().room(weight(parts) + (len(parts) if hasattr(parts, "__len__") else 0) * len(str(between)))


def _check_needle(text: object, needle: object = None, *_: object) -> None:
    if isinstance(needle, str) and len(needle) > MAX_NEEDLE:
        raise LimitReached(f"it strips or searches for more than {MAX_NEEDLE} characters")


def _check_round(value: object, precision: object = 0, method: str = "common") -> None:
    if not isinstance(precision, int) or abs(precision) > 100:
        raise LimitReached("it rounds to more than 100 digits")


def _check_sum(values: object, attribute: object = None, start: object = 0) -> None:
    if not isinstance(start, (int, float)):
        raise LimitReached("it sums what are not numbers")


METHOD_CHECKS: Mapping[str, Callable[..., None]] = {
    "replace": _check_replace,
    "join": lambda between, parts=(): _check_join(parts, between),
    "ljust": _check_width,
    "rjust": _check_width,
    "center": _check_width,
    "zfill": _check_width,
    "strip": _check_needle,
    "lstrip": _check_needle,
    "rstrip": _check_needle,
    "rfind": _check_needle,
    "rindex": _check_needle,
    "rsplit": _check_needle,
    "rpartition": _check_needle,
}
FILTER_CHECKS: Mapping[str, Callable[..., None]] = {
    "replace": lambda s, old="", new="", count=None: _check_replace(s, old, new),
    "join": lambda value, d="", attribute=None: _check_join(value, d),
    "center": lambda value, width=80: _check_width(value, width),
    "indent": lambda s, width=4, first=False, blank=False: _check_indent(s, width),
    "format": lambda value, *args, **kwargs: check_percent(value, args, kwargs),
    "round": _check_round,
    "sum": lambda iterable, attribute=None, start=0: _check_sum(iterable, attribute, start),
    "trim": lambda value, chars=None: _check_needle(value, chars),
}


def depth(value: Any) -> int:
    """How many containers lie in one another."""
    levels, level = 0, [value]
    while level := [each for each in level if isinstance(each, (list, tuple, dict)) and each]:
        levels += 1
        level = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
    return levels

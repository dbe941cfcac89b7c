"""Changes as Python: lines that anybody can paste, and that do the same again.

What a person types (`source`, `direction`) stays what it is; arrays are written out in full, each number with the
digits that bring the same float32 back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cutaway.errors import BadSelection
from cutaway.trace.interventions import Intervention
from cutaway.trace.selection import Index


@dataclass(frozen=True)
class Source:
    """Another text (or its ids), whose values a patch takes; `pos`: the position there, if it is another."""

    text: str | Sequence[int]
    pos: int | None = None


@dataclass(frozen=True)
class Direction:
    """Rows of the embedding table, summed: `plus` less `minus`, times `scale`."""

    plus: Sequence[int] = ()
    minus: Sequence[int] = ()
    scale: float = 1.0

    def of(self, table: np.ndarray) -> np.ndarray:  # [vocab, d_model] -> [d_model]
        """The vector, with the very bits that the Python text gives."""
        rows = [table[list(each)].sum(axis=0) for each in (self.plus, self.minus) if each]
        if not rows:
            return np.zeros(table.shape[1], dtype=table.dtype)
        scale = float(self.scale)
        if not self.plus:
            return np.asarray(-scale * rows[0])
        return np.asarray(scale * (rows[0] if len(rows) == 1 else rows[0] - rows[1]))


@dataclass(frozen=True)
class Change:
    """One change as it was asked for: `site` may be a glob. `action` as in `Intervention`; a patch has its `source`,
    what is added may be a `direction` instead of a `value`."""

    site: str
    action: str
    selection: Mapping[str, Index] = field(default_factory=dict)
    value: Any = None
    source: Source | None = None
    direction: Direction | None = None

    @classmethod
    def of(cls, bound: Intervention) -> Change:
        """Raises `BadSelection` for a Python function, whose text nobody knows."""
        if bound.function is not None:
            raise BadSelection(f"the change to {bound.site} is a Python function, which has no text here.")
        return cls(bound.site, bound.action, bound.selection, bound.value)

    @property
    def expression(self) -> str:
        """`cutaway.zero(head=2)`."""
        given = [] if self.source is None else [f"model.trace({_text(self.source.text)})"]
        if self.direction is not None:
            given.append(_direction(self.direction))
        elif self.value is not None:
            given.append(_array(self.value))
        given += [f"{axis}={_index(index)}" for axis, index in self.selection.items()]
        if self.source is not None and self.source.pos is not None:
            given.append(f"from_pos={int(self.source.pos)}")
        return f"cutaway.{self.action}({', '.join(given)})"

    def line(self, model: str = "model") -> str:
        """One line: `edited` is then `model` with this change."""
        return f"edited = {model}.intervene({{{quoted(self.site)}: {self.expression}}})"


def lines(changes: Iterable[Change]) -> list[str]:
    """One after another: the first changes `model`, each further one what the one before left."""
    return [each.line("edited" if i else "model") for i, each in enumerate(changes)]


def program(model: str, text: str | Sequence[int], changes: Sequence[Change]) -> str:
    """Loads a model by name, makes the changes one after another, and traces a text (or its ids)."""
    written = [
        "import cutaway",
        "",
        f"model = cutaway.load({quoted(model)})",
        *lines(changes),
        f"trace = {'edited' if changes else 'model'}.trace({_text(text)})",
        "for token, probability, logit in trace.next_tokens(10):",
        '    print(f"{probability:8.3%} {logit:8.3f}  {token.text!r}")',
    ]
    return "\n".join([*written, ""])


def quoted(text: str) -> str:
    """A Python string in double quotes where it can be. Whatever is not printed (line ends, marks that turn the
    direction of writing) is escaped, so that what one reads is what one runs."""
    if '"' in text:
        return repr(text)
    return '"' + repr("'" + text)[2:]  # a single quote inside makes repr take double ones


def _text(text: str | Sequence[int]) -> str:
    return quoted(text) if isinstance(text, str) else repr([int(each) for each in text])


def _index(index: Index) -> str:
    if isinstance(index, slice):
        ends = [None if each is None else int(each) for each in (index.start, index.stop, index.step)]
        if ends[2] is None:
            ends.pop()
        return f"slice({', '.join(map(repr, ends))})"
    return repr(np.asarray(index).tolist())


def _direction(direction: Direction) -> str:
    terms = [_rows(each) for each in (direction.plus, direction.minus) if each]
    if not terms:
        return "0.0"
    scale = _number(direction.scale if direction.plus else -direction.scale)
    return f"{scale} * {terms[0]}" if len(terms) == 1 else f"{scale} * ({terms[0]} - {terms[1]})"


def _rows(ids: Sequence[int]) -> str:
    if len(ids) == 1:
        return f'model.parameters["W_E"][{int(ids[0])}]'
    return f'model.parameters["W_E"][{[int(each) for each in ids]}].sum(axis=0)'


def _array(value: Any) -> str:
    array = np.asarray(value, dtype=np.float32)
    return _single(np.float32(array)) if array.ndim == 0 else _nested(array)


def _nested(array: np.ndarray) -> str:
    inner = (_single(each) for each in array) if array.ndim == 1 else map(_nested, array)
    return f"[{', '.join(inner)}]"


def _single(number: np.float32) -> str:
    return _number(number) if not math.isfinite(number) else str(number)


def _number(number: Any) -> str:
    """The shortest text that gives the same number back."""
    number = float(number)
    if not math.isfinite(number):
        return f'float("{number}")'
    return repr(number)

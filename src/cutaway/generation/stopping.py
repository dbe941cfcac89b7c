"""Text as it becomes certain: whole characters only, and nothing that may still turn out to be a stop string."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from cutaway.errors import BadInput


class StreamDecoder(Protocol):
    """Ids to text, one at a time; what is not yet a whole character is held back."""

    def feed(self, token_id: int) -> str:
        """The text that has become whole."""
        ...

    def flush(self) -> str:
        """What was held back, when nothing more will come."""
        ...


def stop_strings(stop: str | Sequence[str]) -> tuple[str, ...]:
    """One or several, as a tuple. Raises `BadInput` for anything else, and for empty strings."""
    if not isinstance(stop, str | Iterable):
        raise BadInput(f"stop is {stop!r}; expected a string or a list of strings.")
    strings = (stop,) if isinstance(stop, str) else tuple(stop)
    for each in strings:
        if not isinstance(each, str) or not each:
            raise BadInput(f"stop holds {each!r}; expected strings of at least one character.")
    return strings


class StoppableText:
    """Feeds ids to a decoder and lets text out up to the first stop string, which is cut off with all that follows.

    Of several stop strings the one that is complete first counts, however the text was cut into pieces. `held` is
    text that is whole but could be the beginning of a stop string.
    """

    def __init__(self, decoder: StreamDecoder | None, stop: Sequence[str] = ()) -> None:
        self._decoder = decoder
        self._stop = stop
        self.held = ""
        self.stopped = False

    def feed(self, token_id: int) -> str:
        return "" if self._decoder is None else self._let_out(self._decoder.feed(token_id))

    def flush(self) -> str:
        """All that is left: what looked like the beginning of a stop string was none."""
        if self._decoder is None or self.stopped:
            return ""
        text = self._let_out(self._decoder.flush())
        if not self.stopped:
            text, self.held = text + self.held, ""
        return text

    def _let_out(self, text: str) -> str:
        text = self.held + text
        found = [(at + len(stop), at) for stop in self._stop if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self.held = True, ""
            return text[: min(found)[1]]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    for n in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:n]):
            return n
    return 0

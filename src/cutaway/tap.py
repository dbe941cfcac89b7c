"""`tap`: the only way to read or change a computation.

A model is a function of arrays that takes one callable, `tap(site, value) -> value`. Recording returns the value
unchanged (the same object) and keeps it; intervening returns another. `tap.wants(site)` says whether anybody
listens, so that a fused function can leave out what nobody asked for. `tap.within(prefix)` is the same tap for
names without that prefix: block code says `tap("attn.q", q)` and stays as in a textbook.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol


class Tap(Protocol):
    """What a model file sees of the outside world."""

    def __call__(self, site: str, value: Any) -> Any:
        """The value to go on with: `value` itself, or what somebody put in its place."""
        ...

    def wants(self, site: str) -> bool:
        """Whether anybody reads or changes `site`."""
        ...

    def only_reads(self) -> Collection[str] | None:
        """The sites that are read here, if that is all that happens: nobody changes a value or ends the pass. Else
        None. A tap that leaves this out is asked at every site."""
        ...

    def within(self, prefix: str) -> Tap:
        """This tap, for names relative to `prefix` ("blocks.3.")."""
        ...


class Silent:
    """Nobody listens: the cost of a tap is one call."""

    def __call__(self, site: str, value: Any) -> Any:
        return value

    def wants(self, site: str) -> bool:
        return False

    def only_reads(self) -> Collection[str] | None:
        return ()

    def within(self, prefix: str) -> Tap:
        return self


SILENT = Silent()


class Both:
    """What `first` says is used; `beside` sees every value after it, and what it returns is left alone."""

    def __init__(self, first: Tap, beside: Tap) -> None:
        self._first = first
        self._beside = beside

    def __call__(self, site: str, value: Any) -> Any:
        value = self._first(site, value)
        self._beside(site, value)
        return value

    def wants(self, site: str) -> bool:
        return self._first.wants(site) or self._beside.wants(site)

    def only_reads(self) -> Collection[str] | None:
        first, beside = (getattr(each, "only_reads", lambda: None)() for each in (self._first, self._beside))
        return None if first is None or beside is None else {*first, *beside}

    def within(self, prefix: str) -> Tap:
        first, beside = self._first.within(prefix), self._beside.within(prefix)
        return first if beside is SILENT else Both(first, beside)

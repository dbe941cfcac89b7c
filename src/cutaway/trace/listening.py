"""The tap of a pass that somebody watches: interventions act first, then what is wanted is kept.

So a trace shows the values that were used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from cutaway.tap import SILENT, Tap

Array = Any
Edit = Callable[[Array], Array]


class Enough(Exception):
    """Everything that was wanted is kept: the rest of the block need not be computed."""


class Listening:
    """Keeps the sites in `wanted` in `kept`, by full name, after the `edits` on them have acted in order.

    `stop`: raise `Enough` as soon as all of `wanted` is kept. What is kept is the value itself, not a copy:
    equations never write into a value that they have tapped.
    """

    def __init__(
        self,
        wanted: Iterable[str],
        edits: Mapping[str, Sequence[Edit]] | None = None,
        kept: dict[str, Array] | None = None,
        *,
        stop: bool = False,
    ) -> None:
        self.kept: dict[str, Array] = {} if kept is None else kept
        self._missing = set(wanted) if stop else None
        self._parts = _by_part(wanted, edits or {})

    def __call__(self, site: str, value: Array) -> Array:
        return _Part(self, "", self._parts.get("", {}))(site, value)

    def wants(self, site: str) -> bool:
        return site in self._parts.get("", {})

    @property
    def may_stop(self) -> bool:
        return self._missing is not None

    def only_reads(self) -> Collection[str] | None:
        return None

    def within(self, prefix: str) -> Tap:
        heard = self._parts.get(prefix)
        if heard is None:  # not a whole block: "ln_final."
            heard = _below(self._parts.get("", {}), prefix)
        return _Part(self, prefix, heard) if heard else SILENT

    def keep(self, site: str, value: Array) -> None:
        self.kept[site] = value
        if self._missing is not None:
            self._missing.discard(site)
            if not self._missing:
                raise Enough


Heard = dict[str, tuple[tuple[Edit, ...], bool]]  # local name -> what acts on it, and whether it is wanted


class _Part:
    """A `Listening` below a prefix, with the local names that matter looked up in one step."""

    def __init__(self, root: Listening, prefix: str, heard: Heard) -> None:
        self._root = root
        self._prefix = prefix
        self._heard = heard

    def __call__(self, site: str, value: Array) -> Array:
        found = self._heard.get(site)
        if found is None:
            return value
        edits, wanted = found
        for edit in edits:
            value = edit(value)
        if wanted:
            self._root.keep(self._prefix + site, value)
        return value

    def wants(self, site: str) -> bool:
        return site in self._heard

    def only_reads(self) -> Collection[str] | None:
        if self._root.may_stop or any(edits for edits, _ in self._heard.values()):
            return None
        return self._heard.keys()

    def within(self, prefix: str) -> Tap:
        heard = _below(self._heard, prefix)
        return _Part(self._root, self._prefix + prefix, heard) if heard else SILENT


def _below(heard: Heard, prefix: str) -> Heard:
    return {name[len(prefix) :]: found for name, found in heard.items() if name.startswith(prefix)}


def _by_part(wanted: Iterable[str], edits: Mapping[str, Sequence[Edit]]) -> dict[str, Heard]:
    """Grouped by block prefix, so that entering a block costs one look-up."""
    wanted = set(wanted)
    parts: dict[str, Heard] = {}
    for name in wanted | set(edits):
        pieces = name.split(".", 2)
        prefix = f"blocks.{pieces[1]}." if pieces[0] == "blocks" else ""
        parts.setdefault(prefix, {})[name[len(prefix) :]] = (tuple(edits.get(name, ())), name in wanted)
    return parts

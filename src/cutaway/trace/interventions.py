"""Interventions as data: where (site, head, position, feature), and what (zero, mean, scale, add, set, patch, skip).

    model.intervene({"blocks.3.attn.z": zero(head=2), "blocks.*.mlp_out": scale(0.5, pos=slice(4, None))})

Positions count from the start of the text, in a trace, while generating and with the cache alike. A Python function
`value -> value` is as good; it is called again at every replay, so it must be pure.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from cutaway.config import ModelConfig
from cutaway.errors import BadSelection
from cutaway.sites import Site, declared, matching
from cutaway.trace.selection import (
    Index,
    by_axis,
    counts_from_end,
    index_of_json,
    index_to_json,
    pick,
    where,
    whole_numbers,
)
from cutaway.trace.skipping import Passing, left_out

Array = Any
POSITIONS = ("pos", "q_pos")
TEXT = (*POSITIONS, "k_pos")  # axes that grow with the text
# From here on masked keys are out. What brings one back in lets a row depend on later ones: by site, the actions that
# can, and the value that leaves it out.
AFTER_MASK = {"attn_scores": (("zero", "mean", "set", "skip"), -math.inf), "pattern": (("mean", "add", "set"), 0.0)}


class Readable(Protocol):
    """What `patch` takes values from: a `Trace`."""

    def read(self, name: str, **selection: Index) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Intervention:
    """One change to one kind of value. Made by `zero mean scale add set_to patch skip function`; bound to its site by
    `bind`, which checks that they fit."""

    action: str
    selection: Mapping[str, Index] = field(default_factory=dict)
    value: np.ndarray | None = None
    function: Callable[[Array], Array] | None = None
    positionwise: bool = False
    trace: Readable | None = None
    from_pos: Index | None = None
    site: str = ""

    @property
    def needs_whole_run(self) -> bool:
        """Whether what it does at one position depends on later ones, so that nothing may be cached."""
        if self.action == "call":
            return not self.positionwise
        if self.action == "mean" and self.value is None:
            return True
        return self._looks_ahead or any(
            counts_from_end(self.selection[name]) for name in self.selection if name in TEXT
        )

    @property
    def _looks_ahead(self) -> bool:
        """Whether it may give a query a share of a key that comes after it."""
        actions, closed = AFTER_MASK.get(self.site.rsplit(".", 1)[-1], ((), 0.0))
        if self.action not in actions:
            return False
        q, k = self.selection.get("q_pos"), self.selection.get("k_pos")
        if self.value is not None:
            given = self.value
            if self.action != "mean" and q is None and k is None and given.ndim > 1:  # rows and keys from 0 on
                given = given[..., np.triu(np.ones(given.shape[-2:], dtype=np.bool_), 1)]
            if (given == closed).all():
                return False
            if given is not self.value:
                return True
        first = 0 if q is None else (q.start or 0) if isinstance(q, slice) else np.min(q, initial=2**62)
        last = None if k is None else k.stop and k.stop - 1 if isinstance(k, slice) else np.max(k, initial=-1)
        return last is None or bool(last > first)

    def bind(self, site: Site, sizes: Mapping[str, int]) -> Intervention:
        """This intervention at `site`; `sizes` of the axes that do not depend on the text. Raises `BadSelection`."""
        named = by_axis(site, self.selection)
        for axis, index in named.items():
            whole_numbers(index, axis, site.name)
            if axis in sizes:
                pick(index, sizes[axis], axis, site.name)
        bound = replace(self, selection=named, site=site.name)
        if self.trace is not None:
            bound = _patched(bound, site, self.trace)
        if bound.value is None:
            return bound
        if bound.value.ndim > len(site.axes):
            raise BadSelection(
                f"the array for {site.name} has {bound.value.ndim} axes; the site has {len(site.axes)}:"
                f" {', '.join(site.axes)}."
            )
        at = _position_axis(site)
        if bound.action == "mean" and bound.value.ndim == len(site.axes):
            return replace(bound, value=np.asarray(bound.value.mean(axis=at, keepdims=True, dtype=np.float32)))
        if bound.action == "mean" and bound.value.ndim == len(site.axes) - 1:  # heads may stand before positions
            return replace(bound, value=np.expand_dims(bound.value, at))
        if bound.action == "scale" and site.name.endswith("attn_scores") and not (bound.value > 0).all():
            raise BadSelection(
                f"{site.name} is -inf where a query may not look, and that times 0 or less is no score; scale"
                " attn.qk_scaled, which comes before the mask."
            )
        for axis in site.axes:
            span, chosen = bound._span(site, axis), named.get(axis)
            if span in (None, 1) or chosen is None or isinstance(chosen, slice) or span == np.size(chosen):
                continue
            raise BadSelection(
                f"the array for {site.name} has {span} positions; {np.size(chosen)} are selected by {axis}=."
            )
        return bound

    def apply(
        self,
        value: Array,
        site: Site,
        positions: np.ndarray,
        n_pos: int,
        before: Callable[[], Array] | None = None,
    ) -> Array:
        """`value` with the change made, as a new array. `positions`: where its rows stand in the text, which has
        `n_pos` positions. `before` gives what went into the step that is left out, if one is."""
        if self.function is not None:
            # a copy: people write `value[:, 2] = 0; return value`, and the value may be kept as another site's
            return _checked(self.function(np.array(value, copy=True)), value, site)
        picked, rows = self._picked(value, site, positions, n_pos)
        if any(len(each) == 0 for each in picked):
            return value
        grid = np.ix_(*picked)
        old = value[grid]
        try:
            changed = np.array(value, copy=True)
            changed[grid] = self._new(old, value, picked, site, rows) if before is None else before()[grid]
        except ValueError:
            given = [] if self.value is None else list(self.value.shape)
            raise BadSelection(
                f"the array for {site.name} has the shape {given}; the selected part is"
                f" {list(old.shape)} ({', '.join(site.axes)})."
            ) from None
        return changed

    def _picked(
        self, value: Array, site: Site, positions: np.ndarray, n_pos: int
    ) -> tuple[list[np.ndarray], dict[int, np.ndarray]]:
        """The indices along each axis of `value`; and by axis, where the own array has an entry for each position,
        which of them they take."""
        picked: list[np.ndarray] = []
        own: dict[int, np.ndarray] = {}
        for at, (axis, length) in enumerate(zip(site.axes, value.shape, strict=True)):
            index = self.selection.get(axis)
            if axis not in TEXT:
                picked.append(np.arange(length) if index is None else pick(index, length, axis, site.name))
                continue
            here, n = (positions, n_pos) if axis in POSITIONS else (np.arange(length), length)
            span = self._span(site, axis)
            if index is None and span is None:
                picked.append(np.arange(length))
                continue
            if index is None or isinstance(index, slice):
                chosen = np.arange(n)[slice(None) if index is None else index]
            elif counts_from_end(index):
                chosen = pick(index, n, axis, site.name)
            else:  # a position that the text has not reached yet is simply not there
                chosen = np.atleast_1d(np.asarray(index))
            if span is not None and (span != 1 or index is None):
                chosen = chosen[:span]  # positions for which the array has nothing stay as they are
            rows, entries = where(here, chosen)
            picked.append(rows)
            if span not in (None, 1):
                own[at] = entries
        return picked, own

    def _span(self, site: Site, axis: str) -> int | None:
        """How many positions the intervention's own array has along `axis`, or None when it has none of its own for
        each position."""
        if self.value is None or axis not in TEXT or (self.action == "mean" and axis in POSITIONS):
            return None
        at = site.axes.index(axis) - (len(site.axes) - self.value.ndim)
        return None if at < 0 else int(self.value.shape[at])

    def _new(
        self, old: Array, value: Array, picked: list[np.ndarray], site: Site, rows: Mapping[int, np.ndarray]
    ) -> Array:
        if self.action == "zero":
            return np.zeros_like(old)
        at = _position_axis(site)
        if self.value is None:  # the mean over this run
            average = np.asarray(value.mean(axis=at, keepdims=True, dtype=np.float32))
            return average[np.ix_(*(np.zeros(1, np.intp) if i == at else each for i, each in enumerate(picked)))]
        given = self.value
        lead = len(site.axes) - given.ndim
        for own in range(given.ndim):
            axis = own + lead
            if axis in rows:
                given = np.take(given, rows[axis], axis=own)
            elif site.axes[axis] not in TEXT and given.shape[own] == value.shape[axis] != len(picked[axis]):
                given = np.take(given, picked[axis], axis=own)  # an array of the whole site: its selected part
        if self.action == "scale":
            return old * given
        return old + given if self.action == "add" else given

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON. Raises `BadSelection` for a Python function, which is not data."""
        if self.function is not None:
            raise BadSelection(f"the change to {self.site} is a Python function, which cannot be saved as data.")
        return {
            "site": self.site,
            "action": self.action,
            "selection": {axis: index_to_json(index) for axis, index in self.selection.items()},
            "value": None if self.value is None else self.value.tolist(),
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> tuple[str, Intervention]:
        """(site, intervention) from what `to_dict` gave. Raises `BadSelection`."""
        given = values if isinstance(values, Mapping) else {}
        action, selected = given.get("action"), given.get("selection") or {}
        unknown = set(given) - {"site", "action", "selection", "value"}
        if (
            unknown
            or not isinstance(given.get("site"), str)
            or action not in ACTIONS
            or not isinstance(selected, Mapping)
        ):
            raise BadSelection(
                f"not an intervention: {json.dumps(values, default=repr)[:80]}; expected site, action (one of"
                f" {', '.join(ACTIONS)}), selection and value."
            )
        raw = values.get("value")
        if (raw is None) != (action in ("zero", "skip") or (action == "mean" and raw is None)):
            needs = "takes no" if action in ("zero", "skip") else "needs a"
            raise BadSelection(f'the action "{action}" on {values["site"]} {needs} value.')
        value = None if raw is None else _float32(raw)
        selection = {axis: index_of_json(index) for axis, index in selected.items()}
        return values["site"], cls(str(action), selection, value)


ACTIONS = ("zero", "mean", "scale", "add", "set", "skip")


def zero(**selection: Index) -> Intervention:
    """Nothing: 0 at `head= kv_head= pos= q_pos= k_pos= feature=` (all that is not named)."""
    return Intervention("zero", selection)


def mean(array: Any = None, **selection: Index) -> Intervention:
    """The mean over this run's positions, or over those of `array` (the site's axes, any number of positions; an
    array without the position axis is taken as the mean itself)."""
    return Intervention("mean", selection, None if array is None else _float32(array))


def scale(factor: Any, **selection: Index) -> Intervention:
    """Times `factor` (a number, or an array that broadcasts to what is selected)."""
    return Intervention("scale", selection, _float32(factor))


def add(array: Any, **selection: Index) -> Intervention:
    """Plus `array` (broadcasts to what is selected): steering, along a direction of the residual stream say.

    An array with a position axis and no `pos=` stands for positions 0, 1, …; those it has nothing for stay as they
    are.
    """
    return Intervention("add", selection, _float32(array))


def set_to(array: Any, **selection: Index) -> Intervention:
    """`array` in place of what is there (broadcasts to what is selected; positions as in `add`)."""
    return Intervention("set", selection, _float32(array))


def skip(**selection: Index) -> Intervention:
    """What went into the step that makes this site, as if the step were not there: `attn.qk_scaled` without ÷ √d,
    `attn.attn_scores` without the mask, `attn.rot_q` and `attn.rot_k` without positions (`skipping.left_out` has the
    rule). GPT-2's positions are added: `zero()` on `pos_embed` leaves them out."""
    return Intervention("skip", selection)


def patch(trace: Readable, *, from_pos: Index | None = None, **selection: Index) -> Intervention:
    """What `trace`, of another text or another model, has at the same site and selection.

    `from_pos`: the positions to take there, where they differ from `pos=` here (from 0 on, without it). Positions
    that the other text does not have stay as they are. Raises `BadSelection` for what is no trace.
    """
    if not callable(getattr(trace, "read", None)):
        raise BadSelection(f"patch takes a trace, such as model.trace(text) gives; got a {type(trace).__name__}.")
    return Intervention("patch", selection, trace=trace, from_pos=from_pos)


def function(change: Callable[[Array], Array], *, positionwise: bool = False) -> Intervention:
    """`change(value) -> value`, called again at every replay. `positionwise`: what it does to a row depends on that
    row alone, so that generation may keep its cache (otherwise each step computes the whole text again)."""
    return Intervention("call", function=change, positionwise=positionwise)


class Interventions:
    """What acts in a pass, bound to the sites of one model, in the order in which it was nested."""

    def __init__(self, config: ModelConfig, bound: Sequence[Intervention] = ()) -> None:
        self.config = config
        self.bound = tuple(bound)
        self.sites = frozenset(each.site for each in self.bound)
        self.needs_whole_run = any(each.needs_whole_run for each in self.bound)

    def __bool__(self) -> bool:
        return bool(self.bound)

    def with_these(self, changes: Mapping[str, Any]) -> Interventions:
        """Those here, then `changes`: site (alias or glob) -> intervention, function, or a list of either.

        Raises `UnknownSite` or `BadSelection`.
        """
        config = self.config
        sizes = {"head": config.n_head, "kv_head": config.n_kv_head, "d_model": config.d_model, "one": 1}
        sizes |= {"d_head": config.d_head, "d_mlp": config.d_mlp, "vocab": config.n_vocab}
        bound = list(self.bound)
        if not isinstance(changes, Mapping):
            raise BadSelection(
                f"the changes are a {type(changes).__name__}; expected a dictionary, site by site, such as"
                ' {"blocks.3.attn.z": cutaway.zero(head=2)}.'
            )
        for pattern, given in changes.items():
            several = given if isinstance(given, list | tuple) else [given]
            for name in matching(config, pattern):
                for each in several:
                    if not isinstance(each, Intervention):
                        if not callable(each):
                            raise BadSelection(
                                f"the change to {name} is a {type(each).__name__}; expected cutaway.zero(…) and"
                                " the like, or a function of the value."
                            )
                        each = function(each)
                    site = declared(config)[name]
                    if each.action == "skip":
                        left_out(config, site)  # or it says why not
                    bound.append(each.bind(site, sizes))
        return Interventions(config, bound)

    def edits(
        self, positions: np.ndarray, n_pos: int, skip: Iterable[str] = ()
    ) -> dict[str, list[Callable[[Array], Array]]]:
        """For `Listening`: site -> the changes, for a pass whose rows stand at `positions` of `n_pos`."""
        sites = declared(self.config)
        found: dict[str, list[Callable[[Array], Array]]] = {}
        kept: list[tuple[str, Callable[[Array], Array]]] = []
        for each in self.bound:
            if each.site not in skip:
                site = sites[each.site]
                edit = functools.partial(each.apply, site=site, positions=positions, n_pos=n_pos)
                if each.action == "skip":
                    passing = Passing()
                    kept.append((left_out(self.config, site), passing.keep))
                    edit = functools.partial(edit, before=passing.take)
                found.setdefault(each.site, []).append(edit)
        for name, keep in kept:  # after all changes to what goes in: the step would have taken that
            found.setdefault(name, []).append(keep)
        return found

    def to_list(self) -> list[dict[str, Any]]:
        return [each.to_dict() for each in self.bound]

    def to_python(self) -> str:
        """Lines that make the same changes to `model`, one each. Raises `BadSelection` for a Python function."""
        from cutaway.trace.python_text import Change, lines

        return "\n".join(lines(Change.of(each) for each in self.bound))

    @classmethod
    def of(cls, config: ModelConfig, values: Iterable[Mapping[str, Any]]) -> Interventions:
        """From what `to_list` gave."""
        found = cls(config)
        for each in values:
            site, intervention = Intervention.of(each)
            found = found.with_these({site: intervention})
        return found


def _patched(bound: Intervention, site: Site, trace: Readable) -> Intervention:
    there = {
        axis: [index] if isinstance(index, int | np.integer) else index for axis, index in bound.selection.items()
    }
    if bound.from_pos is not None:
        axis = site.axes[_position_axis(site)]
        there[axis] = [bound.from_pos] if isinstance(bound.from_pos, int | np.integer) else bound.from_pos
    value = np.array(trace.read(site.name, **there), dtype=np.float32)
    return replace(bound, action="set", value=value, trace=None, from_pos=None)


def _position_axis(site: Site) -> int:
    return next(at for at, axis in enumerate(site.axes) if axis in POSITIONS)  # every site has one


def _checked(new: Array, old: Array, site: Site) -> Array:
    if getattr(new, "shape", None) != old.shape or new.dtype != old.dtype:
        got = f"{getattr(new, 'dtype', type(new).__name__)} {list(getattr(new, 'shape', []))}"
        raise BadSelection(
            f"the function for {site.name} gave {got}; expected {old.dtype} {list(old.shape)}, as it received."
        )
    return new


def _float32(array: Any) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):
            numbers = np.asarray(array, dtype=np.float32)
        fits = bool((np.isfinite(numbers) | np.isinf(np.asarray(array, dtype=np.float64))).all())
    except (TypeError, ValueError):
        raise BadSelection("the value of an intervention is not an array of numbers.") from None
    if not fits:
        raise BadSelection("the value of an intervention holds not-a-number, or a number too large for float32.")
    return numbers

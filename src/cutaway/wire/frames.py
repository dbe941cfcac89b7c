"""Sites of a trace as safetensors: by name and glob, sliced, reduced, with the ranges their colours need."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cutaway.errors import BadSelection
from cutaway.framing import pack, unpack
from cutaway.sites import Site, matching
from cutaway.trace.selection import Index, Picked, pick_axes, take
from cutaway.trace.trace import Trace
from cutaway.wire.json_text import plain
from cutaway.wire.query import for_site
from cutaway.wire.reduction import Reduced, absmax, ranges_of
from cutaway.wire.structures import SiteRange

MOST_SITES = 400
MOST_BYTES = 64 << 20  # of one site's read part, and of one answer
# A site up to this size is computed whole, once (the trace then remembers it, and its range is exact); of a larger
# one only what is asked for.
WHOLE_BYTES = 16 << 20
# So is one of vectors at positions up to this size: a long text's rows are fetched in parts, which
# shall have one range of colours.
WHOLE_BYTES_OF_ROWS = 64 << 20

Ranges = MutableMapping[str, SiteRange]


@dataclass(frozen=True)
class View:
    """What is asked of each site. `selection`: axis -> index; a site without the axis is unaffected. `bins` (one
    number, or rows × columns): reduce by largest |x|. `skip_first`: in sites over keys, set key 0 aside before
    reducing."""

    selection: Mapping[str, Index] = field(default_factory=dict)
    bins: tuple[int, ...] = ()
    skip_first: bool = False
    ranges: bool = True


def sites_frame(
    trace: Trace,
    patterns: str | Iterable[str],
    view: View = View(),  # frozen
    known: Ranges | None = None,
    check: Callable[[], None] = lambda: None,
) -> bytes:
    """One tensor a site, by its full name, every axis kept; reduced ones with `name#index` beside (and, where the
    first key was set aside, `name#first` with `name#first_index`).

    Metadata, as JSON: `shapes` and `axes` of the whole sites, `ranges`. `known`: ranges that were computed before;
    new ones are added. `check` is called before each block and may raise. Raises `UnknownSite`; `BadSelection` when
    nothing fits or it is too much at once.
    """
    names = matching(trace.config, patterns)
    if len(names) > MOST_SITES:
        raise BadSelection(f"{len(names)} sites were asked for at once; {MOST_SITES} is the most, so name fewer.")
    sizes = trace.axis_sizes
    known = {} if known is None else known
    plan = [_plan(trace.sites[name], view, sizes) for name in names]
    _refuse_too_much(plan)
    tensors: dict[str, np.ndarray] = {}
    ranges: dict[str, SiteRange] = {}
    for group in _by_block(plan):
        check()
        for part, array, whole in _read(trace, group):
            if view.ranges:
                ranges[part.site.name] = _range(part, array, whole, known)
            cut = array if whole is None else take(whole, part.picked)
            tensors.update(_tensors(part, cut, view))
    return pack({name: tensors[name] for name in _in_order(names, tensors)}, _metadata(plan, ranges))


def read_frame(frame: bytes, source: str = "this frame") -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """The tensors of a frame (views of it), and its metadata with the JSON read. Raises `BadCheckpoint`."""
    tensors, metadata = unpack(frame, source)
    return tensors, {key: json.loads(value) for key, value in metadata.items()}


# -- planning ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    site: Site
    shape: tuple[int, ...]
    picked: tuple[Picked, ...]
    n_read: int  # elements
    n_sent: int
    wants_range: bool

    @property
    def whole_bytes(self) -> int:
        return 4 * math.prod(self.shape)

    @property
    def is_whole(self) -> bool:
        return all(each is None for each in self.picked)

    @property
    def reads_whole(self) -> bool:
        """Logits are never computed for rows that nobody asked for."""
        of_rows = self.site.axes[0] == "pos" and self.site.axes[1:] != ("head", "d_model")
        most = WHOLE_BYTES_OF_ROWS if of_rows else WHOLE_BYTES
        return self.is_whole or (self.whole_bytes <= most and self.site.name != "logits")


def _plan(site: Site, view: View, sizes: Mapping[str, int]) -> _Part:
    picked, _ = pick_axes(site, for_site(site, view.selection), sizes)
    shape = tuple(sizes[axis] for axis in site.axes)
    read = [n if cut is None else len(cut) for n, cut in zip(shape, picked, strict=True)]
    sent = list(read)
    for axis, bins in zip(range(-len(view.bins), 0), view.bins, strict=True):
        sent[axis] = min(sent[axis], bins)
    # a reduced value comes with one index an axis; a first key set aside adds a column
    per_value = 1 + len(view.bins)
    return _Part(site, shape, picked, math.prod(read), math.prod(sent) * per_value, view.ranges)


def _refuse_too_much(plan: Sequence[_Part]) -> None:
    for part in plan:
        if 4 * part.n_read > MOST_BYTES:
            raise BadSelection(
                f"{part.site.name} as asked for is {4 * part.n_read / 2**20:,.0f} MB; {MOST_BYTES >> 20} MB is the"
                f" most, so slice it along {', '.join(part.site.axes)}."
            )
    total = sum(4 * part.n_sent for part in plan)
    if total > MOST_BYTES:
        raise BadSelection(
            f"these {len(plan)} sites are {total / 2**20:,.0f} MB together; {MOST_BYTES >> 20} MB is the most, so"
            f" slice them, reduce them (reduce=absmax&bins=64), or name fewer."
        )


def _by_block(plan: Sequence[_Part]) -> list[list[_Part]]:
    groups: dict[tuple[int | None, bool], list[_Part]] = {}
    for part in plan:
        groups.setdefault((part.site.block, part.site.name in ("embed", "pos_embed")), []).append(part)
    return list(groups.values())


def _in_order(names: Sequence[str], tensors: Mapping[str, np.ndarray]) -> list[str]:
    return [
        each
        for name in names
        for each in (name, f"{name}#index", f"{name}#first", f"{name}#first_index")
        if each in tensors
    ]


# -- reading -----------------------------------------------------------------------------------------------------


def _read(trace: Trace, group: Sequence[_Part]) -> list[tuple[_Part, np.ndarray, np.ndarray | None]]:
    """(part, what was read, the whole site if that is what was read); the block runs again at most once for those
    that are read whole."""
    whole = trace.read_many([part.site.name for part in group if part.reads_whole]) if group else {}
    found: list[tuple[_Part, np.ndarray, np.ndarray | None]] = []
    for part in group:
        array = whole.get(part.site.name)
        if array is not None:
            found.append((part, array, array))
        else:
            found.append((part, trace.gather(part.site.name, part.picked), None))
    return found


def _range(part: _Part, array: np.ndarray, whole: np.ndarray | None, known: Ranges) -> SiteRange:
    name = part.site.name
    position_axis = next(at for at, axis in enumerate(part.site.axes) if axis in ("pos", "q_pos"))
    if name in known:
        return known[name]
    if whole is None:
        return ranges_of(array, position_axis, whole=False)
    known[name] = ranges_of(whole, position_axis)
    return known[name]


# -- packing -----------------------------------------------------------------------------------------------------


def _tensors(part: _Part, array: np.ndarray, view: View) -> dict[str, np.ndarray]:
    name = part.site.name
    if not view.bins and not (view.skip_first and part.site.feature == "k_pos"):
        return {name: array}
    axes = range(array.ndim)
    own = [np.arange(array.shape[at]) if part.picked[at] is None else np.asarray(part.picked[at]) for at in axes]
    found: dict[str, np.ndarray] = {}
    if view.skip_first and part.site.feature == "k_pos":
        first = own[-1] == 0
        aside = array[..., first]
        own_aside = [*own[:-1], own[-1][first]]
        array, own = array[..., ~first], [*own[:-1], own[-1][~first]]
        found.update(_reduced(f"{name}#first", f"{name}#first_index", aside, own_aside, view.bins))
    return {**_reduced(name, f"{name}#index", array, own, view.bins), **found}


def _reduced(
    name: str, index_name: str, array: np.ndarray, own: Sequence[np.ndarray], bins: tuple[int, ...]
) -> dict[str, np.ndarray]:
    if not bins:
        return {name: array}
    reduced = absmax(array, bins)
    return {name: reduced.values, index_name: own_index(reduced, own, bins)}


def own_index(reduced: Reduced, own: Sequence[np.ndarray], bins: tuple[int, ...]) -> np.ndarray:
    """Where the elements stand in the whole site, when `own` says where the read part's indices do."""
    if len(bins) == 1:
        return np.asarray(own[-1][reduced.index], dtype=np.int32)
    rows, cols = own[-2][reduced.index[..., 0]], own[-1][reduced.index[..., 1]]
    return np.stack([rows, cols], axis=-1).astype(np.int32)


def _metadata(plan: Sequence[_Part], ranges: Mapping[str, SiteRange]) -> dict[str, str]:
    return {
        "shapes": json.dumps({part.site.name: part.shape for part in plan}),
        "axes": json.dumps({part.site.name: part.site.axes for part in plan}),
        "ranges": json.dumps({name: plain(each) for name, each in ranges.items()}, allow_nan=False),
    }

"""`trace.explain(site, index)`: where one number came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cutaway.errors import BadSelection
from cutaway.sites import canonical
from cutaway.trace.interventions import Intervention
from cutaway.trace.selection import pick
from cutaway.trace.sources import apply_formula, parts

if TYPE_CHECKING:
    from cutaway.trace.trace import Trace


@dataclass(frozen=True)
class Source:
    """One input of an explained number: the exact values that went in, and where each of them stands.

    `values` has the input's `axes`; `index[a]` are the indices along axis a that `values` covers, so that
    `values[i, j]` is the element (index[0][i], index[1][j]) of `name`.
    """

    name: str
    kind: str  # "site", "parameter" or "constant"
    axes: tuple[str, ...]
    index: tuple[tuple[int, ...], ...]
    values: np.ndarray


@dataclass(frozen=True)
class Explanation:
    """One number of a trace. `result` is the formula applied to `inputs` again; it equals `value` unless somebody
    intervened here, which `changed_by` then tells."""

    site: str
    axes: tuple[str, ...]
    index: tuple[int, ...]
    value: float
    result: float
    latex: str
    meaning: str
    source: str
    inputs: tuple[Source, ...]
    changed_by: tuple[Intervention, ...]

    def __str__(self) -> str:
        where = ", ".join(f"{axis}={i}" for axis, i in zip(self.axes, self.index, strict=True))
        lines = [f"{self.site}[{where}] = {self.value:.6g}", f"  {self.meaning}", f"  = {self.latex}"]
        for each in self.inputs:
            shape = "×".join(str(n) for n in each.values.shape)
            shown = ", ".join(f"{v:.4g}" for v in each.values.ravel()[:6])
            more = ", …" if each.values.size > 6 else ""
            lines.append(f"  {each.name} [{shape}]: {shown}{more}")
        lines.append(f"  computed again from these: {self.result:.6g}")
        lines += [f"  then changed by {each.action}" for each in self.changed_by]
        return "\n".join(lines)


def explain(trace: Trace, name: str, index: Sequence[int]) -> Explanation:
    """Formula, inputs with values, and the result. Raises `UnknownSite`, and `BadSelection` when `index` has not one
    whole number inside each axis."""
    site = trace.sites[canonical(trace.config, name)]
    given = list(index) if isinstance(index, Iterable) else [index]
    if len(given) != len(site.axes):
        raise BadSelection(
            f"{site.name} has the axes {', '.join(site.axes)}; expected {len(site.axes)} numbers, got {len(given)}."
        )
    sizes = trace.axis_sizes
    picked = [pick(i, sizes[axis], axis, site.name) for axis, i in zip(site.axes, given, strict=True)]
    if any(len(each) != 1 for each in picked):
        raise BadSelection(f"{tuple(given)!r} is no single number of {site.name}; give one index for each axis.")
    value = trace.gather(site.name, picked)
    contributions = parts(trace, site, picked)
    result = apply_formula(trace, site, picked, [each.values for each in contributions])
    inputs = tuple(
        Source(
            each.name,
            each.kind,
            each.axes,
            tuple(
                tuple(range(each.values.shape[at])) if cut is None else tuple(int(i) for i in cut)
                for at, cut in enumerate(each.picked)
            ),
            each.values,
        )
        for each in contributions
    )
    return Explanation(
        site.name,
        site.axes,
        tuple(int(each[0]) for each in picked),
        float(value.reshape(-1)[0]),
        float(result.reshape(-1)[0]),
        site.latex,
        site.meaning,
        site.source,
        inputs,
        tuple(each for each in trace.interventions.bound if each.site == site.name),
    )

"""What part of a site is asked for, as it stands in an address: `pos=3`, `q_pos=0:10`, `head=1,4`, `bins=12x12`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cutaway.errors import BadSelection
from cutaway.sites import Site
from cutaway.trace.selection import Index

INDEX_PATTERN = r"^(-?[0-9]{1,9}(,-?[0-9]{1,9})*|(-?[0-9]{1,9})?:(-?[0-9]{1,9})?(:-?[0-9]{1,9})?)$"
BINS_PATTERN = r"^[1-9][0-9]{0,3}(x[1-9][0-9]{0,3})?$"
MOST_BINS = 4096


def parse_index(text: str, axis: str) -> Index:
    """ "3" -> [3] (its axis stays, with length 1), "1,4" -> [1, 4], "0:10" or ":8:2" -> a slice. Raises
    `BadSelection`."""
    if not re.fullmatch(INDEX_PATTERN[1:-1], text):
        raise BadSelection(f'{axis}="{text[:40]}" is no index; expected 3, or 1,4 or 0:10.')
    if ":" not in text:
        return [int(each) for each in text.split(",")]
    bounds = [int(each) if each else None for each in text.split(":")]
    if len(bounds) == 3 and bounds[2] == 0:
        raise BadSelection(f"{axis}={text} has the step 0; a step is 1 or more, or negative.")
    return slice(*bounds)


def parse_bins(text: str) -> tuple[int, ...]:
    """ "64" -> (64,), "12x8" -> (12, 8): bins of the last axis, or rows × columns. Raises `BadSelection`."""
    if not re.fullmatch(BINS_PATTERN[1:-1], text):
        raise BadSelection(f'bins="{text[:40]}" is no number of bins; expected 64, or 12x12 for two axes.')
    bins = tuple(int(each) for each in text.split("x"))
    if max(bins) > MOST_BINS:
        raise BadSelection(f"bins={text} is more than {MOST_BINS} along one axis; ask for fewer, or slice instead.")
    return bins


def for_site(site: Site, selection: Mapping[str, Index]) -> dict[str, Index]:
    """The part of `selection` that this site has axes for; the rest is for others. `feature` means the last axis,
    `pos` also the queries of a pattern."""
    wanted: dict[str, Index] = {}
    for axis, index in selection.items():
        if axis in site.axes:
            wanted[axis] = index
        elif axis == "feature" and site.feature != "k_pos":
            wanted.setdefault(site.feature, index)
        elif axis == "pos" and "q_pos" in site.axes and "q_pos" not in selection:
            wanted["q_pos"] = index
    return wanted

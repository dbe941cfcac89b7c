"""Structures as JSON: non-finite numbers become null, arrays become lists."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def numbers(values: Any) -> list[Any]:
    """An array as nested lists; what is not finite as None."""
    array: np.ndarray = np.asarray(values)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        spoken = array.astype(object)
        spoken[~np.isfinite(array)] = None
        array = spoken
    return list(array.tolist())


def number(value: Any) -> float | None:
    """A float, or None for what JSON cannot say."""
    value = float(value)
    return value if math.isfinite(value) else None


def plain(value: Any) -> Any:
    """Dataclasses, arrays and NumPy's scalars as what `json` takes."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.floating):
        return number(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.ndarray):
        return numbers(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    assert dataclasses.is_dataclass(value), type(value)
    return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}


def dumps(value: Any) -> bytes:
    """UTF-8, compact. What has no JSON is a mistake of ours and raises ValueError."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # a lone surrogate (in an error that quotes what was sent) has no UTF-8; escaped, it is still the same JSON
    return text.encode("utf-8", errors="backslashreplace")

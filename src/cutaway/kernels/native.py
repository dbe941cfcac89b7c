"""The native module, or why there is none.

Everything that it computes has a twin in NumPy: the equations in `ops`, and `dequantize` for packed weights. With it
a row's result has the same bits however many rows are computed together, on however many threads; the twin, whose
sums are BLAS', agrees within 1e-5.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

OFF = ("off", "0", "no")


def _find() -> tuple[Any, str]:
    if os.environ.get("CUTAWAY_NATIVE", "").lower() in OFF:
        return None, "CUTAWAY_NATIVE says off"
    try:
        from cutaway.kernels import _native  # type: ignore[attr-defined]
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) or "cannot import name" in str(error)
        return None, "they were not built when Cutaway was installed" if missing else f"they do not load: {error}"
    wanted = os.environ.get("CUTAWAY_THREADS", "")
    if wanted.isdigit() and 1 <= int(wanted) <= 256:
        _native.set_threads(int(wanted))
    return _native, ""


MODULE, REASON = _find()


def takes(*arrays: Any) -> bool:
    """Whether these go through the native kernels: they are there, and all are NumPy's float32 arrays."""
    return MODULE is not None and all(type(each) is np.ndarray and each.dtype == np.float32 for each in arrays)

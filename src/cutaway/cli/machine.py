"""The machine's form: JSON in ASCII (no encoding and no terminal can spoil it), non-finite numbers as null."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from cutaway.trace.trace import Piece


def write_json(value: Any) -> None:
    """One line on standard output."""
    sys.stdout.write(json.dumps(value, allow_nan=False, separators=(", ", ": ")) + "\n")
    sys.stdout.flush()


def token_values(token: Piece) -> dict[str, Any]:
    """The token as the wire has it."""
    return {
        "id": token.id,
        "text": token.text,
        "display": getattr(token, "display", token.text),
        "bytes": token.bytes.hex(),
        "special": getattr(token, "special", False),
    }


def plain_values(array: np.ndarray) -> Any:
    """Nested lists; a number that is not finite (a masked score is -inf) as None."""
    import numpy as np

    if np.isfinite(array).all():
        return array.tolist()
    return _without_infinities(array.tolist())


def _without_infinities(values: Any) -> Any:
    if isinstance(values, list):
        return [_without_infinities(each) for each in values]
    return values if math.isfinite(values) else None


def finite(value: float) -> float | None:
    """The number, or None where JSON has none for it."""
    return float(value) if math.isfinite(value) else None

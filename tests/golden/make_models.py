"""Writes tests/golden/models/*.safetensors: what `transformers` computes on the tiny models of every shape.

python -m tests.golden.make_models        (needs the `yardsticks` extra)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import transformers

from cutaway import framing
from tests.support.tiny import SHAPES, some_ids, tiny_model
from tests.support.transformers_twin import reference_sites, twin

HERE = Path(__file__).parent / "models"
LENGTH = 12


def main() -> None:
    for shape in sorted(SHAPES):
        model = tiny_model(shape)
        ids = some_ids(LENGTH)
        found = reference_sites(model.config, twin(model.config, model.parameters), ids)
        tensors = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in found.items()}
        tensors["ids"] = np.asarray(ids, dtype=np.int32)
        made_by = {"made_by": f"transformers {transformers.__version__}, eager attention, float32"}
        framing.write(HERE / f"{shape}.safetensors", tensors, made_by)


if __name__ == "__main__":
    main()

"""`python web/e2e/found.py TEXT [MODEL]`: what the engine itself finds, for the browser tests to compare with.

JSON on stdout: for the likeliest token after the last position what each head added, [block][head]; the strongest
neurons, [block, neuron, activation]; each head's habits.
"""

from __future__ import annotations

import json
import sys

import numpy as np

import cutaway
from cutaway.analysis.attribution import attribute_logit
from cutaway.analysis.detectors import detect_heads

if __name__ == "__main__":
    text, *name = sys.argv[1:]
    model = cutaway.load(*name)
    trace = model.trace(text)
    token = int(trace.logits(-1).argmax())
    fired = np.stack([trace[f"blocks.{i}.mlp.post"][-1] for i in range(model.config.n_layer)])
    order = np.argsort(-np.abs(fired), axis=None, kind="stable")[:20]
    found = {
        "token": token,
        "heads": attribute_logit(trace, token).heads.tolist(),
        "neurons": [
            [int(i), int(j), float(fired[i, j])] for i, j in zip(*np.unravel_index(order, fired.shape), strict=True)
        ],
        "habits": detect_heads(model).to_dict(),
    }
    print(json.dumps(found))

"""`python web/e2e/found.py TEXT [MODEL]`: what the engine itself finds, for the browser tests to compare with.

JSON on stdout: for the likeliest token after the last position its logit, and what each block's attention and MLP
added to it; what each head added, [block][head]; the neurons that wrote most, [block, neuron, activation, written];
each head's habits.
"""

from __future__ import annotations

import json
import sys

import cutaway
from cutaway.analysis.attribution import attribute_logit, attribute_neurons
from cutaway.analysis.detectors import detect_heads

if __name__ == "__main__":
    text, *name = sys.argv[1:]
    model = cutaway.load(*name)
    trace = model.trace(text)
    token = int(trace.logits(-1).argmax())
    sum_of = attribute_logit(trace, token)
    wrote = [
        [i, each.neuron, each.activation, each.value]
        for i in range(model.config.n_layer)
        for each in attribute_neurons(trace, i, token, k=20).neurons
    ]
    found = {
        "token": token,
        "logit": sum_of.logit,
        "attn": sum_of.attn.tolist(),
        "mlp": sum_of.mlp.tolist(),
        "heads": sum_of.heads.tolist(),
        "neurons": sorted(wrote, key=lambda each: -abs(each[3]))[:20],
        "habits": detect_heads(model).to_dict(),
    }
    print(json.dumps(found))

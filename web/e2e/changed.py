"""`python web/e2e/changed.py [MODEL]`: what the engine computes when a run is changed, for the browser tests.

A line of stdin is JSON, `{"text", "changes", "position", "ids"}`, the changes as the page's address lists them; a
line of stdout has, for each id, its chance after `position`, its chances through the logit lens, and its logit. With
`{"text", "other", "pairs"}` instead: cosines of the residual streams of two texts at pairs of positions, by depth.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

import cutaway
from cutaway.analysis.logit_lens import logit_lens, stages


def intervention(model: cutaway.Model, change: dict[str, Any]) -> cutaway.Intervention:
    at = {
        axis: slice(place.get("start"), place.get("stop"), place.get("step")) if isinstance(place, dict) else place
        for axis, place in change.get("selection", {}).items()
    }
    action = change["action"]
    if action == "patch":
        return cutaway.patch(model.trace(change["source"]["text"]), from_pos=change["source"].get("pos"), **at)
    if action == "add":
        towards, rows = change["direction"], model.parameters["W_E"]
        added = rows[towards["plus"]].sum(axis=0) - rows[towards["minus"]].sum(axis=0)
        return cutaway.add(np.float32(towards["scale"]) * added, **at)
    makers: dict[str, Any] = {
        "zero": cutaway.zero,
        "scale": cutaway.scale,
        "set": cutaway.set_to,
        "skip": cutaway.skip,
    }
    return makers[action](*([change["value"]] if "value" in change else []), **at)


def changed(model: cutaway.Model, asked: dict[str, Any]) -> dict[str, Any]:
    run = model
    for change in asked["changes"]:
        run = run.intervene({change["site"]: intervention(model, change)})
    trace = run.trace(asked["text"])
    logits = trace.logits(asked["position"]).astype(np.float64)
    chances = np.exp(logits - logits.max())
    lens = logit_lens(trace, position=asked["position"], tokens=asked["ids"], k=1)
    return {
        "chances": (chances / chances.sum())[asked["ids"]].tolist(),
        "lens": lens.probability.T.tolist(),
        "logits": logits[asked["ids"]].tolist(),
    }


def compared(model: cutaway.Model, asked: dict[str, Any]) -> list[list[float]]:
    here, there = model.trace(asked["text"]), model.trace(asked["other"])
    rows = []
    for a, b in asked["pairs"]:
        left = np.stack([here.read(site, pos=a) for site in stages(here)]).astype(np.float64)
        right = np.stack([there.read(site, pos=b) for site in stages(there)]).astype(np.float64)
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        rows.append(((left * right).sum(axis=1) / lengths).tolist())
    return rows


if __name__ == "__main__":
    loaded = cutaway.load(*sys.argv[1:])
    for line in sys.stdin:
        question = json.loads(line)
        answer = compared(loaded, question) if "other" in question else changed(loaded, question)
        print(json.dumps(answer), flush=True)

"""`python web/e2e/engine.py [MODEL]`: what the engine itself computes, for the browser tests to compare with.

A line of stdin is JSON, `[text, [[site, [index, …]], …]]`; a line of stdout
its numbers. Without MODEL: the default one.
"""

from __future__ import annotations

import json
import sys

import cutaway

if __name__ == "__main__":
    model = cutaway.load(*sys.argv[1:])
    for line in sys.stdin:
        text, cells = json.loads(line)
        trace = model.trace(text)
        print(json.dumps([float(trace[site][tuple(index)]) for site, index in cells]), flush=True)

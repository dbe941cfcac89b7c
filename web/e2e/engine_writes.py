"""`python web/e2e/engine_writes.py [MODEL]`: what the engine itself writes, for the browser tests to compare with.

A line of stdin is JSON: `{"text": …, "settings": {…}, "interventions": […]}`, or `{"messages": […]}`; a line of
stdout the steps, `[{"token": id, "position": …, "draft": [accepted, drafted] | null, "dropped": n}]`, or the ids of
the chat. Without MODEL: the default one.
"""

from __future__ import annotations

import json
import sys

import cutaway
from cutaway.trace.interventions import Interventions

if __name__ == "__main__":
    model = cutaway.load(*sys.argv[1:])
    for line in sys.stdin:
        asked = json.loads(line)
        if "messages" in asked:
            print(json.dumps(model.chat_ids(asked["messages"])), flush=True)
            continue
        changes = Interventions.of(model.config, asked.get("interventions", []))
        steps = model.with_interventions(changes).generate(asked["text"], **asked["settings"])
        said = [
            {
                "token": step.token_id,
                "position": step.position,
                "draft": step.draft and [step.draft.accepted, len(step.draft.ids)],
                "dropped": step.dropped.tokens if step.dropped else 0,
            }
            for step in steps
        ]
        print(json.dumps(said), flush=True)

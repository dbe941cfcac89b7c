"""One pull and what it said, as JSON-ready values; run as a script, in a process of its own, it prints them."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from cutaway.errors import CutawayError
from cutaway.weights import catalog, hub_refusals


class Recorder:
    """A `Progress` that keeps [what, total, bytes advanced, closed?] of every stretch."""

    def __init__(self) -> None:
        self.stretches: list[list[Any]] = []

    def start(self, what: str, total: int | None) -> None:
        self.stretches.append([what, total, 0, False])

    def advance(self, n: int) -> None:
        self.stretches[-1][2] += n

    def done(self) -> None:
        self.stretches[-1][3] = True


def pull_and_report(name: str) -> dict[str, Any]:
    """`before` and `after`: what `find` said; `path`, or `error`, `message` and `exit`; `stretches`; `models`."""
    recorder = Recorder()
    report: dict[str, Any] = {}
    try:
        report["before"] = _found(name)
        report["path"] = str(catalog.pull(name, progress=recorder))
        report["after"] = _found(name)
    except CutawayError as error:
        report |= {"error": type(error).__name__, "message": str(error), "exit": error.exit_code}
    report["stretches"] = recorder.stretches
    report["models"] = [[model.name, model.source, model.bytes] for model in catalog.local_models()]
    return report


def _found(name: str) -> str | None:
    found = catalog.find(name)
    return None if found is None else str(found.path)


if __name__ == "__main__":
    hub_refusals.WAITS = tuple(float(each) for each in os.environ.get("TEST_WAITS", "").split())
    print(json.dumps(pull_and_report(sys.argv[1])))

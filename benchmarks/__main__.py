"""`python -m benchmarks [NAME …]`: runs the named benchmarks (all of them), prints a table, writes it as JSON."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from benchmarks.measure import machine

NAMES = ("tracing", "page")
RESULTS = Path(__file__).parent / "results"


def main(names: list[str]) -> int:
    unknown = set(names) - set(NAMES)
    if unknown:
        print(f"benchmarks: no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}.")
        return 2
    here = machine()
    print(json.dumps(here, ensure_ascii=False), file=sys.stderr)
    missed = 0
    for name in names or NAMES:
        rows = importlib.import_module(f"benchmarks.{name}").run()
        print(f"\n| {name} | bar | measured | |\n|---|---|---|---|")
        for row in rows:
            print(f"| {row['figure']} | {row['bar']} | {row['value']} | {'met' if row['met'] else 'MISSED'} |")
            missed += not row["met"]
        RESULTS.mkdir(exist_ok=True)
        report = json.dumps({"machine": here, "rows": rows}, indent=1, ensure_ascii=False)
        (RESULTS / f"{name}.json").write_text(report + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

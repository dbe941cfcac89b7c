"""`python -m benchmarks [NAME …] [--only ROW …] [--quick]`: runs the named benchmarks, prints a table, keeps JSON.

Without a name: `limits speed tracing page classroom`. `--only` takes the rows (libraries) of that name alone; what
others measured before stays in the kept results. `--quick` makes fewer rounds and leaves out what takes long.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarks.measure import Options, machine

NAMES = ("limits", "speed", "tracing", "page", "classroom", "products")
USUAL = NAMES[:-1]
RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--only", action="append", default=[], metavar="ROW")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args(arguments)
    unknown = set(given.names) - set(NAMES)
    if unknown:
        print(f"benchmarks: no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}.")
        return 2
    here = machine()
    print(json.dumps(here, ensure_ascii=False), file=sys.stderr)
    missed = 0
    for name in given.names or USUAL:
        module = importlib.import_module(f"benchmarks.{name}")
        rows = module.run(Options(only=given.only, quick=given.quick))
        print(f"\n| {name} | bar | measured | |\n|---|---|---|---|")
        for row in rows:
            print(f"| {row['figure']} | {row['bar']} | {row['value']} | {'met' if row['met'] else 'MISSED'} |")
            missed += not row["met"]
        if not getattr(module, "KEPT", None):  # these keep their own results, row by row
            RESULTS.mkdir(exist_ok=True)
            report = json.dumps({"machine": here, "rows": rows}, indent=1, ensure_ascii=False)
            (RESULTS / f"{name}.json").write_text(report + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""What a reader of the page waits for, in a real Chromium on the default model.

make bench        or        python -m benchmarks page
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Options

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "src/cutaway/server/static"


@contextmanager
def _served() -> Iterator[str]:
    """A server on a port of its own; its address."""
    command = [sys.executable, "-m", "cutaway.cli", "serve", "--no-open", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            said = ""
            for line in server.stdout:
                said += line
                found = re.search(r"http://[\w.]+:\d+", line)
                if found:
                    yield found[0]
                    return
            raise RuntimeError(f"the server did not come up: {said}")
        finally:
            server.terminate()


def _scripts() -> int:
    """Bytes of all scripts, compressed."""
    return sum(len(gzip.compress(path.read_bytes(), 9)) for path in STATIC.rglob("*.js"))


def run(options: Options) -> list[dict[str, Any]]:
    if not (STATIC / "index.html").exists():
        raise SystemExit("benchmarks page: the page is not built; run `make page`, then again.")
    with _served() as site:
        urllib.request.urlopen(f"{site}/api/health", timeout=30).close()
        ran = subprocess.run(
            ["node", "scripts/figures.mjs", site], cwd=ROOT / "web", capture_output=True, text=True, check=False
        )
    if ran.returncode:
        raise SystemExit(f"benchmarks page: {ran.stderr.strip()}")
    got = json.loads(ran.stdout)
    size = _scripts()

    def row(figure: str, bar: str, value: str, met: bool, **more: Any) -> dict[str, Any]:
        return {"figure": figure, "bar": bar, "value": value, "met": met, **more}

    n = got["tokens"]
    keystroke, first, moved, frames = (got[name] for name in ("keystroke", "first", "bytes", "frames"))
    beyond = {"all": got["keystrokes"], "with_engine": got["whole"], "load": os.getloadavg()[0]}
    return [
        row(f"keystroke to view, less the engine, {n} tokens", "≤ 100 ms", f"{keystroke:.0f} ms", keystroke <= 100,
            **beyond),
        row("opening to the first whole view", "≤ 1 s", f"{first / 1000:.2f} s", first <= 1000, all=got["opening"]),
        row("all scripts, compressed", "≤ 350 KB", f"{size / 1000:.0f} KB", size <= 350_000),
        row(f"bytes of a whole view, {n} tokens", "≤ 1.5 MB", f"{moved / 1e6:.2f} MB", moved <= 1.5e6),
        row("frames a second, hovering over a pattern of 200 tokens", "≥ 50", f"{frames:.0f}", frames >= 50),
        row("frames a second, moving over a pattern of 1,000 tokens", "≥ 50", f"{got['framesLong']:.0f}",
            got["framesLong"] >= 50),
        row("frames a second, moving over the scores of 1,000 tokens", "≥ 50", f"{got['framesScores']:.0f}",
            got["framesScores"] >= 50),
    ]  # fmt: skip

"""One side of a comparison, in a process of its own: its own threads, its own memory, and nothing of the other's.

`Side("llama", …)` starts it, `side.do("decode", n=64)` has it do one piece of work and answer with what it took.
While one side works, the other waits for its next line and uses no processor.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from types import TracebackType
from typing import Any

# Where each side lives: a module of `benchmarks.sides` with a class `Work`, whose methods are the pieces of work.
SIDES = {
    "cutaway": "ours",
    "llama": "llama",
    "transformers": "torch_side",
    "transformer_lens": "lens",
    "products": "products",
}


class Missing(Exception):
    """A peer that is not installed, or cannot do this; its row says so."""


class Side:
    """A running side. `settings` go to its `Work`; `environment` is added to this process's."""

    def __init__(self, name: str, *, threads: int = 2, environment: dict[str, str] | None = None, **settings: Any):
        self.name = name
        threaded = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CUTAWAY_THREADS")
        given = json.dumps(settings | {"threads": threads})
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.side", name, given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | dict.fromkeys(threaded, str(threads)) | (environment or {}),
        )
        self.about = self._answer()

    def do(self, work: str, **settings: Any) -> dict[str, Any]:
        """The answer of `Work.<work>(**settings)`: a dictionary with at least "seconds"."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([work, settings]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"{self.name} ended with status {self._process.returncode}; its words stand above.")
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            self.close()
            raise Missing(answer["missing"])
        return answer

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets the process end, and sees to it that it does."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main(name: str, settings: dict[str, Any]) -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a peer that prints must not speak into the answers

    def tell(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        work = importlib.import_module(f"benchmarks.sides.{SIDES[name]}").Work(**settings)
    except ImportError as err:
        tell({"missing": f"{err.name or name} is not installed"})
        return
    about = work.about()
    tell(about)
    if "missing" in about:
        return
    for line in sys.stdin:
        what, given = json.loads(line)
        tell(getattr(work, what)(**given))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))

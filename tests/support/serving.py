"""`cutaway serve` as a process of its own, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


@dataclass
class Served:
    url: str
    process: subprocess.Popen[str]
    errors: Path

    @property
    def said_on_stderr(self) -> str:
        return self.errors.read_text(encoding="utf-8")

    @property
    def resident_bytes(self) -> int:
        """What it holds in memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")


@contextmanager
def serving(model: Path, *options: str) -> Iterator[Served]:
    """The server on a free port, once it answers; ended at the end, whatever happened."""
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "stderr.txt", "w", encoding="utf-8") as errors:
        yield from _serving(model, options, errors)


def _serving(model: Path, options: tuple[str, ...], errors: TextIO) -> Iterator[Served]:
    command = [
        sys.executable,
        "-m",
        "cutaway.cli",
        "serve",
        "--no-open",
        "--port",
        "0",
        "--model",
        str(model),
        *options,
    ]
    process = subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=errors,  # a file: a pipe that nobody reads would fill up and stop the server
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUTAWAY_OFFLINE": "1"},
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("Cutaway is at http://"), said + Path(errors.name).read_text(encoding="utf-8")
        yield Served(said.split()[3], process, Path(errors.name))
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()

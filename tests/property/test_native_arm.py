"""NEON gives AVX2's bits: both are compiled here, NEON by a cross compiler, and run, NEON in an emulator.

Debian: apt install g++-aarch64-linux-gnu qemu-user-static. Skipped where they are not.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "native"
CROSS, EMULATOR = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64-static")
HERE = shutil.which(os.environ.get("CXX") or "c++")

pytestmark = [
    pytest.mark.skipif(CROSS is None or EMULATOR is None, reason="no cross compiler or emulator for ARM"),
    pytest.mark.skipif(platform.machine() != "x86_64" or HERE is None, reason="nothing to compare with"),
]


def digests(compiler: str, isa: str, flags: list[str], run: list[str], folder: Path) -> list[str]:
    """What native/check/digests.cpp says, over this set of instructions."""
    common = [compiler, "-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-c", "-O1"]
    sets = [f"-DCUTAWAY_HAS_{isa.upper()}=1"]
    objects = []
    for name, own in (
        (f"isa_{isa}", [*flags, f"-DCUTAWAY_ISA={isa}"]),
        ("isa_plain", ["-O0", "-DCUTAWAY_ISA=plain"]),  # isa_choice asks for it
        ("isa_choice", sets),
        ("scratch", []),
        ("check/digests", []),
    ):
        objects.append(folder / f"{isa}_{Path(name).name}.o")
        subprocess.run([*common, *own, NATIVE / f"{name}.cpp", "-o", objects[-1]], check=True, timeout=300)
    program = folder / f"digests_{isa}"
    subprocess.run([compiler, "-static", "-pthread", *objects, "-o", program], check=True, timeout=60)
    found = subprocess.run(
        [*run, program], env={**os.environ, "CUTAWAY_ISA": isa}, capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr.strip() == isa
    return found.stdout.splitlines()


def test_neon_gives_avx2s_bits(tmp_path: Path) -> None:
    assert CROSS and EMULATOR and HERE
    if "avx2" not in Path("/proc/cpuinfo").read_text() or "fma" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this machine has no AVX2")
    avx2 = digests(HERE, "avx2", ["-mavx2", "-mfma", "-mf16c"], [], tmp_path)
    neon = digests(CROSS, "neon", [], [EMULATOR], tmp_path)
    assert len(avx2) == 146
    assert neon == avx2

"""What an install consists of, with a compiler and without: the wheel, the source archive, the compiled module."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import cutaway

ROOT = Path(__file__).parents[2]
OBJECTS = ROOT / "build/native/CMakeFiles/_native.dir"

pytestmark = pytest.mark.skipif(not (ROOT / "native/CMakeLists.txt").exists(), reason="not in the repository")


def built(what: str, into: Path, **environment: str) -> Path:
    """The wheel or the source archive, by the build backend itself: nothing is fetched."""
    run = subprocess.run(
        [sys.executable, "-c", f"import scikit_build_core.build as b, sys; b.build_{what}(sys.argv[1])", str(into)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    (found,) = into.iterdir()
    return found


def without_its_native_part(wheel: Path, folder: Path) -> None:
    """The wheel is a pure one, and what is in it works: a product on packed weights, by the twin."""
    assert wheel.name == f"cutaway-{cutaway.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(folder)
    assert {"cutaway/__init__.py", "cutaway/py.typed", "cutaway/kernels/native.py"} <= names
    assert not [name for name in names if re.search(r"\.(so|pyd|cpp|hpp)$", name)]
    if (ROOT / "src/cutaway/server/static/index.html").exists():
        assert "cutaway/server/static/index.html" in names
    code = """
import sys
sys.path[:0] = sys.argv[1:]
import cutaway, numpy as np
from cutaway.kernels import native, products
assert cutaway.__file__.startswith(sys.argv[1]), cutaway.__file__
assert native.MODULE is None
raw = np.frombuffer(bytes([0, 60, 0, 60]) + bytes(16), np.uint8).reshape(1, 20)  # d = 1, m = 1, all q = 0
print((np.ones((2, 32), np.float32) @ products.Table(raw, "Q4_1").T).tolist(), native.REASON)
"""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    # -S: an editable install of this repository would come first
    run = subprocess.run(
        [sys.executable, "-S", "-c", code, str(folder), *packages], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "[[32.0], [32.0]] they were not built when Cutaway was installed\n"


def test_a_machine_without_a_compiler_gets_a_pure_package(tmp_path: Path) -> None:
    (tmp_path / "wheel").mkdir()
    wheel = built("wheel", tmp_path / "wheel", CC="/bin/false", CXX="/bin/false", CUTAWAY_PURE="")
    without_its_native_part(wheel, tmp_path / "installed")


def test_a_pure_package_can_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "wheel").mkdir()
    wheel = built("wheel", tmp_path / "wheel", CUTAWAY_PURE="1")
    without_its_native_part(wheel, tmp_path / "installed")


def test_the_source_archive_can_be_built(tmp_path: Path) -> None:
    """Every native source is in it, and nothing that was compiled."""
    with tarfile.open(built("sdist", tmp_path)) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    sources = {
        f"native/{path.name}" for path in (ROOT / "native").iterdir() if path.suffix in (".cpp", ".hpp", ".txt")
    }
    assert sources - {"native/CMakeCache.txt"} <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "src/cutaway/py.typed"} <= names
    assert not [name for name in names if re.search(r"\.(so|pyd|o|a)$|CMakeCache", name)]


@pytest.mark.skipif(not OBJECTS.exists() or shutil.which("nm") is None, reason="the kernels are not built here")
def test_no_set_of_instructions_lends_its_code_to_others() -> None:
    """Of functions that several files define alike, the linker keeps one: were it compiled for AVX-512, older
    machines would meet it too. So what is weak in isa_*.cpp must lie in that set's own namespace."""
    objects = sorted(OBJECTS.glob("isa_*.o"))
    seen = []
    for path in objects:
        isa = path.name.removeprefix("isa_").split(".")[0]
        if isa == "choice":
            continue
        seen.append(isa)
        lines = subprocess.run(["nm", "-C", path], capture_output=True, text=True, check=True).stdout.splitlines()
        weak = [line.split(" ", 2)[2] for line in lines if re.match(r"[0-9a-f]+ [WVu] ", line)]
        assert [name for name in weak if not re.match(rf"(\w+ )*{isa}::", name)] == []
    assert "plain" in seen

"""What is generated has not drifted, and what the docs name exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import cutaway

ROOT = Path(__file__).parent.parent.parent


def test_the_glossary_is_the_table() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import make_sites_doc
    finally:
        sys.path.pop(0)
    assert (ROOT / "docs" / "sites.md").read_text("utf-8") == make_sites_doc.text(), "run scripts/make_sites_doc.py"


def test_what_the_package_exports() -> None:
    """A public name changes only with its docs and a line in CHANGELOG.md."""
    assert sorted(cutaway.__all__) == [
        "CutawayError",
        "Intervention",
        "Model",
        "ModelConfig",
        "Trace",
        "__version__",
        "add",
        "function",
        "load",
        "load_trace",
        "mean",
        "patch",
        "scale",
        "set",
        "set_to",
        "skip",
        "zero",
    ]


def test_every_room_is_on_the_map() -> None:
    rooms = {path.stem for path in (ROOT / "src" / "cutaway").iterdir() if not path.name.startswith("_")}
    drawn = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    missing = [room for room in rooms - {"py"} if not re.search(rf"\b{room}\b", drawn)]
    assert not missing, f"ARCHITECTURE.md does not name {missing}"


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(example: Path, default_model_path: Path, tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout


def test_no_path_of_a_machine_is_committed() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    machine = re.compile(r"/(?:home|Users)/[a-z]\w+/|(?<![\w.])/root/|(?<![\w.])/work/")
    for name in files:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".ts", ".svelte", ".json", ".txt", ".yml", "") and path.is_file():
            found = machine.search(path.read_text("utf-8", errors="ignore"))
            assert not found or name == "tests/contract/test_docs.py", f"{name}: {found and found.group(0)}"
